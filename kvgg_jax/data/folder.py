"""A folder of photos as values: which files, and the class of each."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import SUFFIXES, looks_like_image, read_file

TRAIN, VAL, TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
"""Names, in lower case, of folders that hold a part of an existing split."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A `Source` of files below `root`: each has a path relative to it, with forward slashes, which
    is its key, and a label, an index into `classes`."""

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
        """The content of its file. Raises ImageError."""
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
    A file counts when its content or its suffix is that of an image; hidden files and folders do
    not. A link counts as the file, or the class folder, that it leads to; a link to a folder within
    a class is not followed. Raises DataError for a folder that cannot be trained on.
    """
    classes = _class_names(root)
    if parts := _parts_of_split(root, classes):
        return _join(root, *(scan(root / part) for part in parts))
    found = [[p.relative_to(root).as_posix() for p in _images(root / name)] for name in classes]
    if not any(found):
        raise DataError(
            f"{escape_name(root)} has no images in its class folders. {_expected(root)}"
        )
    for name, paths in zip(classes, found, strict=True):
        if not paths:
            raise DataError(
                f"{escape_name(root / name)} has no images. "
                f"Add photos of class {name!r}, or remove the folder."
            )
    labels = tuple(label for label, paths in enumerate(found) for _ in paths)
    return Samples(root, tuple(path for paths in found for path in paths), labels, classes)


def _expected(root: Path) -> str:
    return f"Expected {escape_name(root)}/<class>/<image files>."


def _class_names(root: Path) -> tuple[str, ...]:
    names = _folders_in(root)
    if not names:
        raise DataError(f"{escape_name(root)} has no class folders. {_expected(root)}")
    if len(names) == 1:
        raise DataError(
            f"{escape_name(root)} has 1 class folder ({names[0]!r}); a classifier needs 2. "
            f"{_expected(root)}"
        )
    return tuple(names)


def _folders_in(folder: Path) -> list[str]:
    """The names of those that are not hidden, sorted. Raises DataError."""
    try:
        # With the dot, a folder that may be listed and not entered is an error, not an empty one.
        entries = os.listdir(f"{folder}/.")
    except (FileNotFoundError, ValueError):  # ValueError: a name with a zero byte
        raise DataError(f"{escape_name(folder)} does not exist. {_expected(folder)}") from None
    except NotADirectoryError:
        expected = _expected(folder)
        raise DataError(f"{escape_name(folder)} is a file, not a folder. {expected}") from None
    except OSError as error:
        raise _unlistable(folder, error) from None
    # `os.path`, not `Path.is_dir`, which raises where a link leads to what may not be looked at.
    return sorted(n for n in entries if not n.startswith(".") and os.path.isdir(folder / n))


def _parts_of_split(root: Path, names: tuple[str, ...]) -> tuple[str, str] | None:
    """The folders for training and for validation, where `names` are parts and not classes.

    Raises DataError for other parts: a network trained on them as classes would learn to tell
    them apart.
    """
    if any(name.lower() not in TRAIN + VAL + TEST for name in names):
        return None
    if not all(_folders_in(root / name) for name in names):
        return None  # classes that happen to have such names
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


def _unlistable(folder: object, error: OSError) -> DataError:
    return DataError(f"Cannot list {escape_name(folder)}: {error.strerror}.")


def all_files(folder: Path) -> list[Path]:
    """The files below `folder` that are not hidden, in the order of
    `keras.utils.image_dataset_from_directory`. Raises DataError for a folder that it cannot list.
    """

    def fail(error: OSError) -> None:
        raise _unlistable(error.filename, error) from None

    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return sorted(found, key=lambda path: str(path.parent))


def _images(folder: Path) -> list[Path]:
    files = all_files(folder)
    return [f for f in files if f.name.lower().endswith(SUFFIXES) or looks_like_image(f)]


def find_images(paths: list[Path]) -> list[Path]:
    """Files as given, folders replaced by the images in them, sorted. For `predict`."""
    return [file for path in paths for file in (_images(path) if os.path.isdir(path) else [path])]
