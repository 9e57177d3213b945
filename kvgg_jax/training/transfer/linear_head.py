"""A linear head that is solved instead of trained: logistic regression on a backbone's features."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import Stopped
from kvgg_jax.core.events import Note, Progress
from kvgg_jax.core.history import Epoch, EpochProgress
from kvgg_jax.core.state import AnyArray, TrainState
from kvgg_jax.data.pipeline import Pipeline
from kvgg_jax.models.functional import MOVING, STANDARD_EPSILON
from kvgg_jax.models.heads import LAST, STANDARDIZED
from kvgg_jax.training.ema import PREFIX
from kvgg_jax.training.figures import monitored_columns
from kvgg_jax.training.loop import Hooks, evaluate
from kvgg_jax.training.step import EvalStep
from kvgg_jax.training.transfer.logistic_regression import STRENGTHS, fit


@dataclass(frozen=True, slots=True)
class Solution:
    """The head's weights, by the names of its variables, and the C that was chosen."""

    weights: dict[str, NDArray[np.float32]]
    strength: float
    is_exact: bool = True
    """Whether L-BFGS came as near to the optimum as it was asked to."""


def solve_epoch(
    config: RunConfig,
    step: EvalStep,
    parts: tuple[Pipeline, Pipeline],
    state: TrainState,
    hooks: Hooks,
) -> tuple[TrainState, Epoch]:
    """An epoch whose steps are replaced by the solution of the head: the state, and its row.

    `parts` are the features for training and for validation, which `step` evaluates. The state is
    as many steps on as an epoch has.
    """
    started, train = time.perf_counter(), parts[0]
    balanced = config.data.balance or config.train.class_weight == "balanced"
    classes = state.params[f"{LAST}/bias"].shape[0]
    counts = None if train.weights is None else train.weights[train.rows]

    def before_each(number: int) -> None:
        hooks.emit(Progress("solving the head", number, len(STRENGTHS)))
        if hooks.stop():
            raise Stopped("Stopped while solving the head.")

    found = solve(
        *train.whole(),
        classes=classes,
        seed=config.seed,
        balanced=balanced,
        counts=counts,
        before_each=before_each,
    )
    how = "" if found.is_exact else ", not to the last digit"
    hooks.emit(Note(f"Solved the head by logistic regression, C = {found.strength:g}{how}"))
    state = _with_weights(state._replace(step=jnp.int32(train.steps)), found.weights)
    hooks.recorder.save(state, EpochProgress(train.steps, 0.0, 0.0, 0.0, seconds=0.0))
    (trained, _), (validated, probabilities) = (
        evaluate(
            step, (state.params, state.model_state), part, stop=hooks.stop, emit=hooks.emit, epoch=1
        )
        for part in parts
    )
    hooks.recorder.wait()
    monitored = monitored_columns(config.train.monitor, parts[1].labels, probabilities)
    return state, Epoch(
        epoch=1,
        loss=trained.loss,
        accuracy=trained.accuracy,
        val_loss=validated.loss,
        val_accuracy=validated.accuracy,
        seconds=time.perf_counter() - started,
        **monitored,
    )


def solve(
    features: NDArray[Any],
    labels: NDArray[Any],
    *,
    classes: int,
    seed: int,
    balanced: bool = False,
    counts: NDArray[np.float32] | None = None,
    before_each: Callable[[int], None] = lambda number: None,
) -> Solution:
    """The linear head for `features` [count, n] and `labels` [count] of `classes` classes.

    It minimizes the cross-entropy summed over the images, plus L2 / (2 C) of the kernel, on the
    standardized features. C is that of `STRENGTHS` with the smallest cross-entropy in
    cross-validation, where each class has two images or more. `balanced` weighs images by
    count / (classes * images of the class); `counts` [count] weighs each one. `before_each` is
    called with the number of strengths that were tried, and may raise.
    """
    mean, variance = features.mean(axis=0, dtype=np.float64), features.var(axis=0, dtype=np.float64)
    variance[variance == 0] = 1.0  # as scikit-learn's StandardScaler
    scaled = (features - mean) / np.sqrt(variance + STANDARD_EPSILON)
    fitted, is_exact = fit(
        scaled, labels, counts, balanced=balanced, seed=seed, before_each=before_each
    )
    kernel, bias = np.zeros((features.shape[1], classes)), np.full(classes, -np.inf)
    kernel[:, fitted.classes_], bias[fitted.classes_] = _columns(fitted)
    bias[np.isinf(bias)] = bias[fitted.classes_].min() - 10.0  # no image: hardly ever predicted
    weights = {
        **dict(zip((f"{STANDARDIZED}/{part}" for part in MOVING), (mean, variance), strict=True)),
        **{f"{LAST}/kernel": kernel, f"{LAST}/bias": bias},
    }
    found = {name: values.astype(np.float32) for name, values in weights.items()}
    return Solution(found, fitted.C, is_exact)


def _columns(fitted: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kernel [n, classes] and bias; of two classes scikit-learn has the difference alone."""
    if len(fitted.classes_) > 2:
        return fitted.coef_.T, fitted.intercept_
    halves = np.array([-0.5, 0.5])
    return fitted.coef_.T * halves, fitted.intercept_ * halves


def _with_weights(state: TrainState, weights: dict[str, NDArray[np.float32]]) -> TrainState:
    """The state with these weights, and as their moving average where it has one."""

    def put(part: dict[str, AnyArray], prefix: str = "") -> dict[str, AnyArray]:
        return {name: weights.get(name.removeprefix(prefix), old) for name, old in part.items()}

    averages = {name: value for name, value in state.opt_state.items() if name.startswith(PREFIX)}
    return state._replace(
        params=put(state.params),
        model_state=put(state.model_state),
        opt_state={**state.opt_state, **put(averages, PREFIX)},
    )
