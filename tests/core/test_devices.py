"""One device, and what is refused; `test_several_devices.py` computes on several."""

from __future__ import annotations

from contextlib import AbstractContextManager

import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from kvgg_jax.core import devices
from kvgg_jax.core.errors import KvggError, UsageError


def test_one_device_is_as_jax_places_it_and_changes_no_program() -> None:
    """No mesh, no sharding that would make another program of the same step."""
    here = SingleDeviceSharding(jax.devices()[0])
    with devices.use_devices("1", rows=5):
        assert (devices.run_devices(), devices.is_main_process()) == ([jax.devices()[0]], True)
        assert (devices.state_sharding(), devices.result_shardings()) == (here, None)
        assert devices.place_rows(np.zeros(5)).sharding == here == jax.numpy.zeros(3).sharding
        assert devices.by_rows(max, rows=(True, True)) is max


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
    with pytest.raises(UsageError) as caught, devices.use_devices(count, rows=rows):
        pass
    assert str(caught.value) == message
    assert jax.sharding.get_mesh().empty


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        (jax.enable_x64(True), "jax_enable_x64", "True"),
        (jax.disable_jit(), "jax_disable_jit", "True"),
        (jax.numpy_rank_promotion("raise"), "jax_numpy_rank_promotion", "raise"),
        (
            jax.transfer_guard_device_to_host("disallow"),
            "jax_transfer_guard_device_to_host",
            "disallow",
        ),
    ],
)
def test_settings_of_jax_that_no_run_works_with_are_refused(
    setting: AbstractContextManager[None], name: str, value: str
) -> None:
    """One message, before any work; without them nothing is raised."""
    with setting, pytest.raises(KvggError) as caught:
        devices.check_jax()
    assert str(caught.value) == (
        f"JAX has {name} = {value}, with which kvgg_jax cannot compute. Unset the environment "
        f"variable {name.upper()}, or change it with jax.config.update."
    )
    devices.check_jax()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            RuntimeError("Unable to initialize backend 'foo': it is unknown. (set JAX_PLATFORMS)"),
            "Unable to initialize backend 'foo': it is unknown.",
        ),
        (AssertionError(), "this machine has no such device."),
    ],
    ids=["unknown", "absent"],
)
def test_a_platform_that_is_not_there_is_an_error_with_the_next_move(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    """JAX raises either of the two."""

    def fail() -> list[jax.Device]:
        raise error

    monkeypatch.setattr(jax, "local_devices", fail)
    with pytest.raises(KvggError) as caught:
        devices.check_jax()
    assert str(caught.value) == (
        f"JAX cannot start on {jax.config.jax_platforms or 'any platform'}: {why} Set the "
        "environment variable JAX_PLATFORMS to a platform that is there, such as cpu."
    )
