"""What one client, and all together, may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass

from kvgg_jax.core.errors import UsageError

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of uploads; who goes beyond them is told which one it was."""

    upload_bytes: int = 32 * MIB
    """Of one request, all of its files together."""
    files: int = 32
    """In one request."""
    pixels: int = 50_000_000
    """Of one picture, before it is scaled down; twice those of most phones."""
    waiting: int = 64
    """Pictures of all clients at one time; beyond them the answer is 503."""
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
