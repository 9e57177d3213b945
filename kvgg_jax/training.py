"""`train` and `resume`: from a configuration to a finished run folder."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kvgg_jax import __version__, runs
from kvgg_jax.augment import make_augment
from kvgg_jax.charts import draw_curves, draw_samples
from kvgg_jax.checkpoint import Checkpoints
from kvgg_jax.compiled import cache_folder, compile_step
from kvgg_jax.config import RunConfig
from kvgg_jax.data.demo import cached_demo
from kvgg_jax.data.folder import Samples, Split, deal, scan
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import Pictures, fingerprint, read
from kvgg_jax.errors import DataError, RunError, UsageError
from kvgg_jax.events import Emit, Finished, Note, Progress, Started, Warned, ignore
from kvgg_jax.history import History
from kvgg_jax.loop import Task, fit
from kvgg_jax.model import vgg
from kvgg_jax.optimizer import build_optimizer, build_schedule
from kvgg_jax.runs import Run
from kvgg_jax.state import AnyArray, TrainState
from kvgg_jax.step import (
    empty_batch,
    init_state,
    make_eval_step,
    make_train_step,
    normalise,
    zero_tally,
)

PHOTO_SIZE = 224  # pixels a side, as in the VGG paper
DEMO_SIZE = 48  # small enough for minutes on two cores
SAMPLES = 24  # pictures in samples.png
PACKAGES = ("jax", "jaxlib", "keras", "tensorflow", "orbax-checkpoint", "numpy")


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Where the run is and what it measured."""

    run: Path
    history: History
    reason: str
    """Why training ended where it did."""

    @property
    def images_per_second(self) -> float:
        """Training pictures a second over the whole run, validation left out."""
        return len(self.history) / sum(1 / row.images_per_second for row in self.history)


def train(
    config: RunConfig | None = None,
    *,
    out: str | Path = runs.OUT,
    name: str | None = None,
    overwrite: bool = False,
    emit: Emit = ignore,
) -> TrainResult:
    """Train a classifier and keep everything about it in `out/name`.

    Raises KvggError (its text is for the user) for data, a configuration or a folder that will
    not do, before anything is written; NonFiniteLoss when training diverges.
    """
    config, out = _settle(config or RunConfig(), emit), Path(out)
    path = runs.choose(config, out=out, name=name, overwrite=overwrite)
    samples = scan(Path(str(config.data.dir)))
    data = config.data
    seed = config.seed if data.split_seed is None else data.split_seed
    split = deal(samples, val_split=data.val_split, seed=seed, how=data.split)
    _check_batch_size(config, len(split.train))
    emit(
        Note(
            f"{len(samples):,} photos of {len(samples.classes)} classes in {samples.root}: "
            f"{len(split.train):,} for training, {len(split.val):,} for validation"
        )
    )
    pictures = _read(samples, config, emit)
    run = runs.create(
        path, config, _readable(split, pictures), _info(config, pictures), overwrite=overwrite
    )
    return _run(run, config, pictures, emit)


def resume(
    run: str | Path | None = None,
    *,
    epochs: int | None = None,
    out: str | Path = runs.OUT,
    emit: Emit = ignore,
) -> TrainResult:
    """Go on with a run after its last whole epoch, as if it had never stopped.

    `run` is a folder or a name; None means the newest unfinished run. `epochs` raises the total.
    """
    found = runs.find(run, out=Path(out), status="unfinished")
    config = found.config()
    if epochs is not None:
        if epochs < config.train.epochs:
            raise UsageError(
                f"--epochs {epochs}: {found.path} was started for {config.train.epochs} epochs, "
                "which can only be raised."
            )
        config = config.with_train(epochs=epochs)
    if len(found.history()) >= config.train.epochs and found.info().get("status") == "finished":
        raise RunError(
            f"{found.path} has finished its {len(found.history())} epochs. "
            "To train it further, give more with --epochs."
        )
    pictures = _read(found.split(Path(str(config.data.dir))).all, config, emit)
    if fingerprint(pictures) != found.info().get("data", {}).get("fingerprint"):
        raise RunError(
            f"The photos in {config.data.dir} are not those that {found.path} began with. "
            "Put them back, or start a new run."
        )
    found.write("config.toml", config.to_toml())
    found.update_info(status="unfinished")
    return _run(found, config, pictures, emit)


def _settle(config: RunConfig, emit: Emit) -> RunConfig:
    """Fill in what depends on the data: where it is, and the picture size that suits it."""
    folder, size = config.data.dir, PHOTO_SIZE
    if folder is None and Path("data").is_dir():
        folder = "data"
    if folder is None:
        emit(Note("No --data and no ./data here: using the built-in demo set of drawn beans."))
        folder, size = str(cached_demo(cache_folder(), on_progress=_drawing(emit))), DEMO_SIZE
    return config.with_data(
        dir=str(Path(folder).absolute()), image_size=config.data.image_size or size
    )


def _drawing(emit: Emit) -> Any:
    return lambda done, total: emit(Progress("drawing", done, total))


def _check_batch_size(config: RunConfig, count: int) -> None:
    if config.train.batch_size % config.train.accumulate:
        raise UsageError(
            f"--accumulate {config.train.accumulate} does not divide the batch of "
            f"{config.train.batch_size} into equal parts. "
            "Choose a divisor of --batch-size, such as 2, 4 or 8 of 32."
        )
    if config.train.batch_size > count:
        raise DataError(
            f"batch_size {config.train.batch_size} is larger than the training set "
            f"({count} images in {config.data.dir}). Choose --batch-size {count} or less."
        )


def _read(samples: Samples, config: RunConfig, emit: Emit) -> Pictures:
    size = config.data.image_size
    assert size is not None, "settled before"
    pictures = read(
        samples,
        size,
        skip_bad=config.data.skip_bad,
        cache=config.data.cache,
        folder=cache_folder(),
        emit=emit,
    )
    for error in pictures.bad:
        emit(Warned(f"Left out: {error}"))
    return pictures


def _readable(split: Split, pictures: Pictures) -> Split:
    """The split without the pictures that were left out as unreadable."""
    train, val = (
        pictures.samples.take(pictures.rows(part).tolist()) for part in (split.train, split.val)
    )
    if not train or not val:
        raise DataError(
            f"{train.root}: without its {len(pictures.bad)} unreadable images, {len(train)} are "
            f"left for training and {len(val)} for validation; each needs at least 1. "
            "Replace them or add photos."
        )
    left = set(pictures.samples.labels)
    for label, name in enumerate(train.classes):
        if label not in left:
            raise DataError(
                f"{train.root / name} has no readable images. "
                f"Add photos of class {name!r}, or remove the folder."
            )
    return Split(train, val)


def _info(config: RunConfig, pictures: Pictures) -> dict[str, Any]:
    device = jax.devices()[0]
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "status": "unfinished",
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": {"kvgg_jax": __version__, "python": platform.python_version(), **versions},
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
            "cpus": os.cpu_count(),
        },
        "data": {
            "images": len(pictures.samples),
            "fingerprint": fingerprint(pictures),
            "left_out": [str(error) for error in pictures.bad],
        },
    }


def _run(run: Run, config: RunConfig, pictures: Pictures, emit: Emit) -> TrainResult:
    """Train in `run` from its last checkpoint, or from the start when it has none."""
    emit(Started(run.path))
    split = run.split(pictures.samples.root)
    task, state = _assemble(config, pictures, split, emit)
    _draw_samples(run, config, task, split)
    with Checkpoints(run.checkpoints) as checkpoints:

        def save(state: TrainState, history: History) -> None:
            run.write("history.csv", history.to_csv())
            checkpoints.save(state, best=history.best == history.epochs[-1])

        try:
            start = _restore(run, checkpoints, state, steps=task.train.steps)
            history, reason = fit(task, config.train, start, save=save, emit=emit)
        except BaseException:
            with contextlib.suppress(RunError):  # what ended the run matters more than its picture
                draw_curves(run.history(), run.path / "curves.png")
            raise
    draw_curves(history, run.path / "curves.png")
    run.update_info(status="finished", seconds=history.seconds, reason=reason)
    emit(Finished(run.path, history, reason))
    return TrainResult(run.path, history, reason)


def _assemble(
    config: RunConfig, pictures: Pictures, split: Split, emit: Emit
) -> tuple[Task, TrainState]:
    """Model, optimizer, pipelines and compiled steps of a run, and its first state."""
    size, batch = pictures.images.shape[1], config.train.batch_size
    classes = len(split.train.classes)
    model = vgg(
        config.model,
        classes=classes,
        image_size=size,
        precision=config.train.precision,
        seed=config.seed,
    )
    network = f"{config.model.arch.upper()}, head {config.model.head}"
    emit(Note(f"{network}, {size} px: {model.count_params():,} parameters"))
    optimizer, schedule = build_optimizer(config.optim, model), build_schedule(config.optim)
    augment = make_augment(config.data.augment, seed=config.seed, image_size=size)
    state = init_state(model, optimizer)
    store = hold(pictures)
    train = Pipeline(store, pictures.rows(split.train), batch_size=batch, seed=config.seed)
    part = config.train.part_size
    val = Pipeline(store, pictures.rows(split.val), batch_size=part)
    step = make_train_step(model, optimizer, augment, accumulate=config.train.accumulate)
    task = Task(
        train_step=compile_step(
            "training", step, state, zero_tally(), empty_batch(batch, size), donate=(0,), emit=emit
        ),
        eval_step=compile_step(
            "evaluation",
            make_eval_step(model),
            state.params,
            state.model_state,
            empty_batch(part, size),
            emit=emit,
        ),
        train=train,
        val=val,
        learning_rate=lambda step: float(schedule(step)),
    )
    return task, state


def _restore(
    run: Run, checkpoints: Checkpoints, fresh: TrainState, *, steps: int
) -> tuple[TrainState, History]:
    """The state and history after the last whole epoch on disk; `fresh` when there is none."""
    last = checkpoints.last_step()
    if last is None:
        return fresh, History()
    state, history = checkpoints.load_last(fresh), run.history().upto(last // steps)
    if len(history) != last // steps:
        raise RunError(
            f"{run.path / 'history.csv'} has {len(history)} of the {last // steps} epochs that "
            "the last checkpoint knows. Put the file back, or start a new run."
        )
    best = history.best
    if best and best.epoch * steps == last and checkpoints.best_step() != last:
        checkpoints.save_best(state)  # the run was cut between its two saves
    return state, history


def _draw_samples(run: Run, config: RunConfig, task: Task, split: Split) -> None:
    """`samples.png`: the first training pictures as the network sees them, augmented too."""
    batch = next(iter(task.train.epoch(1)))
    images: AnyArray = normalise(batch.images[:SAMPLES])
    augment = make_augment(config.data.augment, seed=config.seed, image_size=images.shape[1])
    if augment is not None:
        images = augment(images, jnp.zeros((), jnp.int32))
    names = [split.train.classes[label] for label in batch.labels[:SAMPLES]]
    draw_samples(np.asarray(images), names, run.path / "samples.png")
