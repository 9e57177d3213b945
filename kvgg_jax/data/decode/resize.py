"""What square the network gets of a photo that is none: `data.resize`."""

from __future__ import annotations

from PIL import Image, ImageOps

from kvgg_jax.core.tables.data import Resize

GRAY = (128, 128, 128)
"""Beside a padded photo: no hue that would look like a class, in the middle of 0..255, so that it
is near 0 after any network's preprocessing."""
SENTENCES: dict[Resize, str] = {
    "squash": "the whole image to a square, its sides scaled apart",
    "crop": "the largest square in the middle of the image, scaled",
    "pad": f"the whole image in the middle, its longer side scaled, RGB {GRAY} beside it",
}
"""What is done, for those who read a file of `export`."""


def to_square(image: Image.Image, size: int, resize: Resize) -> Image.Image:
    """`image`, RGB and upright, as `size` x `size` pixels. Bilinear with antialiasing."""
    square, how = (size, size), Image.Resampling.BILINEAR
    if resize == "crop":
        return ImageOps.fit(image, square, how)
    if image.size == square:
        return image
    if resize == "squash":
        return image.resize(square, how)
    width, height = (max(round(side), 1) for side in scaled(image.size, size, "pad"))
    padded = Image.new("RGB", square, GRAY)
    place = round((size - width) / 2), round((size - height) / 2)  # as `ImageOps.pad` does
    padded.paste(image.resize((width, height), how), place)
    return padded


def scaled(photo: tuple[int, int], size: int, resize: Resize) -> tuple[float, float]:
    """Width and height of the whole `photo` at the scale of its square of `size` pixels a side."""
    if resize == "squash":
        return size, size
    side = min(photo) if resize == "crop" else max(photo)
    width, height = photo
    return width / side * size, height / side * size


def box_of(photo: tuple[int, int], size: int, resize: Resize) -> tuple[float, float, float, float]:
    """Where the whole `photo` (width, height) lies in its square: left, top, right, bottom, in
    pixels of the square. What `crop` leaves out lies beyond its edges."""
    width, height = scaled(photo, size, resize)
    return (size - width) / 2, (size - height) / 2, (size + width) / 2, (size + height) / 2
