"""Forms are read in memory, within their time, and in whatever shape they come."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from typing import Any, NoReturn

import pytest

pytest.importorskip("starlette")
from starlette.requests import Request

from kvgg_jax.web.serve.limits import MIB, Limits
from kvgg_jax.web.serve.schemas import Unread
from kvgg_jax.web.serve.uploads import NAME, Refused, Upload, announced, read_uploads

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


def read(asked: Request, **limits: Any) -> list[Upload]:
    """The files in it."""
    return asyncio.run(read_uploads(asked, Limits(**limits)))


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


def test_a_client_that_stops_sending_is_not_waited_for() -> None:
    """Half a form."""
    with pytest.raises(Refused) as caught:
        read(request(part("a.png", b"x"), ends=False), read_seconds=0.05)
    assert (caught.value.status, caught.value.text) == (
        408,
        "The photos took more than 0.05 seconds to arrive.",
    )


def test_a_file_without_a_name_has_one() -> None:
    """To be answered by."""
    assert read(request(part("", b"x"), b"--b--\r\n")) == [Upload("photo", b"x")]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("5", 5),
        ("0" * 30 + "7", 7),
        ("0", 0),
        (str(MIB), MIB),
        (None, MIB),
        ("-1", MIB),
        ("\u0665", MIB),
        ("1e3", MIB),
    ],
)
def test_a_request_without_a_length_counts_as_the_longest(
    length: str | None, expected: int
) -> None:
    """It is cut where it exceeds that."""
    headers = {} if length is None else {"content-length": length}
    raw = [(name.encode(), value.encode("utf-8")) for name, value in headers.items()]
    asked = Request({"type": "http", "method": "POST", "headers": raw})
    assert announced(asked, Limits(upload_bytes=MIB)) == expected


@pytest.mark.parametrize("length", [str(MIB + 1), "9" * 5000, f"{'0' * 20}{MIB + 1}"])
def test_a_length_beyond_the_limit_is_refused_before_it_is_read(length: str) -> None:
    """Whatever number it is."""
    asked = request(headers={"content-length": length})
    with pytest.raises(Refused) as caught:
        announced(asked, Limits(upload_bytes=MIB))
    assert caught.value.status == 413


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
