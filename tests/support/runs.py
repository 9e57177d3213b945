"""Small photos and small runs that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.config import SETTINGS, RunConfig
from kvgg_jax.models.registry import BACKBONES
from kvgg_jax.models.vgg import Vgg

ROOT = Path(__file__).parents[2]


COLORS = {"blue": (40, 60, 200), "green": (40, 200, 60), "red": (200, 50, 40)}


THIN = ((8,), (16,), (32,), (64,), (64,))  # of each block one layer, an eighth as wide
# For the programs of tests
THIN_VGG11 = f"""
from kvgg_jax.models.registry import BACKBONES
from kvgg_jax.models.vgg import Vgg
BACKBONES["vgg11"] = Vgg({THIN})
"""


LEGAL = ", ".join(SETTINGS)  # as a message lists them


class Trained(NamedTuple):
    """A finished run, and the photos it learnt from."""

    run: Path
    photos: Path


def draw_photos(folder: Path, *, per_class: int = 12, size: int = 32) -> Path:
    """`folder` filled with noisy flat PNGs, one color a class: the least that can be learnt."""
    rng = np.random.default_rng(0)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = rng.normal(color, 25, (size, size, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name}_{number:02}.png")
    return folder


def small_config(photos: Path, **tables: dict[str, object]) -> RunConfig:
    """VGG11 with global average pooling, 32 px, 2 epochs of batches of 8; `tables` on top."""
    return RunConfig(
        data={"dir": str(photos), "image_size": 32, **tables.get("data", {})},
        model={"arch": "vgg11", "head": "gap", **tables.get("model", {})},
        optim=tables.get("optim", {}),
        train={"epochs": 2, "batch_size": 8, **tables.get("train", {})},
    )


def eventful(photos: Path, **tables: dict[str, Any]) -> RunConfig:
    """Every source of chance is on: order, dropout, augmentation, mixing; and all that has a state.

    That is batch norm and the moving average of the weights; the last batch is padded.
    """
    return small_config(
        photos,
        data={"augment": "light", "mix": "mixup", "balance": True, **tables.get("data", {})},
        model={"head": "8", "dropout": 0.3, "batch_norm": True},
        optim={"lr": 1e-3, "warmup_steps": 3, "label_smoothing": 0.1, "weight_decay": 0.01},
        train={"epochs": 4, "ema": 0.9, **tables.get("train", {})},
    )


@contextmanager
def narrow() -> Iterator[None]:
    """Makes VGG11 thin: the same code, in a fraction of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "vgg11", Vgg(THIN))
        yield


def train_once(factory: pytest.TempPathFactory, config: Any, **drawn: int) -> Trained:
    """A finished run of a thin network, beside the photos it learnt from."""
    from kvgg_jax.training.trainer import train

    folder = factory.mktemp("trained")
    photos = draw_photos(folder / "photos", **drawn)
    with narrow():
        return Trained(train(config(photos), out=folder / "runs", name="x").run, photos)
