"""The training and the evaluation step: pure functions of arrays, to be jitted by the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray, Batch, Tally, TrainState
from kvgg_jax.models.build import variable_names
from kvgg_jax.models.preprocess import normalize
from kvgg_jax.training.losses import Loss, cross_entropy
from kvgg_jax.training.optimizers import slot_names
from kvgg_jax.training.transfer.stage_rates import Shares

Augment = Callable[[AnyArray, AnyArray], AnyArray]
Mix = Callable[[Batch, AnyArray], Batch]
TrainStep = Callable[[TrainState, Tally, Batch], tuple[TrainState, Tally]]
EvalStep = Callable[[dict[str, AnyArray], dict[str, AnyArray], Batch], tuple[Tally, Array]]
EmbedStep = Callable[[dict[str, AnyArray], dict[str, AnyArray], Batch], Array]


def init_state(model: keras.Model, optimizer: keras.Optimizer) -> TrainState:
    """The state before the first step, keyed by variable name.

    It shares the variables' arrays instead of copying them: once a step has donated the state,
    the weights are in the new state alone and no longer in `model` or `optimizer`.
    """
    slots = [variable.value for variable in optimizer.variables]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=_values(model.trainable_variables),
        model_state=_values(model.non_trainable_variables),
        opt_state=dict(zip(slot_names(optimizer), slots, strict=True)),
    )


def zero_tally() -> Tally:
    """Sums over no images."""
    return Tally(*(jnp.zeros((), jnp.float32) for _ in Tally._fields))


def make_train_step(
    model: keras.Model,
    optimizer: keras.Optimizer,
    augment: Augment | None = None,
    mix: Mix | None = None,
    *,
    loss: Loss = cross_entropy,
    accumulate: int = 1,
    shares: Shares | None = None,
) -> TrainStep:
    """(state, tally, batch) -> (state, tally): one step on the mean `loss` of the real rows.

    `model` may be the head alone, which takes features for images: the rest of the state stays.
    `augment` changes the images first, then `mix` images and labels; a mixed label counts as the
    class of its largest share. `accumulate` computes the batch in so many equal parts, one after
    the other, and adds up their gradients: the memory of a part, the step of the whole, except that
    batch norm sees one part at a time. Of a variable's change, its share of `shares` is made.
    """
    read_params = _reader(model.trainable_variables)
    read_state = _reader(model.non_trainable_variables)
    names = slot_names(optimizer)
    gradients = _make_gradients(model, loss, accumulate)

    def train_step(state: TrainState, tally: Tally, batch: Batch) -> tuple[TrainState, Tally]:
        batch = changed(batch, state.step, augment, mix)
        params = read_params(state.params)
        model_state, now, grads = gradients(params, read_state(state.model_state), batch)
        slots = [state.opt_state[name] for name in names]
        before, (params, slots) = params, optimizer.stateless_apply(slots, grads, params)
        if shares is not None:
            changes = zip(before, params, shares(state.step), strict=True)
            params = [old + share * (new - old) for old, new, share in changes]
        new = TrainState(
            step=state.step + 1,
            params=_keyed(model.trainable_variables, params),
            model_state={**state.model_state, **_keyed(model.non_trainable_variables, model_state)},
            opt_state=dict(zip(names, slots, strict=True)),
        )
        return new, tally.merge(now)

    return train_step


def changed(batch: Batch, step: AnyArray, augment: Augment | None, mix: Mix | None) -> Batch:
    """A batch as training has it at `step`: float images, and shares for labels once mixed."""
    images: AnyArray = normalize(batch.images)
    batch = batch._replace(images=images if augment is None else augment(images, step))
    return batch if mix is None else mix(batch, step)


def _make_gradients(model: keras.Model, loss: Loss, parts: int) -> Callable[..., Any]:
    """(params, model_state, batch of float images) -> (model_state, tally, gradients)."""

    def loss_and_parts(
        params: list[AnyArray], model_state: list[AnyArray], batch: Batch, count: Array
    ) -> tuple[AnyArray, tuple[list[AnyArray], Tally]]:
        logits, new = model.stateless_call(params, model_state, batch.images, training=True)
        tally = _tally(logits, batch, loss)
        return tally.loss / jnp.maximum(count, 1), (new, tally)

    differentiate = jax.value_and_grad(loss_and_parts, has_aux=True)

    def gradients(params: list[AnyArray], model_state: list[AnyArray], batch: Batch) -> Any:
        count = jnp.sum(batch.weight)
        if parts == 1:
            (_, (model_state, tally)), grads = differentiate(params, model_state, batch, count)
            return model_state, tally, grads

        def add_part(carry: Any, number: Array) -> tuple[Any, None]:
            model_state, tally, total = carry
            part = jax.tree.map(lambda rows: _part(rows, number, parts), batch)
            (_, (model_state, now)), grads = differentiate(params, model_state, part, count)
            return (model_state, tally.merge(now), jax.tree.map(jnp.add, total, grads)), None

        zeros = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(add_part, (model_state, zero_tally(), zeros), jnp.arange(parts))[0]

    return gradients


def _part(rows: AnyArray, number: Array, parts: int) -> Array:
    """[batch, ...] -> [batch / parts, ...]: every `parts`-th row, from row `number` on.

    So each part has rows of every device that holds some of the batch.
    """
    split = rows.reshape(-1, parts, *rows.shape[1:])
    return jax.lax.dynamic_index_in_dim(split, number, axis=1, keepdims=False)


def make_eval_step(model: keras.Model) -> EvalStep:
    """(params, model_state, batch) -> (tally of the batch, probabilities [batch, classes])."""
    read_params = _reader(model.trainable_variables)
    read_state = _reader(model.non_trainable_variables)

    def eval_step(
        params: dict[str, AnyArray], model_state: dict[str, AnyArray], batch: Batch
    ) -> tuple[Tally, Array]:
        logits, _ = model.stateless_call(
            read_params(params), read_state(model_state), normalize(batch.images), training=False
        )
        return _tally(logits, batch, cross_entropy), jax.nn.softmax(logits)

    return eval_step


def make_embed_step(model: keras.Model) -> EmbedStep:
    """(params, model_state, batch) -> what the last layer takes, float32 [batch, width]."""
    made = model.output._keras_history  # in this model: a head shares its layers with the whole
    (embeddings,) = made.operation._inbound_nodes[made.node_index].input_tensors
    before = keras.Model(model.input, embeddings)
    read_params = _reader(before.trainable_variables)
    read_state = _reader(before.non_trainable_variables)

    def embed_step(
        params: dict[str, AnyArray], model_state: dict[str, AnyArray], batch: Batch
    ) -> Array:
        embeddings, _ = before.stateless_call(
            read_params(params), read_state(model_state), normalize(batch.images), training=False
        )
        return embeddings.astype(jnp.float32)

    return embed_step


def _tally(logits: Array, batch: Batch, loss: Loss) -> Tally:
    losses = loss(batch.labels, logits)
    labels = jnp.argmax(batch.labels, axis=-1) if batch.labels.ndim == 2 else batch.labels
    right = jnp.argmax(logits, axis=-1) == labels
    # where, not a product: a filler row's infinite loss times 0 would be NaN
    real = batch.weight > 0
    return Tally(
        loss=jnp.sum(jnp.where(real, losses * batch.weight, 0.0)),
        correct=jnp.sum(jnp.where(right, batch.weight, 0.0)),
        count=jnp.sum(batch.weight),
    )


def _keyed(variables: list[keras.Variable], values: list[AnyArray]) -> dict[str, AnyArray]:
    return dict(zip(variable_names(variables), values, strict=True))


def _values(variables: list[keras.Variable]) -> dict[str, AnyArray]:
    return _keyed(variables, [variable.value for variable in variables])


def _reader(variables: list[keras.Variable]) -> Callable[[dict[str, AnyArray]], list[AnyArray]]:
    names = variable_names(variables)
    return lambda values: [values[name] for name in names]
