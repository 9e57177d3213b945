"""The options that several commands share; those that are settings come from `core/tables`.

The latter are made when a command is chosen, so that `kvgg --help` needs no configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer
from typer.core import TyperCommand
from typer.main import get_command

from kvgg_jax.cli import completion
from kvgg_jax.cli.flags import Given, as_flags
from kvgg_jax.core.places import place
from kvgg_jax.core.settings import PARTS, Part, Setting

RUNS = Path("runs")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds the runs.")]
Images = Annotated[
    list[Path], typer.Argument(help="Image files, folders, patterns, or - for a list on stdin.")
]
Photos = Annotated[Path, typer.Argument(help="Photos, one sub-folder per class.")]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Run folder or name. Default: the newest finished run.",
        autocompletion=completion.runs,
    ),
]
OtherPhotos = Annotated[
    Path | None, typer.Option("--data", help="Other photos of the same classes.")
]
Split = Annotated[
    Literal["val", "test", "all"] | None,
    typer.Option(
        help="val, test, or all: training and validation photos. Default: val, or all with --data.",
        show_choices=False,
    ),
]
SkipBad = Annotated[
    bool | None, typer.Option("--skip-bad/--no-skip-bad", help="Leave out unreadable photos.")
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Photos per batch. Default: as in training.")
]
Raw = Annotated[bool, typer.Option("--raw", help="Use uncalibrated probabilities.")]
Tta = Annotated[
    bool,
    typer.Option("--tta", help="Average each photo and its mirror image; twice the time."),
]
RunOrFolds = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Run or cross-validation (folder or name). Default: the newest finished run.",
        autocompletion=completion.runs_and_folds,
    ),
]
UnsureBelow = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Say 'unsure' below this probability. Default: 0.7 if calibrated."
    ),
]
UnknownBelow = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Say 'unknown' where a smaller share of known photos is as unlike those of training. "
        "Default: 0.05; 0: never.",
    ),
]
PANEL = "Settings"


def _panel(*flags: str, **details: Any) -> Any:
    return typer.Option(*flags, rich_help_panel=PANEL, **details)


OTHERS: Mapping[str, tuple[type, Any]] = {
    "config": (
        Path,
        _panel(help="TOML file; flags win over it.", autocompletion=completion.configs),
    ),
    "recipe": (
        str,
        _panel(
            help="Name of a recipe, instead of --config; see kvgg recipes.",
            autocompletion=completion.recipes,
        ),
    ),
    "set_": (list[str], _panel("--set", help="Any setting, by key: --set optim.decay_steps=50.")),
}
"""Parameter -> type and option, beside the settings."""


def takes_settings(
    affecting: Collection[Part] = PARTS,
    *,
    without: Collection[str] = (),
    also: Collection[str] = (),
    defaults: Mapping[str, object] | None = None,
) -> type[TyperCommand]:
    """For `@command(cls=...)`: a command with the settings that affect one of these parts.

    Keys in `without` are left out, those in `also` are added; `defaults` are those of this
    command, by key. `--config`, `--recipe` and `--set` are added. `ctx.obj` holds what was given,
    a `Given`.
    """

    class Command(_TakesSettings):
        affects, left_out, added, own_defaults = {*affecting}, without, also, defaults or {}

    return Command


class _TakesSettings(TyperCommand):
    affects: ClassVar[Collection[Part]]
    left_out: ClassVar[Collection[str]]
    added: ClassVar[Collection[str]]
    own_defaults: ClassVar[Mapping[str, object]]

    @cached_property
    def _settings(self) -> dict[str, Setting]:
        """The settings by the name of their parameter."""
        from kvgg_jax.core.config import SETTINGS

        own = {key for key, one in SETTINGS.items() if one.affects & {*self.affects}}
        own = (own - {*self.left_out}) | {*self.added}
        return {
            setting.flag[2:].replace("-", "_"): setting
            for key, setting in SETTINGS.items()
            if setting.flag and key in own
        }

    @cached_property
    def _options(self) -> list[Any]:
        """What Typer makes of a function with these parameters."""

        def command() -> None: ...

        command.__signature__ = inspect.Signature([*self._parameters()])  # type: ignore[attr-defined]  # Typer's
        app = typer.Typer(add_completion=False)
        app.command()(command)
        return get_command(app).params

    def _parameters(self) -> Iterator[inspect.Parameter]:
        for name, setting in self._settings.items():
            flag, default = str(setting.flag), self.own_defaults.get(setting.key, setting.default)
            option = _panel(
                f"{flag}/--no-{flag[2:]}" if setting.type is bool else flag,
                help=as_flags(setting.help),
                autocompletion=completion.of_setting(setting),
                **({"parser": _folder, "metavar": "<path>"} if setting.type is Path else {}),
            )
            yield _parameter(name, setting.type, option, None if default == () else default)
        for name, (kind, option) in OTHERS.items():
            yield _parameter(name, kind, option)

    def get_params(self, ctx: Any) -> list[Any]:
        """Its own parameters, then the settings."""
        return [*super().get_params(ctx), *self._options]

    def invoke(self, ctx: Any) -> Any:
        """Call the command, which has no parameters for its settings."""
        config, recipe, texts = (ctx.params.pop(name) for name in OTHERS)
        typed = {}
        for name, setting in self._settings.items():
            value = ctx.params.pop(name)
            if ctx.get_parameter_source(name).name == "COMMANDLINE":
                typed[setting.key] = setting.typed(value), value
        ctx.obj = Given(
            typed, texts or (), config=config, recipe=recipe, defaults=self.own_defaults
        )
        return super().invoke(ctx)


def _folder(text: str) -> str:
    """`a/` as `a`; an empty text stays empty, and is refused, where `Path` makes it `.`."""
    return str(place(text)) if text else ""


def _parameter(name: str, kind: Any, option: Any, default: Any = None) -> inspect.Parameter:
    annotation: Any = Annotated[kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
