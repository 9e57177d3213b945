"""Train, judge and use VGG image classifiers from a folder of photos: Keras 3 on JAX.

>>> from kvgg_jax import RunConfig, evaluate, predict, train, vgg

Names are loaded when first used, so that `import kvgg_jax` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvgg_jax.config import ModelConfig, RunConfig
    from kvgg_jax.errors import KvggError
    from kvgg_jax.inference import evaluate, load_classifier, predict
    from kvgg_jax.lr_range import lr_find
    from kvgg_jax.model import vgg
    from kvgg_jax.training import resume, train
    from kvgg_jax.tuning import tune

__version__ = "0.1.0"
__all__ = [
    "KvggError",
    "ModelConfig",
    "RunConfig",
    "evaluate",
    "load_classifier",
    "lr_find",
    "predict",
    "resume",
    "train",
    "tune",
    "vgg",
]

_HOME = {
    "KvggError": "errors",
    "ModelConfig": "config",
    "RunConfig": "config",
    "evaluate": "inference",
    "load_classifier": "inference",
    "lr_find": "lr_range",
    "predict": "inference",
    "resume": "training",
    "train": "training",
    "tune": "tuning",
    "vgg": "model",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
