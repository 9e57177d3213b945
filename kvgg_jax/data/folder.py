"""A folder of photos as values: which files, and the class of each."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import SUFFIXES, looks_like_image, read_file

TRAIN, VAL, TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
"""Names of folders that hold a part of a split made by somebody else, in lower case."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A `Source`: files by path relative to `root` (forward slashes), which is their key, with an
    index into `classes` each."""

    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def key(self, i: int) -> str:
        """The path of photo `i` relative to `root`."""
        return self.paths[i]

    def label(self, i: int) -> int:
        """The index of its class."""
        return self.labels[i]

    def name(self, i: int) -> str:
        """Its path with `root`."""
        return str(self.root / self.paths[i])

    def read(self, i: int) -> bytes:
        """The content of its file. Raises ImageError as `decode` does."""
        return read_file(self.root / self.paths[i])

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
        places = {name: place for place, name in enumerate(classes)}
        labels = tuple(places[self.classes[label]] for label in self.labels)
        return replace(self, labels=labels, classes=classes)


def scan(root: Path) -> Samples:
    """All images below `root`, one sub-folder per class, sorted so that every file system agrees.

    Where `root` holds a folder for training and one for validation, those of both, training first.
    A file counts when its content or its suffix says that it is a picture; hidden files and
    folders do not. A link counts as the file, or the class folder, that it leads to; a link to a
    folder within a class is not followed. Raises DataError for a folder that cannot be trained on.
    """
    classes = _class_names(root)
    if parts := _parts_of_split(root, classes):
        return _join(root, *(scan(root / part) for part in parts))
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = [p.relative_to(root).as_posix() for p in _images(root / name)]
        paths += found
        labels += [label] * len(found)
    counts = Counter(labels)
    if not paths:
        raise DataError(
            f"{escape_name(root)} has no images in its class folders. {_expected(root)}"
        )
    for label, name in enumerate(classes):
        if not counts[label]:
            raise DataError(
                f"{escape_name(root / name)} has no images. "
                f"Add photos of class {name!r}, or remove the folder."
            )
    return Samples(root, tuple(paths), tuple(labels), classes)


def _expected(root: Path) -> str:
    return f"Expected {escape_name(root)}/<class>/<image files>."


def _class_names(root: Path) -> tuple[str, ...]:
    expected = _expected(root)
    try:
        entries = sorted(os.listdir(root))
    except (FileNotFoundError, ValueError):  # ValueError: a name with a zero byte
        raise DataError(f"{escape_name(root)} does not exist. {expected}") from None
    except NotADirectoryError:
        raise DataError(f"{escape_name(root)} is a file, not a folder. {expected}") from None
    except OSError as error:
        raise _unlistable(root, error) from None
    # `os.path`, not `Path.is_dir`, which raises where a link leads to what may not be looked at.
    names = [n for n in entries if not n.startswith(".") and os.path.isdir(root / n)]
    if not names:
        raise DataError(f"{escape_name(root)} has no class folders. {expected}")
    if len(names) == 1:
        raise DataError(
            f"{escape_name(root)} has 1 class folder ({names[0]!r}); a classifier needs 2. "
            f"{expected}"
        )
    return tuple(names)


def _parts_of_split(root: Path, names: tuple[str, ...]) -> tuple[str, str] | None:
    """The folders for training and for validation, where `names` are parts and not classes.

    Raises DataError for parts of which those two are not told: to train on them as classes would
    teach to tell parts.
    """
    if any(name.lower() not in TRAIN + VAL + TEST for name in names):
        return None
    if not all(_has_folders(root / name) for name in names):
        return None  # classes that happen to be called so
    train, val = ([n for n in names if n.lower() in kind] for kind in (TRAIN, VAL))
    if len(train) == len(val) == 1:
        return train[0], val[0]
    first = next((name for name in names if name.lower().startswith("train")), names[0])
    other = next(name for name in names if name != first)
    raise DataError(
        f"{escape_name(root)} contains {' and '.join(escape_name(name) for name in names)}, "
        f"the parts of a split, instead of classes. Use one part: --data "
        f"{escape_name(root / first)} to train, which splits it again, and --data "
        f"{escape_name(root / other)} to evaluate."
    )


def _join(root: Path, train: Samples, val: Samples) -> Samples:
    """The photos of both folders. Raises DataError where their classes differ."""
    if train.classes != val.classes:
        only = [
            f"only {escape_name(one.root)} has {', '.join(map(escape_name, names))}"
            for one, other in ((train, val), (val, train))
            if (names := [name for name in one.classes if name not in other.classes])
        ]
        raise DataError(
            f"{escape_name(root)}: {'; '.join(only)}. Both parts need photos of the same classes: "
            "add some to the other, or remove the class."
        )
    paths = [path.relative_to(root).as_posix() for one in (train, val) for path in one.files()]
    return Samples(root, tuple(paths), train.labels + val.labels, train.classes)


def _has_folders(folder: Path) -> bool:
    try:
        inner = [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise _unlistable(folder, error) from None
    return any(os.path.isdir(folder / name) for name in inner)


def _unlistable(folder: object, error: OSError) -> DataError:
    return DataError(f"Cannot list {escape_name(folder)}: {error.strerror}.")


def _images(folder: Path) -> list[Path]:
    """Images below `folder` in the order of `keras.utils.image_dataset_from_directory`."""

    def fail(error: OSError) -> None:
        raise _unlistable(error.filename, error) from None

    found: list[Path] = []
    for parent, dirs, names in os.walk(folder, onerror=fail):
        dirs[:] = [name for name in dirs if not name.startswith(".")]
        seen = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        found += [path for path in seen if _may_be_image(path)]
    return sorted(found, key=lambda path: str(path.parent))


def _may_be_image(path: Path) -> bool:
    """By suffix or content. A file that cannot be opened counts: `read` then names it."""
    try:
        return path.name.lower().endswith(SUFFIXES) or looks_like_image(path)
    except ImageError:
        return True


def find_images(paths: list[Path]) -> list[Path]:
    """Files as given, folders replaced by the images in them, sorted. For `predict`."""
    found: list[Path] = []
    for path in paths:
        found += _images(path) if os.path.isdir(path) else [path]
    return found
