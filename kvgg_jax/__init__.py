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
    from kvgg_jax.exporting import export
    from kvgg_jax.inference import evaluate, load_classifier, predict
    from kvgg_jax.model import vgg
    from kvgg_jax.saliency import explain
    from kvgg_jax.training import resume, train

__version__ = "0.1.0"
__all__ = [
    "KvggError",
    "ModelConfig",
    "RunConfig",
    "evaluate",
    "explain",
    "export",
    "load_classifier",
    "predict",
    "resume",
    "train",
    "vgg",
]

_HOME = {
    "KvggError": "errors",
    "ModelConfig": "config",
    "RunConfig": "config",
    "evaluate": "inference",
    "explain": "saliency",
    "export": "exporting",
    "load_classifier": "inference",
    "predict": "inference",
    "resume": "training",
    "train": "training",
    "vgg": "model",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
