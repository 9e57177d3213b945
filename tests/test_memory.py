"""Want of memory is said with what to try."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.config import RunConfig
from kvgg_jax.errors import OutOfMemory
from kvgg_jax.memory import memory_advice


def settings(batch: int) -> RunConfig:
    return RunConfig(data={"image_size": 96}, train={"batch_size": batch})


@pytest.mark.parametrize("library", [jnp, np], ids=["XLA", "NumPy"])
def test_an_allocation_that_fails_says_which_batch_size_to_try(library):
    """A petabyte, asked for in earnest."""
    with pytest.raises(OutOfMemory) as caught, memory_advice(settings(32)):
        library.zeros((1 << 10, 1 << 40), library.uint8).block_until_ready()
    assert str(caught.value) == (
        "Out of memory with batches of 32 pictures of 96 px. Start a new run with "
        "--accumulate 2 (the same steps), --batch-size 16 "
        "or a smaller --image-size; what this one saved is whole."
    )


def test_a_batch_of_one_can_only_be_of_smaller_pictures():
    """There is no --batch-size 0."""
    with pytest.raises(OutOfMemory) as caught, memory_advice(settings(1)):
        raise MemoryError
    assert str(caught.value) == (
        "Out of memory with batches of 1 pictures of 96 px. Start a new run with a smaller "
        "--image-size; what this one saved is whole."
    )


def test_other_errors_pass_as_they_are():
    """They are not about memory."""
    with pytest.raises(RuntimeError, match=r"^INTERNAL: no$"), memory_advice(settings(1)):
        raise RuntimeError("INTERNAL: no")
