"""Images that live on the device give the batches that the host would send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from kvgg_jax.core.events import Note, ignore
from kvgg_jax.data import on_device as module
from kvgg_jax.data.cache import OnDisk
from kvgg_jax.data.on_device import on_device
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder


@pytest.fixture
def decoded() -> DecodedImages:
    """Twelve images of 8 x 8 random pixels, of three classes."""
    paths = tuple(f"{i}.png" for i in range(12))
    samples = Samples(Folder(Path("r")), paths, tuple(i % 3 for i in range(12)), ("a", "b", "c"))
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    return DecodedImages(samples, images)


@pytest.mark.parametrize("ways", [{}, {"seed": 1}, {"seed": 1, "balance": True}])
def test_batches_are_those_of_the_host(decoded, ways):
    """In each epoch, from any step on, with the fillers of the last one. The pixels stay there."""
    rows = np.array([0, 3, 4, 5, 7, 8, 9, 10, 11])
    host, device = (
        Pipeline(hold(decoded, cache), rows, batch_size=4, **ways) for cache in ("memory", "device")
    )
    for epoch, start in ((1, 0), (2, 0), (2, 1)):
        there = list(device.epoch(epoch, start=start))
        assert all(isinstance(batch.images, jax.Array) for batch in there)
        here = list(host.epoch(epoch, start=start))
        assert len(here) == len(there) == 3 - start
        for one, other in zip(here, there, strict=True):
            jax.tree.map(np.testing.assert_array_equal, one, other)
    assert device.fillers().images.shape == (4, 8, 8, 3)


class Card:
    """A GPU with so many bytes, of which a thousand are taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def memory_stats(self) -> dict[str, int]:
        return {"bytes_limit": self.limit, "bytes_in_use": 1000}


NEED = 12 * 8 * 8 * 3


@pytest.mark.parametrize(("room", "fits"), [(4 * NEED, True), (4 * NEED - 1, False)])
def test_auto_takes_a_gpu_whose_memory_holds_them_four_times(decoded, monkeypatch, room, fits):
    """And says so."""
    heard: list[Any] = []
    monkeypatch.setattr(module, "run_devices", lambda: [Card(1000 + room)])
    found = on_device(decoded.images, "auto", heard.append)
    assert (found is not None) is fits
    text = "The decoded photos, 0.0 GiB, are kept on the device. `data.cache` chooses."
    assert heard == [Note(text)] * fits


def test_auto_leaves_them_on_the_host_otherwise(decoded, tmp_path, monkeypatch):
    """On a CPU, whose devices have no memory of their own, and what the host's memory lacks."""
    assert on_device(decoded.images, "auto", ignore) is None
    monkeypatch.setattr(module, "run_devices", lambda: [Card(2**40)])
    assert on_device(decoded.images, "memory", ignore) is None
    on_disk = OnDisk(decoded.images.shape, tmp_path)
    assert on_device(on_disk, "auto", ignore) is None
