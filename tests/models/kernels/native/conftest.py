"""An empty cache, and a compiler that takes no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.native import write_compiler


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache. It is not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "kvgg_jax" / "native"


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `CXX` names: it copies the library of this machine."""
    file = tmp_path / "compiler"
    write_compiler(file)
    monkeypatch.setenv("CXX", str(file))
    return file
