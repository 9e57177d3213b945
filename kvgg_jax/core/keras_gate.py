"""The only `import keras`: JAX backend, channels last, float32.

The package's `__init__` has chosen the backend. The command sets the rest, whatever keras.json
says; a host with other settings gets an error.
"""

from __future__ import annotations

import os
from pathlib import Path

from kvgg_jax.core.errors import KvggError
from kvgg_jax.core.process import is_own_process

try:
    import keras
except (AttributeError, OSError, TypeError, ValueError) as error:  # as it reads its settings
    _file = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"
    raise KvggError(
        f"Keras cannot use its settings ({str(error) or type(error).__name__}). "
        f"Correct or remove {_file}."
    ) from None

if keras.backend.backend() != "jax":
    raise KvggError(
        f"Keras is already running on {keras.backend.backend()!r}; kvgg_jax needs JAX. Import "
        "kvgg_jax before keras or tensorflow, or set the environment variable KERAS_BACKEND=jax."
    )
if is_own_process():
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
for _name in ("image_data_format", "floatx", "dtype_policy"):
    _found = getattr(keras.config, _name)()
    _found = getattr(_found, "name", _found)  # a policy has a name
    _needed = "channels_last" if _name == "image_data_format" else "float32"
    if _found != _needed:
        raise KvggError(
            f"Keras has {_name} = {_found}; kvgg_jax needs {_needed}. Change it in "
            f"keras.json, or call keras.config.set_{_name}({_needed!r}) before."
        )

__all__ = ["keras"]
