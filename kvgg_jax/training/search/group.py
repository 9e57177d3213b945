"""Runs in one folder for one answer, such as folds or trials: train each, or go on with it."""

from __future__ import annotations

from collections.abc import Callable

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.events import Emit, Event, Started
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.trainer import resume, train


def finish(
    run: Run,
    config: RunConfig,
    *,
    check_photos: Callable[[Run], None],
    stop: Callable[[], bool],
    emit: Emit,
) -> None:
    """Train a member of the group, resume it, or leave it as it is where it is finished.

    `check_photos` may raise, before the first step, where they are not those of the other members.
    """

    def listen(event: Event) -> None:
        emit(event)
        if isinstance(event, Started):
            check_photos(run)

    if not run.exists:
        train(config, out=run.path.parent, name=run.path.name, stop=stop, emit=listen)
    elif run.is_finished:
        check_photos(run)
    else:
        resume(run.path, track=config.train.track, stop=stop, emit=listen)
