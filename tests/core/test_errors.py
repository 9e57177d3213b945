"""Errors: which of them are about memory, and the exit code of each."""

from __future__ import annotations

import errno

import pytest

from kvgg_jax.core import errors
from kvgg_jax.core.errors import KvggError, RunError, is_out_of_memory


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."), True),
        (RuntimeError("std::bad_alloc"), True),
        (ResourceExhaustedError("OOM when allocating tensor"), True),
        (RunError("Cannot save: RESOURCE_EXHAUSTED: disk full"), False),
        (ValueError("no"), False),
    ],
    ids=repr,
)
def test_want_of_memory_is_known_in_all_its_forms(error: Exception, is_one: bool):
    """Of Python, the system, XLA, C++ and TensorFlow; not a message that was made from one."""
    assert is_out_of_memory(error) == is_one


def test_only_a_wrong_command_line_ends_with_2() -> None:
    """All other errors made for the user end with 1."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.__name__: kind.exit_code for kind in kinds if issubclass(kind, KvggError)}
    assert codes.pop("UsageError") == 2
    assert set(codes.values()) == {1}
