"""A `RunConfig` from defaults, a TOML file and flags, in that order; what is wrong with them.

An unknown key is answered with the nearest legal one, a wrong value with where it stands.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kvgg_jax.core.config import SETTINGS, RunConfig
from kvgg_jax.core.errors import ConfigError, KvggError, UsageError

DEPTH = 32  # parts of a key, where two are legal; tomllib takes 30 s over one of 30,000
_STRINGS = re.compile(r"\"[^\"\n]*+\"|'[^'\n]*+'")
_DEEP = re.compile(rf"(?<![\w-])[\w-]++(?:\s*+\.\s*+[\w-]*+){{{DEPTH}}}")
MAX_BYTES = 2**16  # of a config file; one with every key and a comment each has 3,000


def resolve(
    file: Path | None = None,
    flags: Mapping[str, tuple[str, object]] | None = None,
    *,
    errors: str = "strict",
) -> RunConfig:
    """Defaults, then `file`, then `flags` (dotted key -> (flag as typed, value)).

    `errors` is as for `read_toml`: "surrogateescape" for a file that names folders as they are.
    Raises ConfigError for a fault in the file, UsageError for one in a flag.
    """
    values = read_toml(file, errors=errors) if file else {}
    _check_keys(values, str(file), ConfigError)
    origin: dict[str, str] = {}
    for dotted, (flag, value) in (flags or {}).items():
        origin[dotted] = flag
        _check_keys(nest(dotted, value), flag, UsageError)
        values = merge(values, nest(dotted, value))
    return _validated(values, file, origin)


def with_values(config: RunConfig, values: Mapping[str, object], *, where: str) -> RunConfig:
    """A copy with dotted keys replaced. Raises ConfigError that says `where` they are from."""
    merged = config.model_dump()
    for key, value in values.items():
        _check_keys(nest(key, value), where, ConfigError)
        merged = merge(merged, nest(key, value))
    return _validated(merged, where, {})


def _validated(
    values: dict[str, Any], where: Path | str | None, origin: Mapping[str, str]
) -> RunConfig:
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise _explain(error, where, origin) from None


def parse_set(text: str) -> tuple[str, tuple[str, object]]:
    """One `--set optim.decay_steps=50` as an entry for `resolve`'s flags."""
    key, equals, value = text.partition("=")
    flag = f"--set {text}"
    if not equals or not key.strip():
        raise UsageError(f"{flag}: expected KEY=VALUE, such as --set optim.decay_steps=50.")
    try:
        parsed: object = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()  # a bare word is a string: --set model.head=slim
    return key.strip(), (flag, parsed)


def read_toml(file: Path, *, errors: str = "strict") -> dict[str, Any]:
    """What a small TOML file holds. Raises ConfigError, naming the file.

    `errors` says what becomes of bytes that are no UTF-8, as for `bytes.decode`.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"Cannot read the config file {file}: {error.strerror}.") from None
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{file} has more than {MAX_BYTES} bytes, so it is not a config file.")
    try:
        decoded = text.decode(errors=errors).replace("\r\n", "\n")
        if _DEEP.search(_STRINGS.sub("q", decoded)):
            raise ConfigError(f"{file} is not valid TOML here: a key has more than {DEPTH} parts.")
        return tomllib.loads(decoded)
    # ValueError: besides its own and that of UTF-8, tomllib lets out that of a number too long
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


def _check_keys(values: Mapping[str, Any], where: str, kind: type[KvggError]) -> None:
    legal = list(SETTINGS)
    tables = {key.split(".")[0] for key in legal if "." in key}
    for key, value in values.items():
        nested = isinstance(value, dict) and key in tables
        for dotted in [f"{key}.{name}" for name in value] if nested else [key]:
            if dotted not in legal and dotted not in tables:
                raise kind(f"{where}: unknown key {dotted!r}. {_nearest(dotted, legal)}")


def _nearest(key: str, legal: list[str]) -> str:
    """A hint that names the legal key closest to `key`, by its last part when that fits best."""
    leaf = key.rsplit(".", 1)[-1]
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in legal}
    close = [by_leaf[leaf]] if leaf in by_leaf else difflib.get_close_matches(key, legal, 1, 0.6)
    if not close and (leaves := difflib.get_close_matches(leaf, by_leaf, 1, 0.5)):
        close = [by_leaf[leaves[0]]]
    return f"Did you mean {close[0]!r}?" if close else f"Legal keys: {', '.join(legal)}."


def _explain(
    error: ValidationError, file: Path | str | None, origin: Mapping[str, str]
) -> KvggError:
    first = error.errors(include_url=False)[0]
    dotted = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:]
    is_setting = dotted in SETTINGS
    if not is_setting:  # a table, or all: keys that do not go together
        named = [flag for key, flag in origin.items() if _is_named(key, dotted, reason)]
        if named or not dotted:
            text = f"{', '.join(named) or file}: {reason}."
            return UsageError(text) if named else ConfigError(text)
    for key, flag in origin.items():  # optim.lr.x=1 fails at optim.lr, optim={lr=0} there too
        below = is_setting and f"{key}.".startswith(f"{dotted}.")
        if below or f"{dotted}.".startswith(f"{key}."):
            return UsageError(f"{flag}: {reason}.")
    value = "" if isinstance(first["input"], dict) else f" = {_brief(first['input'])}"
    return ConfigError(f"{file}: {dotted}{value}: {reason}.")


def _is_named(key: str, table: str, reason: str) -> bool:
    """Whether `reason`, why the keys of `table` do not go together, is about `key`."""
    word = key.removeprefix(f"{table}.") if table else key
    return key.startswith(table) and re.search(rf"\b{re.escape(word)}\b", reason) is not None


def _brief(value: object) -> str:
    """For a message: a file may hold a value of any size and depth."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of too many digits, or nested too deep
        return "(too large to show)"
    return text if len(text) <= 100 else f"{text[:100]}..."
