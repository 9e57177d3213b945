"""TFRecord files, read in any order: their format has no index."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BEFORE, AFTER = 12, 4  # bytes: the length of a record with its checksum; the checksum of the record
TOGETHER = 64  # records


class TFRecords:
    """The records of several files, one file after the other, by number."""

    def __init__(self, files: Sequence[Path], see: Callable[[bytes], None]) -> None:
        """Calls `see` with each record, in order. Raises ValueError naming a damaged file."""
        self._files = files
        self._ends = [_ends(file, see) for file in files]
        self._counts = list(accumulate(map(len, self._ends)))

    def __len__(self) -> int:
        return self._counts[-1]

    def __getitem__(self, number: int) -> bytes:
        """One of them, without another look at its checksum. Raises IndexError and OSError."""
        place = bisect_right(self._counts, range(len(self))[number])
        ends = self._ends[place]
        row = number - self._counts[place] + len(ends)
        start = (int(ends[row - 1]) if row else 0) + BEFORE
        with self._files[place].open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(int(ends[row]) - AFTER - start)


def _ends(file: Path, see: Callable[[bytes], None]) -> NDArray[np.int64]:
    """Where each record ends. TensorFlow reads the file and checks it."""
    from kvgg_jax.core.tf_gate import tf

    lengths: list[int] = []
    try:
        for records in tf.data.TFRecordDataset(str(file)).batch(TOGETHER).as_numpy_iterator():
            lengths += map(len, records)
            for record in records:
                see(record)
    except tf.errors.OpError as error:
        reason = error.message.rpartition("}} ")[2].partition(" [Op:")[0]
        raise ValueError(f"{file}: {reason}") from None
    return np.cumsum(np.array(lengths, np.int64) + BEFORE + AFTER)
