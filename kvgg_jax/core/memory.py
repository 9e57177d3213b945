"""Out-of-memory errors that suggest what to try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import OutOfMemory, is_out_of_memory


def training_memory_advice(config: RunConfig) -> AbstractContextManager[None]:
    """Turn an out-of-memory error into an OutOfMemory that says how to train with less."""
    batch, parts = config.train.batch_size, 2 * config.train.accumulate
    same = f"`train.accumulate = {parts}` (the same steps), " if batch % parts == 0 else ""
    smaller = f"{same}`train.batch_size = {batch // 2}` or " if batch > 1 else ""
    return _advice(
        batch,
        config.data.image_size,
        f"Start a new run with {smaller}a smaller `data.image_size`. What this run saved is safe.",
    )


def inference_memory_advice(batch: int, size: int) -> AbstractContextManager[None]:
    """The same for a trained network, in batches of `batch` images of `size` pixels per side."""
    smaller = f"--batch-size {batch // 2}, or a" if batch > 1 else "a"
    return _advice(batch, size, f"Try {smaller} machine with more memory.")


@contextmanager
def _advice(batch: int, size: int | None, what_to_do: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        what = f"Out of memory with batches of {batch} images of {size} px."
        raise OutOfMemory(f"{what} {what_to_do}") from error
