"""Records of TFRecord files, in any order."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.core.tf_gate import tf
from kvgg_jax.data.sources.tfrecord import TOGETHER, TFRecords


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Of 3, 0 and 70 records; one record is empty."""
    found = []
    for i, count in enumerate((3, 0, TOGETHER + 6)):
        found.append(tmp_path / f"made-{i}.tfrecord")
        with tf.io.TFRecordWriter(str(found[-1])) as writer:
            for number in range(count):
                writer.write(f"{i} {number}".encode() if number != 1 else b"")
    return found


def test_records_are_seen_in_order_and_read_in_any(files: list[Path]) -> None:
    """Across files, of which one may be empty."""
    seen: list[bytes] = []
    records = TFRecords(files, seen.append)
    assert seen[:4] == [b"0 0", b"", b"0 2", b"2 0"]
    assert len(records) == len(seen) == TOGETHER + 9
    assert [records[i] for i in reversed(range(len(seen)))] == seen[::-1]
    with pytest.raises(IndexError):
        records[len(seen)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content[:-1], "truncated record at 35' failed"),
        (lambda content: content[:12] + b"9" + content[13:], "corrupted record at 12"),
        (lambda content: b"no records at all", "corrupted record at 0 (Is this even a TFRecord"),
    ],
)
def test_a_damaged_file_is_named(files: list[Path], change, reason: str) -> None:
    """Wherever it is damaged."""
    files[0].write_bytes(change(files[0].read_bytes()))
    with pytest.raises(ValueError, match="made-0") as caught:
        TFRecords(files, lambda record: None)
    assert str(caught.value).startswith(f"{files[0]}: {reason}")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """As the system says it."""
    with pytest.raises(ValueError, match="No such file") as caught:
        TFRecords([tmp_path / "none"], lambda record: None)
    assert str(caught.value) == f"{tmp_path}/none: {tmp_path}/none; No such file or directory"
