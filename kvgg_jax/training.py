"""`train` and `resume`: from a configuration to a finished run folder."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from kvgg_jax import runs
from kvgg_jax.charts import draw_curves, draw_samples
from kvgg_jax.checkpoint import Checkpoints
from kvgg_jax.compiled import cache_folder, compile_step
from kvgg_jax.config import PHOTO_SIZE, RunConfig, Tracked, settings
from kvgg_jax.data.check import copies_warning
from kvgg_jax.data.dealing import deal_as
from kvgg_jax.data.demo import cached_demo
from kvgg_jax.data.folder import Samples, Split, scan
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import Pictures, read
from kvgg_jax.errors import ConfigError, DataError, RunError, UsageError, shown
from kvgg_jax.events import Emit, Finished, Note, Progress, Started, Warned, ignore
from kvgg_jax.forward import normalise
from kvgg_jax.history import History
from kvgg_jax.keeper import Keeper
from kvgg_jax.lock import locked
from kvgg_jax.loop import Task, fit, never, spent
from kvgg_jax.memory import memory_advice
from kvgg_jax.model import vgg
from kvgg_jax.optimizer import build_schedule
from kvgg_jax.origin import (
    check_files,
    check_pictures,
    check_settings,
    files_of,
    upgrade,
)
from kvgg_jax.recipe import build_changes, build_recipe
from kvgg_jax.runs import Run
from kvgg_jax.state import Batch, TrainState, empty_batch
from kvgg_jax.step import (
    make_eval_step,
    zero_tally,
)
from kvgg_jax.tracking import check_trackers, tracked

DEMO_SIZE = 48  # small enough for minutes on two cores
SAMPLES = 24  # pictures in samples.png


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
    stop: Callable[[], bool] = never,
    emit: Emit = ignore,
) -> TrainResult:
    """Train a classifier and keep everything about it in `out/name`.

    `stop` is asked after each step; when it says yes, all is saved and Stopped is raised.
    Raises KvggError (its text is for the user) for data, a configuration or a folder that will
    not do, before anything is written; NonFiniteLoss when training diverges.
    """
    check_trackers(config or RunConfig())
    config, out = settle(config or RunConfig(), emit), Path(out)
    path = runs.choose(config, out=out, name=name, overwrite=overwrite)
    samples, split = _deal(config, emit)
    with locked(path):
        pictures = _read(samples, config, emit)
        dealt = _readable(split, pictures)
        _warn_of_copies(dealt, pictures, config, emit)
        files = files_of(config, samples, dealt, pictures, number=runs.next_number(out))
        run = runs.create(path, config, files, overwrite=overwrite)
        return _run(run, config, pictures, stop, emit)


def resume(
    run: str | Path | None = None,
    *,
    epochs: int | None = None,
    track: Sequence[Tracked] | None = None,
    out: str | Path = runs.OUT,
    stop: Callable[[], bool] = never,
    emit: Emit = ignore,
) -> TrainResult:
    """Go on with a run from its last saved step, as if it had never stopped.

    `run` is a folder or a name; None means the newest unfinished run. `epochs` raises the total,
    `track` says anew where the epochs are shown, `stop` is as for `train`. Raises RunError when the
    photos, the settings or the saved states are not those of the run.
    """
    found = runs.find(run, out=Path(out), status="unfinished")
    with locked(found.path):
        config = found.config()
        check_settings(found, config)
        config = _with_epochs(found, config, epochs)
        if track is not None:
            config = config.with_train(track=track)
        check_trackers(config)
        _check_unfinished(found, config)
        split = found.split(Path(str(config.data.dir)))
        check_files(found, split, emit)
        pictures = _read(split.all, config, emit)
        check_pictures(found, pictures)
        if found.format() < runs.FORMAT:
            upgrade(found, pictures, emit)
        found.write("config.toml", config.to_toml())
        found.update_info(status="unfinished", settings=settings(config))
        return _run(found, config, pictures, stop, emit)


def _with_epochs(run: Run, config: RunConfig, epochs: int | None) -> RunConfig:
    """The configuration with more epochs, when `epochs` asks for them."""
    known = run.info().get("settings", {}).get("train.epochs", config.train.epochs)
    wanted = config.train.epochs if epochs is None else epochs
    if wanted < known:
        raise UsageError(
            f"--epochs {wanted}: {run.path} was started for {known} epochs, "
            "which can only be raised."
        )
    if wanted > known and config.optim.schedule == "cosine":
        raise UsageError(
            f"--epochs {wanted}: the rate of {run.path} falls along a cosine of {known} epochs, so "
            f"{wanted} would be another run. {_anew(run, wanted)}"
        )
    return config.with_train(epochs=wanted)


def _anew(run: Run, epochs: int) -> str:
    return (
        "Start one with its settings: "
        f"kvgg train --config {run.path / 'config.toml'} --epochs {epochs}"
    )


def _check_unfinished(run: Run, config: RunConfig) -> None:
    """Raises RunError for a run that has nothing left to do, before any long work."""
    history, train = run.history(), config.train
    if run.info().get("status") != "finished":
        return
    if len(history) >= train.epochs:
        further = "To train it further, give more with --epochs."
        if config.optim.schedule == "cosine":
            further = f"Its cosine is at its end. {_anew(run, 2 * train.epochs)}"
        raise RunError(f"{run.path} has finished its {len(history)} epochs. {further}")
    if history.stale(train.min_delta) >= train.patience:
        raise RunError(
            f"{run.path} has finished: {spent(train)}. "
            "To train longer, start a new run with a higher --patience."
        )


def prepare(config: RunConfig, emit: Emit = ignore) -> tuple[Task, TrainState]:
    """All that `train` would begin with, without a run folder. Raises KvggError as it does."""
    config = settle(config, emit)
    samples, split = _deal(config, emit)
    pictures = _read(samples, config, emit)
    return _assemble(config, pictures, _readable(split, pictures), emit)


def settle(config: RunConfig, emit: Emit) -> RunConfig:
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


def _deal(config: RunConfig, emit: Emit) -> tuple[Samples, Split]:
    """All photos there are, and how they are dealt."""
    samples = scan(Path(str(config.data.dir)))
    split = deal_as(config, samples, emit=emit)
    _check_steps(config, len(split.train))
    emit(
        Note(
            f"{len(samples):,} photos of {len(samples.classes)} classes in {samples.root}: "
            f"{len(split.train):,} for training, {len(split.val):,} for validation"
        )
    )
    return samples, split


def _check_steps(config: RunConfig, count: int) -> None:
    """Raises DataError or ConfigError where `count` pictures are few for the batch or warm-up."""
    if config.train.batch_size > count:
        raise DataError(
            f"batch_size {config.train.batch_size} is larger than the training set "
            f"({count} images in {config.data.dir}). Choose --batch-size {count} or less."
        )
    steps = config.train.epochs * math.ceil(count / config.train.batch_size)
    if config.optim.warmup_steps >= steps:
        raise ConfigError(
            f"optim.warmup_steps = {config.optim.warmup_steps}: the whole run has {steps} steps. "
            "Choose fewer, or more --epochs."
        )


def _read(samples: Samples, config: RunConfig, emit: Emit) -> Pictures:
    size = config.data.image_size
    assert size is not None, "settled before"
    data = config.data
    return read(
        samples, size, skip_bad=data.skip_bad, cache=data.cache, folder=cache_folder(), emit=emit
    )


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
                f"{shown(train.root / name)} has no readable images. "
                f"Add photos of class {name!r}, or remove the folder."
            )
    return Split(train, val)


def _warn_of_copies(split: Split, pictures: Pictures, config: RunConfig, emit: Emit) -> None:
    """The part of `data check` that costs nothing, since the photos were read anyway."""
    digests = dict(zip(pictures.samples.paths, pictures.digests(), strict=True))
    warning = copies_warning(split, digests, grouped=config.data.split == "grouped")
    if warning:
        emit(Warned(warning))


def _run(
    run: Run, config: RunConfig, pictures: Pictures, stop: Callable[[], bool], emit: Emit
) -> TrainResult:
    """Train in `run` from its last checkpoint, or from the start when it has none."""
    emit(Started(run.path))
    split = run.split(pictures.samples.root)
    with memory_advice(config), Checkpoints(run.checkpoints, emit=emit) as checkpoints:
        task, state = _assemble(config, pictures, split, emit)
        _draw_samples(run, config, task, split)
        keeper = Keeper(run, checkpoints, steps=task.train.steps, emit=emit)
        try:
            standing = keeper.restore(state)
            with tracked(run, config, standing.history, emit) as tell:
                history, reason = fit(
                    task, config.train, standing, keeper=keeper, stop=stop, emit=tell
                )
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
    size, batch, part = pictures.images.shape[1], config.train.batch_size, config.train.part_size
    model = vgg(
        config.model,
        classes=len(split.train.classes),
        image_size=size,
        precision=config.train.precision,
        seed=config.seed,
    )
    network = f"{config.model.arch.upper()}, head {config.model.head}"
    emit(Note(f"{network}, {size} px: {model.count_params():,} parameters"))
    store, rows, balance = hold(pictures), pictures.rows(split.train), config.data.balance
    train = Pipeline(store, rows, batch_size=batch, seed=config.seed, balance=balance)
    val = Pipeline(store, pictures.rows(split.val), batch_size=part)
    steps = config.train.epochs * train.steps
    schedule = build_schedule(config.optim, steps=steps)
    step, state = build_recipe(config, model, split.train, steps=steps, emit=emit)
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


def _draw_samples(run: Run, config: RunConfig, task: Task, split: Split) -> None:
    """`samples.png`: the first training pictures as the network sees them, with their class.

    Of a mixed picture that is the class with the larger share.
    """
    first, step = next(iter(task.train.epoch(1))), jnp.zeros((), jnp.int32)
    batch = Batch(*(part[:SAMPLES] for part in first))
    batch = batch._replace(images=normalise(batch.images))
    augment, mix = build_changes(config, batch.images.shape[1], len(split.train.classes))
    if augment is not None:
        batch = batch._replace(images=augment(batch.images, step))
    if mix is not None:
        batch = mix(batch, step)
        batch = batch._replace(labels=np.argmax(batch.labels, axis=-1))
    names = [split.train.classes[label] for label in batch.labels]
    draw_samples(np.asarray(batch.images), names, run.path / "samples.png")
