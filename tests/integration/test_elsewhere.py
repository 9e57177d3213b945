"""Photos elsewhere, from `train` to `report`: the same run, to the bit, as from a folder here."""

from __future__ import annotations

import functools
import http.server
import inspect
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvgg_jax.data.shards.pack import pack_data
from kvgg_jax.data.sources import address, remote
from kvgg_jax.data.sources.downloads import LIMIT, Downloads
from support.commands import TINY, kvgg, message
from support.elsewhere import Faulty, faulty, shard_requests, upload
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin", "blank")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a folder of photos that is in `memory://` too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(address.time, "sleep", lambda seconds: None)
    keep(tmp_path / "kept", monkeypatch)
    draw_photos(tmp_path / "photos", per_class=6)
    with faulty():
        upload(tmp_path / "photos", "memory://bucket/photos")
        yield tmp_path


def train(data: str, name: str, *words: str) -> None:
    result = kvgg("train", *TINY, "--data", data, "--name", name, *words)
    assert result.exit_code == 0, result.output


def keep(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: int = LIMIT) -> None:
    """What is read elsewhere in `folder`, up to so many bytes."""
    kept = Downloads(folder, limit)
    monkeypatch.setattr(remote, "_downloads", lambda _: kept)


def pack(here: Path) -> None:
    """The photos in small shards, here and at `memory://bucket/packed`."""
    pack_data("photos", "packed", shard_bytes=10_000)
    upload(here / "packed", "memory://bucket/packed")


def is_same_run(one: str, other: str) -> None:
    """Split, digests of the pixels and history, without the times."""
    names = ("split.csv", "digests.csv", "history.csv")
    texts = [[Path("runs", run, name).read_text() for name in names] for run in (one, other)]
    assert texts[0][:2] == texts[1][:2]
    rows = [[row.rsplit(",", 2)[0] for row in found[2].splitlines()] for found in texts]
    assert rows[0] == rows[1]
    fingerprints = [
        json.loads(Path("runs", run, "run.json").read_text())["data"]["fingerprint"]
        for run in (one, other)
    ]
    assert fingerprints[0] == fingerprints[1]


def test_a_run_from_an_address_is_the_run_from_the_folder(here: Path) -> None:
    """Trained, resumed, evaluated, reported and exported; what was read is not read again."""
    train("photos", "folder", "--epochs", "2")
    train("faulty://bucket/photos", "address", "--epochs", "1")
    assert 'dir = "faulty://bucket/photos"' in Path("runs/address/config.toml").read_text()
    assert sum(text.startswith("cat_file") for text in Faulty.asked) == 18
    resumed = kvgg("train", "--resume", "address", "--epochs", "2")
    assert resumed.exit_code == 0, resumed.output
    is_same_run("folder", "address")
    for words in (
        ("evaluate", "--run", "address"),
        ("evaluate", "--run", "address", "--data", "faulty://bucket/photos"),
        ("report", "--run", "address", "--output", "r.html"),
        ("runs", "folder", "address"),
        ("data", "check", "faulty://bucket/photos", "--html", "c.html"),
        ("data", "check", "photos", "--against", "memory://bucket/photos"),
    ):
        result = kvgg(*words)
        assert result.exit_code == 0, result.output
    assert sum(text.startswith("cat_file") for text in Faulty.asked) == 18


def test_a_run_from_shards_at_an_address_is_the_run_from_the_folder(here: Path) -> None:
    """Trained, resumed, evaluated and reported; each shard comes once, and its columns."""
    pack(here)
    train("photos", "folder", "--epochs", "2")
    train("faulty://bucket/packed", "shards", "--epochs", "1", "--cache", "none")
    resumed = kvgg("train", "--resume", "shards", "--epochs", "2")
    assert resumed.exit_code == 0, resumed.output
    is_same_run("folder", "shards")
    for words in (
        ("evaluate", "--run", "shards"),
        ("evaluate", "--run", "folder", "--data", "faulty://bucket/packed"),
        ("report", "--run", "shards", "--output", "r.html"),
        ("data", "check", "faulty://bucket/packed"),
    ):
        result = kvgg(*words)
        assert result.exit_code == 0, result.output
    count = len([*(here / "packed").glob("*.tar")])
    assert count > 3
    assert sorted(shard_requests()) == [(number, None) for number in range(count)]
    verified = kvgg("data", "verify", "faulty://bucket/packed")
    assert verified.stdout == f"18 photos in {count} shards: unchanged\n"


def test_a_run_in_windows_of_shards_is_the_same_wherever_they_are(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed too, and on a machine that keeps few of them."""
    pack(here)
    words = ("--cache", "none", "--shuffle-shards", "1")
    train("packed", "folder", "--epochs", "2", *words)
    size = max(file.stat().st_size for file in (here / "packed").glob("*.tar"))
    keep(here / "few", monkeypatch, 5 * size)
    train("faulty://bucket/packed", "address", "--epochs", "1", *words)
    whole = {number for number, start in shard_requests() if start is None}
    assert whole == {*range(len([*(here / "packed").glob("*.tar")]))}
    resumed = kvgg("train", "--resume", "address", "--epochs", "2")
    assert resumed.exit_code == 0, resumed.output
    is_same_run("folder", "address")
    refused = kvgg("train", *TINY, "--data", "photos", "--shuffle-shards", "4")
    assert message(refused) == (
        f"Error: --shuffle-shards 4 is for shards, and {here}/photos has none. Leave it out, or "
        "pack the photos: kvgg data pack.\n"
    )


def test_an_address_that_fails_is_one_message_and_leaves_nothing(here: Path) -> None:
    """At the listing, at any photo, and where the bucket vanishes in the middle of the reading."""
    words = ("train", *TINY, "--data", "faulty://bucket/photos", "--skip-bad")
    Faulty.errors = [PermissionError("Forbidden")]
    refused = kvgg(*words)
    assert (refused.exit_code, message(refused)) == (
        1,
        "Error: faulty://bucket/photos: access is refused (Forbidden). Check the address, and "
        "give your credentials where its library looks for them: docs/how-to/elsewhere.md.\n",
    )
    Faulty.broken_after = 10
    broken = kvgg(*words)
    assert broken.exit_code == 1
    last = message(broken).splitlines()[-1]
    assert last.startswith("Error: faulty://bucket/photos/")
    assert last.endswith(
        ".png: cannot be read (the bucket is gone). Check the address and the network, or copy "
        "the photos to this machine: --data."
    )
    assert [*here.rglob("runs/*")] == []


@pytest.mark.extras
@pytest.mark.parametrize("name", ["s3fs.S3FileSystem", "gcsfs.GCSFileSystem"])
def test_libraries_know_the_arguments_that_they_are_given(name: str) -> None:
    """The order of others differs, and there is no server for each."""
    library, _, kind = name.partition(".")
    system = getattr(pytest.importorskip(library, reason=f"needs {library}"), kind)
    for method, given in (
        ("_info", {}),
        ("_ls", {"detail": True}),
        ("_find", {"withdirs": False, "detail": True}),
        ("_cat_file", {"start": 0, "end": 1}),
    ):
        inspect.signature(getattr(system, method)).bind(None, "bucket/photos", **given)


@pytest.mark.extras
def test_a_bucket_of_s3_is_a_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the tests, which speaks as S3 does."""
    s3fs = pytest.importorskip("s3fs", reason="needs the extra s3")
    server = pytest.importorskip("moto.server", reason="needs moto")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    _, port = running.get_host_and_port()
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    try:
        s3fs.S3FileSystem().mkdir("bucket")
        upload(here / "photos", "s3://bucket/photos")
        train("photos", "folder", "--epochs", "1")
        train("s3://bucket/photos", "s3", "--epochs", "1")
        is_same_run("folder", "s3")
        pack(here)
        upload(here / "packed", "s3://bucket/packed")
        train("s3://bucket/packed", "s3 shards", "--epochs", "1")
        is_same_run("folder", "s3 shards")
        size = max(file.stat().st_size for file in (here / "packed").glob("*.tar"))
        keep(here / "few", monkeypatch, 3 * size)
        train("s3://bucket/packed", "s3 parts", "--epochs", "1", "--cache", "none")
        is_same_run("folder", "s3 parts")
        missing = kvgg("evaluate", "--run", "folder", "--data", "s3://none/photos")
        assert message(missing) == "Error: s3://none/photos: does not exist. Check the address.\n"
    finally:
        running.stop()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def web(here: Path) -> Iterator[str]:
    """The address of a web server on the current folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def list_directory(self, path: str) -> None:
            if "secret" in path:
                self.send_error(403)
                return None
            return super().list_directory(path)

    handler = functools.partial(Quiet, directory=str(here))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.extras
def test_a_web_server_has_lists_and_perhaps_folders(here: Path, web: str) -> None:
    """Paths of a list are below it; names may need quotes in an address."""
    pytest.importorskip("aiohttp", reason="needs the extra http")
    shutil.move(here / "photos" / "red", here / "photos" / "röd 100%")
    train("photos", "folder", "--epochs", "1")
    train(f"{web}/photos", "web", "--epochs", "1")
    is_same_run("folder", "web")
    files = sorted((here / "photos").rglob("*.png"))
    rows = [f"{file.relative_to(here / 'photos')},{file.parent.name}\n" for file in files]
    (here / "photos" / "list.csv").write_text("".join(["path,label\n", *rows]))
    train(f"{web}/photos/list.csv", "list", "--epochs", "1")
    is_same_run("folder", "list")
    pack_data("photos", "packed", shard_bytes=10_000)
    (here / "packed").rename(here / "secret shards")  # which are not listed
    train(f"{web}/secret%20shards", "shards", "--epochs", "1")
    is_same_run("folder", "shards")
    (here / "secret").mkdir()
    refused = kvgg("train", *TINY, "--data", f"{web}/secret")
    assert message(refused).startswith(f"Error: {web}/secret: access is refused (403")
    missing = kvgg("train", *TINY, "--data", f"{web}/none")
    assert message(missing) == f"Error: {web}/none: does not exist. Check the address.\n"
