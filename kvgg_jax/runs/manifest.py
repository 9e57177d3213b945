"""What a run began with, written down; and how the world differs from it when the run goes on."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
import json
import os
import platform
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from kvgg_jax.core.config import SETTINGS, RunConfig, settings
from kvgg_jax.core.devices import device_count, run_devices
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, Warned
from kvgg_jax.core.process import __version__
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.folder import Samples, find_images
from kvgg_jax.data.reader import DecodedImages, fingerprint
from kvgg_jax.data.source import keys
from kvgg_jax.data.split import Split, split_to_csv
from kvgg_jax.runs.folder import FORMAT, Run

PACKAGES = ("jax", "jaxlib", "keras", "tensorflow", "orbax-checkpoint", "numpy")
UNSEEN = {key for key, one in SETTINGS.items() if not one.changes_result}
MAY_CHANGE = {key for key, one in SETTINGS.items() if one.resume != "no"}  # when a run goes on
NAMED = 3  # photos in one message


def files_of(
    config: RunConfig,
    samples: Samples,
    split: Split,
    decoded: DecodedImages,
    *,
    number: int,
    weights: str | None = None,
) -> dict[str, str]:
    """The small files of a new run; `samples` are all photos, those left out as bad included.

    `weights` is the digest of those that it begins with.
    """
    dealt = split_to_csv(split)
    info = {
        "format": FORMAT,
        "number": number,
        "status": "unfinished",
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": _versions(),
        "device": _device(),
        "data": {
            "images": len(decoded.samples),
            "fingerprint": fingerprint(decoded),
            "split": _digest(dealt),
            "left_out": [str(error) for error in decoded.bad],
        },
        "settings": settings(config),
        **({"weights": weights} if weights else {}),
    }
    return {
        "classes.json": json.dumps(split.train.classes, ensure_ascii=False) + "\n",
        "split.csv": dealt,
        "digests.csv": _digests_csv(samples, decoded),
        "run.json": json.dumps(info, indent=2) + "\n",
    }


def check_settings(run: Run, config: RunConfig) -> None:
    """Raises RunError with each setting that somebody changed since the run began."""
    file = run.path / "config.toml"
    refuse(
        f"{file} has changed since the run started:",
        changed_settings(run, config, MAY_CHANGE),
        f"Restore it, or start a new run with it: kvgg train --config {file}",
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
    same = {key for key in then.keys() & now.keys() if then[key] == now[key]}
    return [
        f"  {key}: {_value(then, key)} then, {_value(now, key)} now"
        for key in dict.fromkeys([*now, *then])
        if key not in same and key not in may_change
    ]


def _value(table: Mapping[str, Any], key: str) -> str:
    return json.dumps(table[key]) if key in table else "nothing"


def check_files(run: Run, split: Split, emit: Emit) -> None:
    """Before the photos are read. Raises RunError when some are gone; warns of new ones."""
    root, digest = split.train.root, _digest(split_to_csv(split))
    if run.dealt() != digest:
        raise RunError(
            f"{run.path / 'split.csv'} has changed since the run started. "
            "Restore it, or start a new run."
        )
    if gone := [path for path in split.all.paths if not os.path.exists(root / path)]:
        raise _other_photos(run, root, [count("removed", gone)])
    here = [path.relative_to(root).as_posix() for path in find_images([root])]
    if new := sorted({path for path in here if "/" in path} - run.read_digests().keys()):
        emit(Warned(f"{root}: {count('new', new)} since {run.path} started; they are not used."))


def check_images(run: Run, decoded: DecodedImages) -> None:
    """Once the photos are read. Raises RunError naming those that are not what they were."""
    now = digests_of(decoded)
    then = {path: digest for path, digest in run.read_digests().items() if digest}
    lost = [path for path in then if path not in now]
    changed = [path for path in then if path in now and now[path] != then[path]]
    parts = (("unreadable", lost), ("changed", changed))
    if found := [count(what, paths) for what, paths in parts if paths]:
        raise _other_photos(run, decoded.samples.root, found)


def _other_photos(run: Run, root: Path, found: list[str]) -> RunError:
    return RunError(
        f"The photos in {root} have changed since {run.path} started: {', '.join(found)}. "
        "Restore them, or start a new run."
    )


def count(what: str, paths: Iterable[str]) -> str:
    """`"2 changed (a/1.png, b/2.png)"`."""
    names = [escape_name(path) for path in sorted(paths)]
    more = ", ..." if len(names) > NAMED else ""
    return f"{len(names)} {what} ({', '.join(names[:NAMED])}{more})"


def digests_of(decoded: DecodedImages) -> dict[str, str]:
    """Path -> SHA-256 of class name and pixels as the network sees them."""
    samples = decoded.samples
    rows = zip(keys(samples), samples.labels, decoded.digests(), strict=True)
    return {path: _digest(f"{pixels}{samples.classes[label]}") for path, label, pixels in rows}


def _digests_csv(samples: Samples, decoded: DecodedImages) -> str:
    """Every photo with its digest; none for one that was left out as unreadable."""
    out, digests = io.StringIO(), digests_of(decoded)
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(("path", "sha256"))
    writer.writerows((path, digests.get(path, "")) for path in keys(samples))
    return out.getvalue()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"kvgg_jax": __version__, "python": platform.python_version(), **versions}


def _device() -> dict[str, Any]:
    device = run_devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "count": device_count(),
        "cpus": os.cpu_count(),
    }
