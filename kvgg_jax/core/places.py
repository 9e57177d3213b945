"""Where photos are: a path on this machine, or an address elsewhere."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.text import escape_name

_ELSEWHERE = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://|(hf|tfds):", re.ASCII)
_ONE_SLASH = re.compile(
    r"^((?!hf:|tfds:)[a-z][a-z0-9+.-]+:)/(?!/)", re.ASCII
)  # what `Path` leaves of two


@dataclass(frozen=True, slots=True)
class Url:
    """An address such as `s3://bucket/photos` or `hf:beans`, for what a path does unread."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, key: str) -> Url:
        return Url(f"{self.text}/{key}" if key else self.text)

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.text).name

    @property
    def suffix(self) -> str:
        """Of its name, with the dot."""
        return PurePosixPath(self.text).suffix

    @property
    def stem(self) -> str:
        """Its name without suffix."""
        return PurePosixPath(self.text).stem

    @property
    def parent(self) -> Url:
        """The address without its last part."""
        return Url(self.text.rpartition("/")[0])

    def absolute(self) -> Url:
        """Itself; `hf:FOLDER` and `tfds:FOLDER` with the whole path of the folder."""
        scheme, _, rest = self.text.partition(":")
        folder = rest.partition("@")[0]
        is_here = not rest.startswith("//") and os.path.isdir(folder)
        return Url(f"{scheme}:{Path(folder).absolute()}{rest[len(folder) :]}") if is_here else self


Place: TypeAlias = "Path | Url"


def place(given: str | Path | Url) -> Place:
    """What somebody means by `given`, which may be an address that went through `Path`.

    Raises ConfigError for an address that holds a password or a signature: it would be stored.
    """
    text = _ONE_SLASH.sub(r"\1//", str(given), count=1)
    if (found := _ELSEWHERE.match(text)) is None:
        return Path(text)
    if found["scheme"]:
        host = text[found.end() :].partition("/")[0]
        if "@" in host or ("?" in text and found["scheme"].startswith("http")):
            shown = text.partition("?")[0].replace(host, host.rpartition("@")[2])
            raise ConfigError(
                f"{escape_name(shown)}: the address has a password or a signature, which would be "
                "stored with the run. Give the address without it; docs/how-to/elsewhere.md says "
                "where credentials belong."
            )
    return Url(text.rstrip("/"))


def file_place(name: str) -> Place:
    """Of a file by the name that its source gives it."""
    return Url(name) if _ELSEWHERE.match(name) else Path(name)


def is_missing(where: Place) -> bool:
    """Whether nothing is at a path. Of an address, what reads it says so."""
    return isinstance(where, Path) and not os.path.exists(where)


def canonical(where: object) -> str:
    """What is equal for two names of one place."""
    found = place(str(where))
    return str(found) if isinstance(found, Url) else os.path.realpath(found)
