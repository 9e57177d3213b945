"""What the tests of sources elsewhere share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvgg_jax.data.sources import address
from support.elsewhere import Faulty, faulty


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faulty]]:
    """`memory://` and `faulty://`, with the same files, and a cache of one's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(address.time, "sleep", lambda seconds: None)
    with faulty() as system:
        yield system
