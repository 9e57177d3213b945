"""One device, and what is refused; `test_several_devices.py` computes on several."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from kvgg_jax.core.devices import mesh
from kvgg_jax.core.errors import UsageError


def test_one_device_is_as_jax_places_it_and_changes_no_program() -> None:
    """No mesh, no sharding that would make another program of the same step."""
    here = SingleDeviceSharding(jax.devices()[0])
    with mesh.use_devices("1", rows=5):
        assert mesh.run_devices() == [jax.devices()[0]]
        assert (mesh.state_sharding(), mesh.result_shardings()) == (here, None)
        assert mesh.place_rows(np.zeros(5)).sharding == here == jax.numpy.zeros(3).sharding
        assert mesh.by_rows(max, rows=(True, True)) is max


@pytest.mark.parametrize(
    ("count", "rows", "message"),
    [
        ("9", 32, "`train.devices = 9`: JAX has 1 here (cpu). Use fewer, or all."),
        (
            "all",
            32,
            "`train.devices = all`: 3 devices cannot share 32 photos evenly. Make "
            "`train.batch_size` / `train.accumulate` a multiple of 3.",
        ),
    ],
)
def test_devices_that_are_not_there_or_cannot_share_a_batch_are_refused(
    monkeypatch: pytest.MonkeyPatch, count: str, rows: int, message: str
) -> None:
    """Before anything is computed, and no mesh is left."""
    there = jax.local_devices()
    monkeypatch.setattr(jax, "local_devices", lambda: there * (3 if count == "all" else 1))
    with pytest.raises(UsageError) as caught, mesh.use_devices(count, rows=rows):
        pass
    assert str(caught.value) == message
    assert jax.sharding.get_mesh().empty


def test_one_process_reads_all_rows() -> None:
    """Several read their shares."""
    assert mesh.local_rows(8) == slice(0, 8)
