"""A confusion matrix as its cells that are not 0: 5,000 classes have 25 million cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from kvgg_jax.inference.prediction import Labels


class Confusion(BaseModel):
    """How many photos of each class were predicted as which: a column entry for each cell."""

    model_config = ConfigDict(frozen=True)
    size: int
    """Classes."""
    true: tuple[int, ...]
    predicted: tuple[int, ...]
    """Indices of classes."""
    count: tuple[int, ...]
    """Photos."""

    @classmethod
    def of(cls, true: Labels, predicted: Labels, classes: int) -> Confusion:
        """Counted from the class of each photo and the one predicted for it: [count] each."""
        cells, counts = np.unique(true * classes + predicted, return_counts=True)
        rows, columns = (of.tolist() for of in np.divmod(cells, classes))
        return cls(size=classes, true=rows, predicted=columns, count=counts.tolist())

    @model_validator(mode="before")
    @classmethod
    def _from_rows(cls, found: Any) -> Any:
        """A row per true class is read as well."""
        if not isinstance(found, list | tuple):
            return found
        counts = np.array(found)
        if counts.dtype.kind != "i" or counts.shape != (len(found),) * 2:
            raise ValueError("expected as many whole numbers per row as rows")
        true, predicted = counts.nonzero()
        columns = {"true": true, "predicted": predicted, "count": counts[true, predicted]}
        return {"size": len(found), **{name: of.tolist() for name, of in columns.items()}}

    @model_validator(mode="after")
    def _fits_together(self) -> Confusion:
        if not all(min(cell) >= 0 and max(cell[:2]) < self.size for cell in self.cells()):
            raise ValueError("a cell lies outside of the confusion matrix")
        return self

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """(true class, predicted class, photos) of each."""
        return zip(self.true, self.predicted, self.count, strict=True)

    def rows(self) -> tuple[tuple[int, ...], ...]:
        """Counts [true, predicted], those that are 0 too."""
        counts = np.zeros((self.size, self.size), np.int64)
        counts[list(self.true), list(self.predicted)] = self.count
        return tuple(map(tuple, counts.tolist()))
