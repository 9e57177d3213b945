"""Each change has random numbers of its own, which depend on seed and step alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.state import Batch
from kvgg_jax.training.augment import levels, mixing, regions
from kvgg_jax.training.augment.layers import in_turn
from kvgg_jax.training.step import Augment

SIZE = 16
IMAGES = jnp.zeros((3, SIZE, SIZE, 3))
BATCH = Batch(IMAGES, np.arange(3, dtype=np.int32), np.ones(3, np.float32))


def test_each_change_seed_and_step_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is mixed would go with how it was turned, or where it was cut."""
    keys: list[bytes] = []

    def note(given: Any, key: jax.Array) -> Any:
        keys.append(np.asarray(jax.random.key_data(key)).tobytes())
        return given

    for module in (levels, mixing, regions):
        monkeypatch.setattr(module, "as_function", lambda *layers: note)
    for seed in (1, 2):
        mix = mixing.make_mix("mixup", seed=seed, classes=3)
        augment = in_turn(
            regions.make_crop(0.5, seed=seed, image_size=SIZE),
            levels.make_augment("light", seed=seed, image_size=SIZE),
            regions.make_erase(0.5, seed=seed, image_size=SIZE),
        )
        assert augment is not None
        assert mix is not None
        for step in (0, 1):
            mix(BATCH, np.int32(step))
            augment(IMAGES, np.int32(step))
    assert len(set(keys)) == len(keys) == 2 * 2 * 4


def test_no_change_is_no_function_at_all() -> None:
    """So the training step spends nothing on it."""
    assert in_turn(None, None) is None


def test_changes_are_made_one_after_the_other() -> None:
    """Each is told the step; what there is not is passed over."""

    def add(images: Any, step: Any) -> Any:
        return images + step

    def double(images: Any, step: Any) -> Any:
        return images * 2

    both: Augment | None = in_turn(add, None, double)
    assert both is not None
    assert both(np.float32(1), np.int32(3)) == 8
