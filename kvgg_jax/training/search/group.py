"""Runs in one folder for one answer, such as folds or trials: train each one, or resume it."""

from __future__ import annotations

from collections.abc import Callable

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.events import Emit
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.trainer import resume, train


def finish(
    run: Run,
    config: RunConfig,
    *,
    check: Callable[[Run], None],
    stop: Callable[[], bool],
    before_run: Callable[[], None],
    emit: Emit,
) -> None:
    """Train a member of the group, resume it, or leave it as it is when it is finished.

    `check` may raise, before the first step, when its photos are not those of the other members.
    `before_run` is called before a run that still has something to do.
    """
    if run.is_finished:
        check(run)
        return
    before_run()
    if run.exists:
        resume(run.path, track=config.train.track, stop=stop, check=check, emit=emit)
    else:
        train(config, out=run.path.parent, name=run.path.name, stop=stop, check=check, emit=emit)
