"""The only `import keras`: JAX backend, channels last, float32, whatever keras.json says.

The package's own `__init__` has chosen the backend, since it comes before everything else.
"""

from __future__ import annotations

import keras

from kvgg_jax.core.errors import KvggError

if keras.backend.backend() != "jax":
    raise KvggError(
        f"Keras is already running on {keras.backend.backend()!r}; kvgg_jax needs JAX. Import "
        "kvgg_jax before keras or tensorflow, or set the environment variable KERAS_BACKEND=jax."
    )
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")

__all__ = ["keras"]
