"""An evaluation as one record: `evaluate` makes it, `--json` prints it, a run folder keeps it.

The sentences at the end are those that the terminal and the page share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.audit.color_baseline import ColorBaseline
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.split import check_below
from kvgg_jax.evaluation.confusion import Confusion
from kvgg_jax.evaluation.unknown import UnknownFigures
from kvgg_jax.inference.prediction import Probabilities
from kvgg_jax.inference.temperature import Calibration, temperatures_text

BINS = 15  # of equal width, as Guo et al. 2017 have them
LEVEL, RESAMPLES, SEED = 0.95, 2000, 0  # of the bootstrap
MATRIX = 30  # classes, up to which each cell of a confusion matrix is drawn and written
DENSE = 200  # classes, up to which JSON has a row per class, above a number per cell that is not 0
PAIRS = 20  # most frequent confusions, where it is not
WORST = 24  # mistakes named


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, validate_by_name=True)


class ClassFigures(_Part):
    """Figures in [0, 1] of one class, None where there is nothing to divide by; and its photos."""

    precision: float | None
    recall: float | None
    f1: float | None
    count: int
    roc_area: float | None = None
    average_precision: float | None = None


class Mistake(_Part):
    """A misclassified photo."""

    path: Annotated[str, AfterValidator(check_below)]
    """Below the folder of photos."""
    true: str = Field(alias="class")
    predicted: str
    probability: float
    """Of `predicted`, in [0, 1]."""


class Member(_Part):
    """One of several networks whose probabilities were averaged."""

    run: str
    state: str
    temperature: float | None
    """That it is calibrated with; None for its own probabilities."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Photos whose class was predicted with a probability in (low, high]; means 0 if none."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float


Ends = tuple[float, float]


class Intervals(_Part):
    """The ends of 95 % intervals, and the bootstrap that gave them."""

    level: float = LEVEL
    resamples: int = RESAMPLES
    seed: int = SEED
    accuracy: Ends
    balanced_accuracy: Ends
    macro_f1: Ends
    matthews: Ends


class EvaluationRecord(_Part):
    """How a run does on labelled photos: docs/json.md and docs/evaluation.md describe the figures.

    Shares are in [0, 1], `matthews` in [-1, 1], the loss is in nats.
    """

    run: Annotated[Path, PlainSerializer(str)]
    state: str
    """Name of the saved step that was evaluated; of several networks, joined by `+`."""
    data: str
    """Folder of the photos."""
    split: Literal["val", "test", "all"]
    count: int = Field(gt=0)
    trained_on: int | None = None
    """How many of the photos the run was trained on; None where that is unknown."""
    loss: float
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    matthews: float
    top_k: dict[str, float]
    """k -> top-k accuracy."""
    calibration_error: float
    calibration: Calibration | None
    """Of the probabilities; None for the network's own, and for several networks."""
    members: tuple[Member, ...] = ()
    """The networks whose probabilities were averaged; none for one run."""
    tta: bool = False
    """Whether each photo and its mirror image were averaged."""
    intervals: Intervals
    classes: dict[str, ClassFigures]
    cells: Confusion = Field(alias="confusion")
    color: Annotated[ColorBaseline, PlainSerializer(ColorBaseline.to_json)] = Field(
        validation_alias=AliasChoices("color", "colour")  # as it was spelled until 2026
    )
    """What color alone reaches on these photos."""
    reliability: tuple[Bin, ...] = Field(min_length=1)
    mistakes: tuple[Mistake, ...]
    """The most confident ones, the surest first."""
    unknown: UnknownFigures | None = None
    """How it does on photos of none of its classes, where there were some."""
    files: tuple[str, ...] = ()
    """Where it is kept."""

    @model_validator(mode="after")
    def _fits_together(self) -> EvaluationRecord:
        if self.cells.size != len(self.classes):
            raise ValueError("the confusion matrix does not fit the classes")
        return self

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """The confusion matrix [true, predicted]; `cells` is a smaller form for many classes."""
        return self.cells.rows()

    @property
    def right(self) -> int:
        """Photos whose class was predicted."""
        return sum(count for true, predicted, count in self.cells.cells() if true == predicted)

    @property
    def wrong(self) -> int:
        """Misclassified photos; `mistakes` has the most confident ones."""
        return self.count - self.right

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """The `PAIRS` of classes mixed up most often: (true, predicted, photos)."""
        names = tuple(self.classes)
        found = [(names[i], names[j], count) for i, j, count in self.cells.cells() if i != j]
        return sorted(found, key=lambda pair: -pair[2])[:PAIRS]

    def to_json(self) -> dict[str, Any]:
        """The shape of docs/json.md, for `json.dumps`."""
        found = self.model_dump(by_alias=True)  # "json" mode would lose names that are no UTF-8
        if self.cells.size <= DENSE:
            found["confusion"] = self.confusion
        return found


class Evaluation(EvaluationRecord):
    """The record of an evaluation made just now, with its photos and their probabilities."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    samples: Samples = Field(exclude=True, repr=False)
    probabilities: Probabilities = Field(exclude=True, repr=False)
    """[count, classes], in the order of `samples`; `loss` and all figures are of these."""
    resize: Resize = Field("squash", exclude=True, repr=False)
    """How the photos became squares, `data.resize` of the run."""

    def rows(self) -> Iterator[Row]:
        """The photos, in their order."""
        return rows(self.samples, self.probabilities, tuple(self.classes))


Row = tuple[str, str, str, float, float]
"""Path, true class, predicted class, and the probabilities of the predicted and the true one."""


def rows(samples: Samples, probabilities: Probabilities, names: Sequence[str]) -> Iterator[Row]:
    """One for each photo, in the order of `samples`."""
    for path, label, row in zip(samples.paths, samples.labels, probabilities, strict=True):
        best = int(row.argmax())
        yield path, names[label], names[best], float(row[best]), float(row[label])


def worst_mistakes(found: Iterable[Row]) -> tuple[Mistake, ...]:
    """The `WORST` most confident ones, equal ones in the order of the photos."""
    wrong = sorted((row for row in found if row[1] != row[2]), key=lambda row: -row[3])
    return tuple(
        Mistake(path=path, true=true, predicted=predicted, probability=probability)
        for path, true, predicted, probability, _ in wrong[:WORST]
    )


def probabilities_text(result: EvaluationRecord) -> str:
    """What the probabilities of an evaluation are."""
    means = [f"{len(result.members)} networks"] if result.members else []
    means += ["each photo and its mirror image"] if result.tta else []
    text = f"mean of {' and of '.join(means)}, " if means else ""
    return f"Probabilities: {text}{_calibration_text(result)}"


def _calibration_text(result: EvaluationRecord) -> str:
    of = result.calibration
    if result.members:
        known = [one.temperature for one in result.members if one.temperature is not None]
        if not known:
            return "not calibrated"
        text = f"calibrated, {temperatures_text(known)}"
        bare = len(result.members) - len(known)
        return f"{text}; {bare} of the networks are not calibrated" if bare else text
    if of is None:
        return "not calibrated"
    text = f"calibrated, {temperatures_text([of.temperature])}, fitted on {of.count} images"
    if of.data != result.data:
        return f"{text} of {of.data}"
    if of.split != result.split:
        return f"{text} ({of.split})"
    return f"{text}, the same as here: loss and calibration error are optimistic"


def all_right_text(count: int) -> str:
    """In place of the bootstrap, which cannot draw a mistake that was not made."""
    most = 1 - (1 - LEVEL) ** (1 / count)  # Clopper & Pearson 1934, one-sided, for none of `count`
    return f"All are right. With only {count} images, up to {most:.1%} may still be wrong."


def figure_rows(result: EvaluationRecord, *also: tuple[str, float]) -> Iterator[tuple[str, ...]]:
    """Name, value and interval of each figure, `also` after those with one."""
    for label, name in (
        ("accuracy", "accuracy"),
        ("balanced accuracy", "balanced_accuracy"),
        ("macro F1", "macro_f1"),
        ("Matthews correlation", "matthews"),
    ):
        low, high = getattr(result.intervals, name)
        yield label, f"{getattr(result, name):.4f}", f"{low:.4f} to {high:.4f}"
    areas = [one.roc_area for one in result.classes.values() if one.roc_area is not None]
    for label, value in (
        *((f"top-{k} accuracy", share) for k, share in result.top_k.items()),
        *also,
        *([("ROC area, mean of classes", mean(areas))] if areas else []),
    ):
        yield label, f"{value:.4f}", ""
