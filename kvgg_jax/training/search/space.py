"""A space of settings to search: for each dotted key its choices, or a range.

In TOML it has the shape of a configuration, with a list or a range where a value would be:
`lr = {low = 1e-5, high = 1e-3, log = true}`, `head = ["slim", "gap"]`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kvgg_jax.core.config import SETTINGS, RunConfig
from kvgg_jax.core.config_file import merge, nest, read_toml, with_values
from kvgg_jax.core.errors import ConfigError

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; whole numbers where both are. `log`: by factors."""

    low: float
    high: float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it holds integers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = Mapping[str, tuple[Value, ...] | Range]

DEFAULT_SPACE: Space = MappingProxyType(
    {
        "optim.lr": Range(1e-5, 1e-3, log=True),
        "optim.decay_rate": Range(0.9, 1.0),
        "model.head": ("slim", "gap", "256"),
        "model.dropout": Range(0.0, 0.5),
        "train.batch_size": (16, 32),
        "data.augment": ("none", "light"),
    }
)


def read_space(file: Path) -> Space:
    """The space that a TOML file describes. Raises ConfigError, naming the file and the key."""
    return {key: _parse(value, f"{file}: {key}") for key, value in _leaves(read_toml(file), file)}


def without(space: Space, fixed: Collection[str]) -> Space:
    """The space less the keys of `fixed`, and those in its tables."""
    kept = [key for key in space if not {key, key.partition(".")[0]} & set(fixed)]
    return {key: space[key] for key in kept}


def check_space(space: Space, config: RunConfig, *, where: str) -> None:
    """Raises ConfigError unless each choice and bound is legal beside the rest of `config`."""
    if not space:
        raise ConfigError(f"{where}: nothing is left to search; leave a setting open.")
    for key, choices in space.items():
        if key in SETTINGS and (reason := SETTINGS[key].no_search):
            raise ConfigError(f"{where}: {key} {reason}")
        ends = (choices.low, choices.high) if isinstance(choices, Range) else choices
        for value in ends:
            with_values(config, {key: value}, where=where)


def to_table(space: Space) -> dict[str, Any]:
    """As nested tables, for TOML; `read_space` of it gives an equal space."""
    table: dict[str, Any] = {}
    for key, choices in space.items():
        value = asdict(choices) if isinstance(choices, Range) else list(choices)
        table = merge(table, nest(key, value))
    return table


def _leaves(table: Mapping[str, Any], file: Path, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each key that has choices or a range; unknown ones raise ConfigError."""
    for name, value in table.items():
        key = prefix + name
        if key in SETTINGS:
            yield key, value
        elif isinstance(value, dict) and not prefix:
            yield from _leaves(value, file, f"{key}.")
        else:
            with_values(RunConfig(), {key: value}, where=str(file))  # names the nearest legal key


def _parse(value: Any, where: str) -> tuple[Value, ...] | Range:
    if isinstance(value, list) and value and all(isinstance(one, Value) for one in value):
        return tuple(value)
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise ConfigError(
            f"{where}: expected a list of choices, or a range such as "
            "{low = 1e-5, high = 1e-3, log = true}."
        )
    found = Range(**value)
    numbers = all(type(end) in (int, float) for end in (found.low, found.high))
    if not numbers or type(found.log) is not bool or not found.low < found.high:
        raise ConfigError(f"{where}: low and high are numbers, low the lower; log is true or not.")
    if found.log and found.low <= 0:
        raise ConfigError(f"{where}: by factors (log = true) low must be above 0.")
    return found


def short(value: object) -> str:
    """For people: 0.000123456 -> "0.000123"."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
