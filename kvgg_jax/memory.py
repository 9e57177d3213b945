"""Running out of memory, said so that it helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvgg_jax.config import RunConfig
from kvgg_jax.errors import OutOfMemory


def is_out_of_memory(error: BaseException) -> bool:
    """Whether XLA, NumPy or Python could not get the memory it asked for."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


@contextmanager
def memory_advice(config: RunConfig) -> Iterator[None]:
    """Turn what happens for want of memory into an OutOfMemory that says what to try."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # XLA's errors are RuntimeErrors
        if not is_out_of_memory(error):
            raise
        batch, size = config.train.batch_size, config.data.image_size
        parts = 2 * config.train.accumulate
        same = f"--accumulate {parts} (the same steps), " if batch % parts == 0 else ""
        smaller = f"{same}--batch-size {batch // 2} or " if batch > 1 else ""
        raise OutOfMemory(
            f"Out of memory with batches of {batch} pictures of {size} px. "
            f"Start a new run with {smaller}a smaller --image-size; what this one saved is whole."
        ) from error
