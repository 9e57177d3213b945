"""A setting is one field of `RunConfig`; this reads off the field what the rest derives from it.

The flag, its help and default, the row in docs/settings.md, what a resumed run and a search may
change, and the key of cached features all come from here. Pydantic is imported late, for `--help`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel

Part = Literal[
    "photos",  # which photos a run is trained on and validated on: the same for a whole search
    "images",  # what is shown of a photo to the network
    "network",  # the layers, and what they cost
    "start",  # the weights before the first step
    "step",  # how a training step is computed, and what it costs
    "update",  # what a step makes of the weights
    "features",  # what frozen blocks make of an image: the key of cached features
    "epochs",  # how long training goes on
    "reading",  # how photos are read; no result depends on it
    "saving",  # what is written during the run; no result depends on it
]
PARTS = frozenset[Part](get_args(Part))
Resume = Literal["no", "config", "flag"]
"""When a run is resumed: a setting stays, may differ in `config.toml`, or beside --resume too."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one setting."""

    key: str
    default: Any
    description: str
    """Markdown; its first sentence is the help of the flag."""
    type: type
    """Of the value that a flag takes."""
    choices: tuple[str, ...]
    flag: str | None
    affects: frozenset[Part]
    resume: Resume
    no_search: str
    """Why a search may not vary it; empty where it may."""

    @property
    def is_list(self) -> bool:
        """Whether it holds several of its choices."""
        return isinstance(self.default, tuple)

    @property
    def changes_result(self) -> bool:
        """Whether the weights that a run ends with depend on it."""
        return not self.affects <= {"reading", "saving"}

    @property
    def help(self) -> str:
        """One sentence for `--help`."""
        return f"{self.description.partition('. ')[0].removesuffix('.')}."

    def typed(self, value: object) -> str:
        """As on a command line: `--epochs 5`, `--no-batch-norm`, `--set optim.decay_steps=50`."""
        if self.flag is None:
            return f"--set {self.key}={value}"
        if self.type is bool:
            return self.flag if value in (True, "true") else f"--no-{self.flag[2:]}"
        return f"{self.flag} {value}"


def setting(
    default: Any,
    *,
    affects: Collection[Part],
    flag: str | None = "",
    choices: Collection[str] = (),
    is_folder: bool = False,
    resume: Resume = "no",
    no_search: str = "",
    **limits: Any,
) -> Any:
    """A field of a configuration; the docstring after it is its description.

    `flag` is named after the field unless given; None: the setting has none. `choices` and
    `is_folder` are needed only where the field's type does not say so. `limits` are pydantic's.
    """
    from pydantic import Field

    if "photos" in affects:
        no_search = (
            "decides which photos a trial is judged on. "
            "All trials must be judged alike: take it out of the space."
        )
    extra: dict[str, Any] = {
        "flag": flag,
        "choices": [*choices],
        "is_folder": is_folder,
        "affects": sorted(affects),
        "resume": resume,
        "no_search": no_search,
    }
    return Field(default, json_schema_extra=extra, **limits)


def read_settings(model: type[BaseModel], table: str = "") -> Iterator[Setting]:
    """The settings of `model` and of the tables in it, in their order."""
    for name, field in model.model_fields.items():
        inner, extra = field.annotation, field.json_schema_extra
        if not isinstance(extra, dict):
            assert isinstance(inner, type), f"{name} is neither a setting nor a table"
            yield from read_settings(inner, f"{name}.")
            continue
        known: dict[str, Any] = dict(extra)
        plain, words = _plain(inner)
        yield Setting(
            key=table + name,
            default=field.default,
            description=" ".join((field.description or "").split()),
            type=Path if known.pop("is_folder") else plain,
            choices=(*known.pop("choices"), *words),
            flag=f"--{name.replace('_', '-')}" if (flag := known.pop("flag")) == "" else flag,
            affects=frozenset(known.pop("affects")),
            **known,
        )


def _plain(annotation: Any) -> tuple[type, tuple[str, ...]]:
    """The type of a value on a command line, and its choices; of several, that of one."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return str, parts
    if origin in (Annotated, Union, UnionType, tuple):
        return _plain(parts[0])
    return annotation, ()
