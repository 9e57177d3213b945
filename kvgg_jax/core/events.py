"""What happens during a run, as frozen values that the program emits to a listener.

A listener decides nothing and raises nothing: what may refuse or stop a run is a callable of its
own, such as `check` and `stop` of `train`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kvgg_jax.core.history import Epoch, History, Monitor


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` parts of `stage`: "reading", "training", ...

    `total` is None while nobody knows how many there are.
    """

    stage: str
    done: int
    total: int | None
    images: int = 0
    """Images in this part; 0 where a part is one of `unit`."""
    epoch: int = 0
    unit: str = "images"


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """One sentence about something that may surprise the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Started:
    """The run folder `run` is complete, and no step is done."""

    run: Path


@dataclass(frozen=True, slots=True)
class Compiled:
    """A step is ready to run; `seconds` it took XLA."""

    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch and its validation are over."""

    row: Epoch
    epochs: int
    is_best: bool
    monitor: Monitor = "accuracy"


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over; `reason` says why it ended here."""

    run: Path
    history: History
    reason: str


Event = Progress | Note | Warned | Started | Compiled | EpochEnded | Finished
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""


def only_progress(emit: Emit) -> Emit:
    """A listener that passes on how far something is, where all else has been said already."""
    return lambda event: emit(event) if isinstance(event, Progress) else None
