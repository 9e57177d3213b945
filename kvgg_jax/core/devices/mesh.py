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

from kvgg_jax.core.devices.hosts import are_several
from kvgg_jax.core.errors import UsageError

if TYPE_CHECKING:
    from jax import Array, Device
    from jax.sharding import PartitionSpec, Sharding

T = TypeVar("T")
BATCH = "batch"
"""The one axis of the mesh."""
WORTH_SHARDING = 2**12  # values; below it an array costs more to gather than to keep


@contextmanager
def use_devices(count: str, *, rows: int) -> Iterator[None]:
    """Compute on so many devices, or on `all`, in batches of `rows`, as long as it is open.

    Of several processes, each has so many. Raises UsageError where there are fewer, or where all
    together cannot share the rows evenly.
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
    processes = jax.process_count() if are_several() else 1
    total = wanted * processes
    if rows % total:
        raise UsageError(
            f"`train.devices = {count}`: {total} devices cannot share {rows} photos "
            f"evenly. Make `train.batch_size` / `train.accumulate` a multiple of {total}."
        )
    if total == 1:  # programs stay as JAX makes them, and so does their cache
        yield
        return
    everywhere = jax.devices() if processes > 1 else there
    own = [[d for d in everywhere if d.process_index == n][:wanted] for n in range(processes)]
    chosen = [device for devices in own for device in devices]
    with jax.set_mesh(Mesh(np.array(chosen), (BATCH,))):
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Compute in this process by itself, on one device, as long as it is open."""
    import jax
    import numpy as np
    from jax.sharding import Mesh

    if len(run_devices()) == 1:
        yield
        return
    with jax.set_mesh(Mesh(np.array(jax.local_devices()[:1]), (BATCH,))):
        yield


def local_rows(count: int) -> slice:
    """Which of the rows of a batch this process reads: all of them, unless it is one of several."""
    if not are_several():
        return slice(0, count)
    import jax

    share = count // jax.process_count()
    return slice(jax.process_index() * share, (jax.process_index() + 1) * share)


def run_devices() -> list[Device]:
    """The devices that a run computes on."""
    import jax

    mesh = jax.sharding.get_mesh()
    return jax.local_devices()[:1] if mesh.empty else list(mesh.devices.flat)


def place_rows(batch: T) -> T:
    """A tree of arrays whose rows are divided among the devices of the run.

    Each process has its `local_rows`. What is placed already stays there.
    """
    import jax

    sharding = _sharding(BATCH)
    if sharding.is_fully_addressable:
        return jax.device_put(batch, sharding)

    def place(rows: Any) -> Array:
        if isinstance(rows, jax.Array) and rows.sharding == sharding:
            return rows
        return jax.make_array_from_process_local_data(sharding, rows)

    return jax.tree.map(place, batch)


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
