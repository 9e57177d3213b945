"""A `RunConfig` from defaults, a TOML file and flags, in that order; and recipes, the files that
come with the program: `configs/*.toml` of the repository, in the wheel `kvgg_jax/configs`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kvgg_jax.core.config import SETTINGS, RunConfig
from kvgg_jax.core.errors import ConfigError, KvggError, UsageError
from kvgg_jax.core.text import escape_name

PACKAGE = Path(__file__).parents[1]
DEPTH = 32  # most parts of a key, where two are legal; tomllib takes 30 s for 30,000 parts
_STRINGS = re.compile(r"\"[^\"\n]*+\"|'[^'\n]*+'")
_DEEP = re.compile(rf"(?<![\w-])[\w-]++(?:\s*+\.\s*+[\w-]*+){{{DEPTH}}}")
MAX_BYTES = 2**16  # a config file with every key and a comment for each has 3,000


def load_recipe(recipe: str | Path, changes: Mapping[str, object] | None = None) -> RunConfig:
    """The settings of a recipe, such as `"fast"`, or of a TOML file, such as `"my-recipe.toml"`.

    `changes` replace single ones: `{"data.dir": "photos", "train.epochs": 40}`. Raises UsageError
    for an unknown name, ConfigError for a file or a change that cannot be used.
    """
    if isinstance(recipe, Path) or recipe.endswith(".toml"):
        file = Path(recipe)
    else:
        file = recipe_file(recipe)
    return with_values(resolve(file), changes or {}, where="changes")


def recipe_file(name: str) -> Path:
    """The file of a recipe. Raises UsageError for an unknown name."""
    files = {file.stem: file for file in recipe_files()}
    if name in files:
        return files[name]
    close = get_close_matches(name, files, 1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    names = ", ".join(files)
    raise UsageError(f"No recipe is called {escape_name(name)}. {hint}Recipes: {names}.")


def recipe_files() -> list[Path]:
    """Of all recipes, by name: in the wheel inside the package, in a checkout beside it."""
    inside = PACKAGE / "configs"
    folder = inside if inside.is_dir() else PACKAGE.parent / "configs"
    return sorted(folder.glob("*.toml"))


def resolve(
    file: Path | None = None,
    flags: Mapping[str, tuple[str, object]] | None = None,
    *,
    errors: str = "strict",
) -> RunConfig:
    """Defaults, then `file`, then `flags` (dotted key -> (flag as typed, value)).

    `errors` is that of `read_toml`. Raises ConfigError for a fault in the file, UsageError for
    one in a flag.
    """
    values = read_toml(file, errors=errors) if file else {}
    for key, (_, value) in (flags or {}).items():
        values = merge(values, nest(key, value))
    return _validated(values, file, {key: flag for key, (flag, _) in (flags or {}).items()})


def with_values(config: RunConfig, values: Mapping[str, object], *, where: str) -> RunConfig:
    """A copy with dotted keys replaced; what else was set is known of it too.

    Raises ConfigError, which names `where` they are from.
    """
    merged = config.model_dump(exclude_unset=True)
    for key, value in values.items():
        merged = merge(merged, nest(key, value))
    return _validated(merged, where, {})


def _validated(
    values: dict[str, Any], where: Path | str | None, flags: Mapping[str, str]
) -> RunConfig:
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise _explain(error, where, flags) from None


def parse_set(text: str) -> tuple[str, tuple[str, object]]:
    """One `--set optim.decay_steps=50` as an entry for `resolve`'s flags.

    The bare word `none` is None for a setting whose default is that: it takes back a recipe's.
    """
    key, equals, value = text.partition("=")
    flag = f"--set {escape_name(text)}"
    if not equals or not key.strip():
        raise UsageError(f"{flag}: expected KEY=VALUE, such as --set optim.decay_steps=50.")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):  # a bare word: --set model.head=slim
        known, word = SETTINGS.get(key.strip()), value.strip()
        is_none = word == "none" and known is not None and known.default is None
        parsed = {"value": None if is_none else word}
    if len(parsed) > 1:
        raise UsageError(f"{flag}: one key is set each time; repeat --set for others.")
    return key.strip(), (flag, parsed["value"])


def read_toml(file: Path, *, errors: str = "strict") -> dict[str, Any]:
    """The values in a small TOML file. Raises ConfigError, which names the file.

    `errors` is that of `bytes.decode`: "surrogateescape" where paths may not be UTF-8.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"Cannot read the config file {file}: {error.strerror}.") from None
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{file} has more than {MAX_BYTES} bytes, so it is not a config file.")
    try:
        decoded = text.decode("utf-8-sig", errors=errors).replace("\r\n", "\n")
        if _DEEP.search(_STRINGS.sub("q", decoded)):
            raise ConfigError(f"{file} is not valid TOML here: a key has more than {DEPTH} parts.")
        return tomllib.loads(decoded)
    # ValueError: TOMLDecodeError, UnicodeDecodeError, and that of a number with too many digits
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from None


def nest(dotted: str, value: object) -> dict[str, Any]:
    """`"a.b"`, 1 -> `{"a": {"b": 1}}`."""
    for key in reversed(dotted.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Tables of `top` into those of `base`; its values win."""
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _explain(
    error: ValidationError, file: Path | str | None, flags: Mapping[str, str]
) -> KvggError:
    """The first error in the user's words, with the flag (by dotted key) or the file it is in."""
    errors = error.errors(include_url=False)
    unknown = [one for one in errors if one["type"] == "extra_forbidden"]
    first = (unknown or errors)[0]
    key = ".".join(map(str, first["loc"]))
    above = [flag for typed, flag in flags.items() if f"{key}.".startswith(f"{typed}.")]
    below = [flag for typed, flag in flags.items() if typed.startswith(f"{key}.")]
    if unknown:
        hint = f"unknown key {key!r}. {_nearest(key)}"
        return _blame((above + below)[:1], f"{file}", hint)
    reason = first["msg"].removeprefix("Value error, ")
    reason = f"{reason[0].lower()}{reason[1:]}."
    if nearest := _nearest_choice(key, first["input"]):
        reason = f"{reason} Did you mean {nearest!r}?"
    if key in SETTINGS:  # --set optim.lr.x=1 fails at optim.lr
        named = (above + below)[:1]
    else:  # a table, or all: keys that do not go together
        named = [flag for typed, flag in flags.items() if _is_named(typed, key, reason)] or above
    value = "" if isinstance(first["input"], dict) else f" = {_brief(first['input'])}"
    return _blame(named, f"{file}: {key}{value}" if key else f"{file}", reason)


def _blame(flags: Sequence[str], place: str, reason: str) -> KvggError:
    return (
        UsageError(f"{', '.join(flags)}: {reason}") if flags else ConfigError(f"{place}: {reason}")
    )


def _is_named(key: str, table: str, reason: str) -> bool:
    """Whether `reason`, why the keys of `table` do not go together, is about `key`."""
    word = key.removeprefix(f"{table}.") if table else key
    return key.startswith(table) and re.search(rf"\b{re.escape(word)}\b", reason) is not None


def _nearest(key: str) -> str:
    """A hint that names the legal key closest to `key`, by its last part if that is closer."""
    leaf = key.rsplit(".", 1)[-1]
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in SETTINGS}
    close = [by_leaf[leaf]] if leaf in by_leaf else get_close_matches(key, SETTINGS, 1, 0.6)
    if not close and (leaves := get_close_matches(leaf, by_leaf, 1, 0.5)):
        close = [by_leaf[leaves[0]]]
    return f"Did you mean {close[0]!r}?" if close else f"Legal keys: {', '.join(SETTINGS)}."


def _nearest_choice(key: str, value: object) -> str | None:
    """The choice of a setting that is closest to a wrong value; None where two are, or none is."""
    table, _, item = key.rpartition(".")
    found = SETTINGS.get(table if item.isdecimal() else key)  # train.track.0 is one of several
    if found is None or not isinstance(value, str):
        return None
    choices = [choice for choice in found.choices if choice != value]
    close = {choice: SequenceMatcher(None, choice, value.lower()).ratio() for choice in choices}
    best = [choice for choice in choices if close[choice] == max(close.values())]
    return best[0] if len(best) == 1 and close[best[0]] >= 0.6 else None


def _brief(value: object) -> str:
    """`value` for a message, whatever its size and depth."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of too many digits, or nested too deep
        return "(too large to show)"
    return text if len(text) <= 100 else f"{text[:100]}..."
