"""The optimizers of Keras that `optim.optimizer` names, or one of the caller's.

To add an optimizer, enter it in `OPTIMIZERS` and its name in `core/tables/optim.Optimizer`. Left
out are Ftrl, which forgets the initial weights in its first step; Muon, which must be told the last
layer; ScheduleFreeAdamW, whose weights are not those to evaluate; and those that wrap others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from kvgg_jax.core.config import SETTINGS
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.training.schedules import LearningRates, build_schedule, schedules

BuildOptimizer: TypeAlias = Callable[[LearningRates], keras.Optimizer]

OPTIMIZERS: dict[str, Callable[..., keras.Optimizer]] = {
    "adam": keras.optimizers.Adam,  # Kingma & Ba 2015
    "adamw": keras.optimizers.AdamW,  # Loshchilov & Hutter 2019; Adam with a weight decay is it too
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "lion": keras.optimizers.Lion,  # Chen et al. 2023
    "nadam": keras.optimizers.Nadam,
    "adamax": keras.optimizers.Adamax,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "adafactor": keras.optimizers.Adafactor,
    "lamb": keras.optimizers.Lamb,
}


def build_optimizer(
    config: OptimConfig,
    model: keras.Model,
    *,
    steps: int | None = None,
    build: BuildOptimizer | None = None,
) -> keras.Optimizer:
    """The optimizer of `config` for a run of `steps`, its slots built for `model`.

    With a weight decay, each step also takes rate * weight_decay of a kernel away; biases and batch
    norm's weights do not decay. `build` makes another optimizer from the schedule. Raises
    UsageError where that is none, or scales the loss.
    """
    schedule = build_schedule(config, steps=steps)
    optimizer = _checked(build(schedule), "return") if build else _build_named(config, schedule)
    optimizer.build(model.trainable_variables)
    return optimizer


def ready_optimizer(optimizer: object, model: keras.Model) -> keras.Optimizer:
    """A caller's own optimizer, its slots built for `model` if they are not yet.

    Raises UsageError where it is none, scales the loss, or has slots for another model.
    """
    ready, variables = _checked(optimizer, "be"), model.trainable_variables
    if not ready.built:
        ready.build(variables)
    elif [*map(id, ready._trainable_variables)] != [*map(id, variables)]:
        raise UsageError(
            f"The optimizer {ready.name} was built for other variables than those of this "
            "model: make a new one."
        )
    return ready


def rates_of(optimizer: keras.Optimizer) -> Callable[[int], float]:
    """Steps already taken -> the rate of the next step."""
    rate = optimizer._learning_rate  # public is only that of the step that the optimizer is at
    if isinstance(rate, schedules.LearningRateSchedule):
        return lambda step: float(rate(step))
    constant = float(optimizer.learning_rate)
    return lambda step: constant


def _build_named(config: OptimConfig, schedule: LearningRates) -> keras.Optimizer:
    """The settings that are for this optimizer alone have the names of its arguments in Keras."""
    name = config.optimizer
    keys = [key for key, one in SETTINGS.items() if name in one.used_by.get("optimizer", ())]
    own: dict[str, Any] = config.model_dump(include={key.partition(".")[2] for key in keys})
    optimizer = OPTIMIZERS[name](
        schedule,
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.clip_norm,
        name=name,
        **own,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _checked(optimizer: object, must: str) -> keras.Optimizer:
    if not isinstance(optimizer, keras.Optimizer):
        raise UsageError(f"`optimizer` must {must} an optimizer of Keras, not {optimizer!r}.")
    if float(optimizer.scale_loss(1.0)) != 1:
        raise UsageError(
            f"The optimizer {optimizer.name} scales the loss, which is not supported: leave that "
            "out. Weights and gradients have 32 bits in both precisions."
        )
    return optimizer


def slot_names(optimizer: keras.Optimizer) -> list[str]:
    """A unique name for each variable of an optimizer, such as `adam/LAYER_kernel_momentum`.

    Keras numbers optimizers, and variables without a name, across the whole process, and gives some
    variables one name; here they count within the list.
    """
    kind, seen = type(optimizer).__name__.lower(), Counter[str]()
    names: list[str] = []
    for variable in optimizer.variables:
        scope, _, name = variable.path.rpartition("/")
        name = f"{kind}/{name if scope else 'variable'}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names
