"""What a run is trained on: found, checked before the photos are read, and reported."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import ConfigError, DataError
from kvgg_jax.core.events import Event, Note, Warned, ignore
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.grouping import split_photos
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.data.split import split_samples
from kvgg_jax.training import inputs
from kvgg_jax.training.inputs import complete_config, load_inputs, warn_of_split, with_larger
from support.runs import draw_photos, small_config


def test_a_config_without_photos_takes_the_data_folder_here_or_the_demo_set(tmp_path, monkeypatch):
    """The demo set has a size of its own, unless another one is set."""
    demo, heard = tmp_path / "demo", list[Event]()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inputs, "cached_demo", lambda folder, emit: demo)
    found = complete_config(RunConfig(), heard.append).data
    assert (found.dir, found.image_size) == (str(demo), 48)
    assert heard == [
        Note("No `data.dir` and no ./data here: using the built-in demo set of drawn beans.")
    ]
    larger = complete_config(RunConfig(data={"image_size": 64}), ignore).data
    assert (larger.dir, larger.image_size) == (str(demo), 64)
    (tmp_path / "data").mkdir()
    found = complete_config(RunConfig(), ignore).data
    assert (found.dir, found.image_size) == (str(tmp_path / "data"), 224)
    given = complete_config(RunConfig(data={"dir": "x"}), ignore).data
    assert (given.dir, given.image_size) == (str(tmp_path / "x"), 224)


def test_the_photos_are_counted_and_split(photos):
    """36 photos of three classes, a fifth of them for validation."""
    heard: list[Event] = []
    found = load_inputs(small_config(photos), heard.append)
    counts = len(found.samples), len(found.split.train), len(found.split.val)
    assert (counts, len(found.decoded.samples), found.initial) == ((36, 29, 7), 36, None)
    text = f"36 photos of 3 classes in {photos}: 29 for training, 7 for validation"
    assert Note(text) in heard


@pytest.mark.parametrize(("size", "noted"), [(48, True), (47, False)])
def test_photos_that_are_much_smaller_than_the_network_takes_are_noted(size, noted, tmp_path):
    """With the size that shows as much; a large or a damaged photo changes nothing."""
    photos = draw_photos(tmp_path / "photos", per_class=5)
    Image.new("RGB", (500, 500)).save(photos / "red" / "large.png")
    (photos / "blue" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    heard: list[Event] = []
    load_inputs(small_config(photos, data={"image_size": size, "skip_bad": True}), heard.append)
    note = Note(
        "Most photos have 32 pixels a side and are enlarged to 48: training takes longer and sees "
        "no more than with `data.image_size = 32`"
    )
    assert (note in heard) == noted


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_for_random_crops_the_training_photos_are_read_once_more_and_larger(photos, cache):
    """Wherever they are kept; pixels and digests of all are those of a run without crops."""
    heard: list[Event] = []
    crops = small_config(photos, data={"crop": 0.5, "cache": cache})
    found, plain = load_inputs(crops, heard.append), load_inputs(small_config(photos), ignore)
    assert (found.split, found.decoded.digests()) == (plain.split, plain.decoded.digests())
    assert plain.decoded.larger is None
    rows = np.arange(36)
    np.testing.assert_array_equal(found.decoded.images[rows], plain.decoded.images[rows])
    larger = found.decoded.larger
    assert larger.samples == plain.split.train
    expected = [load(file, 46) for file in larger.samples.files()]
    np.testing.assert_array_equal(larger.images[rows[:29]], expected)
    text = "Random crops are cut at 46 px: the training photos are read once more"
    assert Note(text) in heard


@pytest.mark.parametrize("how", ["keras", "stratified"])
def test_photos_split_off_for_testing_are_not_read(photos, how):
    """As those of `data.test`: that they are no images hinders nothing."""
    config, heard = small_config(photos, data={"test_split": 0.25, "split": how}), []
    split = split_photos(config, scan(photos))
    for file in split.test.files():
        file.write_text("no image")
    found = load_inputs(config, heard.append)
    assert found.split == split
    assert found.samples == scan(photos).without(split.test)
    assert found.decoded.samples.find(split.test).max() == -1
    counts = f"{len(split.train)} for training, {len(split.val)} for validation"
    text = f"36 photos of 3 classes in {photos}: {counts}, {len(split.test)} for testing"
    assert Note(text) in heard


def test_a_head_that_is_solved_on_whole_photos_needs_no_larger_ones(photos):
    """They would be read for nothing, and that is said."""
    heard: list[Event] = []
    config = small_config(
        photos, data={"crop": 0.5}, model={"head": "linear", "weights": "x", "freeze": "backbone"}
    )
    found = load_inputs(small_config(photos), ignore)
    assert with_larger(found.decoded, found.split, config, heard.append) is found.decoded
    assert heard == [Note("`data.crop` has no effect: a linear head is solved on whole photos")]


def test_a_batch_larger_than_the_training_set_is_a_config_error(photos):
    """36 photos, 7 of them for validation: at most 29 fit in a batch."""
    with pytest.raises(ConfigError) as caught:
        load_inputs(small_config(photos, train={"batch_size": 30}), ignore)
    assert str(caught.value) == (
        f"`train.batch_size = 30` is larger than the training set (29 images in {photos}). "
        "Choose 29 or less."
    )


def test_a_warm_up_as_long_as_the_run_is_a_config_error(photos):
    """29 photos in batches of 8 are 4 steps per epoch: the rate would never reach its peak."""
    with pytest.raises(ConfigError) as caught:
        load_inputs(small_config(photos, optim={"warmup_steps": 8}), ignore)
    assert str(caught.value) == (
        "`optim.warmup_steps = 8`: the whole run has 8 steps. Choose fewer, such as "
        "0, a smaller `train.batch_size`, or more `train.epochs`."
    )


def test_a_part_whose_images_are_all_unreadable_is_a_data_error(photos):
    """--skip-bad leaves them out, and a run without validation could not be evaluated."""
    for file in split_samples(scan(photos), val_split=0.2, seed=42).val.files():
        file.write_bytes(b"not an image")
    with pytest.raises(DataError) as caught:
        load_inputs(small_config(photos, data={"skip_bad": True}), ignore)
    assert str(caught.value) == (
        f"{photos}: without its 7 unreadable images, 29 are left for training and 0 for "
        "validation; each needs at least 1. Replace them or add photos."
    )


def test_a_class_whose_images_are_all_unreadable_is_a_data_error(photos):
    """The network would have an output that is never right."""
    for file in (photos / "red").iterdir():
        file.write_bytes(b"not an image")
    with pytest.raises(DataError) as caught:
        load_inputs(small_config(photos, data={"skip_bad": True}), ignore)
    assert str(caught.value) == (
        f"{photos / 'red'} has no readable images. Add photos of class 'red', or remove the folder."
    )


def test_copies_on_both_sides_of_the_split_are_warned_of(photos):
    """They make the validation look better than it is."""
    found = load_inputs(small_config(photos), ignore)
    first, other = found.split.train.files()[0], found.split.val.files()[0]
    shutil.copy(first, other)
    heard: list[Event] = []
    config = small_config(photos)
    warn_of_split(load_inputs(config, ignore), config, heard.append)
    (warned,) = [event.text for event in heard if isinstance(event, Warned)]
    assert "exact cop" in warned.lower(), warned
