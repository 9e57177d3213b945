"""A setting is one field of `RunConfig`; what else there is to know of it is derived here.

That is the flag, its help and default, the row in docs/settings.md, what a resumed run and a search
may change, and the key of cached features. Pydantic is imported late, so that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel

Part = Literal[
    "photos",  # which photos train and validate; the same in all trials of a search
    "images",  # the arrays made of a photo
    "network",  # the layers, and their cost
    "start",  # the weights before the first step
    "step",  # how a training step is computed, and its cost
    "update",  # how a step changes the weights
    "features",  # the output of frozen blocks: the key of cached features
    "epochs",  # how long training takes
    "reading",  # how photos are read; no result depends on it
    "saving",  # what is written during the run; no result depends on it
]
PARTS = frozenset[Part](get_args(Part))
Resume = Literal["no", "config", "flag"]
"""At a resume, a setting must stay, may be changed in `config.toml`, or also beside --resume."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    key: str
    default: Any
    description: str
    """Markdown; its first sentence is the help of the flag."""
    type: type
    """Type of the flag's value."""
    choices: tuple[str, ...]
    flag: str | None
    affects: frozenset[Part]
    resume: Resume
    no_search: str
    """Why a search may not vary it; empty where it may."""
    used_by: Mapping[str, tuple[str, ...]]
    """Another field of its table -> the values with which this one has an effect; empty: always."""

    @property
    def is_list(self) -> bool:
        """Whether the value is several of the choices."""
        return isinstance(self.default, tuple)

    @property
    def changes_result(self) -> bool:
        """Whether the final weights of a run depend on it."""
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
    *affects: Part,
    flag: str | None = "",
    choices: Collection[str] = (),
    is_folder: bool = False,
    resume: Resume = "no",
    no_search: str = "",
    used_by: Mapping[str, tuple[str, ...]] | None = None,
    **limits: Any,
) -> Any:
    """A field of a configuration; the docstring after it is its description.

    `affects` are the parts of a run that depend on it. `flag` is named after the field unless
    given; None: there is none. `choices` and `is_folder` are for what the field's type does not
    show; `used_by` is for a field that only some values of another one use. `limits` are
    pydantic's.
    """
    from pydantic import Field

    if "photos" in affects:
        no_search = (
            "decides which photos a trial is validated on, which must be the same for all trials. "
            "Take it out of the space."
        )
    about = {"flag": flag, "choices": choices, "is_folder": is_folder, "no_search": no_search}
    rules = {"affects": frozenset(affects), "resume": resume, "used_by": used_by or {}}
    extra: Any = {**about, **rules}
    return Field(default, json_schema_extra=extra, **limits)


def unused(table: BaseModel) -> str | None:
    """Why a field of `table` that is not at its default has no effect; None where all have one."""
    for name, field in type(table).model_fields.items():
        about: Any = field.json_schema_extra or {}
        for chooser, users in about.get("used_by", {}).items():
            chosen = getattr(table, chooser)
            if chosen not in users and getattr(table, name) != field.default:
                return f"{name} has no effect with {chooser} {chosen}, only with {', '.join(users)}"
    return None


def read_settings(model: type[BaseModel], table: str = "") -> Iterator[Setting]:
    """The settings of `model` and of its tables, in their order."""
    for name, field in model.model_fields.items():
        inner: Any = field.annotation
        about: Any = field.json_schema_extra
        if about is None:
            yield from read_settings(inner, f"{name}.")
            continue
        plain, words = _plain(inner)
        flag = about["flag"]
        yield Setting(
            key=table + name,
            default=field.default,
            description=" ".join((field.description or "").split()),
            type=Path if about["is_folder"] else plain,
            choices=(*about["choices"], *words),
            flag=f"--{name.replace('_', '-')}" if flag == "" else flag,
            affects=about["affects"],
            resume=about["resume"],
            no_search=about["no_search"],
            used_by=about["used_by"],
        )


def _plain(annotation: Any) -> tuple[type, tuple[str, ...]]:
    """The type of a value on a command line, and its choices; of a tuple, those of an item."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return str, parts
    if origin in (Annotated, Union, UnionType, tuple):
        return _plain(parts[0])
    return annotation, ()
