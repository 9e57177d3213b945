"""Train, judge and use VGG image classifiers from a folder of photos: Keras 3 on JAX.

>>> from kvgg_jax import RunConfig, evaluate, predict, train, vgg

Names are loaded when first used, so that `import kvgg_jax` costs nothing. Where Keras is imported
after it, that runs on JAX.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvgg_jax.config import ModelConfig, RunConfig
    from kvgg_jax.data.check import check_data
    from kvgg_jax.errors import KvggError
    from kvgg_jax.exporting import export
    from kvgg_jax.folds import crossval
    from kvgg_jax.inference import evaluate, load_classifier, predict
    from kvgg_jax.judging.calibration import calibrate
    from kvgg_jax.judging.compare import compare_runs
    from kvgg_jax.judging.listing import list_runs
    from kvgg_jax.model import vgg
    from kvgg_jax.reporting import report
    from kvgg_jax.saliency import explain
    from kvgg_jax.search.lr_range import lr_find
    from kvgg_jax.search.tuning import tune
    from kvgg_jax.training import resume, train

__version__ = "0.1.0"
__all__ = [
    "KvggError",
    "ModelConfig",
    "RunConfig",
    "calibrate",
    "check_data",
    "compare_runs",
    "crossval",
    "evaluate",
    "explain",
    "export",
    "list_runs",
    "load_classifier",
    "lr_find",
    "predict",
    "report",
    "resume",
    "train",
    "tune",
    "vgg",
]

if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "jax"

_HOME = {
    "KvggError": "errors",
    "ModelConfig": "config",
    "RunConfig": "config",
    "calibrate": "judging.calibration",
    "compare_runs": "judging.compare",
    "check_data": "data.check",
    "crossval": "folds",
    "evaluate": "inference",
    "explain": "saliency",
    "export": "exporting",
    "list_runs": "judging.listing",
    "load_classifier": "inference",
    "lr_find": "search.lr_range",
    "predict": "inference",
    "report": "reporting",
    "resume": "training",
    "train": "training",
    "tune": "search.tuning",
    "vgg": "model",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
