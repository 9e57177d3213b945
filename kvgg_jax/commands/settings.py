"""The options of `kvgg train` that are settings, for other commands to take as well."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_type_hints

from kvgg_jax.commands.train import train

OF_A_RUN = ("out", "name", "overwrite", "resume", "json")
"""Options of `train` that are no settings."""


def takes_settings(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command all settings of `train`, less `without`, as it declares them.

    The command receives them by its `**given`. Its own options come first in `--help`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in _parameters(command) if p.kind is not p.VAR_KEYWORD]
        left_out = {*OF_A_RUN, *without}
        shared = [_in_a_panel(p) for p in _parameters(train) if p.name not in left_out]
        together = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *shared)]
        command.__signature__ = inspect.Signature(together)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in together}
        return command

    return decorate


def _parameters(command: Callable[..., None]) -> list[inspect.Parameter]:
    hints = get_type_hints(command, include_extras=True)
    found = inspect.signature(command).parameters.values()
    return [p.replace(annotation=hints[p.name]) for p in found]


def _in_a_panel(parameter: inspect.Parameter) -> inspect.Parameter:
    kind, option = get_args(parameter.annotation)
    option = copy.copy(option)
    option.rich_help_panel = "Settings, as of train"
    annotation: Any = Annotated[kind, option]
    return parameter.replace(annotation=annotation)
