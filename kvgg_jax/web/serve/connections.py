"""Connections: bounded in number and in time, and in what they write into the log.

Uvicorn waits for ever for a request to begin, and a turn of asyncio's loop accepts connections
until no file can be opened any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from kvgg_jax.core.errors import ServeError
from kvgg_jax.core.events import Emit, Warned
from kvgg_jax.web.serve.limits import CapacityLimit, Full, Limits, client_of

BACKLOG = 64  # connections that wait to be accepted, and that one turn of the loop accepts
RESERVED = 64 + BACKLOG  # files that are open beside the connections, and those just accepted
MINUTE = 60
_BUSY = json.dumps({"error": "Too many connections. Try again in a moment."}).encode()
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_BUSY), _BUSY)
)
log = logging.getLogger("kvgg_jax.web.serve")


class Connection(H11Protocol):
    """One that holds a place in `room`, and ends when its client makes the server wait.

    Within `Limits.header_seconds` its headers have to arrive, and what a client goes on sending
    after its response; within `Limits.read_seconds` it has to take that response.
    """

    def __init__(self, *, room: CapacityLimit, limits: Limits, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._room, self._limits = room, limits
        self._place = contextlib.ExitStack()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a place; if there is none, answer 503."""
        super().connection_made(transport)
        try:
            self._place.enter_context(self._room.take(client_of(self.client[0]), 1))
        except Full:
            _note("its client, or all clients, have too many")
            transport.write(REFUSAL)
            transport.close()
        else:
            self._limit("request", self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        for timer in self._timers.values():
            timer.cancel()
        self._place.close()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Limit the time until a request has begun, or until what follows a response ends."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._limit("request", None)  # the application reads on, within limits of its own
        elif "request" not in self._timers:
            self._limit("request", self._limits.header_seconds)

    def pause_writing(self) -> None:
        """The client does not take its response: not for ever."""
        super().pause_writing()
        self._limit("response", self._limits.read_seconds)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._limit("response", None)

    def on_response_complete(self) -> None:
        """A connection that closes does so only once its client has taken the response."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._limit("response", self._limits.read_seconds)

    def timeout_keep_alive_handler(self) -> None:
        """So does one that was idle."""
        super().timeout_keep_alive_handler()
        self._limit("response", self._limits.read_seconds)

    def _limit(self, what: str, seconds: float | None) -> None:
        """End the connection in so many seconds; None takes that back."""
        if timer := self._timers.pop(what, None):
            timer.cancel()
        if seconds is not None:
            self._timers[what] = self.loop.call_later(seconds, self._end, what)

    def _end(self, what: str) -> None:
        if self not in self.connections:  # it was lost
            return
        if self.cycle is not None or self.conn.trailing_data[0]:
            _note(f"its {what} took too long")  # a browser opens some that it does not use
        self.transport.abort()


def _note(reason: str) -> None:
    log.warning("Ended a connection: %s.", reason)


def fitting(limits: Limits, emit: Emit) -> Limits:
    """`limits` with no more connections than this process may have files open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits.connections + RESERVED <= files:
        return limits
    enough = f"ulimit -n {limits.connections + RESERVED}"
    if files <= RESERVED:
        raise ServeError(
            f"This process may open only {files} files, which leaves none for connections. "
            f"Allow more before you start it: {enough}"
        )
    emit(
        Warned(
            f"Serving {files - RESERVED} connections at a time: this process may open only "
            f"{files} files. For {limits.connections}, before you start it: {enough}"
        )
    )
    return replace(limits, connections=files - RESERVED)


class OncePerMinute(logging.Filter):
    """Passes one record per minute from each place, with the number of those left out.

    A place is a line of code and the type of the error that it logs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[object, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        error = record.exc_info[0] if record.exc_info else None
        place, now = (record.pathname, record.lineno, error), self._clock()
        since, left_out = self._seen.get(place, (-math.inf, 0))
        if now - since < MINUTE:
            self._seen[place] = since, left_out + 1
            return False
        self._seen[place] = now, 0
        if left_out:
            record.msg = f"{record.msg} ({left_out:,} more since the last line)"
        return True


@contextlib.contextmanager
def seldom(*loggers: logging.Logger) -> Iterator[None]:
    """Within the block, who sends what cannot be answered does not fill the log."""
    rule = OncePerMinute()
    for logger in loggers:
        logger.addFilter(rule)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(rule)
