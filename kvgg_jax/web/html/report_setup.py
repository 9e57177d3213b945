"""The page of `kvgg report`: what the run came from, photos, settings, versions, and its cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from shlex import quote
from typing import Any

from kvgg_jax.core.config import RunConfig, settings
from kvgg_jax.core.text import duration
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.audit.sentences import facts
from kvgg_jax.data.split import Split
from kvgg_jax.runs.listing import RunSummary


def photos_context(check: Check, split: Split) -> dict[str, Any]:
    """What `data check` found, and how the photos were split."""
    train, val = (Counter(part.labels) for part in (split.train, split.val))
    return {
        "facts": facts(check),
        "split_rows": [
            (name, f"{train[k]:,}", f"{val[k]:,}", f"{train[k] + val[k]:,}")
            for k, name in enumerate(split.train.classes)
        ],
        "check_command": f"kvgg data check {quote(str(check.folder))} --html check.html",
    }


def setup_context(run: RunSummary, split: Split) -> dict[str, Any]:
    """Time, size and arithmetic; settings, command and versions: all that repeats the run."""
    values, default = settings(run.config), settings(RunConfig())
    changed = {key: value for key, value in values.items() if value != default[key]}
    flags = [f"--set {quote(f'{key}={_toml(value)}')}" for key, value in changed.items()]
    return {
        "cost": _cost(run, split),
        "settings": [(key, _toml(value), _toml(default[key])) for key, value in changed.items()],
        "train_command": " ".join(["kvgg train", *flags]),
        "origin": _origin(run.info),
    }


def _cost(run: RunSummary, split: Split) -> Iterator[tuple[str, str]]:
    config, history, one = run.config, run.history, run.cost
    yield "training time", f"{duration(history.seconds)} ({history.seconds:,.1f} s)"
    if speed := history.images_per_second:
        yield "speed", f"{speed:,.1f} photos a second, validation left out"
    yield "machine", run.device
    yield "parameters", f"{one.params:,}, of which {one.head_params:,} in the head"
    yield "weights", f"{one.weight_bytes / 2**20:,.1f} MiB in float32"
    yield "FLOPs a photo", f"{one.forward_flops / 1e9:,.2f} G to classify it"
    if config.model.frozen_blocks == 0:
        flops = one.training_flops * len(split.train) * len(history)
        yield "FLOPs of training", f"{flops / 1e12:,.1f} T, from the size of the network"


def _origin(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    versions, data = info.get("versions"), info.get("data", {})
    yield "run", f"{info.get('status')}, begun {str(info.get('created')).replace('T', ' ')}"
    for name, version in versions.items() if isinstance(versions, dict) else ():
        yield str(name), str(version)
    yield "photos", f"fingerprint {data.get('fingerprint')}"
    if weights := info.get("weights"):
        yield "first weights", f"digest {weights}"


def _toml(value: Any) -> str:
    """As it stands in a config file; "none" where a key is not set."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
