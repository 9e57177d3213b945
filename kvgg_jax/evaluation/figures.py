"""An evaluation as figures alone: what `evaluate` left in a run folder, read and checked."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, model_validator

from kvgg_jax.core.errors import RunError
from kvgg_jax.data.audit.color_baseline import ColorBaseline
from kvgg_jax.data.split import check_below
from kvgg_jax.evaluation.evaluate import Evaluation
from kvgg_jax.evaluation.metrics import Bin
from kvgg_jax.evaluation.record import evaluation_json, file_names
from kvgg_jax.inference.temperature import Calibration
from kvgg_jax.runs.folder import Run


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class ClassFigures(_Part):
    """Scores in [0, 1] of a class, None where there is nothing to divide by; and its photos."""

    precision: float | None
    recall: float | None
    f1: float | None
    count: int
    roc_area: float | None


class Mistake(_Part):
    """A photo called wrongly."""

    path: Annotated[str, AfterValidator(check_below)]
    """Below the folder of photos."""
    true: str = Field(alias="class")
    predicted: str
    probability: float
    """Of `predicted`, in [0, 1]."""


class EvaluationRecord(_Part):
    """The figures of `evaluate --json`, which docs/json.md and docs/evaluation.md describe."""

    state: str
    data: str
    split: Literal["val", "all"]
    count: int = Field(gt=0)
    trained_on: int | None = None  # as of a version that did not look
    loss: float
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    matthews: float
    top_k: dict[str, float]
    calibration_error: float
    calibration: Calibration | None
    intervals: dict[str, float | tuple[float, float]]
    classes: dict[str, ClassFigures]
    confusion: tuple[tuple[int, ...], ...]
    color: ColorBaseline = Field(validation_alias=AliasChoices("color", "colour"))  # of before
    reliability: tuple[Bin, ...] = Field(min_length=1)
    mistakes: tuple[Mistake, ...]

    @model_validator(mode="after")
    def _fits_together(self) -> EvaluationRecord:
        size = len(self.classes)
        if [len(row) for row in self.confusion] != [size] * size:
            raise ValueError("the confusion matrix does not fit the classes")
        return self

    @property
    def right(self) -> int:
        """Photos called rightly."""
        return sum(row[k] for k, row in enumerate(self.confusion))

    @property
    def wrong(self) -> int:
        """Photos called wrongly; `mistakes` has the most confident ones."""
        return self.count - self.right

    def interval(self, name: str) -> tuple[float, float] | None:
        """The ends of a figure's 95 % interval, where it has one."""
        ends = self.intervals.get(name)
        return ends if isinstance(ends, tuple) else None


def as_judged(result: Evaluation) -> EvaluationRecord:
    """The figures of an evaluation that was made just now."""
    return _parse(json.dumps(evaluation_json(result, [])))


def kept(run: Run, **expected: Any) -> EvaluationRecord | None:
    """The evaluation that the run folder holds of `expected["split"]`.

    None where there is none, or one of anything else than `expected`: fields of `EvaluationRecord`.
    """
    try:
        found = _parse(run.read(file_names(expected["split"])[0]))
    except (RunError, ValueError, RecursionError):
        return None
    as_expected = all(getattr(found, name) == value for name, value in expected.items())
    return found if as_expected else None


def _parse(text: str) -> EvaluationRecord:
    """Raises ValueError. By Python's reader: names may hold bytes that pydantic's refuses."""
    return EvaluationRecord.model_validate(json.loads(text), strict=False)
