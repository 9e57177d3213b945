"""What only a GPU can show; `nox -s gpu`. Where there is none, all of it fails."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.mesh import BATCH, place_rows, use_devices
from kvgg_jax.core.errors import Stopped
from kvgg_jax.core.events import Event, Note, ignore
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.runs.folder import Run
from kvgg_jax.training import trainer
from kvgg_jax.training.inputs import complete_config
from kvgg_jax.training.step import zero_tally
from support.runs import ROOT, draw_photos, small_config

pytestmark = pytest.mark.gpu
EPOCHS = 3


@pytest.fixture(scope="module", autouse=True)
def card() -> jax.Device:
    """The first GPU. Fails where JAX has none."""
    device = jax.devices()[0]
    if device.platform != "gpu":
        pytest.fail(f"These tests are for a GPU. JAX has {jax.devices()}; see docs/how-to/gpu.md.")
    return device


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """VGG11 as it is, at 32 px."""
    photos = draw_photos(tmp_path_factory.mktemp("gpu") / "photos")
    return small_config(photos, optim={"lr": 1e-3}, train={"epochs": EPOCHS})


def first_step(config: RunConfig, device: jax.Device) -> dict[str, Any]:
    """Loss and gradients of the first step on `device` in full float32, and its program."""
    mesh = Mesh(np.array([device]), (BATCH,))
    with jax.set_mesh(mesh), jax.default_matmul_precision("highest"):
        return _first_step(config)


def _first_step(config: RunConfig) -> dict[str, Any]:
    inputs, state = trainer.prepare(complete_config(config, ignore))
    program = inputs.train_step.as_text()
    batch = place_rows(next(inputs.train.epoch(1)))
    state, tally = inputs.train_step(state, zero_tally(), batch)
    # Adam's first moment: a tenth of the gradient
    moments = [np.ravel(slot) for name, slot in state.opt_state.items() if "momentum" in name]
    return {"loss": float(tally.loss), "gradients": np.concatenate(moments), "program": program}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_first_step_is_that_of_a_cpu(config, card, batch_norm):
    """In full float32, with cuDNN's convolutions and no loop of ours."""
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"batch_norm": batch_norm})}
    )
    here, there = (first_step(config, device) for device in (card, jax.devices("cpu")[0]))
    assert here["loss"] == pytest.approx(there["loss"], rel=1e-4)
    norm = np.linalg.norm(there["gradients"])
    assert np.linalg.norm(here["gradients"] - there["gradients"]) < 1e-3 * norm
    assert "__cudnn$conv" in here["program"]
    assert " while(" not in here["program"]


@pytest.fixture(scope="module")
def whole(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A run that was never stopped, and what it emitted."""
    heard: list[Event] = []
    out = tmp_path_factory.mktemp("runs")
    return trainer.train(config, out=out, name="whole", emit=heard.append).run, heard


def test_photos_that_fit_live_on_the_card(whole):
    """Without being asked."""
    texts = [event.text for event in whole[1] if isinstance(event, Note)]
    assert any("are kept on the device" in text for text in texts)


def test_a_run_learns_is_resumed_and_evaluated(config, whole, tmp_path):
    """As on a CPU, but that sums are made in another order each time."""
    history = Run(whole[0]).history()
    assert history.epochs[-1].loss < history.epochs[0].loss
    asked = itertools.count()
    with pytest.raises(Stopped):
        trainer.train(config, out=tmp_path, name="cut", stop=lambda: next(asked) == 6)
    resumed = trainer.resume(tmp_path / "cut").history
    assert [row.loss for row in resumed] == pytest.approx([row.loss for row in history], rel=0.05)
    found = evaluate(whole[0])
    assert history.best is not None
    assert found.accuracy == pytest.approx(history.best.val_accuracy)


def test_a_cpu_predicts_what_the_card_does(config, whole):
    """The run of a GPU is used anywhere."""
    found = []
    for platforms in ("cuda", "cpu"):
        words = ["cli.py", "predict", str(config.data.dir), "--run", str(whole[0]), "--json"]
        done = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "JAX_PLATFORMS": platforms},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append([line["probability"] for line in json.loads(done.stdout)])
    assert found[0] == pytest.approx(found[1], abs=2e-3)  # TF32


def test_all_cards_together_take_the_step_of_one(config, card):
    """Where there are several; the batch is divided among them."""
    cards = len(jax.devices())
    if cards == 1 or 8 % cards:
        pytest.skip(f"{cards} GPU(s): they cannot share a batch of 8")
    with jax.default_matmul_precision("highest"), use_devices("all", rows=8):
        together = _first_step(config)
    alone = first_step(config, card)
    norm = np.linalg.norm(alone["gradients"])
    assert np.linalg.norm(together["gradients"] - alone["gradients"]) < 1e-4 * norm


def test_the_benchmark_prints_a_row_per_case():
    """In bfloat16, with the memory of the card and gradients close to the CPU's."""
    words = ["--arch", "vgg11", "--batch-size", "32", "--precision", "bfloat16", "--repeats", "2"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "gpu.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    cells = done.stdout.splitlines()[-1].strip("| ").split(" | ")
    assert cells[:3] == ["vgg11", "bfloat16", "32"]
    assert float(cells[-2]) > 0
    assert float(cells[-1]) < 0.1
