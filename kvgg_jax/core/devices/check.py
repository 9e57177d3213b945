"""Whether JAX can compute here."""

from __future__ import annotations

from kvgg_jax.core.devices.mesh import run_devices
from kvgg_jax.core.errors import KvggError

DISALLOWED = ("disallow", "disallow_explicit")
REFUSED = {
    "jax_enable_x64": (True,),
    "jax_disable_jit": (True,),
    "jax_numpy_rank_promotion": ("raise",),
    "jax_transfer_guard": DISALLOWED,
    "jax_transfer_guard_host_to_device": DISALLOWED,
    "jax_transfer_guard_device_to_host": DISALLOWED,
    "jax_transfer_guard_device_to_device": DISALLOWED,
}
"""Settings of JAX with which no network can be trained or used."""


def check_jax() -> None:
    """Raises KvggError, before any work, where JAX has such settings or no device."""
    import jax

    for name, values in REFUSED.items():
        if (value := getattr(jax.config, name)) in values:
            raise KvggError(
                f"JAX has {name} = {value}, with which kvgg_jax cannot compute. Unset the "
                f"environment variable {name.upper()}, or change it with jax.config.update."
            )
    try:
        run_devices()
    except (RuntimeError, AssertionError) as error:  # the latter for a platform it knows
        why = str(error).partition(" (")[0].rstrip(".") or "this machine has no such device"
        where = jax.config.values["jax_platforms"] or "any platform"
        raise KvggError(
            f"JAX cannot start on {where}: {why}. Set the environment variable "
            "JAX_PLATFORMS to a platform that is there, such as cpu."
        ) from None
