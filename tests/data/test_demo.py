"""The drawn demo set: what is in it, how hard it is, and that it is written whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.data import demo
from kvgg_jax.data.demo import CLASSES, cached_demo, draw_bean, write_demo
from support.runs import PATIENCE


def read_images(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Path inside `folder` -> image, in the order of the names."""
    files = sorted(folder.rglob("*.png"))
    return {file.relative_to(folder).as_posix(): np.asarray(Image.open(file)) for file in files}


def nearest_mean_accuracy(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Share of images whose class mean, fitted on the other four fifths, is the nearest."""
    folds = np.arange(len(labels)) % 5
    hits = 0
    for fold in range(5):
        fitted, tested = folds != fold, folds == fold
        means = np.stack([features[fitted & (labels == k)].mean(axis=0) for k in range(4)])
        distance = np.linalg.norm(features[tested, None] - means, axis=-1)
        hits += int((distance.argmin(axis=1) == labels[tested]).sum())
    return hits / len(labels)


@pytest.fixture(scope="module")
def whole_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In all its number; at half the size it is drawn in a quarter of the time."""
    return write_demo(tmp_path_factory.mktemp("demo") / "beans", size=demo.SIZE // 2)


def test_the_default_set_holds_100_square_rgb_images_of_each_roast(whole_set: Path) -> None:
    """Names and sizes are what the documentation promises, and nothing else lies in the folder."""
    images = read_images(whole_set)
    names = [
        f"{name}/{name.lower()}_{i:03d}.png" for name in CLASSES for i in range(demo.PER_CLASS)
    ]
    assert list(images) == names
    assert {image.shape for image in images.values()} == {(48, 48, 3)}
    assert draw_bean("Dark", np.random.default_rng(0)).shape == (96, 96, 3)
    assert write_demo.__kwdefaults__["size"] == 96
    assert sorted(entry.name for entry in whole_set.iterdir()) == list(CLASSES)
    assert [entry.name for entry in whole_set.parent.iterdir()] == ["beans"]


def test_no_two_images_are_the_same(whole_set: Path) -> None:
    """Every image is its own draw."""
    images = read_images(whole_set)
    assert len({image.tobytes() for image in images.values()}) == len(images)


def test_mean_and_spread_of_color_do_not_tell_the_roasts_apart(whole_set: Path) -> None:
    """The nearest class mean of RGB mean and deviation is above 0.5 (chance 0.25), below 0.9."""
    images = read_images(whole_set)
    stack = np.stack(list(images.values()))
    features = np.concatenate([stack.mean(axis=(1, 2)), stack.std(axis=(1, 2))], axis=1)
    labels = np.array([CLASSES.index(name.split("/")[0]) for name in images])
    assert 0.5 < nearest_mean_accuracy(features, labels) < 0.9


def test_the_same_seed_draws_the_same_pixels_in_any_number(tmp_path: Path) -> None:
    """An image depends on seed, class and index alone, so a larger set starts with the smaller."""
    small = read_images(write_demo(tmp_path / "small", per_class=1, size=16))
    large = read_images(write_demo(tmp_path / "large", per_class=2, size=16))
    again = read_images(write_demo(tmp_path / "again", per_class=2, size=16))
    assert {k: v.tobytes() for k, v in large.items()} == {k: v.tobytes() for k, v in again.items()}
    assert all(small[name].tobytes() == large[name].tobytes() for name in small)


def test_another_seed_draws_other_pixels(tmp_path: Path) -> None:
    """The seed reaches every image."""
    first = read_images(write_demo(tmp_path / "first", per_class=2, size=16))
    other = read_images(write_demo(tmp_path / "other", per_class=2, size=16, seed=1))
    assert all(first[name].tobytes() != other[name].tobytes() for name in first)


def test_a_bean_is_uint8_rgb_of_the_size_asked_for() -> None:
    """The image has the side that was asked for, and both bean and ground are in it."""
    bean = draw_bean("Dark", np.random.default_rng(0), size=32)
    assert (bean.shape, bean.dtype) == ((32, 32, 3), np.dtype(np.uint8))
    assert bean.std() > 20


def test_progress_counts_to_the_number_of_images(tmp_path: Path) -> None:
    """One event after each image: how many are done, and how many there will be."""
    seen: list[Event] = []
    write_demo(tmp_path / "beans", per_class=2, size=16, emit=seen.append)
    assert seen == [Progress("drawing", done, 8) for done in range(1, 9)]


def test_a_missing_parent_is_made_and_an_empty_folder_is_filled(tmp_path: Path) -> None:
    """Neither is in anybody's way."""
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (tmp_path / "a" / "b" / "beans", empty):
        assert write_demo(folder, per_class=1, size=16) == folder
        assert len(read_images(folder)) == 4


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    """The user's files are not mixed with drawings."""
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(DataError) as caught:
        write_demo(tmp_path, per_class=1, size=16)
    assert str(caught.value) == (
        f"{tmp_path} already exists and is not empty. Choose another folder, or remove it first."
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("tail", ["", "beans"])
def test_a_file_in_the_way_is_refused_with_its_reason(tmp_path: Path, tail: str) -> None:
    """The place and the system's reason are named, whether the file is the folder or its parent."""
    (tmp_path / "taken").write_text("mine")
    folder = tmp_path / "taken" / tail
    with pytest.raises(DataError) as caught:
        write_demo(folder, per_class=1, size=16)
    reason = "File exists" if tail else "Not a directory"
    assert str(caught.value) == (
        f"Cannot write the demo set to {folder}: {reason}. Choose another folder."
    )
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, BrokenPipeError])
def test_nothing_is_left_after_an_interrupted_write(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    """Ctrl-C or a listener's failure passes through as it is, and takes the images with it."""

    def stop_at_third(event: Any) -> None:
        if event.done == 3:
            raise failure

    with pytest.raises(failure):
        write_demo(tmp_path / "beans", per_class=1, size=16, emit=stop_at_third)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the middle of the writing names the folder asked for, not the temporary one."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(DataError) as caught:
        write_demo(tmp_path / "beans", per_class=1, size=16)
    assert str(caught.value) == (
        f"Cannot write the demo set to {tmp_path / 'beans'}: No space left on device. "
        "Choose another folder."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cached set with one image a class, which is quick to draw."""
    monkeypatch.setattr(demo, "PER_CLASS", 1)
    monkeypatch.setitem(write_demo.__kwdefaults__, "per_class", 1)


@pytest.mark.usefixtures("small_default")
def test_the_second_call_draws_nothing(tmp_path: Path) -> None:
    """The set is drawn on first use and found afterwards."""
    calls: list[Event] = []
    first = cached_demo(tmp_path, emit=calls.append)
    assert (first, len(calls)) == (tmp_path / f"demo-v{demo.VERSION}", 4)
    assert cached_demo(tmp_path, emit=calls.append) == first
    assert len(calls) == 4


@pytest.mark.usefixtures("small_default")
def test_losing_the_race_for_the_cache_gives_the_winner_s_folder(tmp_path: Path) -> None:
    """Where another process finishes first, its folder is taken and the own drawings go."""

    def overtake(event: Any) -> None:
        if event.done == 4:
            write_demo(tmp_path / f"demo-v{demo.VERSION}")

    folder = cached_demo(tmp_path, emit=overtake)
    assert len(read_images(folder)) == 4
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.usefixtures("small_default")
def test_two_processes_at_once_both_end_with_the_whole_set(tmp_path: Path) -> None:
    """Both exit well and leave one folder."""
    code = (
        "import sys, pathlib; from kvgg_jax.data import demo; "
        "demo.PER_CLASS = demo.write_demo.__kwdefaults__['per_class'] = 1; "
        "demo.cached_demo(pathlib.Path(sys.argv[1]))"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [racer.wait(timeout=PATIENCE) for racer in racers] == [0, 0]
    assert [entry.name for entry in tmp_path.iterdir()] == [f"demo-v{demo.VERSION}"]
    assert len(read_images(tmp_path)) == 4


@pytest.mark.usefixtures("small_default")
def test_a_cached_set_with_an_image_missing_is_refused(tmp_path: Path) -> None:
    """It is never trained on as it is; the message says to remove it."""
    folder = cached_demo(tmp_path)
    next(folder.rglob("*.png")).unlink()
    with pytest.raises(DataError) as caught:
        cached_demo(tmp_path)
    assert str(caught.value) == (
        f"{folder} already exists and is not empty. Choose another folder, or remove it first."
    )
