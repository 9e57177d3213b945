"""A folder of photos as values: what is found, in which order, and what is refused."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.tf_gate import tf  # noqa: F401  (Keras lists folders through it)
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder, find_images, scan
from support.folders import image, mixed_folder
from support.users import nobody


def text(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no image")
    return path


def two_classes(root: Path) -> Path:
    image(root / "a" / "1.png")
    image(root / "b" / "1.png")
    return root


def test_images_are_listed_by_class_folder_and_name(tmp_path: Path) -> None:
    """Sorted by bytes at each level, so that every file system gives the same list."""
    for name in ("b/2.png", "b/10.png", "a/z.png", "a/Z.png", "B/1.png"):
        image(tmp_path / name)
    assert scan(tmp_path) == Samples(
        source=Folder(tmp_path),
        paths=("B/1.png", "a/Z.png", "a/z.png", "b/10.png", "b/2.png"),
        labels=(0, 1, 1, 2, 2),
        classes=("B", "a", "b"),
    )


def test_the_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder listed backwards gives the same samples."""
    mixed_folder(tmp_path)
    expected, walk, listdir = scan(tmp_path), os.walk, os.listdir

    def backwards(top: Path, **options: Any) -> list[tuple[str, list[str], list[str]]]:
        return [(p, d[::-1], n[::-1]) for p, d, n in walk(top, **options)][::-1]

    monkeypatch.setattr(os, "walk", backwards)
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listdir(path))[::-1])
    assert scan(tmp_path) == expected


def test_hidden_files_and_folders_do_not_count(tmp_path: Path) -> None:
    """What an operating system or an editor leaves behind is no photo."""
    two_classes(tmp_path)
    for name in (".git/x.png", "a/._1.png", "a/.cache/2.png", "a/in/.3.png", "a/in/.4/5.png"):
        image(tmp_path / name)
    assert scan(tmp_path).paths == ("a/1.png", "b/1.png")


def test_an_image_without_a_suffix_is_found_by_its_content(tmp_path: Path) -> None:
    """`IMG_0001` may be a JPEG; `photo.txt` may be a PNG."""
    two_classes(tmp_path)
    image(tmp_path / "a" / "IMG_0001", "JPEG")
    image(tmp_path / "b" / "photo.txt", "PNG")
    assert scan(tmp_path).paths == ("a/1.png", "a/IMG_0001", "b/1.png", "b/photo.txt")


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Texts, empty files, and files beside the class folders are not images."""
    two_classes(tmp_path)
    text(tmp_path / "a" / "notes.txt")
    (tmp_path / "a" / "empty").touch()
    image(tmp_path / "cover.png")
    assert scan(tmp_path).paths == ("a/1.png", "b/1.png")


def test_a_file_that_says_it_is_an_image_is_listed_whatever_it_holds(tmp_path: Path) -> None:
    """The reader then names it; to leave it out in silence would change the data set."""
    two_classes(tmp_path)
    text(tmp_path / "a" / "2.JPEG")
    (tmp_path / "b" / "gone").symlink_to(tmp_path / "nowhere")
    assert scan(tmp_path).paths == ("a/1.png", "a/2.JPEG", "b/1.png", "b/gone")


def test_samples_open_by_root_and_path(tmp_path: Path) -> None:
    """`files` are the paths below the folder that was scanned."""
    two_classes(tmp_path)
    assert scan(tmp_path).files() == [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]


def test_files_to_predict_are_kept_and_folders_replaced_by_their_images(tmp_path: Path) -> None:
    """A file is taken at the user's word, even when it is missing: predict reports it."""
    inner = image(tmp_path / "some" / "b" / "2.png")
    first = image(tmp_path / "some" / "b.png")
    text(tmp_path / "some" / "notes.txt")
    gone = tmp_path / "gone.jpg"
    assert find_images([gone, tmp_path / "some", first]) == [gone, first, inner]


def refuse(*_: object, **__: object) -> Any:
    raise PermissionError(13, "Permission denied", "secret")


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda root: None, "{root} does not exist. Expected {root}/<class>/<image files>."),
    "file": (text, "{root} is a file, not a folder. Expected {root}/<class>/<image files>."),
    "empty": (Path.mkdir, "{root} has no class folders. Expected {root}/<class>/<image files>."),
    "flat": (
        lambda root: image(root / "1.png"),
        "{root} has no class folders. Expected {root}/<class>/<image files>.",
    ),
    "one class": (
        lambda root: image(root / "Dark" / "1.png"),
        "{root} has 1 class folder ('Dark'); a classifier needs 2. "
        "Expected {root}/<class>/<image files>.",
    ),
    "no images": (
        lambda root: [text(root / "a" / "1.txt"), text(root / "b" / "1.txt")],
        "{root} has no images in its class folders. Expected {root}/<class>/<image files>.",
    ),
    "empty class": (
        lambda root: [image(root / "a" / "1.png"), (root / "b").mkdir()],
        "{root}/b has no images. Add photos of class 'b', or remove the folder.",
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_a_folder_that_will_not_do_is_explained(tmp_path: Path, case: str) -> None:
    """What, where, and what is expected instead."""
    make, message = BAD_FOLDERS[case]
    root = tmp_path / "beans"
    make(root)
    with pytest.raises(DataError) as caught:
        scan(root)
    assert str(caught.value) == message.format(root=root)


@pytest.mark.parametrize("names", [("test", "val"), ("Train", "val", "valid")])
def test_parts_of_a_split_are_not_taken_for_classes(tmp_path: Path, names) -> None:
    """Else a network would learn to tell them; which two are meant is not guessed."""
    for name in names:
        two_classes(tmp_path / name)
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} contains {' and '.join(sorted(names))}, the parts of a split, instead of "
        f"classes. Say which is which: --data {tmp_path / min(names)} --val DIR --test DIR"
    )
    assert scan(tmp_path / min(names)).classes == ("a", "b")


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    """Where images lie in them at once, or another class is beside them, they are classes."""
    image(tmp_path / "train" / "1.png")
    image(tmp_path / "test" / "1.png")
    assert scan(tmp_path).classes == ("test", "train")
    (tmp_path / "train" / "@eaDir").mkdir()
    assert scan(tmp_path).classes == ("test", "train")
    image(tmp_path / "bus" / "1.png")
    image(tmp_path / "train" / "old" / "2.png")
    assert scan(tmp_path).classes == ("bus", "test", "train")


def test_an_image_in_a_format_that_is_not_read_is_not_passed_over(tmp_path: Path) -> None:
    """`read` then names it: training on the other photos alone would be a surprise."""
    two_classes(tmp_path)
    (tmp_path / "a" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    (tmp_path / "a" / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0")
    assert scan(tmp_path).paths == ("a/1.png", "a/IMG_1.HEIC", "b/1.png")


@pytest.mark.parametrize(("call", "where"), [("listdir", "{root}"), ("scandir", "secret")])
def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, where: str
) -> None:
    """Without this, `os.walk` would leave such a folder out in silence."""
    two_classes(tmp_path)
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    assert str(caught.value) == f"Cannot list {where.format(root=tmp_path)}: Permission denied."


@pytest.mark.parametrize(
    ("mode", "place"), [(0o744, ""), (0o711, ""), (0o700, ""), (0o711, "/b"), (0o700, "/b")]
)
def test_a_folder_that_this_user_may_not_open_is_named(mode: int, place: str) -> None:
    """Also one that may be listed and not entered, in which nothing seems to be."""
    with tempfile.TemporaryDirectory() as name:
        for file in ("a/1.png", "b/1.png"):
            image(Path(name, "photos", file))
        folder = Path(f"{name}/photos{place}")
        folder.chmod(mode)
        with nobody(Path(name)), pytest.raises(DataError) as caught:
            scan(Path(name, "photos"))
        assert str(caught.value) == f"Cannot list {folder}: Permission denied."
