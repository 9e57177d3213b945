"""What the tests of the server share: one that answers within this process."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.web.serve.app import create_app
from kvgg_jax.web.serve.limits import Limits
from kvgg_jax.web.serve.lookup import make_lookup
from kvgg_jax.web.serve.middleware import Hosts
from kvgg_jax.web.serve.network import Network
from kvgg_jax.web.serve.server import configure
from kvgg_jax.web.serve.service import Service

CLOCK = itertools.count()  # every batch takes as long, so that each size is kept
AT = "http://127.0.0.1:8000"


def uncompiled(run: Path, **options: Any) -> Network:
    """For up to 4 photos. Needs `thin_network`."""
    return Network([load_classifier(run)], most=4, **options)


def network_of(run: Path, **options: Any) -> Network:
    """Compiled for 1, 2 and 4 photos. Needs `thin_network`."""
    network = uncompiled(run, **options)
    network.compile(clock=lambda: next(CLOCK))
    return network


@contextmanager
def serving(
    network: Network, limits: Limits | None = None, *, similar: int = 0
) -> Iterator[TestClient]:
    """A client of a ready server; its `service` and its `errors` can be looked at."""
    service = _service(network, limits or Limits(), similar)
    errors: list[Exception] = []
    app = create_app(service, hosts=Hosts("127.0.0.1"), report=errors.append)
    with TestClient(app, AT, raise_server_exceptions=False) as client:
        service.open()
        client.service, client.errors = service, errors
        yield client


def files(*named: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """The form of an upload."""
    return [("files", one) for one in named]


def _service(network: Network, limits: Limits, similar: int) -> Service:
    service = Service(network, limits, wait=0.005, most_similar=similar)
    service.lookup = make_lookup(network.classifier) if similar else None
    return service


@contextmanager
def listening(network: Network, *, similar: int = 0) -> Iterator[str]:
    """The URL of a ready server in a thread, at a real socket."""
    service = _service(network, Limits(), similar)
    service.open()
    app = create_app(service, hosts=Hosts("127.0.0.1"), report=print)
    server = uvicorn.Server(configure(app, service))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        server.should_exit = True
        thread.join()
