"""Folders and files elsewhere: listed as folders here are, and read once."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.core.places import Url
from kvgg_jax.data.decode import image as decode
from kvgg_jax.data.sources import remote
from kvgg_jax.data.sources.folder import scan, scan_tree
from kvgg_jax.data.sources.listing import scan_list
from kvgg_jax.data.sources.remote import RemoteFiles, RemoteFolder
from support.elsewhere import Faulty, upload
from support.folders import image, mixed_folder

ADVICE = "Check the address and the network, or copy the photos to this machine: `data.dir`."
pytestmark = pytest.mark.usefixtures("elsewhere")


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
    """Each class folder is listed once, and tells how many files there are so far."""
    for name in ("train/a/1.png", "train/b/1.png", "valid/a/1.png", "test/b/in/2"):
        image(tmp_path / "photos" / name)
    told: list[Event] = []
    source = replace(of(tmp_path / "photos", "faulty://photos"), emit=told.append)
    here, there = scan(tmp_path / "photos"), scan_tree(source)
    assert (there.paths, there.parts) == (here.paths, here.parts)
    listed = [text for text in Faulty.asked if text.startswith(("ls", "find"))]
    folders = ["ls photos", "ls test", "ls train", "ls valid"]
    assert listed == [*folders, "find b", "find a", "find b", "find a"]
    counts = [0] * 5 + [1, 2, 3, 4]
    assert told == [Progress("listing", count, None, unit="files") for count in counts]


def test_ctrl_c_ends_a_listing(tmp_path: Path) -> None:
    """Whatever the bucket answers, and whenever."""
    source = of(mixed_folder(tmp_path / "photos"), "faulty://photos")
    Faulty.stuck = {"find"}
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while not any(text.startswith("find") for text in Faulty.asked):
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    # What is started in the background ignores it from the beginning.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            source.list_keys()
    finally:
        signal.signal(signal.SIGINT, before)


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
