"""What fails at an address: one message, and a photo is never bad because the network is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.core import extras
from kvgg_jax.core.errors import DataError, MissingExtra
from kvgg_jax.core.places import Url
from kvgg_jax.data.sources import address
from kvgg_jax.data.sources.remote import RemoteFolder, fetch
from support.elsewhere import Faulty, upload
from support.folders import image, mixed_folder

ADVICE = "Check the address and the network, or copy the photos to this machine: `data.dir`."
pytestmark = pytest.mark.usefixtures("elsewhere")


def of(folder: Path) -> RemoteFolder:
    upload(folder, "memory://photos")
    return RemoteFolder(Url("faulty://photos"))


def refused(function, *args: object) -> str:
    with pytest.raises(DataError) as caught:
        function(*args)
    return str(caught.value)


class NoCredentialsError(Exception):
    """As botocore names it."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            error,
            f"faulty://photos: access is refused ({error}). Check the address, and give your "
            "credentials where its library looks for them: docs/how-to/elsewhere.md.",
        )
        for error in (PermissionError("Forbidden"), NoCredentialsError("Unable to locate"))
    ],
)
def test_a_bucket_that_refuses_is_asked_no_more_than_its_library_does(
    error: Exception, message: str, tmp_path: Path
) -> None:
    """One message, without a password."""
    source = of(mixed_folder(tmp_path / "photos"))
    Faulty.errors = [error] * 3
    assert refused(source.list_keys) == message


def test_a_connection_that_breaks_is_tried_again(tmp_path: Path) -> None:
    """Twice. Then the photo is not bad, which `skip_bad` would leave out, but the training ends."""
    image(tmp_path / "photos" / "a.png")
    source = of(tmp_path / "photos")
    Faulty.errors = [ConnectionError("reset"), OSError("broken")]
    assert source.read("a.png") == (tmp_path / "photos" / "a.png").read_bytes()
    Faulty.errors = [ConnectionError("reset\nby peer")] * 3
    with pytest.raises(DataError) as caught:
        source.read("a.png")
    assert type(caught.value) is DataError
    assert str(caught.value) == (f"faulty://photos/a.png: cannot be read (reset by peer). {ADVICE}")


@pytest.mark.parametrize("method", ["info", "cat_file"])
def test_a_bucket_that_does_not_answer_is_not_waited_for(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a minute."""
    image(tmp_path / "photos" / "a.png")
    source = of(tmp_path / "photos")
    Faulty.stuck = {method}
    monkeypatch.setattr(address, "SECONDS", 0.05)
    assert refused(source.read, "a.png") == (
        f"faulty://photos/a.png: no answer in 0 seconds. {ADVICE}"
    )
    assert not (tmp_path / "cache" / "kvgg_jax" / "remote").exists()


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that adds it, where it is one of an extra."""
    monkeypatch.setitem(address.LIBRARIES, "nox", "s3")
    monkeypatch.setitem(extras.EXTRAS, "s3", ("no-such",))
    with pytest.raises(MissingExtra) as caught:
        fetch(Url("nox://photos/a.png"))
    assert str(caught.value) == (
        'nox:// needs no-such, which is not installed. Add it: pip install "kvgg_jax[s3]"'
    )
    assert refused(fetch, Url("nope://photos/a.png")) == (
        f"nope://photos/a.png: cannot be read (Protocol not known: nope). {ADVICE}"
    )
