"""What a run knows of photos that it meets again: which it was trained on, which have changed."""

from __future__ import annotations

import os
from pathlib import Path

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, Warned
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.manifest import count, digests_of


def trained_on(run: Run, decoded: DecodedImages) -> list[str]:
    """Paths of those `decoded` that the run was trained on: its very files, or copies of them.

    A copy has the same class and pixels, which can be told where both are decoded to one size.
    Raises RunError for a damaged run folder.
    """
    own = Path(str(run.config().data.dir))
    train, then, now = run.split(own).train, run.read_digests(), digests_of(decoded)
    files = {os.path.realpath(file) for file in train.files()}
    digests = {then[path] for path in train.paths if then.get(path)}
    samples = decoded.samples
    return [
        path
        for path, file in zip(samples.paths, samples.files(), strict=True)
        if now[path] in digests or os.path.realpath(file) in files
    ]


def changed_since(run: Run, decoded: DecodedImages) -> list[str]:
    """Paths of those `decoded`, the run's own, whose pixels or class are not what they were."""
    then, now = run.read_digests(), digests_of(decoded)
    return [path for path in now if then.get(path) and then[path] != now[path]]


def check_overlap(
    run: Run, decoded: DecodedImages, part: str, *, is_own: bool, emit: Emit
) -> int | None:
    """Warn of the run's own photos that are not what they were, and, unless they are those for
    validation, of those that it was trained on; how many of the latter, None where that is not
    known."""
    root, total = escape_name(decoded.samples.root), len(decoded.samples)
    try:
        changed = changed_since(run, decoded) if is_own or part == "val" else []
        known = trained_on(run, decoded) if part == "all" else []
    except RunError as error:  # the network can be judged without it
        emit(Warned(f"It is unknown which of these photos {run.path} was trained on: {error}"))
        return None
    if changed:
        text = f"{root}: {count('changed', changed)} since {run.path} was trained"
        emit(Warned(f"{text}, or this version decodes them differently."))
    if known:
        text = f"{len(known):,} of the {total:,} photos in {root} are among those that"
        emit(Warned(f"{text} {run.path} was trained on, so its accuracy looks better than it is."))
    return len(known)
