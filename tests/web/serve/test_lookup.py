"""The training photos that a server shows: the nearest ones, small, and no path of the machine."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("fastapi")
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.inference.embedding import embed
from kvgg_jax.inference.neighbors import FILE
from kvgg_jax.runs.folder import Run
from kvgg_jax.web.html.thumbnails import SIDE
from kvgg_jax.web.serve.lookup import make_lookup
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


def test_a_training_photo_finds_itself_and_its_small_copy(trained: Trained, tmp_path: Path) -> None:
    """By the last part of its path; embedded at the first call, and kept in the run."""
    run = Path(shutil.copytree(trained.run, tmp_path / "x"))
    train, classifier = Run(run).split().train, load_classifier(run)
    lookup = make_lookup(classifier)
    assert (run / FILE).exists()
    (own,) = embed([train.files()[0]], classifier)
    assert own.vector is not None
    first, second = lookup(own.vector, 2)
    assert (first.name, first.label) == (train.files()[0].name, train.classes[train.labels[0]])
    assert first.similarity == pytest.approx(1, abs=1e-4)
    assert first.similarity > second.similarity
    assert first.image is not None
    data = base64.b64decode(first.image.removeprefix("data:image/jpeg;base64,"))
    small = Image.open(io.BytesIO(data))
    assert (small.format, max(small.size) <= SIDE) == ("JPEG", True)


def test_a_photo_that_is_gone_has_no_image(trained: Trained, tmp_path: Path) -> None:
    """It is still known by its class and similarity."""
    run = Path(shutil.copytree(trained.run, tmp_path / "x"))
    lookup = make_lookup(load_classifier(run))
    (near,) = lookup(lookup.known.vectors[0], 1)
    photos = Path(shutil.copytree(trained.photos, tmp_path / "photos"))
    config = run / "config.toml"
    config.write_text(config.read_text().replace(str(trained.photos), str(photos)))
    shutil.rmtree(photos)
    lost = make_lookup(load_classifier(run))
    object.__setattr__(lost.known, "paths", tuple(f"{photos}/gone.png" for _ in lost.known.paths))
    (gone,) = lost(lost.known.vectors[0], 1)
    assert gone == near.model_copy(update={"name": "gone.png", "image": None})
