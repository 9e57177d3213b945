"""The only `import tensorflow`. Keras comes first, so that TensorFlow cannot choose its backend,
and TensorFlow is kept off every accelerator: it only feeds data."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import kvgg_jax.core.keras_gate  # noqa: F401  (must run before tensorflow)
from kvgg_jax.core.process import is_own_process


@contextmanager
def _without_native_stderr() -> Iterator[None]:
    """Mute file descriptor 2: TensorFlow's C++ start-up lines ignore its own log level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _without_native_stderr() if is_own_process() else nullcontext():
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # a host that has used TensorFlow chose its devices
        tf.config.set_visible_devices([], "GPU")
        tf.config.set_visible_devices([], "TPU")
    tf.constant(0)  # opens its devices now, while it is muted

__all__ = ["tf"]
