"""The only `import keras`: JAX backend, channels last, float32.

The package's own `__init__` has chosen the backend, since it comes before everything else. The
command sets the rest, whatever keras.json says; a host that wants it otherwise gets an error.
"""

from __future__ import annotations

import keras

from kvgg_jax.core.errors import KvggError
from kvgg_jax.core.process import is_own_process

if keras.backend.backend() != "jax":
    raise KvggError(
        f"Keras is already running on {keras.backend.backend()!r}; kvgg_jax needs JAX. Import "
        "kvgg_jax before keras or tensorflow, or set the environment variable KERAS_BACKEND=jax."
    )
if is_own_process():
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
_found = {
    "image_data_format": keras.config.image_data_format(),
    "floatx": keras.config.floatx(),
    "dtype_policy": keras.config.dtype_policy().name,
}
for _name, _needed in zip(_found, ("channels_last", "float32", "float32"), strict=True):
    if _found[_name] != _needed:
        raise KvggError(
            f"Keras has {_name} = {_found[_name]}; kvgg_jax needs {_needed}. Change it in "
            f"keras.json, or call keras.config.set_{_name}({_needed!r}) before."
        )

__all__ = ["keras"]
