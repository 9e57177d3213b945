"""Forms are read in memory, within their time, and in whatever shape they come."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from PIL import Image

pytest.importorskip("starlette")
from starlette.requests import Request

from kvgg_jax.web.serve.limits import MIB, Full, Limits
from kvgg_jax.web.serve.schemas import Unread
from kvgg_jax.web.serve.uploads import NAME, Refused, Upload, read_uploads
from support.hostile import tiff

HEADERS = {"content-type": "multipart/form-data; boundary=b"}


def part(name: str, content: bytes) -> bytes:
    """One file."""
    head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def request(*chunks: bytes, headers: dict[str, str] = HEADERS, ends: bool = True) -> Request:
    """One whose body comes in `chunks`, and then, unless it `ends`, nothing for ever."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if left:
            body = left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(left) or not ends}
        await asyncio.Event().wait()
        raise AssertionError

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def read(asked: Request, count: Callable[[int], None] = id, **limits: Any) -> list[Upload]:
    """The files in it."""
    return asyncio.run(read_uploads(asked, Limits(**limits), count))


def test_files_come_out_as_they_were_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the network cuts them; none of them touches the disk, however large."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("written to disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    sent = {"a.png": bytes(range(256)) * 10_000, "\u65e5.png": b"", "n" * 400: b"x"}
    body = b"".join(part(name, content) for name, content in sent.items()) + b"--b--\r\n"
    chunks = [body[at : at + 65_521] for at in range(0, len(body), 65_521)]
    assert read(request(*chunks)) == [
        Upload(name[:NAME], content) for name, content in sent.items()
    ]


SLOW = "The photos came too slowly. Send them within 300 seconds, at 4 KiB per second or more."


def byte_after_byte() -> Request:
    """Of a file that has no end."""
    head = [part("a.png", b"x")]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": head.pop() if head else b"x", "more_body": True}

    return Request(request().scope, receive)


@pytest.mark.parametrize(
    "asked",
    [
        request(part("a.png", b"x"), ends=False),
        request(part("a.png", bytes(MIB)), ends=False),
        byte_after_byte(),
    ],
    ids=["half", "much and then nothing", "a byte after the other"],
)
def test_a_client_that_sends_too_slowly_is_not_waited_for(asked: Request) -> None:
    """Whatever it has sent before, and long before the end of its time."""
    with pytest.raises(Refused) as caught:
        read(asked, header_seconds=0.05, read_seconds=300)
    assert (caught.value.status, caught.value.text) == (408, SLOW)


def test_a_client_that_sends_for_ever_is_not_waited_for() -> None:
    """However fast."""
    with pytest.raises(Refused) as caught:
        read(byte_after_byte(), read_seconds=0.05, read_rate=1)
    assert caught.value.status == 408


def test_only_what_has_come_is_counted() -> None:
    """Not what the headers announce."""
    counted: list[int] = []
    body = part("a.png", b"x") + b"--b--\r\n"
    announced = {**HEADERS, "content-length": "33554432"}
    read(request(body[:50], body[50:], headers=announced), counted.append)
    assert counted == [50, len(body) - 50, 0]

    def full(_: int) -> NoReturn:
        raise Full

    with pytest.raises(Full):
        read(request(body), full)


TILE = {322: 5000, 323: 8000, 324: 256, 325: 64}  # of a TIFF of 8 x 8 pixels


def image(kind: str, size: tuple[int, int]) -> bytes:
    Image.new("L", size).save(file := io.BytesIO(), kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (image("PNG", (30, 40)), 1200),
        (image("JPEG", (30, 40))[:400], 1200),  # cut: its header is whole
        (tiff(b"\0", tags=TILE, bits=(8,), photometric=1), 40_000_000),
        (b"", 0),
        (b"\x89PNG\r\n\x1a\n", 0),
        (b"<html>", 0),
    ],
)
def test_pixels_are_known_before_an_image_is_decoded(content: bytes, pixels: int) -> None:
    """Those that decoding would make; none of what cannot be decoded."""
    assert Upload("a", content).pixels == pixels


def test_a_file_without_a_name_has_one() -> None:
    """To be answered by."""
    assert read(request(part("", b"x"), b"--b--\r\n")) == [Upload("photo", b"x")]


@pytest.mark.parametrize("length", [str(MIB + 1), "9" * 5000, f"{'0' * 20}{MIB + 1}"])
def test_a_length_beyond_the_limit_is_refused_before_it_is_read(length: str) -> None:
    """Whatever number it is."""
    asked = request(headers={**HEADERS, "content-length": length}, ends=False)
    with pytest.raises(Refused) as caught:
        read(asked, upload_bytes=MIB)
    assert caught.value.status == 413


@pytest.mark.parametrize("length", ["-1", "\u0665", "1e3", "0" * 30 + "7"])
def test_a_length_that_is_no_length_does_not_matter(length: str) -> None:
    """What comes is counted."""
    asked = request(part("a", b"x") + b"--b--\r\n", headers={**HEADERS, "content-length": length})
    assert read(asked, upload_bytes=MIB) == [Upload("a", b"x")]


def test_endless_headers_are_no_form() -> None:
    """They cost no more time than their length."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + b"a" * 65_000
    with pytest.raises(Refused) as caught:
        read(request(head, *[b"a" * 65_000] * 200))
    assert caught.value.status == 400


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape", "no-such"])
def test_a_charset_that_cannot_be_is_no_error_of_the_server(charset: str) -> None:
    """It is refused, or the name is read in some way."""
    asked = request(
        part("a\\ud800.png", b"x") + b"--b--\r\n",
        headers={"content-type": f"multipart/form-data; boundary=b; charset={charset}"},
    )
    with contextlib.suppress(Refused):
        (found,) = read(asked)
        assert Unread(name=found.name, error="x").model_dump_json()
