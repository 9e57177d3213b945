"""What a run began with, written down; and how settings and photos differ from it now."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from kvgg_jax.core.config import SETTINGS, RunConfig, settings
from kvgg_jax.core.devices.mesh import run_devices
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, Warned
from kvgg_jax.core.places import Place, canonical, is_missing
from kvgg_jax.core.process import __version__
from kvgg_jax.core.text import escape_name, first_names
from kvgg_jax.data.columns import Texts
from kvgg_jax.data.reader import DecodedImages, fingerprint
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.split import Split, split_to_csv
from kvgg_jax.runs.folder import FORMAT, Run
from kvgg_jax.runs.photo_digests import PhotoDigests

PACKAGES = ("jax", "jaxlib", "keras", "tensorflow", "orbax-checkpoint", "numpy")
UNSEEN = {key for key, one in SETTINGS.items() if not one.changes_result}
MAY_CHANGE = {key for key, one in SETTINGS.items() if one.resume != "no"}  # at a resume


def files_of(
    config: RunConfig,
    samples: Samples,
    split: Split,
    decoded: DecodedImages,
    *,
    number: int,
    weights: str | None = None,
    custom: Mapping[str, str] | None = None,
) -> dict[str, str | Iterable[str]]:
    """The small files of a new run; `samples` are all photos, those left out as bad included.

    `weights` is the digest of the weights that it begins with; `custom` names what its caller gave
    in place of settings, such as `{"loss": "module.function"}`.
    """
    info = {
        **identity(),
        "number": number,
        "data": {
            "images": len(decoded.samples),
            "fingerprint": fingerprint(decoded),
            "split": _split_digest(split),
            "given": split.given,
            "left_out": [str(error) for error in decoded.bad],
        },
        "settings": settings(config),
        **({"weights": weights} if weights else {}),
        **({"custom": custom} if custom else {}),
    }
    return {
        "classes.json": json.dumps(split.train.classes, ensure_ascii=False) + "\n",
        "split.csv": split_to_csv(split),
        "digests.csv": PhotoDigests.of(decoded).to_csv(samples),
        "run.json": json.dumps(info, indent=2) + "\n",
    }


def identity() -> dict[str, Any]:
    """What tells a new run from all others, and what it runs on."""
    return {
        "format": FORMAT,
        "id": uuid.uuid4().hex,
        "status": "unfinished",
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": _versions(),
        "device": device(),
    }


def check_settings(run: Run, config: RunConfig) -> None:
    """Raises RunError with each setting that somebody changed since the run began."""
    file = run.path / "config.toml"
    refuse(
        f"{file} has changed since the run started:",
        changed_settings(run, config, MAY_CHANGE),
        f"Restore it, or start a new run with it: kvgg train --config {file}",
    )


def check_custom(run: Run, names: Mapping[str, str]) -> None:
    """Raises RunError where the names of what a caller gives are not those the run began with."""
    refuse(
        f"{run.path} has not started with this loss and optimizer:",
        differences(run.info().get("custom", {}), names),
        f"Give it what it started with: kvgg_jax.resume({str(run.path)!r}, ...).",
    )


def warn_of_devices(run: Run, emit: Emit) -> None:
    """Warn where the run is resumed on more or fewer devices."""
    then, now = run.info().get("device", {}).get("count", 1), len(run_devices())
    if then != now:
        emit(
            Warned(
                f"{run.path} was trained on {then} device(s), and continues on {now}: photos and "
                "their order stay the same, but sums are added up in another order, so the last "
                "bits of the weights may differ"
            )
        )


def refuse(head: str, differing: list[str], tail: str) -> None:
    """Raises RunError with these lines where there are any."""
    if differing:
        raise RunError("\n".join([head, *differing, tail]))


def changed_settings(run: Run, config: RunConfig, may_change: Collection[str]) -> list[str]:
    """A line for each setting of `config` that is not what the run began with; what a run of an
    older version did not know had its default."""
    run.check_format()
    now, known = settings(config), {**settings(RunConfig()), **run.info().get("settings", {})}
    return differences({key: known[key] for key in now}, now, may_change)


def differences(
    then: Mapping[str, Any], now: Mapping[str, Any], may_change: Collection[str] = ()
) -> list[str]:
    """A line for each key that has another value now, or is on one side alone."""

    def value(table: Mapping[str, Any], key: str) -> str:
        return json.dumps(table[key]) if key in table else "nothing"

    return [
        f"  {key}: {value(then, key)} then, {value(now, key)} now"
        for key in dict.fromkeys([*now, *then])
        if key not in may_change and not (key in then and key in now and then[key] == now[key])
    ]


def check_files(run: Run, split: Split, emit: Emit) -> None:
    """Before the photos are read. Raises RunError when some are gone; warns of new ones."""
    source = split.train.source
    root = source.root
    if run.split_digest() != _split_digest(split):
        raise RunError(
            f"{run.path / 'split.csv'} has changed since the run started. "
            "Restore it, or start a new run."
        )
    if is_missing(root):
        raise RunError(
            f"{root}, the photos of {run.path}, is not there. Put the folder back, or give its new "
            f"place as data.dir in {run.path / 'config.toml'}."
        )
    here = Texts.of(source.list_keys())
    parts = [Texts.of(part.paths) for _, part in split.parts()]
    if gone := [path for part in parts[:2] for path in part.without(here)]:
        raise _other_photos(run, root, [count("removed", gone)])
    for known in (*parts, run.read_digests().paths):
        here = here.without(known)
    if here:
        emit(Warned(f"{root}: {count('new', here)} since {run.path} started; they are not used."))


def check_images(run: Run, decoded: DecodedImages) -> None:
    """Once the photos are read. Raises RunError naming those that are not what they were."""
    then, now = run.read_digests(), PhotoDigests.of(decoded)
    parts = (("unreadable", then.lost(now)), ("changed", then.changed(now)))
    if found := [count(what, paths) for what, paths in parts if paths]:
        raise _other_photos(run, decoded.samples.root, found)


def _other_photos(run: Run, root: Place, found: list[str]) -> RunError:
    return RunError(
        f"The photos in {root} have changed since {run.path} started: {', '.join(found)}. "
        "Restore them, or start a new run."
    )


def count(what: str, paths: Iterable[str]) -> str:
    """`"2 changed (a/1.png, b/2.png)"`."""
    names = sorted(paths)
    return f"{len(names)} {what} ({first_names(names)})"


def trained_on(run: Run, decoded: DecodedImages) -> Samples:
    """Those `decoded` that the run was trained on: the same files, or copies of them.

    A copy has the same class and pixels, which shows where both are decoded to one size.
    Raises RunError for a damaged run folder.
    """
    train, then, now = run.split().train, run.read_digests(), PhotoDigests.of(decoded)
    copies = np.isin(np.array(now.digests), np.array(then.of_photos(Texts.of(train.paths))))
    own = _files(train).find(_files(decoded.samples)) >= 0
    return decoded.samples.take(np.flatnonzero(copies | own))


def _files(samples: Samples) -> Texts:
    """Where each is, equal for two names of one file."""
    return Texts.of(canonical(samples.name(row)) for row in range(len(samples)))


def check_overlap(
    runs: Sequence[Run], decoded: DecodedImages, part: str, *, is_own: bool, emit: Emit
) -> int | None:
    """Warn of the own photos of a run, or of folds, that have changed, and of those in `part` "all"
    that any was trained on; gives how many the latter are, None where that is unknown."""
    root, total = escape_name(decoded.samples.root), len(decoded.samples)
    of = runs[0].path if len(runs) == 1 else runs[0].path.parent
    try:
        own = is_own or part == "val"
        changed = runs[0].read_digests().changed(PhotoDigests.of(decoded)) if own else []
        learned = runs if part == "all" else ()
        known = len({path for run in learned for path in trained_on(run, decoded).paths})
    except RunError as error:  # the network can be evaluated without it
        emit(Warned(f"It is unknown which of these photos {of} was trained on: {error}"))
        return None
    if changed:
        text = f"{root}: {count('changed', changed)} since {of} was trained"
        emit(Warned(f"{text}, or this version decodes them differently."))
    if known:
        text = f"{known:,} of the {total:,} photos in {root} are among those that"
        emit(Warned(f"{text} {of} was trained on, so its accuracy looks better than it is."))
    return known


def _split_digest(split: Split) -> str:
    digest = hashlib.sha256()
    for text in split_to_csv(split):
        digest.update(text.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"kvgg_jax": __version__, "python": platform.python_version(), **versions}


def device() -> dict[str, Any]:
    """What a run computes on."""
    devices = run_devices()
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
        "cpus": os.cpu_count(),
    }
