"""Running out of memory, said so that it helps: which batch size to try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvgg_jax.config import RunConfig
from kvgg_jax.errors import OutOfMemory, is_out_of_memory


@contextmanager
def training_advice(config: RunConfig) -> Iterator[None]:
    """Turn what happens for want of memory into an OutOfMemory that says how to train with less."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        batch, parts = config.train.batch_size, 2 * config.train.accumulate
        same = f"--accumulate {parts} (the same steps), " if batch % parts == 0 else ""
        smaller = f"{same}--batch-size {batch // 2} or " if batch > 1 else ""
        raise OutOfMemory(
            f"{_head(batch, config.data.image_size)} Start a new run with {smaller}a smaller "
            "--image-size; what this one saved is whole."
        ) from error


@contextmanager
def judging_advice(batch: int, size: int) -> Iterator[None]:
    """The same for a trained network, which is given `batch` pictures of `size` pixels at once."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        smaller = f"--batch-size {batch // 2}, or a" if batch > 1 else "a"
        advice = f"Try {smaller} machine with more memory."
        raise OutOfMemory(f"{_head(batch, size)} {advice}") from error


def _head(batch: int, size: int | None) -> str:
    return f"Out of memory with batches of {batch} pictures of {size} px."
