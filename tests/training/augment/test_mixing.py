"""Mixing: labels share as images do, and only real images take part."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import jax
import numpy as np
import pytest

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.training.augment import mixing
from kvgg_jax.training.augment.mixing import make_mix
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_train_step, zero_tally

SIZE = 16
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
    monkeypatch.setattr(mixing, "as_function", layers.append)
    make_mix(kind, alpha, seed=0, classes=3)
    (layer,) = layers
    assert (layer.alpha if kind == "mixup" else layer.factor) in (drawn, (drawn, drawn))


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
