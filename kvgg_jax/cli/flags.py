"""Settings as flags: those given to a command, and those named in a message."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvgg_jax.core.errors import UsageError

if TYPE_CHECKING:
    from kvgg_jax.core.config import RunConfig

_NAMED = re.compile(r"`([a-z_]+(?:\.[a-z_]+)?)(?: = ([^`]*))?`")


@dataclass(frozen=True)
class Given:
    """The settings that a command was given."""

    typed: Mapping[str, tuple[str, object]]
    """Dotted key -> (as typed, value)."""
    set: Collection[str]
    """The texts of `--set`."""
    config: Path | None
    recipe: str | None
    defaults: Mapping[str, object]
    """Defaults of this command, by dotted key; a config file replaces them."""

    @property
    def flags(self) -> dict[str, tuple[str, object]]:
        """Everything typed, for `resolve`; the last `--set` of a key wins.

        Raises UsageError for a flag and a `--set` of the same key.
        """
        from kvgg_jax.core.config_file import parse_set

        sets = dict(map(parse_set, self.set))
        for key, (flag, _) in self.typed.items():
            for other, (text, _) in sets.items():
                if f"{key}.".startswith(f"{other}."):
                    raise UsageError(f"{text} and {flag} set the same key; give one of them.")
        return {**sets, **self.typed}

    def resolve(self) -> RunConfig:
        """The configuration. Raises ConfigError or UsageError."""
        from kvgg_jax.cli.recipes import config_or_recipe
        from kvgg_jax.core.config_file import resolve

        file = config_or_recipe(self.config, self.recipe)
        own = {} if file else {key: (key, value) for key, value in self.defaults.items()}
        return resolve(file, own | self.flags)


def check_resume(given: Given, *, name: str | None, overwrite: bool) -> None:
    """Raises UsageError when something beside `--resume` would change the run."""
    from kvgg_jax.core.config import SETTINGS

    extra = [
        typed.split()[0]
        for key, (typed, _) in given.flags.items()
        if key not in SETTINGS or SETTINGS[key].resume != "flag"
    ]
    others = {
        "--config": given.config,
        "--recipe": given.recipe,
        "--name": name,
        "--overwrite": overwrite,
    }
    extra += [flag for flag, value in others.items() if value]
    if extra:
        raise UsageError(
            f"--resume keeps the settings of the run; {extra[0]} cannot change them. "
            "Only --epochs can be raised, and --track, --devices and --shard changed."
        )


def as_flags(text: str) -> str:
    """`text` with its settings as flags: "`train.epochs = 5`" -> "--epochs 5".

    A setting without a flag becomes "--set KEY=VALUE" if it has a value, else it stays.
    """
    if "`" not in text:
        return text
    from kvgg_jax.core.config import SETTINGS

    def typed(found: re.Match[str]) -> str:
        setting = SETTINGS.get(found[1])
        if setting is None or (found[2] is None and setting.flag is None):
            return found[0]
        return setting.typed(found[2]) if found[2] is not None else str(setting.flag)

    return _NAMED.sub(typed, text)
