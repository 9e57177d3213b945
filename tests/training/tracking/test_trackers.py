"""The real TensorBoard, MLflow and W&B, read back. `nox -s extras` has them all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import Stopped
from kvgg_jax.core.events import EpochEnded, ignore
from kvgg_jax.core.history import EXTRA, History
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.tracking.trackers import FIGURES
from kvgg_jax.training.tracking.tracking import tracked
from support.runs import ROOT

pytestmark = [pytest.mark.usefixtures("thin_network", "blank"), pytest.mark.extras]

SHOWN = [name for name in FIGURES if name not in EXTRA]  # the others are not monitored


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    """A run of one epoch, to be changed."""
    return Run(shutil.copytree(finished, tmp_path / "runs" / "x"))


def track(run: Run, name: str) -> tuple[RunConfig, History]:
    """Three epochs in two starts; epoch 2 is done in both, its row being lost in between."""
    config = run.config().with_train(track=(name,))
    first = run.history().epochs[0]
    second = replace(first, epoch=2, loss=0.5)
    third = replace(second, epoch=3, val_loss=0.25)
    with suppress(Stopped), tracked(run, config, History((first,)), ignore) as tell:
        tell(EpochEnded(replace(second, seconds=9.0), 3, is_best=False))
        raise Stopped
    with tracked(run, config, History((first,)), ignore) as tell:
        tell(EpochEnded(second, 3, is_best=False))
        tell(EpochEnded(third, 3, is_best=False))
    return config, History((first, second, third))


def figures(history: History, *, but: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    return {
        name: [(row.epoch, pytest.approx(getattr(row, name))) for row in history]
        for name in SHOWN
        if name not in but
    }


def test_tensorboard_reads_each_epoch_once_and_the_configuration(run):
    """By its own reader, from the one file that is there after a resume."""
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config, history = track(run, "tensorboard")
    (file,) = (run.path / "tensorboard").iterdir()
    events = EventAccumulator(str(file))
    events.Reload()
    assert figures(history) == {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }
    (text,) = events.Tensors("config")
    lines = text.tensor_proto.string_val[0].decode().splitlines()
    assert [line[4:] for line in lines] == config.to_toml().splitlines()
    moments = [event.wall_time for event in events.Scalars("loss")]
    assert [b - a for a, b in pairwise(moments)] == pytest.approx(
        [row.seconds for row in history][1:], abs=1e-5
    )


def test_tensorboard_forgets_what_it_had_read_of_the_run_before_a_resume(run):
    """One that watches the folder meets the new file after the old one, and shows its points."""
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config, history = run.config().with_train(track=("tensorboard",)), run.history()
    row = history.epochs[0]
    with tracked(run, config, History((replace(row, loss=9.0),)), ignore):
        pass
    watching = EventAccumulator(str(run.path / "tensorboard"))
    watching.Reload()
    assert [event.value for event in watching.Scalars("loss")] == [9.0]
    with tracked(run, config, history, ignore):
        pass
    watching.Reload()
    assert [event.value for event in watching.Scalars("loss")] == [pytest.approx(row.loss)]


def test_tensorboard_is_written_without_tensorflow(run):
    """It would cost seconds, and the package works without."""
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    code = f"""
import sys
from pathlib import Path
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.tracking.tracking import tracked
run = Run(Path({str(run.path)!r}))
with tracked(run, run.config().with_train(track=("tensorboard",)), run.history(), print):
    print("tensorboard" in sys.modules, "tensorflow" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "True False"


@pytest.mark.filterwarnings("ignore")  # those of its own and of SQLAlchemy
def test_mlflow_has_each_epoch_once_and_the_settings(run, monkeypatch):
    """In the database beside the runs; what a resume may change are tags, the others parameters."""
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(run.path.parent)
    _, history = track(run, "mlflow")
    client = MlflowClient(f"sqlite:///{run.path.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("kvgg_jax").experiment_id
    (found,) = client.search_runs([experiment])
    escape_name = {
        name: sorted((m.step, m.value) for m in client.get_metric_history(found.info.run_id, name))
        for name in SHOWN
    }
    first, _, third = history
    assert escape_name.pop("seconds") == [(1, first.seconds), (2, 9.0), (3, third.seconds)]
    assert escape_name == figures(history, but=("seconds",))
    assert (found.info.run_name, found.info.status) == ("x", "FINISHED")
    assert (found.data.params["model.arch"], found.data.tags["train.epochs"]) == ("vgg11", "1")


@pytest.mark.filterwarnings("ignore")  # of its own
def test_wandb_has_each_epoch_once_on_this_machine(run, monkeypatch):
    """Offline, as one run to be synchronised, without an account."""
    wandb = pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    _, history = track(run, "wandb")
    wandb.teardown()  # waits until its other process has written all
    (folder,) = (run.path / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    escape_name: dict[str, list[Any]] = {name: [] for name in SHOWN}
    for record in wandb_records(file):
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            values = {item.key or item.nested_key[0]: item.value_json for item in items}
            for name in SHOWN:
                escape_name[name].append((int(values["_step"]), float(values[name])))
    assert figures(history) == escape_name


def wandb_records(file: Path) -> list[Any]:
    """What a `.wandb` file holds: LevelDB's log format, after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole, records = file.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(whole))
            whole = b""
    return records
