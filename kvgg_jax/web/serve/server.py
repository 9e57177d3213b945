"""`serve`: the socket, the signals, the order of starting and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from kvgg_jax.core.errors import ServeError, UsageError
from kvgg_jax.core.events import Emit, Event, Warned, ignore
from kvgg_jax.inference.classifier import members_of
from kvgg_jax.runs import catalog
from kvgg_jax.web.serve.app import create_app
from kvgg_jax.web.serve.connections import BACKLOG, Connection, fitting, log, seldom
from kvgg_jax.web.serve.limits import Limits
from kvgg_jax.web.serve.lookup import make_lookup
from kvgg_jax.web.serve.middleware import Hosts, is_loopback
from kvgg_jax.web.serve.network import Network
from kvgg_jax.web.serve.service import Service

GRACE_SECONDS = 30  # in which requests in progress are answered when it is stopped
HIGHEST_PORT = 65_535


def serve(
    run: str | Path | None = None,
    *,
    host: str,
    port: int,
    hosts: tuple[str, ...] = (),
    limits: Limits,
    most: int,
    wait: float,
    raw: bool = False,
    tta: bool = False,
    unsure_below: float | None = None,
    similar: int = 0,
    unknown_below: float | None = None,
    out: str | Path = catalog.OUT,
    stop: Callable[[], bool],
    ready: Callable[[str], None],
    emit: Emit = ignore,
) -> None:
    """Serve a run, or the folds of a cross-validation, at `host` and `port` (0: a free one) until
    `stop` is true.

    `ready` is called with the address once it answers. `hosts` are further names that it has;
    `most` images are classified at once, gathered for `wait` seconds. Small copies of up to
    `similar` training photos may be asked for per photo. Raises ServeError for the address,
    RunError for the run, UsageError for `similar` with several networks.
    """
    limits = fitting(limits, emit)
    with contextlib.closing(_bind(host, port)) as bound:
        members = members_of(run, out=out, emit=emit)
        if similar and len(members) > 1:
            fold = members[0].run.path
            raise UsageError(
                f"--similar needs one run: the folds of {fold.parent} see photos each in its own "
                f"way. Serve one of them: --run {fold}"
            )
        below: Any = {"unsure_below": unsure_below, "unknown_below": unknown_below}
        network = Network(members, most=most, raw=raw, tta=tta, **below, emit=emit)
        if not is_loopback(host):
            text = f"--host {host} lets everyone in that network use it, unencrypted and unasked"
            text += ", and shows small copies of training photos" if similar else ""
            emit(Warned(f"{text}; without it, only this machine can."))
        service = Service(network, limits, wait=wait, most_similar=similar)
        _run(service, bound, Hosts(host, hosts), stop, ready, emit)


def _run(
    service: Service,
    bound: socket.socket,
    hosts: Hosts,
    stop: Callable[[], bool],
    ready: Callable[[str], None],
    emit: Emit,
) -> None:
    errors: list[BaseException] = []

    def emit_until_stopped(event: Event) -> None:  # a whole folder of photos may be embedded
        if stop():
            raise _Stopped
        emit(event)

    def compile_all() -> None:
        try:
            if service.most_similar:
                service.lookup = make_lookup(service.network.classifier, emit_until_stopped)
            service.network.compile(emit=emit, stopped=stop)
            if not stop():
                service.open()
                ready(_address(bound))
        except _Stopped:
            pass
        except BaseException as error:  # of this thread; raised where the program can end by it
            errors.append(error)

    compiling = threading.Thread(target=compile_all, name="compiling")

    def report(error: Exception) -> None:
        log.error("A request failed", exc_info=error)

    def stopping() -> bool:
        if errors or stop():
            service.status = "stopping"
        return service.status == "stopping"

    app = create_app(service, hosts=hosts, report=report, start=compiling.start)
    talkative = map(logging.getLogger, ("uvicorn.error", "asyncio", "python_multipart.multipart"))
    with seldom(log, *talkative):
        asyncio.run(_Server(configure(app, service), stopping).serve([bound]))
    compiling.join()
    for error in errors:
        raise error


def configure(app: ASGIApp, service: Service) -> uvicorn.Config:
    """Uvicorn with the limits of `service` on connections."""
    return uvicorn.Config(
        app,
        http=partial(Connection, room=service.connections, limits=service.limits),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # anybody could write them
        ws="none",
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


class _Stopped(Exception):
    """It is stopped before it was ready."""


class _Server(uvicorn.Server):
    """Uvicorn, which leaves signals to the program and asks it ten times a second."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], bool]) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stopping()


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ServeError."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "is not a host name"
        raise ServeError(f"--host {host}: {reason}. Use 127.0.0.1.") from None
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise _refused(error, host, port) from None


def _refused(error: OSError, host: str, port: int) -> ServeError:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < HIGHEST_PORT else 0
        return ServeError(
            f"Port {port} of {host} is in use. Stop what uses it, or choose another port: "
            f"--port {other}"
        )
    if error.errno == errno.EACCES:
        return ServeError(
            f"Port {port} is for administrators. Choose one from 1024 on: --port 8000"
        )
    reason = os.strerror(error.errno or 0)
    return ServeError(f"--host {host}: {reason}. Use an address of this machine.")


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # one that a browser can open
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
