"""Folders and files elsewhere: listed as folders here are, read once, and clear when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from kvgg_jax.core import extras
from kvgg_jax.core.errors import DataError, ImageError, MissingExtra
from kvgg_jax.core.places import Url
from kvgg_jax.data.decode import image as decode
from kvgg_jax.data.sources import remote
from kvgg_jax.data.sources.folder import scan, scan_tree
from kvgg_jax.data.sources.listing import scan_list
from kvgg_jax.data.sources.remote import RemoteFiles, RemoteFolder, fetch
from support.elsewhere import Faulty, faulty, upload
from support.folders import image, mixed_folder

ADVICE = "Check the address and the network, or copy the photos to this machine: `data.dir`."


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faulty]]:
    """`memory://` and `faulty://`, with the same files, and a cache of one's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    with faulty() as system:
        yield system


def of(folder: Path, address: str = "memory://photos") -> RemoteFolder:
    upload(folder, address.replace("faulty", "memory"))
    return RemoteFolder(Url(address))


def refused(function, *args: object) -> str:
    with pytest.raises(DataError) as caught:
        function(*args)
    return str(caught.value)


def test_a_folder_elsewhere_is_listed_as_one_here(tmp_path: Path) -> None:
    """The same keys in the same order: hidden files, any suffix, none, and files of other kinds."""
    root = mixed_folder(tmp_path / "photos")
    image(root / "ripe" / ".hidden" / "1.png")
    image(root / "ripe" / ".2.png")
    image(root / ".hidden" / "1.png")
    image(root / "1.png")
    image(root / "Green" / "without suffix")
    (root / "Green" / "notes.md").write_text("none")
    (root / "Green" / "empty").touch()
    here, there = scan(root), scan_tree(of(root))
    assert (there.paths, there.labels, there.classes) == (here.paths, here.labels, here.classes)
    assert there.source.list_keys() == sorted(here.source.list_keys(), key=there.paths.index)
    assert [there.read(i) for i in range(len(there))] == [here.read(i) for i in range(len(here))]
    assert there.name(0) == f"memory://photos/{here.paths[0]}"


def test_the_parts_of_a_split_are_found(tmp_path: Path) -> None:
    """By one listing."""
    for name in ("train/a/1.png", "train/b/1.png", "valid/a/1.png", "test/b/in/2"):
        image(tmp_path / "photos" / name)
    here, there = scan(tmp_path / "photos"), scan_tree(of(tmp_path / "photos", "faulty://photos"))
    assert (there.paths, there.parts) == (here.paths, here.parts)
    assert [text for text in Faulty.asked if text.startswith("find")] == ["find photos"]


@pytest.mark.parametrize("names", [["a/1.png"], ["a/1.png", "b/x.txt"], ["1.png"]])
def test_what_cannot_be_trained_on_is_refused_as_here(tmp_path: Path, names: list[str]) -> None:
    """In the same words."""
    for name in names:
        image(tmp_path / "photos" / name).with_suffix(".txt")
    (tmp_path / "photos" / "b" / "x.txt").write_text("x") if len(names) > 1 else None
    here = refused(scan, tmp_path / "photos")
    there = refused(scan_tree, of(tmp_path / "photos"))
    assert there == here.replace(str(tmp_path / "photos"), "memory://photos")


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    """A run after it has it at once."""
    image(tmp_path / "photos" / "a" / "1.png")
    source = of(tmp_path / "photos", "faulty://photos")
    first = source.read("a/1.png")
    assert source.read("a/1.png") == first
    assert Faulty.asked == ["info 1.png", "cat_file 1.png", "info 1.png"]
    image(tmp_path / "photos" / "a" / "1.png", "BMP")
    upload(tmp_path / "photos", "memory://photos")
    assert source.read("a/1.png")[:2] == b"BM"


def test_a_list_may_be_elsewhere_its_photos_too(tmp_path: Path) -> None:
    """Each of the two, or both; paths start from the list, or from `root`."""
    for name in ("1.png", "in/2.png"):
        image(tmp_path / "photos" / name)
    text = "path,label\n1.png,a\nmemory://photos/in/2.png,b\n"
    (tmp_path / "photos" / "list.csv").write_text(text)
    upload(tmp_path / "photos", "memory://photos")
    there, here = Url("memory://photos"), tmp_path / "photos" / "list.csv"
    for found in (scan_list(there / "list.csv"), scan_list(here, there)):
        assert (found.paths, found.labels) == (("1.png", "in/2.png"), (0, 1))
        assert found.read(1) == (tmp_path / "photos" / "in" / "2.png").read_bytes()
        assert str(found.files()[1]) == found.name(1) == "memory://photos/in/2.png"
    (tmp_path / "photos" / "list.csv").write_text(text.replace("memory://photos/", ""))
    upload(tmp_path / "photos", "memory://photos")
    found = scan_list(there / "list.csv", tmp_path / "photos")
    assert found.files() == [tmp_path / "photos" / "1.png", tmp_path / "photos" / "in" / "2.png"]


@pytest.mark.parametrize("path", ["../1.png", "/1.png", "memory://else/1.png", "a/../../1.png"])
def test_a_list_elsewhere_does_not_leave_its_folder(path: str) -> None:
    """As here."""
    fsspec.filesystem("memory").pipe_file("/photos/list.csv", f"path,label\n{path},a\n".encode())
    assert refused(scan_list, Url("memory://photos/list.csv")) == (
        f"memory://photos/list.csv, line 2: {path} is not below memory://photos. Paths start from "
        "memory://photos. To start elsewhere: `data.root = DIR`."
    )


def test_what_is_not_there_is_named() -> None:
    """A photo as a bad photo, a folder as a whole."""
    with pytest.raises(ImageError) as caught:
        RemoteFiles(Url("memory://photos")).read("a.png")
    missing = "does not exist. Check the address."
    assert str(caught.value) == f"memory://photos/a.png: {missing}"
    assert refused(scan_tree, RemoteFolder(Url("memory://photos"))) == f"memory://photos: {missing}"
    fsspec.filesystem("memory").mkdir("/photos")
    assert refused(scan_tree, RemoteFolder(Url("memory://photos"))) == (
        "memory://photos lists no files. Expected memory://photos/<class>/<image files>, or the "
        "address of a CSV file with their paths and labels: a web server may have no list."
    )


def test_a_photo_of_too_many_bytes_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file here is not opened."""
    for module in (remote, decode):
        monkeypatch.setattr(module, "MAX_BYTES", 10)
    image(tmp_path / "photos" / "a.png")
    source, count = of(tmp_path / "photos"), (tmp_path / "photos" / "a.png").stat().st_size
    with pytest.raises(ImageError) as caught:
        source.read("a.png")
    assert str(caught.value) == (
        f"memory://photos/a.png: has {count} bytes; the limit is 10. Scale it down."
    )


class NoCredentialsError(Exception):
    """As botocore names it."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            error,
            f"faulty://photos: access is refused ({error}). Check the address, and give your "
            "credentials where its library looks for them: docs/how-to/elsewhere.md.",
        )
        for error in (PermissionError("Forbidden"), NoCredentialsError("Unable to locate"))
    ],
)
def test_a_bucket_that_refuses_is_asked_no_more_than_its_library_does(
    error: Exception, message: str, tmp_path: Path
) -> None:
    """One message, without a password."""
    source = of(mixed_folder(tmp_path / "photos"), "faulty://photos")
    Faulty.errors = [error] * 3
    assert refused(source.list_keys) == message


def test_a_connection_that_breaks_is_tried_again(tmp_path: Path) -> None:
    """Twice. Then the photo is not bad, which `skip_bad` would leave out, but the training ends."""
    image(tmp_path / "photos" / "a.png")
    source = of(tmp_path / "photos", "faulty://photos")
    Faulty.errors = [ConnectionError("reset"), OSError("broken")]
    assert source.read("a.png") == (tmp_path / "photos" / "a.png").read_bytes()
    Faulty.errors = [ConnectionError("reset\nby peer")] * 3
    with pytest.raises(DataError) as caught:
        source.read("a.png")
    assert type(caught.value) is DataError
    assert str(caught.value) == (f"faulty://photos/a.png: cannot be read (reset by peer). {ADVICE}")


@pytest.mark.parametrize("method", ["info", "cat_file"])
def test_a_bucket_that_does_not_answer_is_not_waited_for(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a minute."""
    image(tmp_path / "photos" / "a.png")
    source = of(tmp_path / "photos", "faulty://photos")
    Faulty.stuck = {method}
    monkeypatch.setattr(remote, "SECONDS", 0.05)
    assert refused(source.read, "a.png") == (
        f"faulty://photos/a.png: no answer in 0 seconds. {ADVICE}"
    )
    assert not (tmp_path / "cache" / "kvgg_jax" / "remote").exists()


def test_a_download_that_is_cut_short_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be a damaged photo for good."""
    image(tmp_path / "photos" / "a.png")
    source = of(tmp_path / "photos")
    system = fsspec.filesystem("memory")
    whole = system.cat_file
    monkeypatch.setattr(type(system), "cat_file", lambda self, path: whole(path)[:9])
    count = (tmp_path / "photos" / "a.png").stat().st_size
    assert refused(source.read, "a.png") == (
        f"memory://photos/a.png: cannot be read (9 of {count} bytes came). {ADVICE}"
    )
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(source.read("a.png")) == count


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that adds it, where it is one of an extra."""
    monkeypatch.setitem(remote.LIBRARIES, "nox", "s3")
    monkeypatch.setitem(extras.EXTRAS, "s3", ("no-such",))
    with pytest.raises(MissingExtra) as caught:
        fetch(Url("nox://photos/a.png"))
    assert str(caught.value) == (
        'nox:// needs no-such, which is not installed. Add it: pip install "kvgg_jax[s3]"'
    )
    assert refused(fetch, Url("nope://photos/a.png")) == (
        f"nope://photos/a.png: cannot be read (Protocol not known: nope). {ADVICE}"
    )
