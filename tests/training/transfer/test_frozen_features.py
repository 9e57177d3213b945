"""Features of a frozen backbone: the same training as through it, kept in a checked file."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import astuple
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from kvgg_jax.core.config import SETTINGS, RunConfig, settings
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Compiled, EpochEnded, Event, Note, Progress
from kvgg_jax.data.reader import read
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.training.trainer import TrainResult, resume, train
from kvgg_jax.training.transfer import frozen_features as module
from kvgg_jax.training.transfer.frozen_features import KEPT, are_constant, features
from support.faults import states, timeless
from support.runs import small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")
ROWS = np.arange(12)


@pytest.fixture(scope="module")
def source(finished: Path) -> Path:
    """The run whose backbone is frozen."""
    return finished


def frozen(source: Path, **tables: dict[str, Any]) -> RunConfig:
    """A head with dropout on the source's frozen backbone; every batch has fillers."""
    model = {"weights": str(source), "freeze": "backbone"}
    return small_config(
        source.parents[1] / "photos",
        data=tables.get("data", {}),
        model={**model, "head": "8", "dropout": 0.3},
        optim={"lr": 1e-2},
        train={"epochs": 2, **tables.get("train", {})},
    )


def computed(events: list[Event]) -> bool:
    return any(isinstance(event, Compiled) and event.what == "features" for event in events)


@pytest.fixture(scope="module")
def on(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, list[Event]]:
    """A run on features that was never stopped, and its events."""
    heard: list[Event] = []
    out = tmp_path_factory.mktemp("on")
    return train(frozen(source), out=out, name="on", emit=heard.append), heard


def test_training_on_features_is_training_through_the_frozen_backbone(on, source, tmp_path):
    """The same history and weights to 1e-5; `--cache none` goes through all of it each time."""
    (one, heard), through = on, list[Event]()
    config = frozen(source, data={"cache": "none"})
    other = train(config, out=tmp_path, name="through", emit=through.append)
    assert (computed(heard), computed(through)) == (True, False)
    for left, right in zip(timeless(one.history), timeless(other.history), strict=True):
        assert astuple(left)[:-1] == pytest.approx(astuple(right)[:-1], abs=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), states(one.run), states(other.run)
    )


def test_a_run_on_features_holds_the_whole_network(on, source):
    """The frozen part is that of the source to the bit, and `evaluate` goes through it."""
    result, _ = on
    params, state = load_classifier(source).weights
    for name, value in load_classifier(result.run).weights[1].items():
        if name.startswith("block"):
            np.testing.assert_array_equal(value, {**params, **state}[name])
    best, evaluated = result.history.best, evaluate(result.run)
    assert (evaluated.accuracy, evaluated.loss) == (best.val_accuracy, pytest.approx(best.val_loss))


def test_a_run_on_features_that_was_cut_and_resumed_is_the_run_never_cut(
    on, source, tmp_path, monkeypatch
):
    """Though its features were lost meanwhile, and the run they came from: to the bit."""
    mine = Path(shutil.copytree(source, tmp_path / "mine"))
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")

    def press(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.row.epoch == 1:
            raise KeyboardInterrupt

    config = frozen(source).with_model(weights=str(mine))
    with pytest.raises(KeyboardInterrupt):
        train(config, out=tmp_path, name="cut", emit=press)
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(mine)
    result, (whole, _) = resume(tmp_path / "cut"), on
    assert timeless(result.history) == timeless(whole.history)
    jax.tree.map(np.testing.assert_array_equal, states(result.run), states(whole.run))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder of the test's own."""
    return tmp_path / "cache"


@pytest.mark.parametrize("key", SETTINGS)
def test_features_are_kept_by_the_settings_that_affect_them(
    key: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `affects` of their fields, that of a new setting too."""
    decoded, config = read(scan(source.parents[1] / "photos"), 32), frozen(source)
    before = module._key(config, decoded, {})
    monkeypatch.setattr(module, "settings", lambda of: {**settings(of), key: "another"})
    changed = module._key(config, decoded, {}) != before
    assert changed == ("features" in SETTINGS[key].affects)


def test_features_are_shared_by_heads_that_pool_alike(source: Path) -> None:
    """Two dense heads take the same maps, `gap` and `linear` what they pool of them."""
    decoded, config = read(scan(source.parents[1] / "photos"), 32), frozen(source)
    pooled = [{"head": "8"}, {"head": "slim"}, {"head": "gap"}, {"head": "linear"}]
    pooled.append({"head": "linear", "pooled_stages": 1})
    keys = [module._key(config.with_model(**table), decoded, {}) for table in pooled]
    assert (keys[0] == keys[1], len(set(keys))) == (True, 4)


def test_features_are_shared_by_batches_whose_parts_are_of_one_size(source: Path) -> None:
    """A part is computed as a batch of its size is."""
    decoded = read(scan(source.parents[1] / "photos"), 32)
    sizes = {"batch_size": 8, "accumulate": 2}, {"batch_size": 4}
    one, other = (module._key(frozen(source, train=size), decoded, {}) for size in sizes)
    assert one == other


@pytest.fixture
def made(source: Path, cache: Path) -> Any:
    """Computes features of the source's photos; returns them and the events."""
    decoded = read(scan(source.parents[1] / "photos"), 32)
    weights = load_classifier(source).weights

    def make(config: RunConfig | None = None, decoded=decoded, weights=weights) -> Any:
        heard: list[Event] = []
        found = features(
            config or frozen(source), decoded, weights, folder=cache, emit=heard.append
        )
        return found, heard

    return make


def test_features_are_computed_once_with_progress_and_found_again(made, cache):
    """Float32, one for each image, in a file that is read as it is needed."""
    first, heard = made()
    assert (first.shape, first.dtype) == ((12, 1, 1, 64), np.float32)
    steps = [event for event in heard if isinstance(event, Progress) and event.done]
    assert [(event.done, event.total) for event in steps] == [(8, 12), (12, 12)]
    (folder,) = (cache / "features").iterdir()
    again, heard = made()
    assert heard == [Note(f"The features of the frozen blocks are in {folder}")]
    np.testing.assert_array_equal(first[ROWS], again[ROWS])


def test_features_are_found_in_whatever_order_the_images_come(made, source):
    """A resume has those of training first; a batch of another size may differ in its last bits."""
    samples = scan(source.parents[1] / "photos")
    first, _ = made()
    turned, heard = made(decoded=read(samples.take(ROWS[::-1].tolist()), 32))
    assert not computed(heard)
    np.testing.assert_array_equal(first[ROWS], turned[ROWS[::-1]])
    _, heard = made(config=frozen(source, train={"batch_size": 4}))
    assert computed(heard)


def test_features_of_other_weights_images_or_preprocessing_are_others(made, source, cache):
    """Nothing that decides them is left out of their name."""
    decoded = read(scan(source.parents[1] / "photos"), 32)
    params, state = load_classifier(source).weights
    other = {**params, "block5_conv1/kernel": params["block5_conv1/kernel"] * 2}
    changed = np.array(decoded.images)
    changed[0, 0, 0, 0] ^= 1
    made()
    for how in (
        {"weights": (other, state)},
        {"decoded": type(decoded)(decoded.samples, changed)},
        {"config": frozen(source).with_model(preprocessing="caffe")},
    ):
        _, heard = made(**how)
        assert computed(heard), how
    assert len(list((cache / "features").iterdir())) == 4
    head = {**params, "predictions/kernel": params["predictions/kernel"] * 2}
    _, heard = made(weights=(head, state))
    assert not computed(heard)


@pytest.mark.parametrize("harm", ["flip", "cut", "half"])
def test_damaged_features_are_computed_again(made, cache, harm):
    """A bit flipped, a file cut short, a folder that a crash left without its digests."""
    first, _ = made()
    before = first[ROWS]
    (folder,) = (cache / "features").iterdir()
    file = folder / "features.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content[:-8] if harm == "cut" else content)
    if harm == "half":
        (folder / "SHA256SUMS").unlink()
    again, heard = made()
    assert computed(heard)
    np.testing.assert_array_equal(before, again[ROWS])


def test_only_the_newest_sets_are_kept(made, source, cache):
    """The cache does not grow for ever; what was used last is new."""
    made()
    (used,) = (cache / "features").iterdir()
    for number in range(KEPT):
        folder = cache / "features" / str(number)
        folder.mkdir()
        os.utime(folder, (number, number))
    os.utime(used, (0, 0))
    made()
    assert used.stat().st_mtime > KEPT  # the newest of all
    made(frozen(source).with_model(preprocessing="caffe"))
    left = {path.name for path in (cache / "features").iterdir()}
    assert (len(left), used.name in left, "0" in left) == (KEPT, True, False)


def test_new_features_are_kept_though_the_others_seem_newer(made, cache):
    """As after a clock was set back."""
    for number in range(KEPT):
        folder = cache / "features" / str(number)
        folder.mkdir(parents=True)
        os.utime(folder, (2**32 + number, 2**32 + number))
    found, _ = made()
    assert found.shape == (12, 1, 1, 64)
    names = sorted(path.name for path in (cache / "features").iterdir())
    assert names[:3] == ["1", "2", "3"]
    assert len(names) == KEPT


def test_features_that_were_stopped_are_computed_from_there_on(source, cache):
    """An hour of work is not lost; the last row may be there in part."""
    decoded = read(scan(source.parents[1] / "photos"), 32)
    weights = load_classifier(source).weights

    def press(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features(frozen(source), decoded, weights, folder=cache, emit=press)
    (part,) = (cache / "features").iterdir()
    with (part / "features.npy").open("ab") as file:
        file.write(b"part of a row")
    heard: list[Event] = []
    found = features(frozen(source), decoded, weights, folder=cache, emit=heard.append)
    done = [event.done for event in heard if isinstance(event, Progress) and event.done]
    assert done == [12]
    whole = features(frozen(source), decoded, weights, folder=cache.with_name("other"))
    np.testing.assert_array_equal(found[ROWS], whole[ROWS])


def test_no_room_for_features_is_an_error_with_the_next_move(made, cache, monkeypatch):
    """What was computed stays: once there is room, it is the rest that is computed."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.digests, "seal", full)
    with pytest.raises(DataError) as caught:
        made()
    assert str(caught.value) == (
        f"Cannot keep the features of the photos in {cache / 'features'}: No space left on device. "
        "Make room there, or compute them again in each epoch: `data.cache = none`."
    )
    assert [file.name for file in (cache / "features").glob(".*.part/*")] == ["features.npy"]


@pytest.mark.parametrize(
    ("tables", "constant"),
    [
        ({}, True),
        ({"data": {"augment": "light"}}, False),
        ({"data": {"mix": "mixup"}}, False),
        ({"data": {"crop": 0.5}}, False),
        ({"data": {"erase": 0.1}}, False),
        ({"data": {"cache": "none"}}, False),
        ({"data": {"cache": "disk"}}, True),
    ],
)
def test_features_are_kept_where_a_image_has_the_same_ones_each_epoch(source, tables, constant):
    """Augmentation changes the image; without a cache nothing is kept."""
    assert are_constant(frozen(source, **tables)) == constant
    assert not are_constant(frozen(source).with_model(freeze="4"))
