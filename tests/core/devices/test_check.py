"""What of JAX is refused before any work."""

from __future__ import annotations

from contextlib import AbstractContextManager

import jax
import pytest

from kvgg_jax.core.devices.check import check_jax
from kvgg_jax.core.errors import KvggError


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
        check_jax()
    assert str(caught.value) == (
        f"JAX has {name} = {value}, with which kvgg_jax cannot compute. Unset the environment "
        f"variable {name.upper()}, or change it with jax.config.update."
    )
    check_jax()


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
        check_jax()
    assert str(caught.value) == (
        f"JAX cannot start on {jax.config.jax_platforms or 'any platform'}: {why} Set the "
        "environment variable JAX_PLATFORMS to a platform that is there, such as cpu."
    )
