"""The files of a request, in memory and never on disk, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from kvgg_jax.web.serve.limits import MIB, Limits

FIELDS = 8  # at most, other than files; they are ignored
NAME = 255  # characters of a file's name that are kept


class Refused(Exception):
    """A request that is refused: HTTP status, and a sentence for its sender."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Upload(NamedTuple):
    """A file as it was sent; `name` is what its sender calls it, and is only repeated."""

    name: str
    content: bytes


class _InMemory(MultiPartParser):
    spool_max_size = 0  # of SpooledTemporaryFile: it never goes to disk


def announced(request: Request, limits: Limits) -> int:
    """Bytes of a request's body: what it says, or else the most. Raises Refused for too many."""
    text = request.headers.get("content-length", "")
    if not (text.isascii() and text.isdigit()):
        return limits.upload_bytes
    length = int(text.lstrip("0")[:20] or "0")
    if length > limits.upload_bytes:
        raise _too_large(limits)
    return length


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """The files of a multipart form, one or more. Raises Refused."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused(415, "Send photos as multipart/form-data, each in a field named files.")
    # One file more than allowed is read, to tell too many from a broken form.
    parser = _InMemory(
        request.headers, _bounded(request, limits), max_files=limits.files + 1, max_fields=FIELDS
    )
    try:
        async with asyncio.timeout(limits.read_seconds):
            form = await parser.parse()
    except TimeoutError:
        seconds = f"{limits.read_seconds:g} seconds"
        raise Refused(408, f"The photos took more than {seconds} to arrive.") from None
    except (MultiPartException, ClientDisconnect, UnicodeError):  # of a charset that cannot be
        raise (
            _too_many(limits)
            if _count(parser) > limits.files
            else Refused(400, "The form is broken: it is not valid multipart/form-data.")
        ) from None
    try:
        files = [one for _, one in form.multi_items() if isinstance(one, UploadFile)]
        if len(files) > limits.files:
            raise _too_many(limits)
        if not files:
            raise Refused(400, "The form has no photos. Send each in a field named files.")
        return [Upload((one.filename or "photo")[:NAME], await one.read()) for one in files]
    finally:
        await form.close()


def _count(parser: MultiPartParser) -> int:
    return sum(isinstance(one, UploadFile) for _, one in parser.items)


async def _bounded(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limits.upload_bytes:
            raise _too_large(limits)
        yield chunk


def _too_large(limits: Limits) -> Refused:
    return Refused(
        413, f"The photos have more than {limits.upload_bytes / MIB:g} MiB in all. Send fewer."
    )


def _too_many(limits: Limits) -> Refused:
    return Refused(413, f"There are more than {limits.files} photos. Send them in parts.")
