"""What `data check` finds in a folder of photos, as values."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from kvgg_jax.core.places import Place
from kvgg_jax.data.audit.color_baseline import ColorBaseline
from kvgg_jax.data.audit.series import Series
from kvgg_jax.data.samples import Samples

NEAR = 0.1  # above chance, from which accuracy on color matters
COMMON = 5  # sizes named
TRAIN, VAL, TEST, AGAINST = "train", "val", "test", "against"


@dataclass(frozen=True, slots=True)
class Photo:
    """One of several duplicates; `part` is train, val, test or against; `label` may be ""."""

    path: Place
    label: str
    part: str


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The same photo several times; `exact` when all have the same pixels."""

    exact: bool
    photos: tuple[Photo, ...]

    @property
    def contradictory(self) -> bool:
        """Whether they are in different classes."""
        return len({photo.label for photo in self.photos} - {""}) > 1

    @property
    def across(self) -> bool:
        """Whether some are in one part of the split and some in another."""
        return sum(bool(self.parts[part]) for part in (TRAIN, VAL, TEST)) > 1

    @property
    def parts(self) -> Counter[str]:
        """How many are in train, val, test and against."""
        return Counter(photo.part for photo in self.photos)

    def to_json(self) -> dict[str, Any]:
        """`{"exact", "photos": [{"path", "class", "part"}, ...]}`."""
        photos = [{"path": str(p.path), "class": p.label, "part": p.part} for p in self.photos]
        return {"exact": self.exact, "photos": photos}


@dataclass(frozen=True, slots=True)
class Check:
    """What was found in `folder`, and in `against` where one was given."""

    folder: Place
    against: Place | None
    samples: Samples
    """Those in `folder`."""
    others: Samples | None
    """Those in `against`."""
    classes: dict[str, int]
    """Photos of each class in `folder`; all other figures are of readable ones."""
    sizes: Counter[str]
    modes: Counter[str]
    formats: Counter[str]
    bad: tuple[tuple[Place, str], ...]
    """Unreadable files, each with the message on it."""
    odd: tuple[tuple[Place, str], ...]
    """Files that may surprise, each with the rest of a sentence on it."""
    duplicates: tuple[Duplicates, ...]
    how: str
    """How `train` would split the photos: keras, stratified, grouped, or given."""
    parts: dict[str, int]
    """Photos in `train`, `val`, `test` and `against`."""
    series: Series | None
    """What the file names say of photos that belong together."""
    color: ColorBaseline
    """Learned from the training part, measured on the validation part."""
    chance: float
    """Share of the largest class in the validation part: the accuracy of guessing."""

    @property
    def count(self) -> int:
        """Photos in `folder`."""
        return sum(self.classes.values())

    @property
    def imbalance(self) -> float:
        """Photos of the largest class for one of the smallest."""
        return max(self.classes.values()) / min(self.classes.values())

    @property
    def contradictory(self) -> int:
        """Groups of duplicates in several classes."""
        return sum(group.contradictory for group in self.duplicates)

    @property
    def split_leaks(self) -> int:
        """Validation photos that are in the training part too."""
        return sum(group.parts[VAL] for group in self.duplicates if group.parts[TRAIN])

    @property
    def test_leaks(self) -> int:
        """Test photos that are in another part too."""
        return sum(group.parts[TEST] for group in self.duplicates if group.across)

    @property
    def folder_leaks(self) -> int:
        """Photos of `against` that are in `folder` too."""
        mixed = [group.parts for group in self.duplicates if len(group.parts) > 1]
        return sum(parts[AGAINST] for parts in mixed)

    @property
    def color_tells(self) -> bool | None:
        """Whether color alone beats guessing; None where the validation photos are too few."""
        if self.color.left_out:
            return None
        best = max(self.color.class_mean or 0.0, self.color.nearest or 0.0)
        count = self.parts[VAL] + 4  # with two right and two wrong more (Agresti & Coull 1998);
        best = (best * self.parts[VAL] + 2) / count  # without them, one photo would be certain
        error = 2 * math.sqrt(best * (1 - best) / count)  # of 95 % of samples
        if best - error > self.chance + NEAR / 2:
            return True
        return False if best + error < self.chance + NEAR else None

    def to_json(self) -> dict[str, Any]:
        """All that was found; docs/json.md describes it."""
        other = {"count": self.parts[AGAINST], "leaks": self.folder_leaks}
        split: dict[str, Any] = {name: self.parts[name] for name in (TRAIN, VAL)}
        if self.parts[TEST]:
            split |= {"test": self.parts[TEST], "test_leaks": self.test_leaks}
        return {
            "folder": str(self.folder),
            "count": self.count,
            "classes": self.classes,
            "imbalance": round(self.imbalance, 3),
            "sizes": dict(self.sizes.most_common(COMMON)),
            "modes": dict(self.modes.most_common()),
            "formats": dict(self.formats.most_common()),
            "bad": [{"path": str(path), "reason": text} for path, text in self.bad],
            "odd": [{"path": str(path), "reason": text} for path, text in self.odd],
            "duplicates": [group.to_json() for group in self.duplicates],
            "contradictory": self.contradictory,
            "split": {"how": self.how, **split, "leaks": self.split_leaks},
            "series": self.series.to_json() if self.series else None,
            "against": {"folder": str(self.against), **other} if self.against else None,
            "color": {**self.color.to_json(), "chance": self.chance},
        }
