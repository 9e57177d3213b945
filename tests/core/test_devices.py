"""Where arrays lie: on one device, with several in sight, and spread over those of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager

import jax
import pytest
from jax.sharding import SingleDeviceSharding

from kvgg_jax.core import devices
from kvgg_jax.core.errors import KvggError

SEVERAL = """
import jax, numpy as np
from kvgg_jax.core import devices
from kvgg_jax.models.kernels.conv import convolve
from kvgg_jax.models.kernels.relu_pool import max_pool2x2, relu

first = jax.devices()[0]
print(devices.device_count(), devices.is_main_process(), devices.run_devices() == [first])
print(devices.batch_sharding().device_set == devices.state_sharding().device_set == {first})

x, w = np.ones((8, 16, 16, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
loss = lambda x, w: max_pool2x2(relu(convolve(x, w))).sum()
gradient = jax.value_and_grad(loss, (0, 1))
print("platform_index" in str(jax.make_jaxpr(gradient)(x, w)))
alone = jax.jit(gradient)(x, w)

devices.run_devices = jax.devices
x, w = jax.device_put(x, devices.batch_sharding()), jax.device_put(w, devices.state_sharding())
parts = ({part.data.shape for part in array.addressable_shards} for array in (x, w))
print(dict(devices.batch_mesh().shape), *parts)
spread = jax.jit(gradient)(x, w)
same = jax.tree.map(np.array_equal, alone, spread)
print(len(spread[1][0].sharding.device_set), same[1])
"""


def test_with_one_device_all_lies_on_it_as_jax_places_it() -> None:
    """No sharding that would make another program of the same step."""
    here = SingleDeviceSharding(jax.devices()[0])
    assert (devices.device_count(), devices.is_main_process()) == (1, True)
    assert (devices.batch_sharding(), devices.state_sharding()) == (here, here)
    assert jax.numpy.zeros(3).sharding == here


def test_with_four_devices_a_run_is_on_the_first_until_it_is_given_all() -> None:
    """The kernels are stock ones, which XLA can divide; a spread step gives the same gradients."""
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL], env=env, capture_output=True, text=True, check=False
    )
    assert (done.stdout.splitlines(), done.returncode) == (
        [
            "4 True True",
            "True",
            "False",
            "{'batch': 4} {(2, 16, 16, 16)} {(3, 3, 16, 16)}",
            "4 (True, True)",
        ],
        0,
    ), done.stderr


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
