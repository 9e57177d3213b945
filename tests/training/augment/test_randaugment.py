"""RandAugment: each image draws its own operations."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from kvgg_jax.training.augment.randaugment import OPERATIONS, make_randaugment

SIZE = 16
COUNT = 64
RAMP = np.linspace(0.2, 0.8, SIZE, dtype=np.float32)
IMAGE = np.broadcast_to((RAMP[:, None] + RAMP)[..., None] / 2, (SIZE, SIZE, 3))
COPIES = np.broadcast_to(IMAGE, (COUNT, SIZE, SIZE, 3))


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """64 copies of one image, each changed in its own way."""
    augment = jax.jit(make_randaugment(seed=42, image_size=SIZE))
    return np.asarray(augment(COPIES, np.int32(0)))


def test_most_images_are_changed_each_in_its_own_way_and_some_are_not(drawn):
    """Nothing is one of six operations; a mirror is drawn for half of them besides."""
    mirror = COPIES[0][:, ::-1]
    kept = [np.array_equal(x, COPIES[0]) or np.allclose(x, mirror, atol=1e-6) for x in drawn]
    others = {x.tobytes() for x, same in zip(drawn, kept, strict=True) if not same}
    assert 1 <= sum(kept) <= COUNT // 8  # COUNT / 6 ** 2 are expected
    assert len(others) == COUNT - sum(kept)
    assert OPERATIONS == 2


def test_channels_that_are_alike_stay_alike_and_in_range(drawn):
    """float32 in [0, 1], grey as it was."""
    assert (drawn.shape, drawn.dtype) == (COPIES.shape, np.float32)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    np.testing.assert_allclose(drawn, drawn[..., :1].repeat(3, axis=-1), atol=1e-6)
