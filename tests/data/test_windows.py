"""Windows of shards: each photo once, few shards at a time, and a function of seed and epoch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.places import Url
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import read
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.shards.pack import pack_data
from kvgg_jax.data.sources import remote
from kvgg_jax.data.sources.downloads import Downloads
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.data.sources.parts import join_parts
from kvgg_jax.data.sources.shards import scan_shards
from kvgg_jax.data.windows import Windows, find_windows
from support.elsewhere import Faulty, faulty, shard_requests, upload

COLUMNS = 10  # files of an index


class Told:
    """A source that only notes what it is told."""

    def __init__(self) -> None:
        self.expected: list[list[int]] = []

    def block_of(self, keys):
        raise NotImplementedError

    def expect(self, blocks) -> None:
        self.expected.append(list(blocks))

    def most(self) -> int:
        return 99


def orders(blocks: np.ndarray, size: int, seed: int, epoch: int) -> np.ndarray:
    rows = np.arange(len(blocks))
    rng = np.random.default_rng([seed, epoch])
    return Windows(Told(), blocks, size).sort(rng.permutation(rows), rng)


@settings(deadline=None, max_examples=100)
@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    size=st.integers(1, 14),
    seed=st.integers(0, 9),
)
def test_each_photo_comes_once_and_each_block_in_one_window(
    counts: list[int], size: int, seed: int
) -> None:
    """Any other order of the same seed and epoch would be another training."""
    blocks = np.repeat(np.arange(len(counts)) * 3, counts)
    order = orders(blocks, size, seed, 1)
    assert sorted(order) == list(range(len(blocks)))
    np.testing.assert_array_equal(orders(blocks, size, seed, 1), order)
    used = blocks[order]
    first = {block: int(np.argmax(used == block)) for block in set(used.tolist())}
    by_use = sorted(first, key=first.__getitem__)
    window_of = {block: place // size for place, block in enumerate(by_use)}
    found = [window_of[block] for block in used.tolist()]
    assert found == sorted(found)


def test_windows_differ_from_epoch_to_epoch_and_photos_are_mixed_in_them() -> None:
    """A shard is neither read in its order nor always beside the same ones."""
    blocks = np.repeat(np.arange(8), 50)
    found = [orders(blocks, 4, 1, epoch) for epoch in range(1, 30)]
    assert len({frozenset(blocks[order[:200]].tolist()) for order in found}) > 10
    in_first = blocks[found[0][:200]]
    assert (np.bincount(in_first[:100], minlength=8)[np.unique(in_first)] > 10).all()
    assert orders(np.zeros(9, np.int64), 4, 1, 1).tolist() != list(range(9))


def test_a_window_of_all_shards_is_a_shuffle_of_all() -> None:
    """Each photo may be next to each."""
    blocks, rng = np.repeat(np.arange(3), 5), np.random.default_rng([1, 1])
    assert orders(blocks, 3, 1, 1).tolist() == rng.permutation(np.arange(15)).tolist()


def test_the_source_is_told_what_comes_and_what_is_over() -> None:
    """The window that is read, the one after it, and none once the epoch ends."""
    told, blocks = Told(), np.repeat(np.arange(4), 100)
    windows = Windows(told, blocks, 1)
    with windows.announced(np.arange(400), 10) as reach:
        for step in range(41):
            reach(step)
    assert told.expected == [[0, 1], [1, 2], [2, 3], [3], []]


@pytest.mark.parametrize(("cache", "count"), [("memory", 0), ("none", 2)])
def test_a_source_is_told_nothing_of_photos_that_are_in_memory(
    cache: str, count: int, photos: Path
) -> None:
    """It would download them for nothing. The order is the same."""
    told, rows = Told(), np.arange(36)
    store = hold(read(scan(photos), 32, cache=cache))
    windows = Windows(told, np.repeat(np.arange(9), 4), 9)
    pipeline = Pipeline(store, rows, batch_size=4, seed=1, windows=windows)
    labels = np.concatenate([batch.labels for batch in pipeline.epoch(1)])
    assert len(told.expected) == count
    assert labels.tolist() == store.labels[pipeline.order(1)].tolist()


@pytest.fixture
def elsewhere(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Samples]]:
    """36 photos in 9 shards at an address, of which so many are kept."""
    packed = pack_data(photos, tmp_path / "out", shard_bytes=20_000).folder
    size = max(shard.bytes for shard in scan_shards(packed).source.index.shards)

    def open_keeping(count: int) -> Samples:
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        kept = Downloads(tmp_path / "kept", (count * size + size // 2) * 16 // 15)
        monkeypatch.setattr(remote, "_downloads", lambda _: kept)
        return scan_shards(Url("faulty://out"))

    with faulty():
        upload(packed, "memory://out")
        yield open_keeping


def epoch_requests(samples: Samples, *, size: int | None, balance: bool = False) -> list:
    """What an epoch asks of the shards, after the photos were read once."""
    decoded = read(samples, 32, cache="none")
    rows = np.arange(len(samples))
    pipeline = Pipeline(
        hold(decoded),
        rows,
        batch_size=1,
        seed=1,
        balance=balance,
        windows=find_windows(samples, rows, size),
    )
    Faulty.parts.clear()
    assert len(list(pipeline.epoch(1))) == 36
    return sorted(shard_requests())


@pytest.mark.parametrize("balance", [False, True])
def test_an_epoch_in_windows_downloads_each_shard_once(
    balance: bool, elsewhere: Callable[[int], Samples], tmp_path: Path
) -> None:
    """Though only some are kept, and none open that are removed; a shuffle of all asks for each
    photo."""
    asked = epoch_requests(elsewhere(4), size=1, balance=balance)
    assert asked == [(number, None) for number in range(9)]
    assert len(list((tmp_path / "kept").glob("*"))) <= 4 + COLUMNS
    opened = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
    assert [name for name in opened if name.startswith(str(tmp_path / "kept"))] == []
    assert len(epoch_requests(elsewhere(4), size=None)) == 36


def test_an_epoch_may_start_in_the_middle(elsewhere: Callable[[int], Samples]) -> None:
    """With the batches that it would have had."""
    samples, rows = elsewhere(8), np.arange(36)
    store = hold(read(samples, 32, cache="none"))
    windows = find_windows(samples, rows, 2)
    pipeline = Pipeline(store, rows, batch_size=4, seed=1, windows=windows)
    whole = [batch.images for batch in pipeline.epoch(2)]
    rest = [batch.images for batch in pipeline.epoch(2, start=5)]
    np.testing.assert_array_equal(rest, whole[5:])


def test_only_training_photos_have_to_lie_in_shards(
    elsewhere: Callable[[int], Samples], photos: Path
) -> None:
    """Those for validation may be in a folder."""
    samples = join_parts({"train": elsewhere(9), "val": scan(photos)})
    windows = find_windows(samples.part("train"), np.arange(36), 4)
    assert windows is not None
    assert np.bincount(windows.blocks).tolist() == [4] * 9
    assert windows.source.most() == 9
    windows.source.expect(())


def test_what_is_in_no_shards_is_refused(photos: Path) -> None:
    """Of one folder, and of several."""
    one = scan(photos)
    assert find_windows(one, np.arange(36), None) is None
    for samples in (one, join_parts({"train": one, "val": one}).part("train")):
        with pytest.raises(ConfigError) as caught:
            find_windows(samples, np.arange(36), 4)
        assert str(caught.value) == (
            f"`data.shuffle_shards = 4` is for shards, and {photos} has none. Leave it out, or "
            "pack the photos: kvgg data pack."
        )


def test_more_shards_than_are_kept_are_refused(elsewhere: Callable[[int], Samples]) -> None:
    """Those of the next window come meanwhile."""
    samples = elsewhere(4)
    with pytest.raises(ConfigError) as caught:
        find_windows(samples, np.arange(36), 3)
    assert str(caught.value) == (
        "`data.shuffle_shards = 3` has 6 shards on this machine at once, those that come next "
        "included, and 4 are kept. Choose fewer, or pack smaller ones."
    )
