"""Random changes to training images, one by one and in pairs: repeatable, and in range."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.training import augment as module
from kvgg_jax.training.augment import LEVELS, OPERATIONS, make_augment, make_mix, make_randaugment
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_train_step, zero_tally

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


# RandAugment: each image draws its own operations

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


# Mixing: labels share as images do, and only real images take part

KINDS = ("mixup", "cutmix")


def batch(*labels: int, real: int | None = None) -> Batch:
    """Flat images whose color is their label as a share: red, green or blue."""
    colors = np.eye(3, dtype=np.float32)[list(labels)]
    images = np.broadcast_to(colors[:, None, None], (len(labels), SIZE, SIZE, 3))
    weight = (np.arange(len(labels)) < (len(labels) if real is None else real)).astype(np.float32)
    return Batch(images, np.array(labels, np.int32), weight)


@cache
def compiled_mix(kind: str) -> Callable[..., Batch]:
    """With much mixing."""
    return jax.jit(make_mix(kind, 1.0, seed=42, classes=3))


@pytest.fixture(params=KINDS)
def mix(request):
    """Each kind, compiled once."""
    return compiled_mix(request.param)


def test_no_mixing_is_no_function_at_all():
    """So the training step spends nothing on it, and labels stay numbers."""
    assert make_mix("none", seed=0, classes=3) is None


def test_labels_have_the_shares_of_the_images(mix):
    """A flat red image mixed with a green one is as red and as green as its label says."""
    mixed = mix(batch(0, 1, 2, 0, 1, 2, 0, 1), np.int32(0))
    shares = np.asarray(mixed.images).mean(axis=(1, 2))
    np.testing.assert_allclose(mixed.labels, shares, atol=0.13)  # cutmix rounds to whole pixels
    np.testing.assert_allclose(np.asarray(mixed.labels).sum(axis=1), 1, rtol=1e-6)
    assert ((np.asarray(mixed.labels) > 0.01).sum(axis=1) == 2).sum() >= 3
    np.testing.assert_array_equal(mixed.weight, np.ones(8))


def test_mixup_blends_and_cutmix_cuts():
    """Every pixel is in the shares of the label; or it is of one image alone."""
    given = batch(0, 1, 2, 0, 1, 2, 0, 1)
    blended, cut = (compiled_mix(kind)(given, np.int32(0)) for kind in KINDS)
    everywhere = np.broadcast_to(np.asarray(blended.labels)[:, None, None], given.images.shape)
    np.testing.assert_allclose(blended.images, everywhere, atol=1e-6)
    assert set(np.unique(cut.images)) == {0, 1}
    assert set(np.asarray(cut.images).sum(axis=-1).ravel()) == {1}


def test_seed_and_step_alone_decide_what_is_mixed(mix):
    """There is no hidden state: a resumed run mixes as the uninterrupted one would have."""
    given = batch(0, 1, 2, 0, 1, 2, 0, 1)
    first = mix(given, np.int32(3))
    other = mix(given, np.int32(4))
    np.testing.assert_array_equal(mix(given, np.int32(3)).labels, first.labels)
    assert (np.asarray(other.labels) != first.labels).any()


@pytest.mark.parametrize(
    ("kind", "alpha", "drawn"),
    [("mixup", None, 0.2), ("mixup", 0.5, 0.5), ("cutmix", None, 1.0), ("cutmix", 0.5, 0.5)],
)
def test_without_alpha_it_is_that_of_the_paper(monkeypatch, kind, alpha, drawn):
    """Keras' CutMix draws its alpha between two bounds, which are one here."""
    layers: list[keras.Layer] = []
    monkeypatch.setattr(module, "as_function", layers.append)
    make_mix(kind, alpha, seed=0, classes=3)
    (layer,) = layers
    assert (layer.alpha if kind == "mixup" else layer.factor) in (drawn, (drawn, drawn))


def test_each_seed_and_step_has_a_key_of_its_own_and_augmentation_has_another(monkeypatch):
    """Else what is mixed would go with how it was turned."""
    keys: list[bytes] = []

    def note(given: dict[str, Any], key: jax.Array) -> dict[str, Any]:
        keys.append(np.asarray(jax.random.key_data(key)).tobytes())
        return given

    monkeypatch.setattr(module, "as_function", lambda layer: note)
    for seed in (1, 2):
        mix = make_mix("mixup", seed=seed, classes=3)
        augment = make_augment("light", seed=seed, image_size=SIZE)
        for step in (0, 1):
            mix(batch(0, 1, 2), np.int32(step))
            augment(jnp.zeros((1, SIZE, SIZE, 3)), np.int32(step))
    assert len(set(keys)) == len(keys) == 8


def test_fillers_do_not_reach_the_real_images(mix):
    """Whatever they show; here blue, where the real ones are red and green."""
    blue, red = (mix(batch(0, 1, 0, 1, 0, k, k, k, real=5), np.int32(1)) for k in (2, 0))
    np.testing.assert_array_equal(blue.images, red.images)
    np.testing.assert_array_equal(blue.labels, red.labels)
    assert float(np.asarray(blue.labels)[:, 2].max()) == 0
    assert np.asarray(blue.weight).tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


def test_a_step_learns_from_mixed_labels_and_counts_by_the_larger_share():
    """Loss and right answers are numpy's on the mixed batch, in parts too; fillers count not."""
    inputs = keras.Input((SIZE, SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="out")(pooled))
    optimizer = build_optimizer(OptimConfig(), model)
    state = init_state(model, optimizer)
    mix = make_mix("mixup", 1.0, seed=42, classes=3)
    whole = batch(0, 1, 2, 0, 1, 2, real=5)
    given = whole._replace(images=(255 * whole.images).astype(np.uint8))
    mixed = compiled_mix("mixup")(whole, np.int32(0))
    logits = np.asarray(mixed.images).mean(axis=(1, 2)) @ np.asarray(state.params["out/kernel"])
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    labels = np.asarray(mixed.labels)
    right = log_p.argmax(axis=1) == labels.argmax(axis=1)
    step = jax.jit(make_train_step(model, optimizer, None, mix, accumulate=2))
    new, tally = step(state, zero_tally(), given)
    assert float(tally.loss) == pytest.approx(-(labels * log_p)[:5].sum(), rel=1e-5)
    assert [float(tally.correct), float(tally.count)] == [right[:5].sum(), 5]
    assert int(new.step) == 1
