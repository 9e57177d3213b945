"""The files beside shards, here and at an address, in the same words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.places import Place, Url
from kvgg_jax.data.shards.place import bytes_of, has, text_of, whole
from support.elsewhere import empty_memory, upload


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Place, Place]]:
    """A folder with the file `a`, and the same at an address."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("text")
    with empty_memory():
        upload(tmp_path / "out", "memory://out")
        yield tmp_path / "out", Url("memory://out")


def test_a_file_is_the_same_here_and_elsewhere(both: tuple[Place, Place]) -> None:
    """Its text, its bytes, and itself on this machine."""
    digest = hashlib.sha256(b"text").hexdigest()
    for folder in both:
        assert (has(folder, "a"), has(folder, "b")) == (True, False)
        assert (text_of(folder / "a"), bytes_of(folder / "a")) == ("text", 4)
        assert whole(folder / "a", digest).read_text() == "text"


def test_what_is_missing_or_changed_is_named(both: tuple[Place, Place]) -> None:
    """With the reason that a file here has."""
    for folder in both:
        told = []
        with pytest.raises(FileNotFoundError):
            bytes_of(folder / "b")
        for name in ("a", "b"):
            with pytest.raises(DataError) as caught:
                whole(folder / name, "0")
            told.append(str(caught.value))
        again = "Copy it again, or pack the photos again."
        assert told == [
            f"{folder}/a is missing or damaged (other bytes than were packed). {again}",
            f"{folder}/b is missing or damaged (No such file or directory). {again}",
        ]
