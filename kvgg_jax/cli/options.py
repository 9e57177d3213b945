"""The options of a command that are settings, made of the fields of `core/config.py`.

They are made when the command is asked for, so that `kvgg --help` needs no configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand
from typer.main import get_command

from kvgg_jax.cli import completion
from kvgg_jax.cli.flags import Given, as_flags
from kvgg_jax.core.settings import PARTS, Part, Setting

PANEL = "Settings"


def takes_settings(
    affecting: Collection[Part] = PARTS,
    *,
    without: Collection[str] = (),
    defaults: Mapping[str, object] | None = None,
) -> type[TyperCommand]:
    """For `@app.command(cls=...)`: a command that takes the settings which affect one of these
    parts, but for those keys, and `--config`, `--recipe` and `--set`. `ctx.obj` holds them, a
    `Given`.

    `defaults` are those of this command, by dotted key.
    """

    class Command(_TakesSettings):
        affects, left_out, own_defaults = {*affecting}, without, defaults or {}

    return Command


class _TakesSettings(TyperCommand):
    affects: ClassVar[Collection[Part]]
    left_out: ClassVar[Collection[str]]
    own_defaults: ClassVar[Mapping[str, object]]

    @cached_property
    def _settings(self) -> dict[str, Setting]:
        """Those that are taken, by the name of their parameter."""
        from kvgg_jax.core.config import SETTINGS

        return {
            setting.flag[2:].replace("-", "_"): setting
            for key, setting in SETTINGS.items()
            if setting.flag and setting.affects & {*self.affects} and key not in self.left_out
        }

    @cached_property
    def _options(self) -> list[Any]:
        """What Typer makes of a command with these parameters."""

        def command() -> None: ...

        command.__signature__ = inspect.Signature([*self._parameters()])  # type: ignore[attr-defined]  # Typer's
        app = typer.Typer(add_completion=False)
        app.command()(command)
        return get_command(app).params

    def _parameters(self) -> Iterator[inspect.Parameter]:
        for name, setting in self._settings.items():
            flag, default = str(setting.flag), self.own_defaults.get(setting.key, setting.default)
            option = typer.Option(
                f"{flag}/--no-{flag[2:]}" if setting.type is bool else flag,
                help=as_flags(setting.help),
                autocompletion=completion.of_setting(setting),
                rich_help_panel=PANEL,
            )
            yield _parameter(name, setting.type, option, None if default == () else default)
        file = typer.Option(
            help="TOML file; flags win over it.",
            autocompletion=completion.configs,
            rich_help_panel=PANEL,
        )
        recipe = typer.Option(
            help="As --config, by name: kvgg recipes.",
            autocompletion=completion.recipes,
            rich_help_panel=PANEL,
        )
        text = "Any key: --set optim.decay_steps=50."
        yield _parameter("config", Path, file)
        yield _parameter("recipe", str, recipe)
        yield _parameter("set_", list[str], typer.Option("--set", help=text, rich_help_panel=PANEL))

    def get_params(self, ctx: Any) -> list[Any]:
        """Its own parameters, then the settings."""
        return [*super().get_params(ctx), *self._options]

    def invoke(self, ctx: Any) -> Any:
        """Call the command, which has no parameters for its settings."""
        others = ("config", "recipe", "set_")
        values = {name: ctx.params.pop(name) for name in (*self._settings, *others)}
        typed = {
            setting.key: (
                setting.typed(values[name]),
                str(values[name]) if setting.type is Path else values[name],
            )
            for name, setting in self._settings.items()
            if ctx.get_parameter_source(name).name == "COMMANDLINE"
        }
        ctx.obj = Given(
            typed,
            values["set_"] or (),
            config=values["config"],
            recipe=values["recipe"],
            defaults=self.own_defaults,
        )
        return super().invoke(ctx)


def _parameter(name: str, kind: Any, option: Any, default: Any = None) -> inspect.Parameter:
    annotation: Any = Annotated[kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
