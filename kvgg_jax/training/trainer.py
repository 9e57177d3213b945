"""`train` and `resume`: from a configuration to a finished run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kvgg_jax.core.config import RunConfig, settings
from kvgg_jax.core.devices.check import check_jax
from kvgg_jax.core.devices.hosts import are_several, check_all, from_main, is_main
from kvgg_jax.core.devices.mesh import alone
from kvgg_jax.core.devices.stopping import agreed
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, Finished, Started, Warned, ignore
from kvgg_jax.core.history import History
from kvgg_jax.core.memory import training_memory_advice
from kvgg_jax.core.state import TrainState, discard
from kvgg_jax.core.tables.architectures import BuildBackbone, register_backbone
from kvgg_jax.core.tables.train import Tracked
from kvgg_jax.data.open_photos import source_of
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.inference import known_photos
from kvgg_jax.runs import catalog
from kvgg_jax.runs.charts import curves_at_the_end
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.lock import locked
from kvgg_jax.runs.manifest import (
    check_custom,
    check_files,
    check_images,
    check_settings,
    device,
    files_of,
    warn_of_devices,
)
from kvgg_jax.training.inputs import (
    complete_config,
    load_inputs,
    read_photos,
    warn_of_split,
    with_larger,
)
from kvgg_jax.training.loop import UNLIMITED, LoopInputs, never, run_epochs
from kvgg_jax.training.losses import Loss
from kvgg_jax.training.optimizers import BuildOptimizer
from kvgg_jax.training.preview import draw_first_batch
from kvgg_jax.training.recorder import Recorder
from kvgg_jax.training.setup import Custom, Network, build_network, devices_of
from kvgg_jax.training.time_limit import TimeLimit, plan_run, planned
from kvgg_jax.training.tracking.tracking import check_trackers, tracked
from kvgg_jax.training.transfer.initial_weights import InitialWeights
from kvgg_jax.training.unfinished import check_unfinished, first_weights, with_epochs

SOLVED_ALONE = (
    "A linear head cannot be trained by several processes yet. Use one, or another `model.head`."
)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Where the run is and what it measured."""

    run: Path
    history: History
    reason: str
    """Why training ended."""

    @property
    def images_per_second(self) -> float:
        """Training images per second over the whole run, without validation."""
        return self.history.images_per_second or 0.0


def train(
    config: RunConfig | None = None,
    *,
    backbone: BuildBackbone | None = None,
    loss: Loss | None = None,
    optimizer: BuildOptimizer | None = None,
    out: str | Path = catalog.OUT,
    name: str | None = None,
    overwrite: bool = False,
    stop: Callable[[], bool] = never,
    check: Callable[[Run], None] | None = None,
    emit: Emit = ignore,
) -> TrainResult:
    """Train a classifier and keep everything about it in `out/name`.

    `backbone`, `loss` and `optimizer` take the place of what the settings name. `backbone` builds a
    network without its head, as `register_backbone` says. `loss(labels, logits)` gives a float per
    photo, [batch], for logits [batch, classes]; labels are int32 [batch], or shares with
    `data.mix`, float32 [batch, classes]. `optimizer(learning_rate)` makes an optimizer of Keras
    with a schedule of Keras. All are traced by JAX. Their names are kept: a resume needs them too.

    `stop` is asked after each step; when it returns True, all is saved and Stopped is raised.
    `check` is called once the run's folder is written, before the first step; what it raises ends
    the run. Raises KvggError (its text is for the user) for data, a configuration or a folder that
    cannot be used, before anything is written; NonFiniteLoss when training diverges.
    """
    config = config or RunConfig()
    check_trackers(config)
    custom = Custom(loss, optimizer)
    custom.check(config.optim)
    if backbone is not None:
        config = _with_backbone(config, backbone)
    config, out = complete_config(config, emit, out=out), Path(out)
    if are_several() and config.solves_head:
        raise UsageError(SOLVED_ALONE)
    path = Path(
        from_main(lambda: str(catalog.choose(config, out=out, name=name, overwrite=overwrite)))
    )
    # locked at once, so that no other run takes that name meanwhile
    with devices_of(config), locked(path) as hold_inside, training_memory_advice(config):
        inputs = load_inputs(config, emit)
        warn_of_split(inputs, config, emit)
        samples, split, decoded, initial = inputs

        def create() -> None:
            files = files_of(
                config,
                samples,
                split,
                decoded,
                number=catalog.next_number(out),
                weights=initial.digest if initial else None,
                custom=custom.names(),
            )
            catalog.create(path, config, files, overwrite=overwrite)
            hold_inside()

        from_main(create)
        run = Run(path)
        check_all(None if is_main() else _fault(run, decoded))
        return _run(run, config, decoded, initial, custom, stop=stop, check=check, emit=emit)


def resume(
    run: str | Path | None = None,
    *,
    backbone: BuildBackbone | None = None,
    loss: Loss | None = None,
    optimizer: BuildOptimizer | None = None,
    epochs: int | None = None,
    track: Sequence[Tracked] | None = None,
    devices: str | None = None,
    shard: str | None = None,
    out: str | Path = catalog.OUT,
    stop: Callable[[], bool] = never,
    check: Callable[[Run], None] | None = None,
    emit: Emit = ignore,
) -> TrainResult:
    """Resume a run from its last saved step, as if it had never stopped.

    `run` is a folder or a name; None means the newest unfinished run. `epochs` raises the total;
    `track`, `devices` and `shard` replace those settings of the run; the others are as for `train`.
    Raises RunError when the photos, the settings, the names of `loss` and `optimizer`, or the saved
    states are not those of the run.
    """
    check_jax()
    if backbone is not None:
        register_backbone(backbone)
    found = Run(
        Path(from_main(lambda: str(catalog.find(run, out=Path(out), status="unfinished").path)))
    )
    check_all(_fault(found))
    with locked(found.path):
        config = found.config()
        check_settings(found, config)
        custom = Custom(loss, optimizer)
        check_custom(found, custom.names())
        config = with_epochs(found, config, epochs)
        changed = {"track": track, "devices": devices, "shard": shard}
        config = config.with_train(**{k: v for k, v in changed.items() if v is not None})
        check_trackers(config)
        check_unfinished(found, config)
        initial = first_weights(found, config, emit)
        split = found.split(source_of(config.data, emit))
        check_files(found, split, emit)
        with devices_of(config), training_memory_advice(config):
            warn_of_devices(found, emit)
            decoded = read_photos(split.all, config, emit)
            check_all(_fault(found, decoded))
            decoded = with_larger(decoded, split, config, emit)
            found.write("config.toml", config.to_toml())
            found.update_info(status="unfinished", settings=settings(config), device=device())
            return _run(found, config, decoded, initial, custom, stop=stop, check=check, emit=emit)


def prepare(config: RunConfig, emit: Emit = ignore) -> tuple[LoopInputs, TrainState]:
    """What `train` would start with, for a complete config, without a run folder."""
    _, split, decoded, initial = load_inputs(config, emit)
    network = build_network(config, decoded, split, initial, emit=emit)
    return network.assemble(network.state, emit), network.state


def _fault(run: Run, decoded: DecodedImages | None = None) -> str | None:
    """Why this process cannot train in `run`, which the main one has found or made."""
    if not run.exists:
        return f"{run.path} is not there. Put --out into a folder that all hosts share."
    try:
        if decoded is not None:
            check_images(run, decoded)
    except RunError as error:
        return str(error)
    return None


def _with_backbone(config: RunConfig, build: BuildBackbone) -> RunConfig:
    """A configuration with a network of the caller's. Raises UsageError where it names another."""
    if "arch" in config.model.model_fields_set:
        raise UsageError("`model.arch` has no effect beside `backbone=`: leave one of them out.")
    return config.with_backbone(register_backbone(build))


def _run(
    run: Run,
    config: RunConfig,
    decoded: DecodedImages,
    initial: InitialWeights | None,
    custom: Custom,
    *,
    stop: Callable[[], bool],
    check: Callable[[Run], None] | None,
    emit: Emit,
) -> TrainResult:
    """Train in `run` from its last checkpoint, or from the start when it has none."""
    emit(Started(run.path))
    if check is not None:
        check(run)
    split, stop = run.split(decoded.samples.source), agreed(stop)

    def build(config: RunConfig, steps: int | None, emit: Emit) -> Network:
        return build_network(config, decoded, split, initial, custom=custom, steps=steps, emit=emit)

    with (
        curves_at_the_end(run),
        Checkpoints(run.checkpoints, run=run, emit=emit) as checkpoints,
    ):
        plan = plan_run(run, config, build, stop=stop, emit=emit)
        network = build(*planned(config, plan), emit=emit)
        if is_main():
            with alone():
                draw_first_batch(network, run.path / "samples.png")
        recorder = Recorder(run, checkpoints, steps=network.batches.steps, emit=emit)
        progress = recorder.restore(network.state)
        inputs = network.assemble(progress.state, emit)
        if progress.state is not network.state:
            discard(network.state)
        with tracked(run, config, progress.history, emit) as listen:
            limit = TimeLimit(plan, config, progress, inputs.clock) if plan else UNLIMITED
            history, reason = run_epochs(
                inputs,
                network.config.train,
                progress,
                recorder=recorder,
                stop=stop,
                limit=limit,
                emit=listen,
            )
        _keep_known_photos(run, network, checkpoints, stop=stop, emit=emit)
    run.update_info(status="finished", seconds=history.seconds, reason=reason)
    emit(Finished(run.path, history, reason))
    return TrainResult(run.path, history, reason)


def _keep_known_photos(
    run: Run, network: Network, checkpoints: Checkpoints, *, stop: Callable[[], bool], emit: Emit
) -> None:
    """What tells unknown photos, by the best weights. Raises Stopped and RunError."""
    checkpoints.wait()
    try:
        state, weights = checkpoints.load_best((network.state.params, network.state.model_state))
    except RunError as error:  # they are lost, of which a warning has told
        emit(Warned(f"{error} No photo will be unknown."))
        return
    embed = partial(network.embed, weights, stop=stop, emit=emit)
    known_photos.keep(run, state, network.split, embed, emit)
