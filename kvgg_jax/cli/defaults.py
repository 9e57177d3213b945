"""A command whose `--help` shows the defaults of the settings: they stand in `config.py` alone."""

from __future__ import annotations

import copy
from typing import Any

from typer.core import TyperCommand


class ShowsDefaults(TyperCommand):
    """Its options are None where they are not given; the help page has what holds then."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        from kvgg_jax.cli.flags import KEYS
        from kvgg_jax.core.config import RunConfig, settings

        defaults, described = settings(RunConfig()), copy.copy(self)
        described.params = [copy.copy(parameter) for parameter in self.params]
        for parameter in described.params:
            if parameter.name in KEYS:
                parameter.default = defaults[KEYS[parameter.name]]
        super(ShowsDefaults, described).format_help(ctx, formatter)
