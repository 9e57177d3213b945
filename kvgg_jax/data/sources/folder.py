"""A folder with one sub-folder per class, or with such a folder for each part of a split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.places import Place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import SUFFIXES, looks_like_image, read_file
from kvgg_jax.data.samples import PARTS, Part, Samples, check_classes, combine
from kvgg_jax.data.source import Source

NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Part of a split -> what its folder is called, in lower case."""


class Tree(Source, Protocol):
    """A folder of class folders, here or elsewhere; what is hidden, by a dot, is not in it."""

    def folders(self) -> list[str]:
        """The names of the folders in it, sorted. Raises DataError."""

    def images(self, folder: str) -> list[str]:
        """The keys of the images below one of them, as `image_dataset_from_directory` sorts them.
        Raises DataError."""

    def below(self, folder: str) -> Tree:
        """One of them, as a tree of its own."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files below a folder; the key of each is its path below it, with forward slashes."""

    root: Path

    def name(self, key: str) -> str:
        """Its path with `root`."""
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        """The content of the file. Raises ImageError."""
        return read_file(self.root / key)


class Folder(Files):
    """A folder with one sub-folder per class, or with such a folder for each part of a split."""

    def list_keys(self) -> list[str]:
        """The images in its sub-folders. Raises DataError."""
        found = (path.relative_to(self.root).as_posix() for path in all_images(self.root))
        return [key for key in found if "/" in key]

    def folders(self) -> list[str]:
        """As `Tree` says."""
        return _folders_in(self.root)

    def images(self, folder: str) -> list[str]:
        """As `Tree` says."""
        return [path.relative_to(self.root).as_posix() for path in all_images(self.root / folder)]

    def below(self, folder: str) -> Folder:
        """As `Tree` says."""
        return Folder(self.root / folder)

    def unused(self, used: Iterable[str]) -> Iterator[tuple[Path, str]]:
        """Files that are not `used`, with the reason; hidden ones are meant to be left alone."""
        for name in sorted(os.listdir(self.root)):
            if not name.startswith(".") and os.path.isfile(self.root / name):
                yield self.root / name, "is outside the class folders and is not used"
        files = {self.root / key for key in used}
        # Not all folders: an unknown part of an existing split is left alone.
        for top in sorted({key.partition("/")[0] for key in used}):
            if os.path.isdir(self.root / top):
                for path in all_files(self.root / top):
                    if path not in files:
                        yield path, "is not a known image file and is not used"


def scan(root: Path, *, to_train: bool = True) -> Samples:
    """All images below `root`, one sub-folder per class, sorted so that every file system agrees.

    Where `root` holds a folder for training and others for validation or testing, those of all, in
    this order. A file counts when its content or its suffix is that of an image; hidden files and
    folders do not. A link counts as the file, or the class folder, that it leads to; a link to a
    folder within a class is not followed. Raises DataError for a folder that cannot be trained on;
    without `to_train`, one class is enough, and others may be empty.
    """
    return scan_tree(Folder(root), to_train=to_train)


def scan_tree(tree: Tree, *, to_train: bool = True) -> Samples:
    """As `scan`, of any tree."""
    root, classes = tree.root, tuple(tree.folders())
    if parts := _parts_of_split(tree, classes):
        return _scan_parts(tree, parts)
    if not classes:
        raise DataError(f"{escape_name(root)} has no class folders. {_expected(root)}")
    if to_train and len(classes) == 1:
        raise DataError(
            f"{escape_name(root)} has 1 class folder ({classes[0]!r}); a classifier needs 2. "
            f"{_expected(root)}"
        )
    found = [tree.images(name) for name in classes]
    if not any(found):
        raise DataError(
            f"{escape_name(root)} has no images in its class folders. {_expected(root)}"
        )
    for name, keys in zip(classes, found, strict=True):
        if to_train and not keys:
            raise DataError(
                f"{escape_name(root / name)} has no images. "
                f"Add photos of class {name!r}, or remove the folder."
            )
    labels = tuple(label for label, keys in enumerate(found) for _ in keys)
    return Samples(tree, tuple(key for keys in found for key in keys), labels, classes)


def _expected(root: Place) -> str:
    return f"Expected {escape_name(root)}/<class>/<image files>."


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


def _parts_of_split(tree: Tree, names: tuple[str, ...]) -> dict[Part, str]:
    """Part -> its folder, where `names` are parts and not classes; else none.

    Raises DataError for parts without one to train on, or with two: a network trained on them as
    classes would learn to tell them apart.
    """
    of = {name: part for part in PARTS for name in names if name.lower() in NAMES[part]}
    if not names or len(of) < len(names) or not all(tree.below(name).folders() for name in names):
        return {}  # or classes that happen to have such names
    parts = {part: name for name, part in of.items()}
    if "train" in parts and 1 < len(parts) == len(names):
        return {part: parts[part] for part in PARTS if part in parts}
    raise DataError(
        f"{escape_name(tree.root)} contains {' and '.join(map(escape_name, names))}, "
        "the parts of a split, instead of classes. Say which is which: --data "
        f"{escape_name(tree.root / names[0])} --val DIR --test DIR"
    )


def _scan_parts(tree: Tree, folders: dict[Part, str]) -> Samples:
    """The photos of all parts. Raises DataError where one has classes that training has not."""
    found = {
        part: scan_tree(tree.below(name), to_train=part == "train")
        for part, name in folders.items()
    }
    for part in found.values():
        check_classes(part, found["train"].classes, of=tree.root / folders["train"])
    return combine(tree, {part: (folders[part], one) for part, one in found.items()})


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


def all_images(folder: Path) -> list[Path]:
    """Those of `all_files` that are images."""
    files = all_files(folder)
    return [f for f in files if f.name.lower().endswith(SUFFIXES) or looks_like_image(f)]


def find_images(paths: Iterable[Place]) -> list[Place]:
    """Files as given, folders replaced by the images in them, sorted; each once. For `predict`."""
    found: list[Place] = []
    for path in paths:
        found += all_images(path) if isinstance(path, Path) and os.path.isdir(path) else [path]
    return list(dict.fromkeys(found))  # `find photos` names folders and what is in them
