"""The options of `kvgg train` that are settings, for other commands to take as well."""

from __future__ import annotations

from collections.abc import Callable

from kvgg_jax.cli.app import with_options_of
from kvgg_jax.cli.commands.train import train

OF_A_RUN = ("out", "name", "overwrite", "resume", "json")
"""Options of `train` that are no settings."""
OF_A_NETWORK = ("head", "arch", "batch_norm", "image_size", "batch_size", "config", "recipe")
OF_A_STEP = ("dropout", "accumulate", "precision", "augment", "mix", "ema")


def takes_settings(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command with `**given` all settings of `train`, less `without`, in their own panel."""
    left_out = {*OF_A_RUN, *without}
    return with_options_of(
        train, taking=lambda name: name not in left_out, panel="Settings, as of train"
    )


def takes_costs(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command with `**given` those settings of `train` that its figures depend on."""
    return with_options_of(train, taking=lambda name: name in names)
