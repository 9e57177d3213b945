"""The devices of a run, and where its arrays are placed. No other module counts devices.

A run computes on the first device; to use several, change `run_devices`. JAX is imported late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvgg_jax.core.errors import KvggError

if TYPE_CHECKING:
    from jax import Device
    from jax.sharding import Mesh, Sharding

BATCH = "batch"
"""The one axis of the mesh."""
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


def device_count() -> int:
    """Number of devices in all processes. The fast kernels are for one."""
    import jax

    return jax.device_count()


def is_main_process() -> bool:
    """Whether this process prints and writes, where several train one network."""
    import jax

    return jax.process_index() == 0


def run_devices() -> list[Device]:
    """The devices that a run computes on: the first of this process."""
    import jax

    return jax.local_devices()[:1]


def batch_mesh() -> Mesh:
    """The devices of a run as a mesh of one axis."""
    import numpy as np
    from jax.sharding import Mesh

    return Mesh(np.array(run_devices()), (BATCH,))


def batch_sharding() -> Sharding:
    """For images, labels and weights: the first axis is divided among the devices of the run."""
    return _sharding(BATCH)


def state_sharding() -> Sharding:
    """For weights, optimizer slots and sums: whole on each device of the run."""
    return _sharding()


def _sharding(*axes: str) -> Sharding:
    from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

    mesh = batch_mesh()
    if mesh.size == 1:  # what JAX itself gives an array: programs stay the same, and their cache
        return SingleDeviceSharding(mesh.devices[0])
    return NamedSharding(mesh, PartitionSpec(*axes))
