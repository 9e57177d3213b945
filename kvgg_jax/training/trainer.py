"""`train` and `resume`: from a configuration to a finished run folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from kvgg_jax.core.config import RunConfig, Tracked, settings
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, Finished, Started, ignore
from kvgg_jax.core.history import History
from kvgg_jax.core.memory import training_memory_advice
from kvgg_jax.core.state import Batch, TrainState, discard
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.pipeline import Pipeline
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.split import Split
from kvgg_jax.models.functional import normalise
from kvgg_jax.runs import catalog, step_folders
from kvgg_jax.runs.charts import draw_curves, draw_samples
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.lock import locked
from kvgg_jax.runs.manifest import check_files, check_images, check_settings, files_of
from kvgg_jax.training.initial_weights import InitialWeights, load_initial_weights
from kvgg_jax.training.inputs import (
    complete_config,
    deal_photos,
    only_readable,
    read_photos,
    warn_of_split,
)
from kvgg_jax.training.loop import LoopInputs, fit, never, spent
from kvgg_jax.training.recorder import Recorder
from kvgg_jax.training.schedules import SCHEDULES
from kvgg_jax.training.setup import assemble, build_network
from kvgg_jax.training.step_setup import build_changes, changed
from kvgg_jax.training.tracking.tracking import check_trackers, tracked

SAMPLES = 24  # pictures in samples.png


def accept(run: Run) -> None:
    """The check of a run that may be any."""


def nothing() -> None:
    """What is to be done before each run where nobody asks for more."""


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
        return self.history.images_per_second or 0.0


def train(
    config: RunConfig | None = None,
    *,
    out: str | Path = catalog.OUT,
    name: str | None = None,
    overwrite: bool = False,
    stop: Callable[[], bool] = never,
    check: Callable[[Run], None] = accept,
    emit: Emit = ignore,
) -> TrainResult:
    """Train a classifier and keep everything about it in `out/name`.

    `stop` is asked after each step; when it says yes, all is saved and Stopped is raised. `check`
    is called once the run's folder is written, before the first step; what it raises ends the run.
    Raises KvggError (its text is for the user) for data, a configuration or a folder that will
    not do, before anything is written; NonFiniteLoss when training diverges.
    """
    check_trackers(config or RunConfig())
    config, out = complete_config(config or RunConfig(), emit, out=out), Path(out)
    path = catalog.choose(config, out=out, name=name, overwrite=overwrite)
    with (
        locked(path) as hold_inside,
        training_memory_advice(config),
    ):  # at once: no other run takes that name meanwhile
        samples, split = deal_photos(config, emit)
        given = load_initial_weights(config, samples.classes, emit)
        decoded = read_photos(samples, config, emit)
        dealt = only_readable(split, decoded)
        warn_of_split(dealt, decoded, config, emit)
        number, weights = catalog.next_number(out), given.digest if given else None
        files = files_of(config, samples, dealt, decoded, number=number, weights=weights)
        run = catalog.create(path, config, files, overwrite=overwrite)
        hold_inside()
        return _run(run, config, decoded, given, stop=stop, check=check, emit=emit)


def resume(
    run: str | Path | None = None,
    *,
    epochs: int | None = None,
    track: Sequence[Tracked] | None = None,
    out: str | Path = catalog.OUT,
    stop: Callable[[], bool] = never,
    check: Callable[[Run], None] = accept,
    emit: Emit = ignore,
) -> TrainResult:
    """Go on with a run from its last saved step, as if it had never stopped.

    `run` is a folder or a name; None means the newest unfinished run. `epochs` raises the total,
    `track` says anew where the epochs are shown, `stop` and `check` are as for `train`. Raises
    RunError when the photos, the settings or the saved states are not those of the run.
    """
    found = catalog.find(run, out=Path(out), status="unfinished")
    with locked(found.path):
        config = found.config()
        check_settings(found, config)
        config = _with_epochs(found, config, epochs)
        if track is not None:
            config = config.with_train(track=track)
        check_trackers(config)
        _check_unfinished(found, config)
        given = _given(found, config, emit)
        split = found.split(Path(str(config.data.dir)))
        check_files(found, split, emit)
        with training_memory_advice(config):
            decoded = read_photos(split.all, config, emit)
            check_images(found, decoded)
            found.write("config.toml", config.to_toml())
            found.update_info(status="unfinished", settings=settings(config))
            return _run(found, config, decoded, given, stop=stop, check=check, emit=emit)


def prepare(config: RunConfig, emit: Emit = ignore) -> tuple[LoopInputs, TrainState]:
    """All that `train` would begin with, of a config that is settled, without a run folder.

    Raises KvggError as `train` does.
    """
    samples, split = deal_photos(config, emit)
    given = load_initial_weights(config, samples.classes, emit)
    decoded = read_photos(samples, config, emit)
    split = only_readable(split, decoded)
    network = build_network(config, decoded, split, given, emit=emit)
    return assemble(config, network, decoded, split, network.state, emit=emit), network.state


def _given(run: Run, config: RunConfig, emit: Emit) -> InitialWeights | None:
    """The weights that a run begins with, where it has saved none yet.

    Raises RunError when they are not those that it began with.
    """
    if step_folders.steps(run.checkpoints / "last"):
        return None
    given = load_initial_weights(config, run.classes(), emit)
    if given and given.digest != run.info().get("weights"):
        raise RunError(
            f"The weights at {escape_name(config.model.weights)} are not those that {run.path} "
            "began "
            "with, and it has saved nothing yet. Put them back, or start a new run."
        )
    return given


def _with_epochs(run: Run, config: RunConfig, epochs: int | None) -> RunConfig:
    """The configuration with more epochs, when `epochs` asks for them."""
    known = run.info().get("settings", {}).get("train.epochs", config.train.epochs)
    wanted = config.train.epochs if epochs is None else epochs
    if wanted < known:
        raise UsageError(
            f"`train.epochs = {wanted}`: {run.path} was started for {known} epochs, "
            "which can only be raised."
        )
    if wanted > known and SCHEDULES[config.optim.schedule].depends_on_length:
        raise UsageError(
            f"`train.epochs = {wanted}`: the {config.optim.schedule} schedule of {run.path} "
            f"depends on its {known} epochs, so {wanted} would be another run. {_anew(run, wanted)}"
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
        further = "To train it further, raise `train.epochs`."
        if SCHEDULES[config.optim.schedule].depends_on_length:
            anew = _anew(run, 2 * train.epochs)
            further = f"Its {config.optim.schedule} schedule is at its end. {anew}"
        raise RunError(f"{run.path} has finished its {len(history)} epochs. {further}")
    if history.stale(train.min_delta) >= train.patience:
        raise RunError(
            f"{run.path} has finished: {spent(train)}. "
            "To train longer, start a new run with a higher `train.patience`."
        )


def _run(
    run: Run,
    config: RunConfig,
    decoded: DecodedImages,
    given: InitialWeights | None,
    *,
    stop: Callable[[], bool],
    check: Callable[[Run], None],
    emit: Emit,
) -> TrainResult:
    """Train in `run` from its last checkpoint, or from the start when it has none."""
    emit(Started(run.path))
    check(run)
    split = run.split(decoded.samples.root)
    with Checkpoints(run.checkpoints, run=run, emit=emit) as checkpoints:
        network = build_network(config, decoded, split, given, emit=emit)
        _draw_samples(run, config, network.batches, split)
        recorder = Recorder(run, checkpoints, steps=network.batches.steps, emit=emit)
        try:
            progress = recorder.restore(network.state)
            inputs = assemble(config, network, decoded, split, progress.state, emit=emit)
            if progress.state is not network.state:
                discard(network.state)
            with tracked(run, config, progress.history, emit) as tell:
                history, reason = fit(
                    inputs, config.train, progress, recorder=recorder, stop=stop, emit=tell
                )
        except BaseException:
            with contextlib.suppress(RunError):  # what ended the run matters more than its picture
                draw_curves(run.history(), run.path / "curves.png")
            raise
    draw_curves(history, run.path / "curves.png")
    run.update_info(status="finished", seconds=history.seconds, reason=reason)
    emit(Finished(run.path, history, reason))
    return TrainResult(run.path, history, reason)


def _draw_samples(run: Run, config: RunConfig, batches: Pipeline, split: Split) -> None:
    """`samples.png`: the first training pictures as the network sees them, with their class.

    Of a mixed picture that is the class with the larger share.
    """
    first, step = next(iter(batches.epoch(1))), jnp.zeros((), jnp.int32)
    batch = Batch(*(part[:SAMPLES] for part in first))
    batch = batch._replace(images=normalise(batch.images))
    changes = build_changes(config, batch.images.shape[1], len(split.train.classes))
    batch = changed(batch, step, *changes)
    labels = np.argmax(batch.labels, axis=-1) if np.ndim(batch.labels) == 2 else batch.labels
    names = [split.train.classes[label] for label in labels]
    draw_samples(np.asarray(batch.images), names, run.path / "samples.png")
