"""The public functions, and the types they take, return and raise.

`kvgg_jax.NAME` loads only what NAME needs; importing this module loads everything.
"""

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import load_recipe
from kvgg_jax.core.errors import KvggError
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.core.tables.architectures import BuildBackbone, register_backbone
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.data.audit.audit import check_data
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.shards.pack import Pack, pack_data
from kvgg_jax.data.shards.verify import Verification, verify_data
from kvgg_jax.evaluation.calibration import Calibrated, calibrate
from kvgg_jax.evaluation.comparison import Comparison, compare_runs
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.evaluation.label_audit.apply import Applied, apply_moves
from kvgg_jax.evaluation.label_audit.audit import audit
from kvgg_jax.evaluation.label_audit.findings import Audit
from kvgg_jax.evaluation.record import Evaluation, EvaluationRecord
from kvgg_jax.export.exporter import Export, export
from kvgg_jax.inference.classifier import Classifier, load_classifier, predict
from kvgg_jax.inference.embedding import Embedded, embed
from kvgg_jax.inference.explain import Explanation, explain
from kvgg_jax.inference.neighbors import Neighbor, Similar, similar
from kvgg_jax.inference.prediction import Prediction
from kvgg_jax.inference.ranking import rank_unsure
from kvgg_jax.models.build import vgg
from kvgg_jax.runs.listing import DamagedRun, RunSummary, list_runs
from kvgg_jax.training.own.fit import FitResult, fit
from kvgg_jax.training.search.crossval import Crossval, crossval
from kvgg_jax.training.search.lr_range import RangeTest, lr_find
from kvgg_jax.training.search.tuning import TuneResult, tune
from kvgg_jax.training.trainer import TrainResult, resume, train
from kvgg_jax.web.card import model_card
from kvgg_jax.web.html.report import Report, report

__all__ = [
    "Applied",
    "Audit",
    "BuildBackbone",
    "Calibrated",
    "Check",
    "Classifier",
    "Comparison",
    "Crossval",
    "DamagedRun",
    "Embedded",
    "Epoch",
    "Evaluation",
    "EvaluationRecord",
    "Explanation",
    "Export",
    "FitResult",
    "History",
    "KvggError",
    "ModelConfig",
    "Neighbor",
    "Pack",
    "Prediction",
    "RangeTest",
    "Report",
    "RunConfig",
    "RunSummary",
    "Similar",
    "TrainResult",
    "TuneResult",
    "Verification",
    "apply_moves",
    "audit",
    "calibrate",
    "check_data",
    "compare_runs",
    "crossval",
    "embed",
    "evaluate",
    "explain",
    "export",
    "fit",
    "list_runs",
    "load_classifier",
    "load_recipe",
    "lr_find",
    "model_card",
    "pack_data",
    "predict",
    "rank_unsure",
    "register_backbone",
    "report",
    "resume",
    "similar",
    "train",
    "tune",
    "verify_data",
    "vgg",
]
