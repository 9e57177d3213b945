"""What all tables of a configuration have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from kvgg_jax.core.settings import unused


class Table(BaseModel):
    """Settings that are validated when it is made, and never change."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    @model_validator(mode="after")
    def _uses_all_that_is_set(self) -> Self:
        if reason := unused(self):
            raise ValueError(reason)
        return self


def as_text(value: object) -> object:
    """A path, or the one layer size of a head (`head = 1024`), as text."""
    return str(value) if isinstance(value, Path) or type(value) is int else value
