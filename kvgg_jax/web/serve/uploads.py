"""The files of a request, in memory and never on disk, within limits."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from kvgg_jax.data.decode.file_types import HEAD, kind_of
from kvgg_jax.data.decode.limits import decoded_size, open_header
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

    @property
    def pixels(self) -> int:
        """Of the image to decode, by its header; 0 if it has none that can be read."""
        kind = kind_of(self.content[:HEAD])
        if kind is None:
            return 0
        try:
            with open_header(io.BytesIO(self.content), kind) as image:
                width, height = decoded_size(image)
        except Exception:  # of any type; decoding will name the reason
            return 0
        return width * height


class _InMemory(MultiPartParser):
    spool_max_size = 0  # of SpooledTemporaryFile: it never goes to disk


async def read_uploads(
    request: Request, limits: Limits, count: Callable[[int], None]
) -> list[Upload]:
    """The files of a multipart form, one or more. `count` is called with the bytes as they come.

    Raises Refused, and what `count` raises.
    """
    _check_headers(request, limits)
    try:
        async with asyncio.timeout(min(limits.header_seconds, limits.read_seconds)) as deadline:
            body = _arriving(request, limits, count=count, deadline=deadline)
            # One file more than allowed is read, to tell too many from a broken form.
            parser = _InMemory(request.headers, body, max_files=limits.files + 1, max_fields=FIELDS)
            form = await parser.parse()
    except TimeoutError:
        raise Refused(
            408,
            f"The photos came too slowly. Send them within {limits.read_seconds:g} seconds, at "
            f"{limits.read_rate / 1024:g} KiB per second or more.",
        ) from None
    except (MultiPartException, ClientDisconnect, UnicodeError):  # of a charset that cannot be
        raise (
            _too_many(limits)
            if _files(parser) > limits.files
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


def _check_headers(request: Request, limits: Limits) -> None:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused(415, "Send photos as multipart/form-data, each in a field named files.")
    length = request.headers.get("content-length", "")
    known = int(length.lstrip("0")[:20] or "0") if length.isascii() and length.isdigit() else 0
    if known > limits.upload_bytes:
        raise _too_large(limits)


def _files(parser: MultiPartParser) -> int:
    return sum(isinstance(one, UploadFile) for _, one in parser.items)


async def _arriving(
    request: Request,
    limits: Limits,
    *,
    count: Callable[[int], None],
    deadline: asyncio.Timeout,
) -> AsyncIterator[bytes]:
    """The body as it comes. Each byte moves the deadline on, but never by more than a pause."""
    now = asyncio.get_running_loop().time
    end, total = now() + limits.read_seconds, 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limits.upload_bytes:
            raise _too_large(limits)
        count(len(chunk))
        paid = (deadline.when() or end) + len(chunk) / limits.read_rate
        deadline.reschedule(min(paid, now() + limits.header_seconds, end))
        yield chunk


def _too_large(limits: Limits) -> Refused:
    return Refused(
        413, f"The photos have more than {limits.upload_bytes / MIB:g} MiB in all. Send fewer."
    )


def _too_many(limits: Limits) -> Refused:
    return Refused(413, f"There are more than {limits.files} photos. Send them in parts.")
