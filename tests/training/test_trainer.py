"""What `train` and `resume` refuse, and that refusing changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from kvgg_jax.core.errors import RunError, Stopped, UsageError
from kvgg_jax.core.events import Event, Progress, Started
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.data.decode.image import load
from kvgg_jax.inference.known_photos import FILE
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run
from kvgg_jax.training import preview, setup, trainer
from kvgg_jax.training.augment.regions import make_crop
from kvgg_jax.training.loop import LoopInputs
from kvgg_jax.training.losses import cross_entropy
from kvgg_jax.training.trainer import resume, train
from support.runs import Trained, small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def test_a_cosine_runs_over_all_steps_of_all_epochs(photos, tmp_path, thin, monkeypatch):
    """29 photos in batches of 8, 2 epochs: 8 steps, of which 2 are the warm-up."""
    tasks: list[LoopInputs] = []

    def look(inputs: LoopInputs, *_: Any, **__: Any) -> tuple[History, str]:
        tasks.append(inputs)
        return History((Epoch(1, 0.5, 0.75, 0.25, 1.0, 1e-4, 2.0, 10.0),)), "seen"

    monkeypatch.setattr(trainer, "run_epochs", look)
    monkeypatch.setattr(setup, "compile_step", lambda what, step, *_, **__: step)
    config = small_config(photos, optim={"lr": 0.001, "schedule": "cosine", "warmup_steps": 2})
    train(config, out=tmp_path, name="cosine")
    expected = [1 / 3, 2 / 3, *((1 + np.cos(np.pi * step / 6)) / 2 for step in range(6))]
    rates = [1000 * tasks[0].learning_rate(step) for step in range(8)]
    assert rates == pytest.approx(expected, rel=1e-4)


def test_samples_are_drawn_as_the_first_step_has_them(photos, tmp_path, monkeypatch):
    """Cut from larger photos, at the size of the network, with the classes of those photos."""
    drawn: list[tuple[Any, ...]] = []
    done = History((Epoch(1, 0.5, 0.75, 0.25, 1.0, 1e-4, 2.0, 10.0),))
    monkeypatch.setattr(preview, "draw_samples", lambda *given: drawn.append(given))
    monkeypatch.setattr(trainer, "run_epochs", lambda *_, **__: (done, "seen"))
    monkeypatch.setattr(setup, "compile_step", lambda what, step, *_, **__: step)
    result = train(small_config(photos, data={"crop": 0.5}), out=tmp_path, name="crops")
    ((images, names, file),) = drawn
    run = Run(result.run)
    train_photos = run.split().train
    order = np.random.default_rng([42, 1]).permutation(29)[:8].tolist()
    larger = np.stack([load(train_photos.files()[row], 46) for row in order]) / np.float32(255)
    crop = make_crop(0.5, seed=42, image_size=32)
    np.testing.assert_allclose(images, jax.jit(crop)(larger, np.int32(0)), rtol=0, atol=1e-6)
    assert names == [train_photos.classes[train_photos.labels[row]] for row in order]
    assert file == run.path / "samples.png"


def test_a_cosine_cannot_be_made_longer(finished, tmp_path):
    """The steps already taken would have had another rate; the way out is named."""
    run = Run(shutil.copytree(finished, tmp_path / "run"))
    config = run.config()
    optim = config.optim.model_copy(update={"schedule": "cosine"})
    run.write("config.toml", config.model_copy(update={"optim": optim}).to_toml())
    run.update_info(settings={**run.info()["settings"], "optim.schedule": "cosine"})
    anew = f"Start one with its settings: kvgg train --config {run.path / 'config.toml'} --epochs"
    with pytest.raises(RunError) as caught:
        resume(run.path)
    assert str(caught.value) == (
        f"{run.path} has finished its 1 epochs. Its cosine schedule is at its end. {anew} 2"
    )
    with pytest.raises(UsageError) as refused:
        resume(run.path, epochs=3)
    assert str(refused.value) == (
        f"`train.epochs = 3`: the cosine schedule of {run.path} depends on its 1 epochs, so 3 "
        f"would be another run. {anew} 3"
    )


def test_a_check_sees_a_run_before_its_first_step_and_may_refuse_it(photos, finished, tmp_path):
    """Its folder is written and announced; what the check raises ends it, at a resume too."""
    heard: list[Event] = []
    old = Run(shutil.copytree(finished, tmp_path / "old"))

    def refuse(run: Run) -> None:
        assert heard[-1] == Started(run.path)
        raise RunError(f"{run.path.name}: {len(run.split().all)} photos")

    with pytest.raises(RunError, match=r"^new: 36 photos$"):
        train(small_config(photos), out=tmp_path, name="new", check=refuse, emit=heard.append)
    with pytest.raises(RunError, match=r"^old: 12 photos$"):
        resume(old.path, epochs=2, check=refuse, emit=heard.append)
    found = [(len(Run(tmp_path / name).history()), name) for name in ("new", "old")]
    assert found == [(0, "new"), (1, "old")]


def test_a_folder_taken_meanwhile_is_not_removed(photos: Path, tmp_path: Path) -> None:
    """A run that another process made while this one read its photos stays as it is."""
    config = small_config(photos)
    path = catalog.choose(config, out=tmp_path / "runs", name="x")
    catalog.create(path, config, {"run.json": '{"who": "first"}'})
    with pytest.raises(RunError) as caught:
        catalog.create(path, config, {"run.json": '{"who": "second"}'})
    assert str(caught.value) == (f"{path} was just created by another run. Choose another --name.")
    assert Run(path).info() == {"who": "first"}


def test_epochs_can_only_be_raised(trained: Trained, tmp_path: Path) -> None:
    """Fewer would leave a configuration that does not repeat the run."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    before = (run / "config.toml").read_text()
    with pytest.raises(UsageError) as caught:
        resume(run, epochs=1)
    assert str(caught.value) == (
        f"`train.epochs = 1`: {run} was started for 2 epochs, which can only be raised."
    )
    assert (run / "config.toml").read_text() == before


def my_loss(labels: Any, logits: Any) -> Any:
    """Twice the cross-entropy."""
    return 2 * cross_entropy(labels, logits)


def my_optimizer(rates: Any) -> Any:
    """Without a name, so Keras numbers it across the process."""
    return keras.optimizers.SGD(rates, momentum=0.5)


def test_settings_that_have_no_effect_beside_what_the_caller_gives_are_refused(
    photos: Path, tmp_path: Path
) -> None:
    """Before anything is read."""
    for given, optim in (
        ({"loss": my_loss}, {"label_smoothing": 0.1}),
        ({"loss": my_loss}, {"loss": "focal"}),
        ({"optimizer": my_optimizer}, {"weight_decay": 0.1}),
        ({"optimizer": my_optimizer}, {"clip_norm": 1.0}),
    ):
        with pytest.raises(UsageError) as caught:
            train(small_config(photos, optim=optim), **given, out=tmp_path)  # type: ignore[arg-type]
        assert str(caught.value) == (
            f"`optim.{next(iter(optim))}` has no effect beside `{next(iter(given))}=`: "
            "leave one of them out."
        )
    assert list(tmp_path.glob("[!p]*")) == []


def test_a_run_that_is_stopped_while_it_embeds_its_photos_is_resumed(photos, tmp_path):
    """All epochs are done; what tells unknown photos is still to be kept."""
    heard: list[Event] = []

    def embeds() -> bool:
        return any(isinstance(one, Progress) and one.stage == "embedding" for one in heard)

    config = small_config(photos, train={"epochs": 1})
    with pytest.raises(
        Stopped, match=r"^Stopped after the last epoch, while embedding the photos\.$"
    ):
        train(config, out=tmp_path, name="x", stop=embeds, emit=heard.append)
    run = Run(tmp_path / "x")
    assert (run.is_finished, (run.path / FILE).exists()) == (False, False)
    assert len(resume(run.path).history) == 1
    assert (run.is_finished, (run.path / FILE).exists()) == (True, True)
