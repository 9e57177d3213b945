"""A small set of images lives on the devices that train, so that a step fetches nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.devices.hosts import from_main
from kvgg_jax.core.devices.mesh import place_rows, place_state, run_devices
from kvgg_jax.core.events import Emit, Note
from kvgg_jax.data.cache import Images, OnDisk, Undecoded, gib

if TYPE_CHECKING:
    from jax import Array

SHARE = 4  # a training needs the rest


class OnDevice:
    """`images`, whole on each device of the run. Of the rows that are read, each gets its own."""

    def __init__(self, images: Images) -> None:
        import jax

        self._images = place_state(images[np.arange(images.shape[0])])
        self._take = jax.jit(lambda images, rows: images[rows])

    def __getitem__(self, rows: NDArray[np.int64]) -> Array:
        return self._take(self._images, place_rows(rows))


def on_device(images: Images, cache: str, emit: Emit) -> OnDevice | None:
    """`images` on the devices if `cache` is `device`, or if it is `auto` and they fit easily.

    They do if they take at most a quarter of the free memory of a GPU. A CPU's devices have no
    memory of their own.
    """
    need = math.prod(images.shape)

    def fits() -> bool:
        memory = run_devices()[0].memory_stats()
        if not memory or isinstance(images, OnDisk | Undecoded):
            return False
        return need <= (memory["bytes_limit"] - memory["bytes_in_use"]) / SHARE

    if cache != "device" and not (cache == "auto" and from_main(fits)):
        return None
    emit(Note(f"The decoded photos, {gib(need)}, are kept on the device. `data.cache` chooses."))
    return OnDevice(images)
