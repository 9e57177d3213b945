"""Around every response: who may ask, what a browser may do with it, what it tells of errors.

A page of any other site can send requests to a server on this machine. A foreign page under a name
that now leads here (DNS rebinding) is known by its Host header, one under its own name by Origin.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
SAFE = ("GET", "HEAD", "OPTIONS")
FAILED = "The server failed at this request. Its log says why."

Watch = Callable[[str, int, float], None]
"""Path, status (0 if the client left before), seconds."""


class Guard:
    """An ASGI application around another. `hosts` knows the names it has.

    An error of the application gets a response of one sentence, and is given to `report`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Hosts,
        watch: Watch,
        report: Callable[[Exception], None],
    ) -> None:
        self._app, self._hosts, self._watch, self._report = app, hosts, watch, report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is not HTTP passes. HEAD is GET, whose body the server leaves out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0
        method = "GET" if scope["method"] == "HEAD" else scope["method"]

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            app = self._refusal(scope) or self._app
            await app({**scope, "method": method}, receive, send_safely)
        except Exception as error:
            self._report(error)
            if not status:
                await failure(500, FAILED)(scope, receive, send_safely)
        finally:
            self._watch(scope["path"], status, time.monotonic() - started)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._hosts(name_of(hosts[0])):
            return failure(400, "The Host header does not name this server.")
        if scope["method"] in SAFE:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        is_own = origin is None or self._hosts.is_page(origin, hosts[0])
        if not is_own or site not in ("same-origin", "none"):
            return failure(403, "Pages of other sites cannot send photos here.")
        return None


def failure(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response to a request that is not answered."""
    return JSONResponse({"error": text}, status, headers)


def name_of(host: str) -> str:
    """`"[::1]:8000"` -> `"::1"`; empty for anything else."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class Hosts:
    """The names of a server bound to `bound`; `more` are those that `--allow-host` gives it.

    A loopback address has its usual names. Any other server may be asked for by any address: an
    attacker's page needs a name, of its own.
    """

    def __init__(self, bound: str, more: Iterable[str] = ()) -> None:
        self._bound, self._more = bound.lower(), {name.lower() for name in more}

    def __call__(self, name: str) -> bool:
        """Whether a Host header may have this name, which has no port."""
        if name in {"localhost", self._bound, *self._more}:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not is_loopback(self._bound)

    def is_page(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` is the server's own, asked for by the Host header `host`.

        A proxy before it may have given it another Host than the page's: its name is in `more`.
        """
        place = origin.partition("://")[2]  # empty for "null"
        return place == host or name_of(place) in self._more


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
