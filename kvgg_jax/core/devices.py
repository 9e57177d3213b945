"""The devices of this process, and where the arrays of a run lie on them. No other module counts
devices: with several, a run still computes on the first, and `run_devices` is what to change.

JAX is imported when it is asked, since `core` loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jax import Device
    from jax.sharding import Mesh, Sharding

BATCH = "batch"
"""The one axis of the mesh."""


def device_count() -> int:
    """Devices that JAX sees, in all processes. The fast kernels are for one."""
    import jax

    return jax.device_count()


def is_main_process() -> bool:
    """Whether this is the process that prints and writes, where several train one network."""
    import jax

    return jax.process_index() == 0


def run_devices() -> list[Device]:
    """Those that a run computes on: the first of this process."""
    import jax

    return jax.local_devices()[:1]


def batch_mesh() -> Mesh:
    """The devices of a run in one row."""
    import numpy as np
    from jax.sharding import Mesh

    return Mesh(np.array(run_devices()), (BATCH,))


def batch_sharding() -> Sharding:
    """Images, labels and weights: their first axis in equal parts, one per device of the run."""
    return _sharding(BATCH)


def state_sharding() -> Sharding:
    """Weights, optimizer slots and sums: whole on each device of the run."""
    return _sharding()


def _sharding(*axes: str) -> Sharding:
    from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

    mesh = batch_mesh()
    if mesh.size == 1:  # what JAX itself gives an array: programs stay the same, and their cache
        return SingleDeviceSharding(mesh.devices[0])
    return NamedSharding(mesh, PartitionSpec(*axes))
