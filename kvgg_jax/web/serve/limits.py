"""What one client, and all together, may ask of the server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from kvgg_jax.core.errors import UsageError

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of uploads; a response to a request beyond them names the one it was."""

    upload_bytes: int = 32 * MIB
    """Of one request, all of its files together."""
    files: int = 32
    """In one request."""
    pixels: int = 50_000_000
    """Of one image, before it is scaled down; twice those of most phones."""
    waiting: int = 64
    """Images of all clients at one time; beyond them the response is 503."""
    read_seconds: float = 60.0
    """In which a request has to arrive."""

    def __post_init__(self) -> None:
        if self.waiting < self.files:
            raise UsageError(
                f"--queue {self.waiting} is less than --max-files {self.files}: such a request "
                "could never be answered. Raise the first or lower the second."
            )

    @property
    def memory(self) -> int:
        """Bytes of all uploads at one time."""
        return 4 * self.upload_bytes


class Full(Exception):
    """There is no room now, but there will be soon."""


class CapacityLimit:
    """So much at one time and no more. For one thread, as that of an event loop."""

    def __init__(self, size: int) -> None:
        self.size, self.used = size, 0

    @contextlib.contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Hold `amount` of it within the block. Raises Full if there is less."""
        if self.used + amount > self.size:
            raise Full
        self.used += amount
        try:
            yield
        finally:
            self.used -= amount
