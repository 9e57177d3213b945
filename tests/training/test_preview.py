"""The grid of `kvgg data preview`: which photos, and that they are those of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.state import Batch
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.training import preview
from kvgg_jax.training.augment.levels import make_augment
from kvgg_jax.training.augment.regions import make_crop
from support.commands import kvgg, message
from support.images import noise
from support.runs import draw_photos, small_config


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be drawn: (images, names, file) each time."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(preview, "draw_samples", lambda *a, columns: calls.append((*a, columns)))
    return calls


def test_the_photos_are_even_over_the_classes_and_follow_the_seed(
    photos: Path, drawn: list[tuple[Any, ...]]
) -> None:
    """Uneven folders too; as the network sees them, without augmentation once each."""
    draw_photos(photos / "more", per_class=1)  # below photos/more: another class, of three
    for seed in (1, 1, 2):
        config = small_config(photos).model_copy(update={"seed": seed})
        preview.preview(photos, "x.png", config=config, count=10)
    (images, names, file, columns), again, other = drawn
    assert names == ["blue", "green", "more", "red"] * 2 + ["blue", "green"]
    assert (images.shape, images.dtype, file, columns) == (
        (10, 32, 32, 3),
        "float32",
        Path("x.png"),
        8,
    )
    assert np.array_equal(images, again[0])
    assert not np.array_equal(images, other[0])
    known = {load(path, 32).tobytes() for path in scan(photos).files()}
    assert {(image * 255).round().astype(np.uint8).tobytes() for image in images} <= known


def test_augmentation_is_that_of_the_first_steps_of_training(
    photos: Path, drawn: list[tuple[Any, ...]]
) -> None:
    """A row a photo: as it is, then by the function that the training step calls."""
    config = small_config(photos, data={"augment": "light", "augment_color": True})
    preview.preview(photos, "x.png", config=config, count=3)
    ((images, names, _, _),) = drawn
    rows = images.reshape(3, 8, 32, 32, 3)
    augment = make_augment("light", seed=42, image_size=32, color=True)
    assert augment is not None
    change = jax.jit(augment)
    for step in range(7):
        expected = change(rows[:, 0], jnp.int32(step))
        np.testing.assert_allclose(rows[:, 1 + step], expected, rtol=0, atol=1e-6)
    assert names[:9] == ["blue", *(f"step {n}" for n in range(1, 8)), "green"]


def test_crops_are_cut_from_larger_photos(photos: Path, drawn: list[tuple[Any, ...]]) -> None:
    """As in training; the first of a row is the whole photo, at the network's size."""
    preview.preview(photos, "x.png", config=small_config(photos, data={"crop": 0.5}), count=1)
    ((images, _, _, _),) = drawn
    (file,) = [file for file in scan(photos).files() if is_of(images[0], load(file, 32))]
    crop = make_crop(0.5, seed=42, image_size=32)
    assert crop is not None
    expected = jax.jit(crop)(load(file, 46)[None] / np.float32(255), jnp.int32(0))
    np.testing.assert_allclose(images[1], expected[0], rtol=0, atol=1e-6)


def test_photos_are_squares_as_in_training(photos: Path, drawn: list[tuple[Any, ...]]) -> None:
    """Those that crops are cut from too."""
    for file in photos.glob("*/*"):
        Image.fromarray(noise(64)[:24]).save(file)
    config = small_config(photos, data={"crop": 0.5, "resize": "pad"})
    preview.preview(photos, "x.png", config=config, count=1)
    ((images, _, _, _),) = drawn
    assert is_of(images[0], load(file, 32, "pad"))
    crop = make_crop(0.5, seed=42, image_size=32)
    assert crop is not None
    expected = jax.jit(crop)(load(file, 46, "pad")[None] / np.float32(255), jnp.int32(0))
    np.testing.assert_allclose(images[1], expected[0], rtol=0, atol=1e-6)


def is_of(image: np.ndarray, pixels: np.ndarray) -> bool:
    return bool(((255 * image).round() == pixels).all())


def test_mixing_comes_after_augmentation(
    photos: Path, drawn: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photos shown are the batch; each step changes them one by one, then in pairs."""

    def mix(batch: Batch, step: jax.Array) -> Batch:
        return batch._replace(images=(batch.images + batch.images[::-1]) / 2)

    changes = (lambda images, step: images * (step + 1) / 7, mix)
    monkeypatch.setattr(preview, "build_changes", lambda *_: changes)
    preview.preview(photos, "x.png", config=small_config(photos), count=4)
    ((images, names, _, _),) = drawn
    rows = images.reshape(4, 8, 32, 32, 3)
    for step in range(7):
        expected = (rows[:, 0] + rows[::-1, 0]) / 2 * (step + 1) / 7
        np.testing.assert_allclose(rows[:, 1 + step], expected, rtol=0, atol=1e-6)
    assert names[8] == "green"


def test_the_command_writes_a_png(photos: Path, tmp_path: Path) -> None:
    """At the size asked for; the place is named, and when it cannot be written too."""
    target = tmp_path / "grid.png"
    words = ("data", "preview", photos, "--image-size", "32", "--augment", "none", "--count", "3")
    result = kvgg(*words, "--output", target)
    assert (result.exit_code, result.stderr) == (0, f"Wrote {target}\n")
    with Image.open(target) as image:
        assert image.format == "PNG"
    missing = tmp_path / "no" / "grid.png"
    assert message(kvgg(*words, "--output", missing)) == (
        f"Error: Cannot write {missing}: No such file or directory.\n"
    )


def test_unreadable_photos_are_an_error_or_left_out(photos: Path, tmp_path: Path) -> None:
    """As in training."""
    for file in (photos / "red").iterdir():
        file.write_text("no image")
    words = ("data", "preview", photos, "--image-size", "32", "--output", tmp_path / "x.png")
    assert message(kvgg(*words)).startswith("Error: 2 of 8 images cannot be read:")
    assert kvgg(*words, "--skip-bad").exit_code == 0
