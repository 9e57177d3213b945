"""The devices of a run, and where its arrays are placed. No other module counts devices.

A run computes on the first device; to use several, change `run_devices`. JAX is imported late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jax import Device
    from jax.sharding import Mesh, Sharding

BATCH = "batch"
"""The one axis of the mesh."""


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
