"""When to stop, where several processes train together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvgg_jax.core.devices.hosts import are_several
from kvgg_jax.core.devices.mesh import place_rows, run_devices, state_sharding

if TYPE_CHECKING:
    from jax import Array


def agreed(stop: Callable[[], bool]) -> Callable[[], bool]:
    """`stop`, which is true for all processes once it is for one: at the same step, one step later.

    The flags are added up on the devices while the next step runs.
    """
    if not are_several():
        return stop
    import jax
    import jax.numpy as jnp
    import numpy as np

    add_up = jax.jit(jnp.sum, out_shardings=state_sharding())
    own = sum(device.process_index == jax.process_index() for device in run_devices())
    before: Array | None = None

    def is_stopped() -> bool:
        nonlocal before
        asked, before = before, add_up(place_rows(np.full(own, stop(), np.int32)))
        return asked is not None and int(asked) > 0

    return is_stopped
