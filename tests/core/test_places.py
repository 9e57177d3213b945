"""Paths and addresses, told apart by their form."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.places import Url, canonical, is_missing, place


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/photos",
        "https://host:80/a/b.csv",
        "memory://x",
        "hf:beans",
        "hf:a/b:c@d",
        "tfds:/a/b@c",
    ],
)
def test_an_address_stays_as_it_is(text: str) -> None:
    """Also one that somebody took for a path, which makes one slash of two."""
    assert place(text) == place(text + "/") == place(Path(text)) == Url(text)
    assert place(place(text)) == place(text).absolute() == place(text)
    assert str(place(text)) == text == canonical(text)
    assert not is_missing(place(text))


@pytest.mark.parametrize("text", ["photos", "/a/b", "a:b/c", "./hf:x", "C:\\photos", "a b://c"])
def test_anything_else_is_a_path(text: str, tmp_path: Path) -> None:
    """It may have colons."""
    assert place(text) == Path(text)
    assert is_missing(place(text))
    assert canonical(tmp_path / "x" / ".." / "y") == str(tmp_path / "y")


def test_a_data_set_in_a_folder_has_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may be resumed from another folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved").mkdir()
    assert place("hf:saved@train").absolute() == Url(f"hf:{tmp_path}/saved@train")
    assert place(f"hf:{tmp_path}/saved").absolute() == Url(f"hf:{tmp_path}/saved")
    assert place("hf:other").absolute() == Url("hf:other")
    assert place("tfds:saved").absolute() == Url(f"tfds:{tmp_path}/saved")


def test_an_address_has_parts_as_a_path_has() -> None:
    """Messages and tables name them."""
    url = Url("s3://bucket/photos.csv")
    assert (url.name, url.parent, url.parent / "a/b") == (
        "photos.csv",
        Url("s3://bucket"),
        Url("s3://bucket/a/b"),
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/photos", "https://host/photos"),
        ("s3://key:secret@bucket/photos", "s3://bucket/photos"),
        ("https://host/photos.csv?X-Amz-Signature=secret", "https://host/photos.csv"),
    ],
)
def test_a_password_is_neither_stored_nor_shown(text: str, shown: str) -> None:
    """An address is written into the run."""
    with pytest.raises(ConfigError) as caught:
        place(text)
    assert str(caught.value) == (
        f"{shown}: the address has a password or a signature, which would be stored with the run. "
        "Give the address without it; docs/how-to/elsewhere.md says where credentials belong."
    )
