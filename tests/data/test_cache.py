"""Decoded images are the same wherever they are stored, and a file that changes is noticed."""

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.errors import DataError
from kvgg_jax.data import cache
from kvgg_jax.data.cache import choose
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import fingerprint, read
from kvgg_jax.data.sources.folder import scan

GIB = 2**30


@pytest.fixture
def folder(tmp_path):
    """Six images of noise, in two classes."""
    rng = np.random.default_rng(0)
    for k in range(6):
        path = tmp_path / "photos" / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.mark.parametrize("kind", ["disk", "none"])
def test_batches_are_the_same_wherever_images_are_stored(kind, folder, tmp_path):
    kept, other = (
        read(scan(folder), 8, cache=where, folder=tmp_path / "cache") for where in ("memory", kind)
    )
    assert fingerprint(kept) == fingerprint(other)
    rows = np.arange(6)
    epochs = [
        list(Pipeline(hold(p), rows, batch_size=4, seed=1).epoch(2, start=0)) for p in (kept, other)
    ]
    for ours, theirs in zip(*epochs, strict=True):
        for left, right in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("kind", ["memory", "disk", "none"])
def test_an_unreadable_image_is_left_out_wherever_the_others_are_stored(kind, folder, tmp_path):
    (folder / "a" / "2.png").write_bytes(b"no image")
    decoded = read(scan(folder), 8, skip_bad=True, cache=kind, folder=tmp_path / "cache")
    assert decoded.samples.paths == ("a/0.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png")
    assert decoded.images.shape == (5, 8, 8, 3)
    (batch,) = Pipeline(hold(decoded), np.arange(5), batch_size=5).epoch(1)
    expected = [read(scan(folder), 8, skip_bad=True).images[k] for k in range(5)]
    np.testing.assert_array_equal(batch.images, expected)


def test_the_file_on_disk_has_no_name_and_so_cannot_be_left_behind(folder, tmp_path):
    decoded = read(scan(folder), 8, cache="disk", folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert decoded.images[np.array([5, 0])].shape == (2, 8, 8, 3)


def test_a_photo_that_changes_during_the_run_stops_it_with_its_name(folder):
    decoded = read(scan(folder), 8, cache="none")
    Image.new("RGB", (9, 9)).save(folder / "b" / "3.png")
    with pytest.raises(DataError) as caught:
        list(Pipeline(hold(decoded), np.arange(6), batch_size=3).epoch(1))
    assert str(caught.value) == (
        f"{folder / 'b' / '3.png'} changed during the run. "
        "Restore it and continue with --resume, or start a new run."
    )


def test_a_photo_that_vanishes_during_the_run_stops_it_with_its_name(folder):
    decoded = read(scan(folder), 8, cache="none")
    (folder / "b" / "3.png").unlink()
    with pytest.raises(DataError) as caught:
        list(Pipeline(hold(decoded), np.arange(6), batch_size=3).epoch(1))
    assert str(caught.value) == (
        f"A photo disappeared during the run. {folder / 'b' / '3.png'}: does not exist. "
        "Check the path."
    )


def test_a_cache_folder_that_cannot_be_written_is_named(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"Cannot keep 0\.0 GiB of decoded photos in .*/file: "):
        read(scan(folder), 8, cache="disk", folder=tmp_path / "file")


def test_the_choice_follows_what_is_free(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "free_memory", lambda: 8 * GIB)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": 20 * GIB}))
    where = tmp_path / "not" / "yet"
    assert choose(4 * GIB, where) == ("memory", None)
    assert choose(5 * GIB, where) == (
        "disk",
        "The decoded photos take 5.0 GiB, more than half of the free memory (8.0 GiB): "
        f"they are kept in a file in {where}. `data.cache` chooses.",
    )
    assert choose(11 * GIB, where) == (
        "none",
        "The decoded photos take 11.0 GiB, more than half of the free memory (8.0 GiB) and of the "
        "free disk: each is decoded every time. `data.cache` chooses.",
    )
    monkeypatch.setattr(cache, "free_memory", lambda: None)
    assert choose(1000 * GIB, where) == ("memory", None)


def test_free_memory_is_what_linux_says(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "MEMINFO", tmp_path / "meminfo")
    assert cache.free_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   7 kB\n")
    assert cache.free_memory() == 7 * 1024


def test_free_memory_ends_at_the_limit_of_a_container(monkeypatch, tmp_path):
    """What the page cache holds of it can be had; no limit is called `max`."""
    monkeypatch.setattr(cache, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(cache, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemAvailable:   8 kB\n")
    for name, text in (("max", "5000"), ("current", "4000"), ("stat", "anon 1\ninactive_file 500")):
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    assert cache.free_memory() == 1500
    (tmp_path / "memory.current").write_text("9000\n")
    assert cache.free_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert cache.free_memory() == 8192
