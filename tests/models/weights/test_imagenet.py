"""Keras' ImageNet weights: which file, from where, and what if there is no network."""

from __future__ import annotations

import hashlib
import inspect
import io
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kvgg_jax.core.errors import WeightsError
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.weights import imagenet


@pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
def test_the_digests_are_those_that_keras_has(arch):
    """And so is the address."""
    source = inspect.getsource(inspect.getmodule(getattr(keras.applications, arch.upper())))
    assert all(f'"{digest}"' in source for digest in imagenet.KERAS_MD5[arch])
    assert f"{arch}_weights_tf_dim_ordering_tf_kernels_notop.h5" in source


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keras' home, which is not there yet; and there is no network."""

    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(urllib.request, "urlopen", fail)
    return tmp_path / "home"


def test_without_a_network_the_message_has_the_next_move(offline, capsys):
    """Where the file is, where to put it, or to give its path; nothing on stdout."""
    with pytest.raises(WeightsError) as caught:
        imagenet.fetch("vgg16", lambda event: None)
    name = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    url = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{name}"
    assert str(caught.value) == (
        "Cannot fetch the ImageNet weights: [Errno -2] Name or service not known.\n"
        f"Where there is a network, download {url}\n"
        f"and put it at {offline / 'models' / name}, or give its path: `model.weights = PATH`."
    )
    assert capsys.readouterr().out == ""


def test_a_cached_file_that_is_not_what_it_should_be_is_not_used(offline):
    """Keras checks its digest, and fetches it again."""
    (offline / "models").mkdir(parents=True)
    name = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    (offline / "models" / name).write_bytes(b"others")
    with pytest.raises(WeightsError, match=r"^Cannot fetch the ImageNet weights: "):
        imagenet.fetch("vgg16", lambda event: None)


def test_a_file_of_keras_applications_is_known_by_its_content(tmp_path, monkeypatch):
    """Whatever its name; a file that cannot be read is none."""
    file = tmp_path / "x.h5"
    file.write_bytes(b"weights")
    assert not imagenet.is_of_keras(file)
    digest = hashlib.md5(b"weights").hexdigest()
    monkeypatch.setitem(imagenet.KERAS_MD5, "vgg19", ("", digest))
    assert imagenet.is_of_keras(file)
    assert not imagenet.is_of_keras(tmp_path)


class Answer(io.BytesIO):
    """Of a server, which says how long it is."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Length": str(len(self.getvalue()))}


def test_a_download_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In megabytes, the last one begun counted."""
    content = bytes(2_500_000)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(content))
    monkeypatch.setitem(imagenet.KERAS_MD5, "vgg16", (hashlib.md5(content).hexdigest(), ""))
    heard: list[Event] = []
    imagenet.fetch("vgg16", heard.append)
    assert heard[1:] == [Progress("downloading", done, 3, unit="MB") for done in (1, 2, 3)]


def test_a_download_changes_nothing_of_the_program_around_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The time-out is that of this connection, and stdout stays where it is."""
    seen: list[tuple[object, ...]] = []

    def answer(url: str, timeout: float) -> Answer:
        seen.append((socket.getdefaulttimeout(), sys.stdout is stdout, timeout))
        return Answer(b"weights")

    stdout, digest = sys.stdout, hashlib.md5(b"weights").hexdigest()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    monkeypatch.setitem(imagenet.KERAS_MD5, "vgg16", (digest, digest))
    file = imagenet.fetch("vgg16", lambda event: None)
    assert imagenet.fetch("vgg16", lambda event: None) == file
    assert seen == [(None, True, imagenet.PATIENCE)]
    assert (file.read_bytes(), capsys.readouterr().out) == (b"weights", "")
    file.write_bytes(b"damaged")
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(b"other"))
    with pytest.raises(WeightsError, match="has another content than Keras expects"):
        imagenet.fetch("vgg16", lambda event: None)
