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
    from kvgg_jax.core.config import ModelConfig, RunConfig
    from kvgg_jax.core.errors import KvggError
    from kvgg_jax.data.audit.audit import check_data
    from kvgg_jax.evaluation.calibration import calibrate
    from kvgg_jax.evaluation.comparison import compare_runs
    from kvgg_jax.export.exporter import export
    from kvgg_jax.inference.classifier import evaluate, load_classifier, predict
    from kvgg_jax.inference.explain import explain
    from kvgg_jax.models.build import vgg
    from kvgg_jax.runs.listing import list_runs
    from kvgg_jax.training.search.crossval import crossval
    from kvgg_jax.training.search.lr_range import lr_find
    from kvgg_jax.training.search.tuning import tune
    from kvgg_jax.training.trainer import resume, train
    from kvgg_jax.web.html.report import report

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
    "KvggError": "core.errors",
    "ModelConfig": "core.config",
    "RunConfig": "core.config",
    "calibrate": "evaluation.calibration",
    "compare_runs": "evaluation.comparison",
    "check_data": "data.audit.audit",
    "crossval": "training.search.crossval",
    "evaluate": "inference.classifier",
    "explain": "inference.explain",
    "export": "export.exporter",
    "list_runs": "runs.listing",
    "load_classifier": "inference.classifier",
    "lr_find": "training.search.lr_range",
    "predict": "inference.classifier",
    "report": "web.html.report",
    "resume": "training.trainer",
    "train": "training.trainer",
    "tune": "training.search.tuning",
    "vgg": "models.build",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
