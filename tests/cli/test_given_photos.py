"""Files, folders, patterns, and a list on stdin."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kvgg_jax.cli.given_photos import given_photos
from kvgg_jax.core.errors import DataError


def test_files_and_folders_are_as_they_are(tmp_path: Path) -> None:
    """Also where they are missing, which is said later, or named like a pattern."""
    named = tmp_path / "bean[1].png"
    named.touch()
    assert given_photos([named, Path("gone.png"), tmp_path]) == [named, Path("gone.png"), tmp_path]


def test_a_pattern_gives_the_files_that_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.jpg", "b/c/1.jpg", "a.jpg", "a.png"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    found = given_photos([Path("**/*.jpg"), Path("a.p?g")])
    assert found == [Path(name) for name in ("a.jpg", "b/2.jpg", "b/c/1.jpg", "a.png")]
    with pytest.raises(DataError) as caught:
        given_photos([Path("*.gif")])
    assert str(caught.value) == "*.gif matches no file. Check the pattern."


def test_a_dash_gives_the_lines_of_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lines, and the ends that Windows writes, are left out."""
    monkeypatch.setattr("sys.stdin", io.StringIO("a b.png\r\n\nphotos\n*.jpg"))
    assert given_photos([Path("-"), Path("c.png")]) == [
        Path(name) for name in ("a b.png", "photos", "*.jpg", "c.png")
    ]
