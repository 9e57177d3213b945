"""The levels of augmentation: repeatable, in range, and without a change of hue."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.training.augment import layers, levels
from kvgg_jax.training.augment.layers import as_function
from kvgg_jax.training.augment.levels import LEVELS, make_augment

SIZE = 16
SOME = np.random.default_rng(0).random((4, SIZE, SIZE, 3), np.float32)


@cache
def compiled(level: str, *, seed: int = 42) -> Callable[..., jax.Array]:
    return jax.jit(make_augment(level, seed=seed, image_size=SIZE))


@pytest.fixture(params=LEVELS[1:])
def augment(request):
    """Each level that changes anything."""
    return compiled(request.param)


def test_none_is_no_function_at_all():
    """So the training step spends nothing on it."""
    assert make_augment("none", seed=0, image_size=SIZE) is None


def test_an_unknown_level_is_a_config_error():
    """The message lists those there are."""
    with pytest.raises(ConfigError) as caught:
        make_augment("wild", seed=0, image_size=SIZE)
    assert str(caught.value) == "augment 'wild': use one of none, light, strong, randaugment."


def test_the_same_seed_and_step_give_the_same_images(augment):
    """There is no hidden state: a resumed run sees what the uninterrupted one would have seen."""
    first = augment(SOME, np.int32(3))
    augment(SOME, np.int32(4))
    np.testing.assert_array_equal(augment(SOME, np.int32(3)), first)


def test_every_step_and_every_image_is_changed_differently(augment):
    """Four copies of one image differ from each other, and from those of the next step."""
    copies = np.repeat(SOME[:1], 4, axis=0)
    now, later = (np.asarray(augment(copies, np.int32(step))) for step in (0, 1))
    assert len({image.tobytes() for image in [*now, *later]}) == 8


def test_another_seed_gives_other_images():
    """The whole run follows its seed, up to the largest."""
    first, other = compiled("light"), compiled("light", seed=2**32 - 1)
    step = np.int32(0)
    assert (np.asarray(first(SOME, step)) != np.asarray(other(SOME, step))).any()


def test_images_keep_their_shape_their_type_and_their_range(augment):
    """float32 in [0, 1], also where a image is black or white."""
    edges = np.stack([np.zeros_like(SOME[0]), np.ones_like(SOME[0]), SOME[0], SOME[1]])
    for step in range(5):
        changed = augment(edges, np.int32(step))
        assert (changed.shape, changed.dtype) == (edges.shape, np.float32)
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


def test_grey_stays_grey(augment):
    """All that happens, happens to the three channels alike."""
    grey = np.repeat(SOME[..., :1], 3, axis=-1)
    for step in range(3):
        changed = np.asarray(augment(grey, np.int32(step)))
        np.testing.assert_allclose(changed, changed[..., :1].repeat(3, axis=-1), atol=1e-6)


BEAN = np.float32([0.6, 0.45, 0.3])
FLAT = np.broadcast_to(BEAN, SOME.shape)


def hues(images: np.ndarray) -> np.ndarray:
    """Of the mean color of each image, as shares of a turn."""
    return np.array([colorsys.rgb_to_hsv(*x.mean(axis=(0, 1)).tolist())[0] for x in images])


def saturations(images: np.ndarray) -> np.ndarray:
    return np.array([colorsys.rgb_to_hsv(*x.mean(axis=(0, 1)).tolist())[1] for x in images])


def test_a_flat_color_keeps_its_hue(augment):
    """Coffee roasts differ by color: neither the hue nor R - G and G - B of a bean may move."""
    for step in range(3):
        changed = np.asarray(augment(FLAT, np.int32(step)))
        np.testing.assert_allclose(hues(changed), hues(FLAT), atol=1e-5)
        np.testing.assert_allclose(changed[..., 0] - changed[..., 1], 0.15, atol=1e-5)
        np.testing.assert_allclose(changed[..., 1] - changed[..., 2], 0.15, atol=1e-5)


@pytest.mark.parametrize("augment", ["light", "randaugment"], indirect=True)
def test_a_flat_color_comes_out_as_it_went_in(augment):
    """So the channels keep their ratios too; strong alone makes it brighter or darker."""
    for step in range(3):
        np.testing.assert_allclose(augment(FLAT, np.int32(step)), FLAT, atol=1e-5)


def test_changes_of_hue_and_saturation_are_made_where_they_are_allowed():
    """Within what the documents say of light: 7 degrees and a fifth."""
    augment = jax.jit(make_augment("light", seed=42, image_size=SIZE, color=True))
    changed = np.concatenate([augment(FLAT, np.int32(step)) for step in range(4)])
    turned = np.abs(hues(changed) - hues(FLAT)[0])
    assert 0.01 < turned.max() <= 0.02 + 1e-4
    ratio = saturations(changed) / saturations(FLAT)[0]
    assert 0.1 < np.abs(ratio - 1).max() < 0.23


def test_randaugment_draws_changes_of_color_where_they_are_allowed():
    """And keeps its range; some images keep their color, those that drew others."""
    augment = jax.jit(make_augment("randaugment", seed=42, image_size=SIZE, color=True))
    changed = np.concatenate([augment(FLAT, np.int32(step)) for step in range(16)])
    assert 0 <= changed.min() <= changed.max() <= 1
    kept = np.abs(changed - BEAN).max(axis=(1, 2, 3)) < 1e-5
    assert 8 < kept.sum() < 40  # (6 / 13) ** 2 of 64 are 14, and AutoContrast leaves a flat one
    assert np.abs(hues(changed) - hues(FLAT[:1])).max() > 0.01


def test_strong_changes_more_than_light():
    """Brightness is one of the things that only strong touches."""
    flat = np.full((4, SIZE, SIZE, 3), 0.5, np.float32)
    light, strong = (np.ptp(compiled(level)(flat, np.int32(0))) for level in ("light", "strong"))
    assert light < 1e-6
    assert strong > 0.01


def test_no_change_is_computed_again_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA counts as many operations as for each change alone, and without `apart` several times
    as many."""
    images, step = np.zeros((2, 32, 32, 3), np.float32), np.int32(0)

    def operations(augment: Any) -> float:
        costs = jax.jit(augment).lower(images, step).compile().cost_analysis()
        return float(costs["flops"])

    def alone(layer: Any) -> float:
        layer.build((None, 32, 32, 3))
        change = as_function(layer)
        return operations(lambda x, step: change(x, jax.random.fold_in(jax.random.key(1), step)))

    def together() -> float:
        return operations(make_augment("strong", seed=1, image_size=32))

    each = sum(map(alone, levels._layers("strong")))
    assert together() < 1.1 * each
    monkeypatch.setattr(layers, "apart", lambda images: images)
    assert together() > 2 * each
