"""Photos of a page, each small, with its name and a line on it."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from PIL import Image

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.places import Place
from kvgg_jax.data.decode.image import Read, decode_bytes
from kvgg_jax.web.html.page import data_url

SIDE = 128  # pixels of a thumbnail's longer side


def photo_item(path: Place, name: object, read: Read, text: str = "") -> dict[str, Any]:
    """What `macros.html.j2` shows as `item`."""
    alt = f"{path}, {text}" if text else path
    return {"image": thumbnail(path, read), "alt": alt, "name": name, "text": text}


def thumbnail(path: Place, read: Read) -> Markup | None:
    """A JPEG of `SIDE` pixels as a data URL; None where the file cannot be read."""
    try:
        image = Image.fromarray(decode_bytes(read(path), name=str(path), at_least=SIDE))
    except ImageError:
        return None
    image.thumbnail((SIDE, SIDE))
    return data_url(image, quality=80)
