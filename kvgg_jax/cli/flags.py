"""The flags of a command that are keys of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvgg_jax.core.config_file import parse_set
from kvgg_jax.core.errors import UsageError

KEYS = {
    "data": "data.dir",
    "val_split": "data.val_split",
    "split": "data.split",
    "image_size": "data.image_size",
    "augment": "data.augment",
    "augment_color": "data.augment_color",
    "mix": "data.mix",
    "mix_alpha": "data.mix_alpha",
    "balance": "data.balance",
    "skip_bad": "data.skip_bad",
    "cache": "data.cache",
    "head": "model.head",
    "arch": "model.arch",
    "dropout": "model.dropout",
    "batch_norm": "model.batch_norm",
    "init": "model.init",
    "weights": "model.weights",
    "freeze": "model.freeze",
    "lr": "optim.lr",
    "schedule": "optim.schedule",
    "warmup_steps": "optim.warmup_steps",
    "label_smoothing": "optim.label_smoothing",
    "weight_decay": "optim.weight_decay",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "accumulate": "train.accumulate",
    "patience": "train.patience",
    "min_delta": "train.min_delta",
    "save_every_steps": "train.save_every_steps",
    "track": "train.track",
    "precision": "train.precision",
    "class_weight": "train.class_weight",
    "ema": "train.ema",
    "seed": "seed",
}
RESUME_TAKES = ("train.epochs", "train.track")


def all_typed(given: dict[str, Any]) -> dict[str, tuple[str, object]]:
    """As `typed`, and what `--set` names too, for `resolve`; a flag wins over `--set`."""
    flags: dict[str, tuple[str, object]] = dict(parse_set(text) for text in given["set_"] or ())
    return {**flags, **typed(given)}


def typed(given: dict[str, Any]) -> dict[str, tuple[str, object]]:
    """The parameters of a command that are configuration keys: key -> (as typed, value)."""
    flags: dict[str, tuple[str, object]] = {}
    for parameter, key in KEYS.items():
        value = given.get(parameter)
        if value is not None:
            plain = str(value) if isinstance(value, Path) else value
            flags[key] = (_as_typed(parameter.replace("_", "-"), value), plain)
    return flags


def _as_typed(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {value}"


def check_resume(
    flags: dict[str, tuple[str, object]],
    *,
    config: Path | None,
    recipe: str | None,
    name: str | None,
    overwrite: bool,
) -> None:
    """Raises UsageError when a flag beside `--resume` would change the run."""
    extra = [flag.split()[0] for key, (flag, _) in flags.items() if key not in RESUME_TAKES]
    given = {"--config": config, "--recipe": recipe, "--name": name, "--overwrite": overwrite}
    extra += [flag for flag, value in given.items() if value]
    if extra:
        raise UsageError(
            f"--resume goes on with the run's own settings; {extra[0]} cannot change them. "
            "Only --epochs can be raised, and --track given."
        )
