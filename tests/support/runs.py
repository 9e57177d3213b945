"""Small photos and small runs that many tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.config import SETTINGS, RunConfig, settings
from kvgg_jax.models.registry import BACKBONES
from kvgg_jax.models.vgg import Vgg

ROOT = Path(__file__).parents[2]
PATIENCE = 1800  # seconds; only a test that hangs waits for so long


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


CHANGES = {"augment": "light", "crop": 0.5, "erase": 0.5, "mix": "mixup"}


def eventful(photos: Path, **tables: dict[str, Any]) -> RunConfig:
    """Every source of chance is on: order, dropout, augmentation, mixing; and all that has a state.

    That is batch norm and the moving average of the weights; the last batch is padded.
    """
    return small_config(
        photos,
        data={**CHANGES, "balance": True, **tables.get("data", {})},
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


@contextmanager
def blank_charts() -> Iterator[None]:
    """Makes every chart one white pixel: to draw two takes a third of the time of a small run."""
    pixel = Image.new("1", (1, 1), 1)
    with pytest.MonkeyPatch.context() as patch:
        savefig = "matplotlib.figure.Figure.savefig"
        patch.setattr(savefig, lambda _, file, **__: pixel.save(file, "png"))
        yield


# They change no step.
ABOUT_THE_RUN = {
    *("data.dir", "data.cache"),
    *("train.epochs", "train.min_delta", "train.patience", "train.save_every_steps"),
}


@contextmanager
def one_program_per_step() -> Iterator[None]:
    """Runs of the same step use one compiled program."""
    from kvgg_jax.training import setup

    steps, assemble, compile_step = {}, setup.Network.assemble, setup.compile_step

    def assemble_once(network: Any, state: Any, emit: Any) -> Any:
        values = settings(network.config).items()
        key = str([(name, value) for name, value in values if name not in ABOUT_THE_RUN])

        def compile_once(what: str, *args: Any, **kwargs: Any) -> Any:
            if (what, key) not in steps:
                steps[what, key] = compile_step(what, *args, **kwargs)
            return steps[what, key]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(setup, "compile_step", compile_once)
            return assemble(network, state, emit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup.Network, "assemble", assemble_once)
        yield


def train_once(factory: pytest.TempPathFactory, name: str, config: Any, **drawn: int) -> Trained:
    """A finished run of a thin network, and the photos it learnt from.

    The first worker of pytest-xdist that asks trains it; each has a copy, on the same photos.
    """
    from kvgg_jax.training.trainer import train

    base = factory.getbasetemp()
    common = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"common-{name}"
    with common.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (common / "done").exists():
            shutil.rmtree(common, ignore_errors=True)
            photos = draw_photos(common / "photos", **drawn)
            with narrow():
                train(config(photos), out=common / "runs", name="x")
            (common / "done").touch()
    folder = factory.mktemp("trained")
    (folder / "photos").symlink_to(common / "photos")
    return Trained(shutil.copytree(common / "runs" / "x", folder / "runs" / "x"), common / "photos")
