"""What `kvgg audit` finds, as values, and the sentences that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kvgg_jax.core.places import Place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.samples import Samples


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photo, by its path below the folder, and its class."""

    path: str
    label: str


@dataclass(frozen=True, slots=True)
class LabelIssue(Labelled):
    """A photo whose label is probably wrong."""

    suggested: str
    """The most probable class."""
    score: float
    """Probability of `suggested` where only it and `label` are possible: from 0.91 to 1."""
    probability: float
    """Of `suggested`, calibrated, in [0, 1]."""
    label_probability: float
    """Of `label`, calibrated, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class StandOut(Labelled):
    """A photo with a value far from the median of its class, `typical`."""

    value: float
    typical: float


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found among the photos of `folder`. Paths are below it."""

    folder: Place
    samples: Samples
    how: str
    """Where the probabilities come from, as part of a sentence."""
    issues: tuple[LabelIssue, ...]
    """The surest first."""
    contradictory: tuple[tuple[Labelled, ...], ...]
    """Groups of duplicates in several classes."""
    outliers: tuple[StandOut, ...] | None
    """Farthest first, by the mean cosine distance to the nearest photos; None without features."""
    blurred: tuple[StandOut, ...]
    """By the variance of the Laplacian."""
    dark: tuple[StandOut, ...]
    """By the mean brightness, in [0, 1]."""

    @property
    def count(self) -> int:
        """Photos that were looked at."""
        return len(self.samples)

    def to_json(self) -> dict[str, Any]:
        """All that was found; docs/json.md describes it."""
        return {
            "folder": str(self.folder),
            "count": self.count,
            "how": self.how,
            "issues": list(map(_row, self.issues)),
            "contradictory": [list(map(_row, group)) for group in self.contradictory],
            **{
                name: None if found is None else list(map(_row, found))
                for name, found in (
                    ("outliers", self.outliers),
                    ("blurred", self.blurred),
                    ("dark", self.dark),
                )
            },
        }


def _row(one: Labelled) -> dict[str, Any]:
    names = {"label": "class", "label_probability": "class_probability"}
    return {names.get(name, name): value for name, value in asdict(one).items()}


def facts(result: Audit) -> list[tuple[str, str]]:
    """Name and sentence of each figure, for the table and the page."""
    outliers = "not looked for: they need features of a backbone"
    if result.outliers is not None:
        outliers = _count(result.outliers)
    return [
        ("photos", f"{result.count:,} in {len(result.samples.classes)} classes"),
        ("probabilities", escape_name(result.how)),
        ("wrong labels", f"{_count(result.issues)}, probably"),
        (
            "contradictory",
            f"groups of duplicates in several classes: {_count(result.contradictory)}",
        ),
        ("outliers", outliers),
        ("blurred", _count(result.blurred)),
        ("dark", _count(result.dark)),
    ]


def _count(found: Sequence[object]) -> str:
    return f"{len(found):,}" if found else "none"
