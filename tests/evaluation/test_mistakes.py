"""Misclassified photos under the heatmap of the predicted class."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.events import ignore
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.evaluation.mistakes import SIDE, _place, look_at
from kvgg_jax.evaluation.record import Mistake
from kvgg_jax.runs.folder import Run
from support.images import noise
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


def test_each_mistake_is_shown_or_has_a_reason(trained: Trained, tmp_path: Path) -> None:
    """In their order, though the photos of one class are explained together."""
    photos = shutil.copytree(trained.photos, tmp_path / "photos")
    (photos / "green" / "green_00.png").write_text("no image")
    mistakes = [
        Mistake(path=path, true="blue", predicted=predicted, probability=0.9)
        for path, predicted in (
            ("red/red_00.png", "green"),
            ("green/green_00.png", "red"),
            ("red/red_01.png", "green"),
        )
    ]
    seen = look_at(mistakes, Folder(photos), Run(trained.run), ignore)
    assert [one.mistake for one in seen] == mistakes
    assert [one.label for one in seen] == ["green", "", "green"]
    assert [one.photo is not None and one.photo.shape for one in seen] == [
        (SIDE, SIDE, 3),
        False,
        (SIDE, SIDE, 3),
    ]
    assert seen[1].error.startswith(f"{photos}/green/green_00.png: ")


def test_a_mistake_is_shown_as_the_network_gets_it(trained: Trained, tmp_path: Path) -> None:
    """The heat lies over that square, by the setting of the run."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    config = Run(run).config().with_data(resize="pad")
    Run(run).write("config.toml", config.to_toml())
    Image.fromarray(noise(64)[:24]).save(tmp_path / "wide.png")
    mistake = Mistake(path="wide.png", true="blue", predicted="green", probability=0.9)
    (seen,) = look_at([mistake], Folder(tmp_path), Run(run), ignore)
    np.testing.assert_array_equal(seen.photo, load(tmp_path / "wide.png", SIDE, "pad"))


def test_photos_of_any_source_are_shown(trained: Trained) -> None:
    """By what it reads, not by opening a path."""
    photos = Folder(trained.photos)

    class Elsewhere(Folder):
        def read(self, key: str) -> bytes:
            return photos.read(key)

    mistake = Mistake(path="red/red_01.png", true="red", predicted="green", probability=0.5)
    (there,) = look_at([mistake], Elsewhere(Path("nowhere")), Run(trained.run), ignore)
    (here,) = look_at([mistake], photos, Run(trained.run), ignore)
    assert there.error == ""
    np.testing.assert_array_equal(there.overlay, here.overlay)


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (0, 0, "upper left"),
        (4, 0, "middle left"),
        (4, 4, "centre"),
        (8, 4, "lower"),
        (4, 8, "middle right"),
    ],
)
def test_a_place_is_named_on_a_grid_of_three_by_three(row: int, column: int, expected: str) -> None:
    """One hot pixel of nine by nine; without any heat there is no place."""
    heat = np.zeros((9, 9), np.float32)
    assert _place(heat) == ""
    heat[row, column] = 1
    assert _place(heat) == expected
