"""Connections end when their clients make the server wait, and are bounded in number."""

from __future__ import annotations

import asyncio
import logging
import queue
import resource
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

pytest.importorskip("uvicorn")
import uvicorn
from uvicorn.server import ServerState

from kvgg_jax.core.errors import ServeError
from kvgg_jax.core.events import Event, Warned
from kvgg_jax.web.serve.connections import REFUSAL, Connection, OncePerMinute, fitting
from kvgg_jax.web.serve.limits import CapacityLimit, Limits
from support.runs import PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"


def app(size: int = 2, *, reads: bool = False, waits: float = 0) -> Any:
    """Answers with `size` bytes, once the whole body has come, or so many seconds have passed."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(waits)
        while reads and (await receive()).get("more_body"):
            pass
        length = [(b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": bytes(size)})

    return answer


def protocol(answer: Any, room: CapacityLimit, limits: Limits) -> Any:
    """What makes a connection of `answer`, and its configuration."""
    http = partial(Connection, room=room, limits=limits)
    return uvicorn.Config(answer, http=http, lifespan="off", log_config=None, ws="none")


class Wire(asyncio.Transport):
    """The server's side of a connection whose client the test plays."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)})
        self.answers, self.ended = asyncio.Queue[bytes](), asyncio.Event()

    def write(self, data: bytes) -> None:
        if data:
            self.answers.put_nowait(data)

    def is_closing(self) -> bool:
        return self.ended.is_set()

    def abort(self) -> None:
        self.ended.set()

    close = abort

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def play(client: Callable[[Connection, Wire], Coroutine[Any, Any, None]], answer: Any) -> None:
    """Play a client of a server that waits a twentieth of a second for headers."""

    async def test() -> None:
        limits = Limits(header_seconds=0.05)
        config = protocol(answer, room := limits.capacity(1, 1), limits)
        config.load()
        state = ServerState()
        made = config.http_protocol_class(config=config, server_state=state, app_state={})
        made.connection_made(wire := Wire())
        await client(made, wire)
        made.connection_lost(None)
        assert room.used == 0

    asyncio.run(asyncio.wait_for(test(), PATIENCE))


def test_headers_that_do_not_come_end_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    """Half of them, or one byte after the other; the log names the reason."""

    async def half(made: Connection, wire: Wire) -> None:
        made.data_received(GET[:-4])
        await wire.ended.wait()

    async def slow(made: Connection, wire: Wire) -> None:
        made.data_received(GET[:-4])
        while not wire.ended.is_set():
            made.data_received(b"x")
            await asyncio.sleep(0.01)

    play(half, app())
    play(slow, app())
    reason = "Ended a connection: its request took too long."
    assert [record.getMessage() for record in caplog.records] == [reason, reason]


def test_a_connection_that_is_not_used_ends_silently(caplog: pytest.LogCaptureFixture) -> None:
    """Browsers open some in advance."""

    async def unused(_: Connection, wire: Wire) -> None:
        await wire.ended.wait()

    play(unused, app())
    assert caplog.records == []


def test_a_request_in_progress_may_take_longer_than_its_headers() -> None:
    """The next one on the same connection too."""

    async def patient(made: Connection, wire: Wire) -> None:
        for _ in range(2):
            made.data_received(GET)
            assert (await wire.answers.get()).startswith(b"HTTP/1.1 200")
            assert await wire.answers.get() == bytes(2)
        assert not wire.ended.is_set()

    play(patient, app(waits=0.1))


def test_what_is_sent_after_the_response_is_not_read_for_ever() -> None:
    """As the rest of a body that was refused."""

    async def endless(made: Connection, wire: Wire) -> None:
        made.data_received(POST)
        assert (await wire.answers.get()).startswith(b"HTTP/1.1 200")
        while not wire.ended.is_set():
            made.data_received(b"x")
            await asyncio.sleep(0.01)

    play(endless, app())


@contextmanager
def listening(answer: Any, **limits: Any) -> Iterator[tuple[int, Room]]:
    """The port of a server in a thread, and the room for its connections."""
    bounds = Limits(**{"header_seconds": PATIENCE, **limits})
    room = Room(bounds.connections, each=bounds.client_connections)
    server = uvicorn.Server(protocol(answer, room, bounds))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            yield bound.getsockname()[1], room
        finally:
            server.should_exit = True
            thread.join()


def connect(port: int, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
    made.sendall(sent)
    return made


def rest(made: socket.socket) -> bytes:
    """All that still comes until the server ends the connection."""
    got = b""
    try:
        while more := made.recv(2**16):
            got += more
    except ConnectionResetError:
        pass
    return got


class Room(CapacityLimit):
    """Notes each change of what is used, however soon the next one comes."""

    def __init__(self, size: int, *, each: int) -> None:
        self.changes = queue.Queue[int]()
        super().__init__(size, each=each)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "used":
            self.changes.put(value)


def until(room: Room, used: int) -> None:
    while room.changes.get(timeout=PATIENCE) != used:
        pass


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_a_response_that_is_not_taken_ends_the_connection(
    header: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """More of it than the system keeps for its client."""
    size = 50_000_000
    with (
        listening(app(size), read_seconds=0.1) as (port, room),
        connect(port, GET[:-2] + header + b"\r\n") as made,
    ):
        until(room, 1)
        until(room, 0)
        assert len(rest(made)) < size
    assert [record.getMessage() for record in caplog.records] == [
        "Ended a connection: its response took too long."
    ]


def test_one_client_gets_no_more_than_its_share(caplog: pytest.LogCaptureFixture) -> None:
    """The next one is asked to try again, and can when one has left. Other clients have theirs."""
    with ExitStack() as stack:
        limits = {"connections": 3, "client_connections": 2}
        port, room = stack.enter_context(listening(app(reads=True), **limits))

        def client(*what: Any) -> socket.socket:
            return stack.enter_context(connect(port, *what))

        first = client(POST)
        client(POST)
        until(room, 2)
        assert rest(client()) == REFUSAL
        other = client(POST, "127.0.0.2")
        until(room, 3)
        assert rest(client(b"", "127.0.0.3")) == REFUSAL
        other.close()
        first.close()
        until(room, 1)
        assert client(GET).recv(2**16).startswith(b"HTTP/1.1 200")
    reason = "Ended a connection: its client, or all clients, have too many."
    assert [record.getMessage() for record in caplog.records] == [reason, reason]


def test_there_are_no_more_connections_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning says how to allow more; where none is left, an error."""
    happened: list[Event] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert fitting(Limits(), happened.append) == Limits(connections=128)
    assert fitting(Limits(connections=128), happened.append) == Limits(connections=128)
    assert happened == [
        Warned(
            "Serving 128 connections at a time: this process may open only 256 files. For 256, "
            "before you start it: ulimit -n 384"
        )
    ]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (128, 4096))
    with pytest.raises(ServeError) as caught:
        fitting(Limits(), happened.append)
    assert str(caught.value) == (
        "This process may open only 128 files, which leaves none for connections. "
        "Allow more before you start it: ulimit -n 384"
    )


def test_the_log_gets_a_line_per_minute_from_each_place() -> None:
    """The next one has the number of those that were left out."""
    now = [0.0]
    rule = OncePerMinute(clock=lambda: now[0])

    def logged(line: int, text: str = "%s happened", error: type | None = None) -> str | None:
        info = (error, None, None) if error else None
        record = logging.LogRecord("x", logging.WARNING, "x.py", line, text, ("it",), info)
        return record.getMessage() if rule.filter(record) else None

    assert [logged(1), logged(1), logged(1), logged(2)] == [
        *("it happened", None, None),
        "it happened",
    ]
    assert [logged(3, error=KeyError), logged(3, error=KeyError), logged(3, error=OSError)] == [
        *("it happened", None),
        "it happened",
    ]
    now[0] = 59.9
    assert logged(1) is None
    now[0] = 60
    assert [logged(1), logged(2), logged(1)] == [
        "it happened (3 more since the last line)",
        *("it happened", None),
    ]
