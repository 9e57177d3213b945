"""Train, evaluate and use image classifiers from a folder of photos: Keras 3 on JAX.

>>> from kvgg_jax import RunConfig, evaluate, predict, train, vgg

`kvgg_jax.api` lists the public names; `__init__.pyi` says where each one is, for type checkers and
for the lazy loader, so that `import kvgg_jax` costs nothing. Where Keras is imported after it,
Keras runs on JAX.
"""

import os
import sys

import lazy_loader

from kvgg_jax.core.process import __version__ as __version__

if sys.platform == "win32":  # it has no `fcntl` and no `resource`, which lock and limit
    raise ImportError("kvgg_jax needs Linux or macOS. On Windows, install it in WSL 2.")
if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "jax"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
