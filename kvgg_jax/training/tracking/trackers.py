"""TensorBoard, MLflow and Weights & Biases, each as one kind of tracker.

Their libraries are optional, and imported only by the tracker that needs them.
"""

from __future__ import annotations

import logging
import os
import shutil
import textwrap
import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from kvgg_jax.core.config import RunConfig, settings
from kvgg_jax.core.history import COLUMNS, Epoch
from kvgg_jax.core.process import is_own_process
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.manifest import MAY_CHANGE

FIGURES = tuple(name for name in COLUMNS if name != "epoch")
PROJECT = "kvgg_jax"
DT_STRING = 7  # tensorflow/core/framework/types.proto


class Tracker(Protocol):
    """Opened for a run with its configuration; an epoch that it has already counts once."""

    where: str
    """How to look at it, for the user."""

    def add(self, row: Epoch, moment: float) -> None:
        """Show an epoch that ended at `moment`, seconds since 1970."""

    def close(self, *, finished: bool) -> None:
        """Called at the end; `finished` unless the run was stopped."""


def _figures(row: Epoch) -> dict[str, float]:
    known = {name: getattr(row, name) for name in FIGURES}
    return {name: value for name, value in known.items() if value is not None}


def _identity(run: Run) -> str:
    """The name of a run in services that keep many: random, and kept in its `run.json`."""
    known = run.info().get("id")
    if not isinstance(known, str):
        known = uuid.uuid4().hex[:16]
        run.update_info(id=known)
    return known


class TensorBoard:
    """An event file in `RUN/tensorboard`, by TensorBoard's own record writer, without TensorFlow.

    The writers above it, tensorboardX' too, have a thread that a full disk ends unnoticed.
    """

    def __init__(self, run: Run, config: RunConfig) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.text.metadata import create_summary_metadata
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.where = f"TensorBoard: tensorboard --logdir {run.path.parent}"
        self._event, self._summary = Event, Summary
        folder = run.path / "tensorboard"
        folder.mkdir(exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        # Named by time: one that watches the folder looks for files after those it has read.
        file = folder / f"events.out.tfevents.{time.time_ns() // 1000}.kvgg"
        self._records = RecordWriter(file.open("wb"))
        began = run.created()
        self._put(wall_time=began, file_version="brain.Event:2")
        # It then forgets what it has read from this step on: all.
        self._put(wall_time=began, step=0, session_log=SessionLog(status=SessionLog.START))
        text = Summary.Value(tag="config", metadata=create_summary_metadata("", ""))
        text.tensor.dtype = DT_STRING
        text.tensor.string_val.append(textwrap.indent(config.to_toml(), "    ").encode())  # as code
        self._put(wall_time=began, step=0, summary=Summary(value=[text]))

    def _put(self, **event: Any) -> None:
        self._records.write(self._event(**event).SerializeToString())
        self._records.flush()

    def add(self, row: Epoch, moment: float) -> None:
        """One event with a scalar per metric."""
        values = [self._summary.Value(tag=n, simple_value=v) for n, v in _figures(row).items()]
        self._put(wall_time=moment, step=row.epoch, summary=self._summary(value=values))

    def close(self, *, finished: bool) -> None:
        """Close the file."""
        self._records.close()


class MLflow:
    """A run of MLflow at `MLFLOW_TRACKING_URI`, else in the database `mlflow.db` beside the run."""

    def __init__(self, run: Run, config: RunConfig) -> None:
        if is_own_process():
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is sent unasked
        from mlflow.tracking import MlflowClient

        if is_own_process():
            logging.getLogger("mlflow").setLevel(logging.WARNING)
        local = f"sqlite:///{run.path.parent.absolute() / 'mlflow.db'}"
        uri = os.environ.get("MLFLOW_TRACKING_URI") or local
        self.where = f"MLflow: mlflow ui --backend-store-uri {uri}"
        self._client = MlflowClient(uri)
        self._id = self._find(run)
        for key, value in settings(config).items():
            # a parameter cannot change, a tag can
            put = self._client.set_tag if key in MAY_CHANGE else self._client.log_param
            put(self._id, key, str(value))
        self._client.update_run(self._id, status="RUNNING")
        self._there = {
            (name, metric.step)
            for name in FIGURES
            for metric in self._client.get_metric_history(self._id, name)
        }

    def _find(self, run: Run) -> str:
        """The id of this run in MLflow, which keeps all that it ever got."""
        client, identity = self._client, _identity(run)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else client.create_experiment(name)
        known = client.search_runs([experiment], f"tags.kvgg_run = '{identity}'", max_results=1)
        if known:
            return known[0].info.run_id
        tags = {"kvgg_run": identity}
        return client.create_run(experiment, tags=tags, run_name=run.path.name).info.run_id

    def add(self, row: Epoch, moment: float) -> None:
        """Those metrics of the epoch that MLflow does not have yet."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, round(1000 * moment), row.epoch)
            for name, value in _figures(row).items()
            if (name, row.epoch) not in self._there
        ]
        if metrics:
            self._client.log_batch(self._id, metrics=metrics)

    def close(self, *, finished: bool) -> None:
        """Give the run its state."""
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")


class WeightsAndBiases:
    """A run of W&B in `RUN/wandb`. It stays on this machine unless `WANDB_MODE` says `online`."""

    def __init__(self, run: Run, config: RunConfig) -> None:
        import wandb

        mode = os.environ.get("WANDB_MODE") or "offline"
        folder = run.path / "wandb"
        if mode == "offline" and folder.exists():
            shutil.rmtree(folder)  # written again as a whole
        self._run = wandb.init(
            mode=mode,
            dir=run.path,
            id=_identity(run),
            name=run.path.name,
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            resume="allow",
            config=settings(config),
            settings=wandb.Settings(console="off", silent=True),
        )
        sync = f"wandb sync {folder / 'latest-run'}"
        self.where = f"W&B, {mode}: {sync if mode == 'offline' else self._run.url}"

    def add(self, row: Epoch, moment: float) -> None:
        """One step; W&B ignores a step that it has."""
        self._run.log({**_figures(row), "_timestamp": moment}, step=row.epoch)

    def close(self, *, finished: bool) -> None:
        """Online: wait until all is sent."""
        self._run.finish(exit_code=0 if finished else 1)


TRACKERS: dict[str, Callable[[Run, RunConfig], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
}
