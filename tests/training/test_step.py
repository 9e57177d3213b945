"""The pure steps: what they sum, what they ignore, and that one program serves all batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch, Tally, TrainState, empty_batch
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.models.build import variable_names
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import (
    init_state,
    make_embed_step,
    make_eval_step,
    make_train_step,
    zero_tally,
)

SIZE, CLASSES = 8, 3


def network(*, dropout: float = 0.0) -> keras.Model:
    """A convolution and a dense layer: all that a step sees of a VGG."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.Flatten()(x)
    if dropout:
        x = keras.layers.Dropout(dropout, seed=1)(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="out")(x))


def make(
    model: keras.Model, augment: Any = None, *, accumulate: int = 1
) -> tuple[Callable[..., Any], TrainState]:
    """A compiled training step and the state to start it from."""
    optimizer = build_optimizer(OptimConfig(lr=0.01), model)
    state = init_state(model, optimizer)
    return jax.jit(make_train_step(model, optimizer, augment, accumulate=accumulate)), state


def batch(count: int = 8, *, real: int | None = None, seed: int = 0) -> Batch:
    """`count` images of noise, of which the first `real` have weight 1."""
    rng = np.random.default_rng(seed)
    weight = (np.arange(count) < (count if real is None else real)).astype(np.float32)
    images = rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    return Batch(images, rng.integers(0, CLASSES, count, np.int32), weight)


def assert_same(left: Any, right: Any) -> None:
    """Two trees of arrays are alike to the bit."""
    jax.tree.map(np.testing.assert_array_equal, left, right)


def with_fillers(full: Batch, real: int, seed: int) -> Batch:
    """The first `real` rows of `full`, the others replaced by fillers drawn from `seed`."""
    other = batch(len(full.labels), seed=seed)
    mix = [np.concatenate([a[:real], b[real:]]) for a, b in zip(full[:2], other[:2], strict=True)]
    return Batch(mix[0], mix[1], batch(len(full.labels), real=real).weight)


def test_what_fills_a_batch_up_changes_no_bit_of_the_step():
    """Rows of weight 0 leave weights, Adam's slots and sums as they are, whatever they show."""
    step, state = make(network())
    results = [step(state, zero_tally(), with_fillers(batch(), 5, seed)) for seed in (1, 2)]
    assert_same(*results)
    assert (np.asarray(results[0][0].params["out/kernel"]) != state.params["out/kernel"]).any()


def test_a_padded_batch_is_as_good_as_a_smaller_one():
    """The mean is over the real rows: 5 of 8 move the weights as 5 of 5 do."""
    step, state = make(network())
    padded, tally = step(state, zero_tally(), with_fillers(batch(), 5, 1))
    small = Batch(*(part[:5] for part in batch()))
    exact, same = step(state, zero_tally(), small)
    # a step of Adam is 0.01 long here; where the gradient is nearly 0 its direction is rounding
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        padded.params,
        exact.params,
    )
    np.testing.assert_allclose(tally, same, rtol=1e-5)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_a_batch_in_parts_takes_the_step_of_the_whole(parts):
    """Fillers too: a part may hold nothing else. Only the order of sums differs."""
    model = network()
    whole, state = make(model)
    cut, _ = make(model, accumulate=parts)
    given = with_fillers(batch(), 5, 1)
    (one, tally), (other, same) = (step(state, zero_tally(), given) for step in (whole, cut))
    np.testing.assert_allclose(same, tally, rtol=1e-6)
    for name in (
        "adam/out_kernel_momentum",
        "adam/conv_kernel_momentum",
    ):  # a tenth of the gradient
        ours, theirs = (np.asarray(s.opt_state[name]) for s in (other, one))
        assert np.abs(ours - theirs).max() < 1e-6 * np.abs(theirs).max()
    assert int(other.step) == 1


def test_a_batch_in_parts_takes_less_memory():
    model = network()

    def scratch(parts: int) -> int:
        step, state = make(model, accumulate=parts)
        compiled = step.lower(state, zero_tally(), batch(64)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert scratch(8) < 0.5 * scratch(1)


def test_a_part_takes_rows_from_all_over_the_batch():
    """Batch norm that forgets at once holds the mean of the last part: every second row."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.BatchNormalization(momentum=0.0, name="bn")(inputs)
    outputs = keras.layers.Dense(CLASSES)(keras.layers.Flatten()(x))
    step, state = make(keras.Model(inputs, outputs), accumulate=2)
    given = batch()
    new, _ = step(state, zero_tally(), given)
    mean = (given.images[1::2] / 255).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(new.model_state["bn/moving_mean"], mean, rtol=1e-5)


def test_dropout_draws_anew_for_each_part():
    """Two parts with the same images get different masks, hence different losses."""
    model = network(dropout=0.5)
    step, state = make(model, accumulate=2)
    half = batch(4)
    twice = Batch(*(np.repeat(rows, 2, axis=0) for rows in half))  # as they are dealt out
    once = make(model)[0](state, zero_tally(), half)[1]
    assert float(step(state, zero_tally(), twice)[1].loss) != pytest.approx(2 * float(once.loss))


def test_a_batch_of_fillers_only_gives_no_nan():
    """0 images have no mean, but the weights must survive it."""
    step, state = make(network())
    new, tally = step(state, zero_tally(), batch(real=0))
    assert [float(value) for value in tally] == [0, 0, 0]
    assert_same(new.params, state.params)


def test_the_infinite_loss_of_a_filler_is_not_counted():
    """A product with weight 0 would make NaN of it."""
    model = network()
    _, state = make(model)
    params = {**state.params, "out/kernel": jnp.full_like(state.params["out/kernel"], 3e38)}
    params["out/kernel"] = params["out/kernel"].at[:, 1:].multiply(-1)
    params["conv/kernel"] = jnp.ones_like(params["conv/kernel"])
    images = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    images[1] = 255  # black reaches the logits as 0, white as infinity
    labels, evaluate = np.array([0, 1], np.int32), make_eval_step(model)
    both, _ = evaluate(params, state.model_state, Batch(images, labels, np.ones(2, np.float32)))
    assert not np.isfinite(both.loss)
    real, _ = evaluate(params, state.model_state, Batch(images, labels, np.float32([1, 0])))
    assert [float(value) for value in real] == [pytest.approx(np.log(3)), 1, 1]


def test_full_and_padded_batches_share_one_program():
    """Batches of 8, 8 and 5 are traced once: nobody waits for XLA at an epoch's end."""
    traces = []

    def augment(images: jax.Array, step: jax.Array) -> jax.Array:
        traces.append(images.shape)
        return images

    step, state = make(network(), augment)
    tally = zero_tally()
    for real in (8, 8, 5):
        state, tally = step(state, tally, batch(real=real))
    assert traces == [(8, SIZE, SIZE, 3)]
    assert (int(state.step), float(tally.count)) == (3, 21)


def test_loss_and_right_answers_are_those_of_numpy():
    """Cross-entropy in nats of softmax(logits), summed over the real rows."""
    model = network()
    _, state = make(model)
    given = batch(real=6)
    logits, _ = model.stateless_call(
        list(state.params.values()), [], given.images / np.float32(255)
    )
    z = np.asarray(logits, np.float64)
    log_softmax = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    losses = -log_softmax[np.arange(8), given.labels]
    right = z.argmax(axis=1) == given.labels
    tally, probabilities = make_eval_step(model)(state.params, {}, given)
    assert float(tally.loss) == pytest.approx(losses[:6].sum(), rel=1e-6)
    assert (float(tally.correct), float(tally.count)) == (right[:6].sum(), 6)
    np.testing.assert_allclose(probabilities, np.exp(log_softmax), rtol=1e-5)


def test_a_tally_grows_by_each_batch():
    """Two batches on one tally count what each counts alone; ratios are made once, at the end."""
    step, state = make(network())
    first, second = batch(seed=1), batch(seed=2, real=3)
    after, one = step(state, zero_tally(), first)
    _, other = step(after, zero_tally(), second)
    _, both = step(after, one, second)
    assert_same(both, Tally(*(a + b for a, b in zip(one, other, strict=True))))
    assert float(both.count) == 11


def test_the_training_tally_is_of_the_weights_before_the_step():
    """As in Keras: the loss shown is the one whose gradient was taken."""
    model = network()
    step, state = make(model)
    _, trained = step(state, zero_tally(), batch())
    with_ema_weights, _ = make_eval_step(model)(state.params, state.model_state, batch())
    np.testing.assert_allclose(trained, with_ema_weights, rtol=1e-6)


def test_what_the_model_does_not_know_of_a_state_stays():
    """A head is trained with the state of the whole network."""
    model = network(dropout=0.5)
    step, state = make(model)
    whole = state._replace(model_state={**state.model_state, "block1_conv1/kernel": jnp.ones(3)})
    after, _ = step(whole, zero_tally(), batch())
    alone, _ = step(state, zero_tally(), batch())
    assert_same(after.model_state.pop("block1_conv1/kernel"), jnp.ones(3))
    assert_same(after, alone)


def test_an_empty_batch_is_of_fillers():
    """Its arrays have the types of real batches, so a program compiled with it fits them."""
    empty, real = empty_batch(8, SIZE), batch()
    assert [(a.shape, a.dtype) for a in empty] == [(a.shape, a.dtype) for a in real]
    assert empty.weight.sum() == 0


def test_names_are_unique_and_the_same_for_every_model_of_a_process():
    """Keras numbers dropout's seeds across the process; a checkpoint must fit the next process."""
    first, second = (network(dropout=0.5) for _ in range(2))
    paths = [v.path for m in (first, second) for v in m.non_trainable_variables]
    assert len(set(paths)) == 2  # Keras' own names do differ
    names = variable_names(first.variables)
    assert names == variable_names(second.variables)
    assert len(set(names)) == len(names) == 5
    assert {"conv/kernel", "conv/bias", "out/kernel", "out/bias"} < set(names)


def test_nothing_moves_between_host_and_device_inside_a_step():
    """With its arguments on the device, a step runs under `transfer_guard("disallow")`."""
    step, state = make(network(dropout=0.5))
    arguments = jax.device_put((state, zero_tally(), batch()))
    step(*arguments)  # compiled outside the guard, as in a run
    with jax.transfer_guard("disallow"):
        new, tally = step(*arguments)
        with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
            step(*arguments[:2], batch())
    assert int(new.step) == float(tally.count) / 8 == 1


def test_dropout_masks_follow_the_state_and_differ_from_step_to_step():
    """The masks' seed is part of the state: the same state, the same step, to the bit."""
    step, state = make(network(dropout=0.5))
    once, again = (step(state, zero_tally(), batch()) for _ in range(2))
    assert_same(once, again)
    moved = state._replace(model_state=once[0].model_state)  # the same weights, a later seed
    _, other = step(moved, zero_tally(), batch())
    assert float(other.loss) != float(once[1].loss)
    judge = make_eval_step(network(dropout=0.5))
    with_ema_weights = [judge(state.params, s.model_state, batch()) for s in (state, moved)]
    assert_same(*with_ema_weights)  # evaluation drops nothing


def test_an_embedding_is_what_the_last_layer_takes():
    """Of a model whose last layer is shared too: its own way to it."""
    model = network()
    last = model.layers[-1]
    head = keras.Model(model.layers[-2].output, model.output)
    params, state = (
        {name: v.value for name, v in zip(variable_names(part), part, strict=True)}
        for part in (model.trainable_variables, model.non_trainable_variables)
    )
    full = batch()
    vectors = make_embed_step(model)(params, state, full)
    _, probabilities = make_eval_step(model)(params, state, full)
    kernel, bias = (np.asarray(one.value) for one in (last.kernel, last.bias))
    logits = np.asarray(vectors) @ kernel + bias
    np.testing.assert_allclose(jax.nn.softmax(logits), probabilities, atol=1e-6)
    np.testing.assert_array_equal(
        make_embed_step(head)(params, state, full._replace(images=vectors)), vectors
    )
