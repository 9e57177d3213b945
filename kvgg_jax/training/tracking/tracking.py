"""A run shown elsewhere while it trains: in TensorBoard, MLflow, Weights & Biases.

A tracker is a listener: it hears of each epoch and decides nothing. What it shows is what
`history.csv` has, and at every start it is given that from the first epoch on, so that a run
that was cut and resumed has each epoch once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvgg_jax.core.config import RunConfig
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
    """`emit`, heard by the trackers that `config` names too; they are told of `history` first.

    A tracker that cannot be opened is a RunError, before the first step. One that fails later is
    dropped with a warning, and training goes on: all of it is in the run folder.
    """
    audience, finished = _Audience(run, emit), False
    try:
        for name in dict.fromkeys(config.train.track):
            audience.open(name, config)
        for row in history:
            audience.show(row)
        yield audience
        finished = True
    finally:
        audience.close(finished=finished)


class _Audience:
    """The listener of a run, and its trackers."""

    def __init__(self, run: Run, emit: Emit) -> None:
        self._run, self._emit = run, emit
        self._trackers: dict[str, Tracker] = {}
        self._clock = run.created()

    def __call__(self, event: Event) -> None:
        self._emit(event)
        if isinstance(event, EpochEnded):
            self.show(event.row)

    def open(self, name: str, config: RunConfig) -> None:
        try:
            tracker = self._trackers[name] = TRACKERS[name](self._run, config)
        except Exception as error:  # whatever a foreign library raises, here and below
            raise RunError(
                f"{self._run.path} cannot be tracked with {name}: {_brief(error)}. Mend that, or "
                f"go on without it: kvgg train --resume {self._run.path} --track none"
            ) from error
        self._emit(Note(tracker.where))

    def show(self, row: Epoch) -> None:
        self._clock += row.seconds or 0.0  # as if training had never paused: the same at each start
        for name, tracker in tuple(self._trackers.items()):
            try:
                tracker.add(row, self._clock)
            except Exception as error:
                del self._trackers[name]
                self._emit(
                    Warned(
                        f"{name} failed at epoch {row.epoch} and is told no more: "
                        f"{_brief(error)}. Training goes on; {self._run.path / 'history.csv'} "
                        "has every epoch."
                    )
                )

    def close(self, *, finished: bool) -> None:
        for name, tracker in self._trackers.items():
            try:
                tracker.close(finished=finished)
            except Exception as error:
                self._emit(Warned(f"{name} failed as it was closed: {_brief(error)}."))


def _brief(error: Exception) -> str:
    return escape_name(str(error) or type(error).__name__).rstrip(".")
