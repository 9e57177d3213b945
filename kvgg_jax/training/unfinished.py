"""What is left to do of a run, and what of it may be changed."""

from __future__ import annotations

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit
from kvgg_jax.core.text import escape_name
from kvgg_jax.runs import step_folders
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.loop import why_ended
from kvgg_jax.training.schedules import SCHEDULES
from kvgg_jax.training.transfer.initial_weights import InitialWeights, load_initial_weights


def first_weights(run: Run, config: RunConfig, emit: Emit) -> InitialWeights | None:
    """The weights that a run starts from, where it has saved none yet.

    Raises RunError when they are not those that it started from.
    """
    if step_folders.steps(run.checkpoints / "last"):
        return None
    initial = load_initial_weights(config, run.classes(), emit)
    if initial and initial.digest != run.info().get("weights"):
        raise RunError(
            f"The weights at {escape_name(config.model.weights)} are not those that {run.path} "
            "started from, and it has saved nothing yet. Restore them, or start a new run."
        )
    return initial


def with_epochs(run: Run, config: RunConfig, epochs: int | None) -> RunConfig:
    """The configuration with as many epochs as asked for. Raises UsageError for fewer, and for
    epochs where a time is the limit."""
    if config.train.time is not None:
        if epochs is not None:
            raise UsageError(
                f"`train.epochs = {epochs}` has no effect: {run.path} trains for "
                f"`train.time = {config.train.time}`."
            )
        return config
    known = run.info().get("settings", {}).get("train.epochs", config.train.epochs)
    wanted, schedule = config.train.epochs if epochs is None else epochs, config.optim.schedule
    if wanted < known:
        raise UsageError(
            f"`train.epochs = {wanted}`: {run.path} was started for {known} epochs, "
            "which can only be raised."
        )
    if wanted > known and SCHEDULES[schedule].depends_on_length:
        raise UsageError(
            f"`train.epochs = {wanted}`: the {schedule} schedule of {run.path} depends on its "
            f"{known} epochs, so {wanted} would be another run. {_new_run(run, wanted)}"
        )
    return config.with_train(epochs=wanted)


def _new_run(run: Run, epochs: int) -> str:
    config = run.path / "config.toml"
    return f"Start one with its settings: kvgg train --config {config} --epochs {epochs}"


def check_unfinished(run: Run, config: RunConfig) -> None:
    """Raises RunError for a run that has nothing left to do, before any long work."""
    history, train = run.history(), config.train
    if run.info().get("status") != "finished":
        return
    if train.time is None and len(history) >= train.epochs:
        further = "To train it further, raise `train.epochs`."
        if SCHEDULES[config.optim.schedule].depends_on_length:
            new = _new_run(run, 2 * train.epochs)
            further = f"Its {config.optim.schedule} schedule is at its end. {new}"
        raise RunError(f"{run.path} has finished its {len(history)} epochs. {further}")
    if reason := why_ended(history, train):
        raise RunError(
            f"{run.path} has finished: {reason}. "
            "To train longer, start a new run with a higher `train.patience`."
        )
    if train.time is not None:
        raise RunError(
            f"{run.path} has finished: {run.info().get('reason')}. To train longer, start a new "
            "run with a longer `train.time`."
        )
