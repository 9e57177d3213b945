"""Photos whose names say that they belong together: of one lot, one video, one day."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from kvgg_jax.data.samples import Samples

PATTERNS = (
    r"(.+/.+)/",  # folders within the class folders
    r"^(.*?)[\s_().-]*\d*\)?(\.\w+)?$",  # the same name, and a number
)
"""What precedes the part of a path that differs within a series, for `data.group_by`."""


@dataclass(frozen=True, slots=True)
class Series:
    """Photos with numbered names, or in sub-folders."""

    count: int
    """How many series of several photos there are."""
    example: str
    """The path that the photos of the largest have in common."""
    across: int
    """How many have photos on both sides of the split."""
    pattern: str
    """The `data.group_by` that finds them."""

    def to_json(self) -> dict[str, Any]:
        """All its fields."""
        return asdict(self)


def find_series(train: Samples, val: Samples) -> Series | None:
    """The series in the paths of training and validation photos; None where there are none.

    There are if half of the photos or more are in some of several photos, and a class has two of
    them: one per class, such as Dark/1.png to Dark/300.png, says nothing.
    """
    paths, labels = [*train.paths, *val.paths], [*train.labels, *val.labels]
    for pattern in PATTERNS:
        found = [_series_of(pattern, path) for path in paths]
        sizes = Counter(name for name in found if name)
        several = {name: size for name, size in sizes.items() if size > 1}
        per_class = Counter(
            label for name, label in set(zip(found, labels, strict=True)) if name in several
        )
        if sum(several.values()) * 2 < len(paths) or max(per_class.values(), default=0) < 2:
            continue
        across = set(found[: len(train)]) & set(found[len(train) :]) & several.keys()
        example = max(several, key=lambda name: several[name])
        return Series(len(several), example, len(across), pattern)
    return None


def _series_of(pattern: str, path: str) -> str:
    match = re.search(pattern, path)
    return match[1] if match else ""
