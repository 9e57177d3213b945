"""The devices of a run, and where its arrays are placed. No other module counts devices.

A run computes on the first device, or within `use_devices` on a mesh of several, which is JAX's
own ambient one. What is asked here, by a kernel in the middle of a step too, is asked of that mesh.
JAX is imported late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kvgg_jax.core.errors import KvggError, UsageError

if TYPE_CHECKING:
    from jax import Array, Device
    from jax.sharding import PartitionSpec, Sharding

T = TypeVar("T")
BATCH = "batch"
"""The one axis of the mesh."""
WORTH_SHARDING = 2**12  # values; below it an array costs more to gather than to keep
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


@contextmanager
def use_devices(count: str, *, rows: int) -> Iterator[None]:
    """Compute on so many devices, or on `all`, in batches of `rows`, as long as it is open.

    Raises UsageError where there are fewer, or where they cannot share the rows evenly.
    """
    import jax
    import numpy as np
    from jax.sharding import Mesh

    there = jax.local_devices()
    wanted = len(there) if count == "all" else int(count)
    if wanted > len(there):
        raise UsageError(
            f"`train.devices = {count}`: JAX has {len(there)} here ({there[0].device_kind}). "
            "Use fewer, or all."
        )
    if rows % wanted:
        raise UsageError(
            f"`train.devices = {count}`: {wanted} devices cannot share {rows} photos evenly. Make "
            f"`train.batch_size` / `train.accumulate` a multiple of {wanted}."
        )
    if wanted == 1:  # programs stay as JAX makes them, and so does their cache
        yield
        return
    with jax.set_mesh(Mesh(np.array(there[:wanted]), (BATCH,))):
        yield


def is_main_process() -> bool:
    """Whether this process prints and writes, where several train one network."""
    import jax

    return jax.process_index() == 0


def run_devices() -> list[Device]:
    """The devices that a run computes on."""
    import jax

    mesh = jax.sharding.get_mesh()
    return jax.local_devices()[:1] if mesh.empty else list(mesh.devices.flat)


def place_rows(batch: T) -> T:
    """A tree of arrays whose rows are divided among the devices of the run."""
    import jax

    return jax.device_put(batch, _sharding(BATCH))


def place_state(state: T, *, sharded: bool = False) -> T:
    """A tree of arrays, whole on each device of the run.

    `sharded`: of a large array, each device holds an equal part where its sides allow that.
    """
    import jax

    def place(array: Any) -> Array:
        return jax.device_put(array, _sharding(*_axes(array.shape) if sharded else ()))

    return jax.tree.map(place, state)


def state_sharding() -> Sharding:
    """For weights, optimizer slots and sums: whole on each device of the run."""
    return _sharding()


def result_shardings(like: Any = None) -> Any:
    """Of a step's results: those of the arrays `like`, or whole on each device.

    None, which leaves it to JAX, on one device.
    """
    import jax

    if len(run_devices()) == 1:
        return None
    return state_sharding() if like is None else jax.tree.map(lambda a: a.sharding, like)


def by_rows(
    function: Callable[..., T], *, rows: tuple[bool, ...], out: bool | tuple[bool, ...] = True
) -> Callable[..., T]:
    """`function` for the rows of each device by itself; as it is where there is one device.

    `rows` says of each argument whether it has rows or is the same for all devices, `out` of each
    result: one that has none must be a `sum_over_devices`. Without it XLA would gather the whole
    batch on each device for a loop over its rows.
    """
    import jax
    from jax.sharding import PartitionSpec

    if not _is_spread():
        return function

    def spec(has_rows: bool) -> PartitionSpec:
        return PartitionSpec(BATCH) if has_rows else PartitionSpec()

    return jax.shard_map(
        function,
        in_specs=tuple(map(spec, rows)),
        out_specs=jax.tree.map(spec, out),
        check_vma=False,
    )


def sum_over_devices(array: Array) -> Array:
    """The sum of what each device has, within `by_rows`."""
    import jax

    return jax.lax.psum(array, BATCH) if _is_spread() else array


def _is_spread() -> bool:
    import jax

    return jax.sharding.get_abstract_mesh().shape.get(BATCH, 1) > 1


def _axes(shape: tuple[int, ...]) -> list[str | None]:
    """The longest side that the devices can share evenly, of an array that is worth it."""
    count = len(run_devices())
    sides = [axis for axis, side in enumerate(shape) if side % count == 0]
    if math.prod(shape) < WORTH_SHARDING or not sides:
        return []
    chosen = max(sides, key=lambda axis: shape[axis])
    return [BATCH if axis == chosen else None for axis in range(len(shape))]


def _sharding(*axes: str | None) -> Sharding:
    from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding, get_mesh

    mesh = get_mesh()
    if mesh.empty:  # what JAX itself gives an array
        return SingleDeviceSharding(run_devices()[0])
    return NamedSharding(mesh, PartitionSpec(*axes))
