"""Which photos are for training and which for validation, and the CSV file that stores it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.folder import Samples
from kvgg_jax.data.source import keys

_COLUMNS = ["path", "class", "part"]


@dataclass(frozen=True, slots=True)
class Split:
    """Samples in two parts."""

    train: Samples
    val: Samples

    @property
    def all(self) -> Samples:
        """Both parts, training first."""
        both = self.train.paths + self.val.paths
        return replace(self.train, paths=both, labels=self.train.labels + self.val.labels)


def split_samples(samples: Samples, *, val_split: float, seed: int, how: str = "keras") -> Split:
    """Split `samples`; `how` is "keras" or "stratified".

    "keras" splits exactly as `image_dataset_from_directory(validation_split=val_split, seed=seed,
    shuffle=True)` does: shuffle all, the last int(val_split * N) are for validation. "stratified"
    does the same within each class, so that class shares are kept.
    """
    labels = np.zeros(len(samples)) if how == "keras" else np.array(samples.labels)
    train: list[int] = []
    val: list[int] = []
    for rows in rows_by_label(labels):
        np.random.RandomState(seed).shuffle(rows)
        cut = len(rows) - int(val_split * len(rows))
        train += rows[:cut].tolist()
        val += rows[cut:].tolist()
    check_parts(samples, len(train), len(val), val_split)
    return Split(samples.take(train), samples.take(val))


def rows_by_label(labels: NDArray[np.generic]) -> list[NDArray[np.int64]]:
    """Of each label that occurs, in order, where it does, in order."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def check_parts(samples: Samples, train: int, val: int, val_split: float) -> None:
    """Raises DataError when one of two parts, of so many images, is empty."""
    if not train or not val:
        raise DataError(
            f"{escape_name(samples.root)}: {len(samples)} images with "
            f"`data.val_split = {val_split}` leave {train} for training and {val} for "
            "validation; each needs at least 1. Add photos or change the share."
        )


def split_to_csv(split: Split) -> str:
    """The text of `split.csv`: key (a path relative to the data folder), class, train or val."""
    out = io.StringIO()
    bare = "\r" in "".join(keys(split.all))  # which Python leaves unquoted before 3.13
    writer = csv.writer(
        out, lineterminator="\n", quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    )
    writer.writerow(_COLUMNS)
    for part, samples in (("train", split.train), ("val", split.val)):
        for i, key in enumerate(keys(samples)):
            writer.writerow((key, samples.classes[samples.label(i)], part))
    return out.getvalue()


def check_below(path: str) -> str:
    """`path`, as a file of a run gives it. Raises ValueError where it leaves the photos' folder."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not below the folder of photos")
    return path


def split_from_csv(text: str, *, root: Path, classes: tuple[str, ...]) -> Split:
    """The inverse of `split_to_csv`. Raises ValueError when the text is not such a table."""
    rows = csv.reader(io.StringIO(text, newline=""))
    if next(rows, None) != _COLUMNS:
        raise ValueError("expected the columns path,class,part")
    parts: dict[str, tuple[list[str], list[int]]] = {"train": ([], []), "val": ([], [])}
    labels = {name: label for label, name in enumerate(classes)}
    for row in rows:
        if len(row) != 3 or row[1] not in labels or row[2] not in parts:
            raise ValueError(f"{row} is not a path, one of the run's classes, and train or val")
        path, name, part = row
        parts[part][0].append(check_below(path))
        parts[part][1].append(labels[name])
    return Split(*(Samples(root, tuple(p), tuple(n), classes) for p, n in parts.values()))
