"""The work that an image file asks of Pillow: how often it decodes, and how many pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from kvgg_jax.data.decode.limits import LARGE, SCAN


@contextmanager
def noted() -> Iterator[list[tuple[str, int]]]:
    """Within the block: the mode and the number of pixels of each decode that is begun."""
    begun: list[tuple[str, int]] = []
    old = {ImageFile: ImageFile.load, TiffImageFile: TiffImageFile.load}

    def noting(load: Callable[[Any], Any], is_own: Callable[[Any], bool]) -> Any:
        def wrapped(image: Any) -> Any:
            if image.tile and is_own(image):
                begun.append((image.mode, image.width * image.height))
            return load(image)

        return wrapped

    ImageFile.load = noting(ImageFile.load, lambda image: True)
    # where libtiff does not decode it, it goes to the other one
    TiffImageFile.load = noting(TiffImageFile.load, lambda image: image.use_load_libtiff)
    try:
        yield begun
    finally:
        for kind, load in old.items():
            kind.load = load


def are_small(begun: list[tuple[str, int]]) -> bool:
    """Whether each has no more pixels than a file may have that is not as long as a photo's."""
    return all(pixels <= (SCAN if mode == "1" else LARGE) for mode, pixels in begun)
