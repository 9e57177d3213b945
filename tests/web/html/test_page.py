"""Values become text in a page, whatever they hold."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.errors import RunError
from kvgg_jax.web.html.page import data_url, environment, write_page


def test_values_are_escaped_and_stay_in_one_line() -> None:
    """Markup as text, control characters as their escapes; missing numbers are a dash."""
    template = environment().from_string("<b>{{ name }}</b> {{ none | fmt('.3f') }}")
    text = template.render(name="<i>\x1b\n{{ 7 * 7 }}", none=None)
    assert text == r"<b>&lt;i&gt;\x1b\n{{ 7 * 7 }}</b> -"


def test_an_image_becomes_a_jpeg_inside_the_page() -> None:
    """At its own size."""
    kind, text = data_url(np.zeros((4, 6, 3), np.uint8)).split(",")
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert (kind, image.format, image.size) == ("data:image/jpeg;base64", "JPEG", (6, 4))


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The place is named."""
    values = {"title": "x", "facts": [], "groups": [], "groups_left": 0, "lists": [], "classes": []}
    file = tmp_path / "check.html"
    assert write_page(file, "check.html.j2", **values) == len(file.read_bytes())
    with pytest.raises(RunError) as caught:
        write_page(tmp_path / "no" / "check.html", "check.html.j2", **values)
    assert str(caught.value) == (
        f"Cannot write {tmp_path}/no/check.html: No such file or directory."
    )
