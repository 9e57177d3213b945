"""Files, folders, patterns, and a list on stdin."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kvgg_jax.cli.given_photos import given_photos, given_places, read_place
from kvgg_jax.core.errors import ConfigError, DataError, ImageError, MissingExtra, UsageError
from kvgg_jax.core.extras import EXTRAS
from kvgg_jax.core.places import Url
from support.elsewhere import empty_memory, upload
from support.images import encode, noise, write


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


def test_an_address_is_read_only_where_that_was_allowed(tmp_path: Path) -> None:
    """It may come from a list that somebody else wrote."""
    content = encode(noise(8), "PNG")
    write(tmp_path / "a.png", content)
    address = Path("memory://bucket/a.png")  # of two slashes, a path has one
    with empty_memory():
        upload(tmp_path, "memory://bucket")
        with pytest.raises(UsageError) as caught:
            given_places([tmp_path, address], allow_net=False, every=1)
        assert str(caught.value) == (
            "memory://bucket/a.png is an address: --allow-net lets predict read it."
        )
        found = given_places([tmp_path / "a.png", address], allow_net=True, every=1)
        assert found == [tmp_path / "a.png", Url("memory://bucket/a.png")]
        assert [read_place(where) for where in found] == [content] * 2
        with pytest.raises(ImageError):
            read_place(Url("memory://bucket/b.png"))


def test_an_address_that_cannot_be_used_is_refused_before_a_network_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For want of a library, or as it holds a password."""
    monkeypatch.setitem(EXTRAS, "http", ("pip-of-no-kind",))
    with pytest.raises(MissingExtra):
        given_places([Path("https://host/a.png")], allow_net=True, every=1)
    with pytest.raises(ConfigError):
        given_places([Path("s3://me:secret@host/a.png")], allow_net=True, every=1)
