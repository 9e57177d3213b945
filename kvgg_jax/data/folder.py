"""A folder of photos as values: which files, which class each, and which part each is dealt to."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from kvgg_jax.core.errors import DataError, ImageError, shown
from kvgg_jax.data.decode.image import SUFFIXES, looks_like_image

PARTS = ("train", "training", "val", "valid", "validation", "test", "testing")
"""Names of folders that hold a split dealt by somebody else."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Pictures by path relative to `root` (forward slashes), with an index into `classes` each."""

    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> list[Path]:
        """Absolute or root-relative paths to open."""
        return [self.root / path for path in self.paths]

    def take(self, indices: list[int]) -> Samples:
        """The samples at `indices`, in that order."""
        return replace(
            self,
            paths=tuple(self.paths[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
        )

    def relabel(self, classes: tuple[str, ...]) -> Samples:
        """The same samples, labelled by the index of their class in `classes`."""
        labels = tuple(classes.index(self.classes[label]) for label in self.labels)
        return replace(self, labels=labels, classes=classes)


@dataclass(frozen=True, slots=True)
class Split:
    """Samples dealt in two parts."""

    train: Samples
    val: Samples

    @property
    def all(self) -> Samples:
        """Both parts, training first."""
        both = self.train.paths + self.val.paths
        return replace(self.train, paths=both, labels=self.train.labels + self.val.labels)


def scan(root: Path) -> Samples:
    """All pictures below `root`, one sub-folder a class, sorted so that every file system agrees.

    A file counts when its content or its suffix says that it is a picture; hidden files and
    folders do not. A link counts as the file, or the class folder, that it leads to; a link to a
    folder within a class is not followed. Raises DataError for a folder that cannot be trained on.
    """
    classes = _class_names(root)
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = [p.relative_to(root).as_posix() for p in _pictures(root / name)]
        paths += found
        labels += [label] * len(found)
    counts = Counter(labels)
    if not paths:
        raise DataError(f"{shown(root)} has no images in its class folders. {_expected(root)}")
    for label, name in enumerate(classes):
        if not counts[label]:
            raise DataError(
                f"{shown(root / name)} has no images. "
                f"Add photos of class {name!r}, or remove the folder."
            )
    return Samples(root, tuple(paths), tuple(labels), classes)


def _expected(root: Path) -> str:
    return f"Expected {shown(root)}/<class>/<image files>."


def _class_names(root: Path) -> tuple[str, ...]:
    expected = _expected(root)
    try:
        entries = sorted(os.listdir(root))
    except (FileNotFoundError, ValueError):  # ValueError: a name with a zero byte
        raise DataError(f"{shown(root)} does not exist. {expected}") from None
    except NotADirectoryError:
        raise DataError(f"{shown(root)} is a file, not a folder. {expected}") from None
    except OSError as error:
        raise _unlistable(root, error) from None
    # `os.path`, not `Path.is_dir`, which raises where a link leads to what may not be looked at.
    names = [n for n in entries if not n.startswith(".") and os.path.isdir(root / n)]
    if not names:
        raise DataError(f"{shown(root)} has no class folders. {expected}")
    if len(names) == 1:
        raise DataError(
            f"{shown(root)} has 1 class folder ({names[0]!r}); a classifier needs 2. {expected}"
        )
    _check_no_parts(root, names)
    return tuple(names)


def _check_no_parts(root: Path, names: list[str]) -> None:
    """Raises DataError for a folder of `PARTS` above the classes: it would teach to tell parts."""
    if any(name.lower() not in PARTS for name in names):
        return
    if not all(_has_folders(root / name) for name in names):
        return  # classes that happen to be called so
    first = next((name for name in names if name.lower().startswith("train")), names[0])
    other = next(name for name in names if name != first)
    raise DataError(
        f"{shown(root)} holds {' and '.join(shown(name) for name in names)}, the parts of a split, "
        f"where classes are expected. Give one part: --data {shown(root / first)} to train, which "
        f"splits it anew, and --data {shown(root / other)} to evaluate."
    )


def _has_folders(folder: Path) -> bool:
    try:
        inner = [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise _unlistable(folder, error) from None
    return any(os.path.isdir(folder / name) for name in inner)


def _unlistable(folder: object, error: OSError) -> DataError:
    return DataError(f"Cannot list {shown(folder)}: {error.strerror}.")


def _pictures(folder: Path) -> list[Path]:
    """Pictures below `folder` in the order of `keras.utils.image_dataset_from_directory`."""

    def fail(error: OSError) -> None:
        raise _unlistable(error.filename, error) from None

    found: list[Path] = []
    for parent, dirs, names in os.walk(folder, onerror=fail):
        dirs[:] = [name for name in dirs if not name.startswith(".")]
        seen = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        found += [path for path in seen if _may_be_picture(path)]
    return sorted(found, key=lambda path: str(path.parent))


def _may_be_picture(path: Path) -> bool:
    """By suffix or content. A file that cannot be opened counts: `read` then names it."""
    try:
        return path.name.lower().endswith(SUFFIXES) or looks_like_image(path)
    except ImageError:
        return True


def find_pictures(paths: list[Path]) -> list[Path]:
    """Files as given, folders replaced by the pictures in them, sorted. For `predict`."""
    found: list[Path] = []
    for path in paths:
        found += _pictures(path) if os.path.isdir(path) else [path]
    return found


def deal(samples: Samples, *, val_split: float, seed: int, how: str = "keras") -> Split:
    """Split `samples`; `how` is "keras" or "stratified".

    "keras" deals exactly the files that `image_dataset_from_directory(validation_split=val_split,
    seed=seed, shuffle=True)` would: shuffle all, the last int(val_split * N) are for validation.
    "stratified" does the same inside each class, so that class shares are kept.
    """
    if how == "keras":
        order = np.arange(len(samples))
        np.random.RandomState(seed).shuffle(order)
        train, val = _cut(order, val_split)
    else:
        parts = [
            _cut(_shuffled(samples, label, seed), val_split)
            for label in range(len(samples.classes))
        ]
        train = [i for part, _ in parts for i in part]
        val = [i for _, part in parts for i in part]
    check_parts(samples, len(train), len(val), val_split)
    return Split(samples.take(train), samples.take(val))


def check_parts(samples: Samples, train: int, val: int, val_split: float) -> None:
    """Raises DataError when one of two parts, of so many pictures, is empty."""
    if not train or not val:
        raise DataError(
            f"{shown(samples.root)}: {len(samples)} images with val_split = {val_split} leave "
            f"{train} for training and {val} for validation; each needs at least 1. "
            "Add photos or change --val-split."
        )


def _shuffled(samples: Samples, label: int, seed: int) -> np.ndarray:
    order = np.array([i for i, other in enumerate(samples.labels) if other == label])
    np.random.RandomState(seed).shuffle(order)
    return order


def _cut(order: np.ndarray, val_split: float) -> tuple[list[int], list[int]]:
    val = int(val_split * len(order))
    indices: list[int] = order.tolist()
    return indices[: len(order) - val], indices[len(order) - val :]


def split_to_csv(split: Split) -> str:
    """The text of `split.csv`: path (relative to the data folder), class, part (train or val)."""
    out = io.StringIO()
    bare = "\r" in "".join(split.all.paths)  # which Python leaves unquoted before 3.13
    writer = csv.writer(
        out, lineterminator="\n", quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    )
    writer.writerow(("path", "class", "part"))
    for part, samples in (("train", split.train), ("val", split.val)):
        for path, label in zip(samples.paths, samples.labels, strict=True):
            writer.writerow((path, samples.classes[label], part))
    return out.getvalue()


def check_below(path: str) -> str:
    """`path`, as a file of a run gives it. Raises ValueError where it leaves the photos' folder."""
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} is not below the folder of photos")
    return path


def split_from_csv(text: str, *, root: Path, classes: tuple[str, ...]) -> Split:
    """The inverse of `split_to_csv`. Raises ValueError when the text is not such a table."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if not rows or rows[0] != ["path", "class", "part"]:
        raise ValueError("expected the columns path,class,part")
    parts: dict[str, tuple[list[str], list[int]]] = {"train": ([], []), "val": ([], [])}
    for row in rows[1:]:
        if len(row) != 3 or row[1] not in classes or row[2] not in parts:
            raise ValueError(f"{row} is not a path, one of the run's classes, and train or val")
        path, name, part = row
        parts[part][0].append(check_below(path))
        parts[part][1].append(classes.index(name))
    made = {k: Samples(root, tuple(p), tuple(n), classes) for k, (p, n) in parts.items()}
    return Split(made["train"], made["val"])
