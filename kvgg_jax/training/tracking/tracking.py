"""A run shown elsewhere while it trains: in TensorBoard, MLflow, Weights & Biases.

A tracker is a listener: it decides nothing. It shows what `history.csv` has, and at each start gets
that from the first epoch on, so a run that was stopped and resumed has each epoch once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.hosts import is_main
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, EpochEnded, Event, Note, Warned
from kvgg_jax.core.extras import require
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.core.text import escape_name
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.tracking.trackers import TRACKERS, Tracker


def check_trackers(config: RunConfig) -> None:
    """Raises MissingExtra for a tracker that is not installed, before any work."""
    for name in config.train.track:
        require(name, by=f"`train.track = {name}`")


@contextmanager
def tracked(run: Run, config: RunConfig, history: History, emit: Emit) -> Iterator[Emit]:
    """`emit`, heard by the run's trackers too; they get `history` first.

    A tracker that cannot be opened is a RunError, before the first step. One that fails later is
    dropped with a warning, and training continues: the run folder has all of it.
    """
    trackers: dict[str, Tracker] = {}
    moment, finished = run.created(), False

    def show(row: Epoch) -> None:
        nonlocal moment
        moment += row.seconds or 0.0  # as if training had never paused: the same at each start
        for name, tracker in tuple(trackers.items()):
            try:
                tracker.add(row, moment)
            except Exception as error:  # whatever a foreign library raises
                del trackers[name]
                text = f"{name} failed at epoch {row.epoch} and gets no more: {_brief(error)}."
                file = run.path / "history.csv"
                emit(Warned(f"{text} Training continues; {file} has every epoch."))

    def listen(event: Event) -> None:
        emit(event)
        if isinstance(event, EpochEnded):
            show(event.row)

    try:
        for chosen in dict.fromkeys(config.train.track if is_main() else ()):
            trackers[chosen] = _open(chosen, run, config)
            emit(Note(trackers[chosen].where))
        for row in history:
            show(row)
        yield listen
        finished = True
    finally:
        for name, tracker in trackers.items():
            try:
                tracker.close(finished=finished)
            except Exception as error:
                emit(Warned(f"{name} failed as it was closed: {_brief(error)}."))


def _open(name: str, run: Run, config: RunConfig) -> Tracker:
    try:
        return TRACKERS[name](run, config)
    except Exception as error:
        raise RunError(
            f"{run.path} cannot be tracked with {name}: {_brief(error)}. Fix that, or resume "
            f"without it: kvgg train --resume {run.path} --track none"
        ) from error


def _brief(error: Exception) -> str:
    return escape_name(str(error) or type(error).__name__).rstrip(".")
