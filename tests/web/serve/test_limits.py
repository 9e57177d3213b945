"""What may be in progress at one time."""

from __future__ import annotations

import pytest

from kvgg_jax.core.errors import UsageError
from kvgg_jax.web.serve.limits import CapacityLimit, Full, Limits


def test_capacity_is_given_back_whatever_happens() -> None:
    """All of it or nothing is taken."""
    room = CapacityLimit(3)
    with room.take(2):
        with pytest.raises(Full), room.take(2):
            pass
        with room.take(1):
            assert room.used == 3
    with pytest.raises(KeyError), room.take(2):
        raise KeyError
    assert room.used == 0


def test_a_request_that_could_never_be_answered_is_a_usage_error() -> None:
    """It would have more photos than may be in progress."""
    text = (
        "--queue 8 is less than --max-files 32: such a request could never be answered. "
        "Raise the first or lower the second."
    )
    with pytest.raises(UsageError) as caught:
        Limits(waiting=8)
    assert str(caught.value) == text
    assert Limits(files=8, waiting=8).memory == 4 * 32 * 2**20
