"""One look at every file: what it is, and what to compare it by. Bad files are no end to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.data.audit.duplicates import SIDE, Fingerprint, look
from kvgg_jax.data.audit.headers import Header, header
from kvgg_jax.data.decode.image import decode
from kvgg_jax.data.parallel import each


@dataclass(frozen=True, slots=True)
class Seen:
    """A file, its look and its header; `error` instead where it cannot be read."""

    path: Path
    look: Fingerprint | None = None
    header: Header | None = None
    error: ImageError | None = None


def inspect_photos(
    files: Sequence[Path], *, emit: Emit = ignore, stage: str = "comparing"
) -> list[Seen]:
    """A look at each file, in order, on all cores. A JPEG is decoded small, which is quicker."""
    return each(_see, files, stage=stage, emit=emit)


def _see(path: Path) -> Seen:
    try:
        return Seen(path, look(decode(path, at_least=SIDE)), header(path))
    except ImageError as error:
        return Seen(path, error=error)
