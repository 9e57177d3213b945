"""Runs in one folder for one answer, such as folds or trials: train each one, or resume it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.lock import locked
from kvgg_jax.training.trainer import resume, train


@contextmanager
def group_folder(folder: Path, *, mark: str, what: str, shared: bool = False) -> Iterator[None]:
    """Hold `folder`, which is empty or has what matches `mark`. Raises RunError otherwise.

    `shared` leaves it to others too: then each member has its own lock alone.
    """
    catalog.check_writable(folder)
    with nullcontext() if shared else locked(folder):
        if any(folder.glob("[!.]*")) and not any(folder.glob(mark)):
            raise RunError(f"{folder} already exists and is no {what}. Choose another --name.")
        yield


def finish(
    run: Run,
    config: RunConfig,
    *,
    stop: Callable[[], bool],
    before_run: Callable[[], None] | None,
    emit: Emit,
    check: Callable[[Run], None] | None = None,
) -> None:
    """Train a member of the group, resume it, or leave it as it is when it is finished.

    `before_run` is called before a run that still has something to do. `check`, before the first
    step, raises RunError when its photos are not those of the others: `check_photos` if not given.
    """
    check = check or check_photos
    if run.is_finished:
        check(run)
        return
    if before_run is not None:
        before_run()
    if run.exists:
        resume(run.path, track=config.train.track, stop=stop, check=check, emit=emit)
        return
    out, name = run.path.parent, run.path.name
    train(config, out=out, name=name, stop=stop, check=check, emit=emit)


def check_photos(run: Run) -> None:
    """Raises RunError where `run` has other photos, or another split, than the runs before it.

    Pixels are compared between runs of one image size and `data.resize`, splits between runs of
    one fold.
    """
    folder, ours, photos = run.path.parent, run.config().data, run.info().get("data", {})
    for other in itertools.takewhile(lambda one: one.path != run.path, catalog.ordered(folder)):
        theirs, others = other.config().data, other.info().get("data", {})
        is_alike = (ours.image_size, ours.resize) == (theirs.image_size, theirs.resize)
        keys = ["fingerprint", "left_out"] if is_alike else []
        keys += ["split"] if ours.fold == theirs.fold else []
        if any(photos.get(key) != others.get(key) for key in keys):
            raise RunError(
                f"The photos changed since {folder} was started, so {run.path} cannot be compared "
                f"with {other.path}. Restore them and remove {run.path}, or choose another --name."
            )
