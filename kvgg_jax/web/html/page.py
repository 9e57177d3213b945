"""What the HTML pages share: one file that needs no network and runs nothing, for every screen."""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import stat
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.text import escape_name, figure
from kvgg_jax.runs.folder import write_file

START = b"<!doctype html"
LEAST = 2**16  # bytes of a page, that there must be room for


def write_page(file: Path, template: str, **context: Any) -> int:
    """Fill a template and write it in one move; its size in bytes.

    Names of files and classes are text, whatever they hold. Raises RunError when the file cannot
    be written.
    """
    text = environment().get_template(template).render(context)
    write_file(file, text)
    return len(text.encode())


def check_writable(file: Path, *, option: str) -> None:
    """Before long work for a page. Raises RunError if it cannot be written; `option` names it.

    A file that is there is replaced only if it is a page too.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(file.stat().st_mode):
                raise OSError(errno.EINVAL, "it is not a file")
            with file.open("rb") as there:
                if there.read(len(START)).lower() not in (b"", START):
                    raise OSError(errno.EEXIST, "a file that is not a page is there")
        with tempfile.TemporaryFile(dir=file.parent) as trial:
            trial.write(bytes(LEAST))
    except OSError as error:
        text = f"Cannot write {escape_name(file)}: {error.strerror}."
        raise RunError(f"{text} Choose another {option}.") from None


def environment() -> Environment:
    """Where templates are found, and how values become text in them: escaped, in one line."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") else escape_name(value),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"fmt": figure, "data_url": data_url}
    return made


def data_url(pixels: Image.Image | NDArray[np.uint8], *, quality: int = 85) -> Markup:
    """An RGB image as a JPEG inside the page."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer := io.BytesIO(), "JPEG", quality=quality)
    return Markup(f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}")
