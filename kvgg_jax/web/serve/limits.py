"""What one client, and all together, may ask of the server."""

from __future__ import annotations

import contextlib
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kvgg_jax.core.errors import UsageError

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of connections and uploads; a response to a request beyond them names the one."""

    upload_bytes: int = 32 * MIB
    """Of one request, all of its files together."""
    files: int = 32
    """In one request."""
    pixels: int = 50_000_000
    """Of one image, before it is scaled down; twice those of most phones."""
    request_pixels: int = 200_000_000
    """Of all images of a request."""
    waiting: int = 64
    """Images of all clients at one time; beyond them the response is 503."""
    connections: int = 256
    """Of all clients."""
    client_connections: int = 64
    """Of one client."""
    header_seconds: float = 10
    """In which the headers of a request have to arrive; a body may pause as long."""
    read_seconds: float = 60
    """In which a request has to arrive."""
    read_rate: int = 4096
    """Bytes per second that a body has to reach."""
    shared: bool = False
    """Whether all clients come through a proxy, so that they look like one."""

    def __post_init__(self) -> None:
        megapixels, each = self.request_pixels // 10**6, self.pixels // 10**6
        for flag, value, other, least in (
            ("--queue", self.waiting, "--max-files", self.files),
            ("--max-request-megapixels", megapixels, "--max-megapixels", each),
        ):
            if value < least:
                raise UsageError(
                    f"{flag} {value} is less than {other} {least}: such a request could never be "
                    "answered. Raise the first or lower the second."
                )

    def capacity(self, size: int, each: int) -> CapacityLimit:
        """`size` for all clients, of which one gets at most `each`."""
        return CapacityLimit(size, each=size if self.shared else min(each, size))


class Full(Exception):
    """There is no room now, but there will be soon."""


class CapacityLimit:
    """So much at one time and no more. For one thread, as that of an event loop."""

    def __init__(self, size: int, *, each: int) -> None:
        self.size, self.each, self.used = size, each, 0
        self._by_client: Counter[str] = Counter()

    @contextlib.contextmanager
    def take(self, client: str, amount: int = 0) -> Iterator[Callable[[int], None]]:
        """Hold `amount` of it within the block, and all that the function given is called with.

        Raises Full, as the function does, if there is less, in all or for this client.
        """
        held = 0

        def more(amount: int) -> None:
            nonlocal held
            if self.used + amount > self.size or self._by_client[client] + amount > self.each:
                raise Full
            self.used += amount
            self._by_client[client] += amount
            held += amount

        try:
            more(amount)
            yield more
        finally:
            self.used -= held
            self._by_client[client] -= held
            if not self._by_client[client]:
                del self._by_client[client]


def client_of(address: str) -> str:
    """Who counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:  # of a socket for both
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
