"""Values become text in a page, whatever they hold."""

from __future__ import annotations

import base64
import errno
import io
import os
import tempfile
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.errors import RunError
from kvgg_jax.web.html.page import check_writable, data_url, environment, write_page


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


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "it is not a file"),
        ("pipe", "it is not a file"),
        ("mine.sh", "a file that is not a page is there"),
        ("no/page.html", "No such file or directory"),
        ("old.html/page.html", "Not a directory"),
        ("n" * 256, "File name too long"),
    ],
)
def test_a_page_that_could_not_be_written_is_known_before(
    tmp_path: Path, name: str, reason: str
) -> None:
    """And with it the option to change."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.html").touch()
    (tmp_path / "mine.sh").write_text("echo\n")
    os.mkfifo(tmp_path / "pipe")
    file = tmp_path / name
    with pytest.raises(RunError) as caught:
        check_writable(file, option="--output")
    assert str(caught.value) == f"Cannot write {file}: {reason}. Choose another --output."


def test_a_folder_without_room_or_permission_is_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system says of it. A page that is there, and one that is not, can be written."""
    (tmp_path / "old.html").write_text("<!DOCTYPE html>")
    for name in ("old.html", "new.html"):
        check_writable(tmp_path / name, option="--html")
    assert [file.name for file in tmp_path.iterdir()] == ["old.html"]
    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS):

        def fail(*, dir: Path, number: int = number) -> NoReturn:
            raise OSError(number, os.strerror(number), str(dir))

        monkeypatch.setattr(tempfile, "TemporaryFile", fail)
        with pytest.raises(RunError, match=f"new.html: {os.strerror(number)}. Choose another"):
            check_writable(tmp_path / "new.html", option="--html")


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
