"""`kvgg train`: what it prints, writes, refuses and resumes."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import signal
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import pytest

from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.signals import Stop
from kvgg_jax.core.config import SETTINGS, RunConfig
from kvgg_jax.core.events import EpochEnded, Event
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.data import demo
from kvgg_jax.runs import catalog, manifest
from kvgg_jax.runs.folder import Run
from kvgg_jax.training import inputs, trainer
from kvgg_jax.training.trainer import TrainResult
from support.commands import TINY, kvgg, message
from support.runs import PATIENCE, draw_photos

pytestmark = pytest.mark.usefixtures("thin_network", "blank")

COLUMNS = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,images_per_second"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A current folder with `photos`, where training itself is skipped."""
    row = Epoch(1, 0.5, 0.75, 0.25, 1.0, 1e-4, 2.0, 10.0)

    def skip(run: Run, *_: Any, **__: Any) -> TrainResult:
        return TrainResult(run.path, History((row,)), "all 1 epochs are done")

    monkeypatch.setattr(trainer, "_run", skip)
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path / "photos", per_class=4)
    return tmp_path


def history(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((run / "history.csv").read_text())))


def without_times(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows
    ]


def test_train_json_is_what_the_documents_promise(workplace: Path) -> None:
    """The best epoch's figures are those of history.csv; nothing else is on stdout."""
    printed, rows = (
        json.loads((workplace / "train.json").read_text()),
        history(workplace / "runs" / "first"),
    )
    best = max(rows, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    assert list(printed) == ["run", "monitor", "best", "epochs", "seconds", "images_per_second"]
    assert (printed["run"], printed["monitor"]) == ("runs/first", "accuracy")
    assert printed["best"] == {
        "epoch": int(best["epoch"]),
        "accuracy": float(best["accuracy"]),
        "loss": float(best["loss"]),
        "val_accuracy": float(best["val_accuracy"]),
        "val_loss": float(best["val_loss"]),
    }
    assert printed["epochs"] == 2
    seconds = sum(float(row["seconds"]) for row in rows)
    speed = 2 / sum(1 / float(row["images_per_second"]) for row in rows)
    assert (printed["seconds"], printed["images_per_second"]) == (
        round(seconds, 3),
        round(speed, 3),
    )


def test_progress_goes_to_stderr_as_plain_lines(workplace: Path) -> None:
    """Where there is no terminal: a line a stage and a line an epoch, in this order."""
    said = (workplace / "train.err").read_text().splitlines()
    # one more line, where the native library was built just now
    lines = [line for line in said if not line.startswith("3x3 convolutions: ")]
    openings = (
        r"18 photos of 3 classes in \S+/photos: 15 for training, 3 for validation",
        r"No validation photo of \w+: the accuracy says nothing of it\. --split .*",
        r"Writing to runs/first",
        r"VGG11, head gap, 32 px: [\d,]+ parameters",
        r"Compiled the training step in [\d.]+ s",
        r"Compiled the evaluation step in [\d.]+ s",
        r"  epoch     loss  accuracy  val loss  val accuracy      rate     time   img/s",
        r"  1/2  .* best",
        r"  2/2  .*",
        r"Compiled the embedding step in [\d.]+ s",
        r"Done: all 2 epochs are done\.",
    )
    assert len(lines) == len(openings), lines
    for line, opening in zip(lines, openings, strict=True):
        assert re.fullmatch(opening, line), line


def test_a_run_folder_holds_all_that_the_documents_name(workplace: Path) -> None:
    """And no temporary file is left behind."""
    run = workplace / "runs" / "first"
    assert {path.name for path in run.iterdir() if not path.stem.endswith(("-val", "-all"))} == {
        "checkpoints",
        "classes.json",
        "config.toml",
        "curves.png",
        "digests.csv",
        "history.csv",
        "known.npz",
        "run.json",
        "samples.png",
        "split.csv",
    }
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best", "last"}
    assert json.loads((run / "classes.json").read_text()) == ["blue", "green", "red"]
    assert (run / "split.csv").read_text().splitlines()[0] == "path,class,part"
    assert (run / "history.csv").read_text().splitlines()[0] == COLUMNS
    assert [path.name for path in (workplace / "runs").iterdir()] == ["first"]


def test_run_json_says_what_it_ran_with(workplace: Path) -> None:
    """Versions, device and a fingerprint of the photos."""
    info = json.loads((workplace / "runs" / "first" / "run.json").read_text())
    assert sorted(info) == [
        *("created", "data", "device", "format", "id", "number", "reason", "seconds", "settings"),
        *("status", "versions"),
    ]
    assert sorted(info["versions"]) == sorted(("kvgg_jax", "python", *manifest.PACKAGES))
    assert sorted(info["device"]) == ["count", "cpus", "kind", "platform"]
    assert (info["data"]["images"], info["data"]["left_out"]) == (18, [])
    assert re.fullmatch(r"[0-9a-f]{64}", info["data"]["fingerprint"])
    assert (info["status"], info["reason"]) == ("finished", "all 2 epochs are done")


def test_the_config_of_a_run_repeats_it(at: Path) -> None:
    """From any folder: the same history but for the times, and the same split."""
    result = kvgg("train", "--config", "runs/first/config.toml", "--out", "again", "--name", "x")
    assert result.exit_code == 0, result.output
    first, second = at / "runs" / "first", at / "again" / "x"
    assert without_times(history(second)) == without_times(history(first))
    for name in ("config.toml", "split.csv", "classes.json"):
        assert (second / name).read_text() == (first / name).read_text()


def test_without_json_train_ends_with_what_to_do_next(quick: Path) -> None:
    """Best epoch, time, where things are, and commands to type."""
    result = kvgg("train", "--data", "photos", *TINY, "--name", "x")
    assert result.stdout == (
        "Best epoch 1 of 1: validation accuracy 1.0000, loss 0.2500 (0:02, 10.0 images/s)\n"
        "Run folder: runs/x (curves.png, history.csv, samples.png, checkpoints/best)\n"
        "Next: kvgg evaluate --run runs/x\n"
        "      kvgg predict --run runs/x IMAGE\n"
    )


def test_a_run_is_named_by_date_architecture_and_head(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one of the day gets -2; a list of layers is joined by dashes."""

    class Today(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2026, 7, 25, 13, 0, tzinfo=tz)

    monkeypatch.setattr(catalog, "datetime", Today)
    for head in ("gap", "gap", "gap", "16,8"):
        arguments = ("--arch", "vgg11", "--image-size", "32", "--batch-size", "4", "--head", head)
        assert kvgg("train", "--data", "photos", *arguments).exit_code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == [
        "2026-07-25-vgg11-16-8",
        "2026-07-25-vgg11-gap",
        "2026-07-25-vgg11-gap-2",
        "2026-07-25-vgg11-gap-3",
    ]


def test_a_run_is_replaced_only_with_overwrite(quick: Path) -> None:
    """The old run stays as it is; --overwrite removes all of it."""
    arguments = ("train", "--data", "photos", *TINY, "--name", "x")
    assert kvgg(*arguments).exit_code == 0
    Path("runs/x/old").touch()
    refused = kvgg(*arguments)
    assert (refused.exit_code, message(refused)) == (
        1,
        "Error: runs/x already exists. Choose another --name, continue it with --resume runs/x, "
        "or replace it with --overwrite.\n",
    )
    assert Path("runs/x/old").exists()
    assert kvgg(*arguments, "--overwrite").exit_code == 0
    assert not Path("runs/x/old").exists()


def test_overwrite_never_removes_what_is_not_a_run(quick: Path) -> None:
    """`--out . --name photos --overwrite` must not delete the photos."""
    result = kvgg(
        "train", "--data", "photos", *TINY, "--out", ".", "--name", "photos", "--overwrite"
    )
    assert (result.exit_code, message(result)) == (
        1,
        "Error: photos is not a run folder, so --overwrite does not replace it.\n",
    )
    assert len(list(Path("photos").glob("*/*.png"))) == 12


def test_flags_win_over_the_file_and_the_file_over_defaults(quick: Path) -> None:
    """And `--set` reaches every key."""
    Path("my.toml").write_text("seed = 7\n[optim]\nlr = 0.5\ndecay_rate = 0.5\n")
    arguments = ("--config", "my.toml", "--lr", "0.25", "--set", "optim.decay_steps=50")
    result = kvgg("train", "--data", "photos", *TINY, "--name", "x", *arguments)
    assert result.exit_code == 0, result.output
    assert Run(Path("runs/x")).config() == RunConfig(
        seed=7,
        data={"dir": str(quick / "photos"), "image_size": 32},
        model={"arch": "vgg11", "head": "gap"},
        optim={"lr": 0.25, "decay_rate": 0.5, "decay_steps": 50},
        train={"batch_size": 8},
    )


def test_every_flag_of_train_reaches_its_setting(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with a value that is not the default."""
    with h5py.File(quick / "given.h5", "w") as file:
        file["predictions/bias"] = [0.0]
    monkeypatch.setattr(inputs, "load_initial_weights", lambda *_: None)
    flags = {
        "--weights": "given.h5",
        "--freeze": "2",
        "--head": "16,8",
        "--arch": "vgg13",
        "--dropout": "0.5",
        "--init": "glorot_uniform",
        "--epochs": "3",
        "--batch-size": "2",
        "--image-size": "40",
        "--resize": "pad",
        "--optimizer": "rmsprop",
        "--lr": "0.01",
        "--momentum": "0.75",
        "--clip-norm": "1.5",
        "--stage-decay": "0.5",
        "--unfreeze-every": "1",
        "--schedule": "cosine",
        "--warmup-steps": "2",
        "--label-smoothing": "0.1",
        "--weight-decay": "0.5",
        "--monitor": "macro_f1",
        "--patience": "5",
        "--min-delta": "0.25",
        "--save-every-steps": "4",
        "--precision": "bfloat16",
        "--ema": "0.9",
        "--class-weight": "balanced",
        "--width": "0.5",
        "--augment": "strong",
        "--crop": "0.5",
        "--erase": "0.25",
        "--mix": "cutmix",
        "--mix-alpha": "0.5",
        "--val-split": "0.5",
        "--test-split": "0.25",
        "--split": "stratified",
        "--seed": "1",
        "--accumulate": "2",
        "--cache": "disk",
    }
    words = [word for flag in flags.items() for word in flag]
    switches = ("--batch-norm", "--skip-bad", "--augment-color")
    photos = {"--data", "--val", "--test", "--data-root", "--group-by"}
    # --balance goes without --class-weight alone, --loss without --label-smoothing, and
    # --shuffle-shards with shards
    elsewhere = {"--track", "--loss", "--balance", "--devices", "--shard", "--time"}
    elsewhere.add("--shuffle-shards")
    asked = {*flags, *switches, *photos, *elsewhere}
    assert asked == {setting.flag for setting in SETTINGS.values() if setting.flag}
    result = kvgg("train", "--data", "photos", *words, *switches, "--name", "x")
    assert result.exit_code == 0, result.output
    assert Run(Path("runs/x")).config() == RunConfig(
        seed=1,
        data={
            "dir": str(quick / "photos"),
            "image_size": 40,
            "resize": "pad",
            "val_split": 0.5,
            "test_split": 0.25,
            "split": "stratified",
            "augment": "strong",
            "augment_color": True,
            "mix": "cutmix",
            "crop": 0.5,
            "erase": 0.25,
            "mix_alpha": 0.5,
            "skip_bad": True,
            "cache": "disk",
        },
        model={
            "arch": "vgg13",
            "width": 0.5,
            "head": "16,8",
            "dropout": 0.5,
            "batch_norm": True,
            "init": "glorot_uniform",
            "weights": str(quick / "given.h5"),
            "preprocessing": "scale",
            "freeze": "2",
        },
        optim={
            "optimizer": "rmsprop",
            "lr": 0.01,
            "momentum": 0.75,
            "clip_norm": 1.5,
            "stage_decay": 0.5,
            "unfreeze_every": 1,
            "schedule": "cosine",
            "warmup_steps": 2,
            "label_smoothing": 0.1,
            "weight_decay": 0.5,
        },
        train={
            "epochs": 3,
            "batch_size": 2,
            "accumulate": 2,
            "monitor": "macro_f1",
            "patience": 5,
            "min_delta": 0.25,
            "save_every_steps": 4,
            "precision": "bfloat16",
            "ema": 0.9,
            "class_weight": "balanced",
        },
    )


def test_without_data_a_folder_called_data_is_taken(quick: Path) -> None:
    """And photos get the image size of the VGG paper."""
    Path("photos").rename("data")
    result = kvgg("train", "--batch-size", "4", "--name", "x")
    assert result.exit_code == 0, result.output
    settled = Run(Path("runs/x")).config().data
    assert (settled.dir, settled.image_size) == (str(quick / "data"), 224)


def test_without_data_and_folder_the_demo_set_is_drawn(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note says so; the set is kept in the cache folder, and has 48 px."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(quick / "cache"))
    monkeypatch.setattr(demo, "PER_CLASS", 3)
    monkeypatch.setattr(
        demo.write_demo, "__kwdefaults__", {**demo.write_demo.__kwdefaults__, "per_class": 3}
    )
    result = kvgg("train", "--batch-size", "4", "--name", "x")
    assert result.exit_code == 0, result.output
    opening = "No --data and no ./data here: using the built-in demo set of drawn beans.\n"
    assert result.stderr.startswith(opening)
    settled = Run(Path("runs/x")).config().data
    assert (settled.dir, settled.image_size) == (f"{quick}/cache/kvgg_jax/demo-v{demo.VERSION}", 48)


@pytest.mark.parametrize(
    ("flags", "extra"),
    [(("--lr", "1"), "--lr"), (("--name", "y"), "--name"), (("--overwrite",), "--overwrite")],
)
def test_resume_keeps_the_settings_of_the_run(flags: tuple[str, ...], extra: str) -> None:
    """A flag that would be ignored is refused."""
    result = kvgg("train", "--resume", "x", "--epochs", "9", *flags)
    assert (result.exit_code, message(result)) == (
        2,
        f"Error: --resume keeps the settings of the run; {extra} cannot change them. "
        "Only --epochs can be raised, and --track, --devices and --shard changed.\n",
    )


def press_ctrl_c_after(epoch: int, patch: pytest.MonkeyPatch) -> None:
    """And the run goes on once that was answered, as it is by a thread."""
    answered, show, tell = threading.Event(), Screen.__call__, Stop._tell
    patch.setattr(Stop, "_tell", lambda self, text: (tell(self, text), answered.set()))

    def press(self: Screen, event: Event) -> None:
        show(self, event)
        if isinstance(event, EpochEnded) and event.row.epoch == epoch and not answered.is_set():
            signal.raise_signal(signal.SIGINT)
            assert answered.wait(PATIENCE)

    patch.setattr(Screen, "__call__", press)


def test_ctrl_c_ends_with_130_and_the_command_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed as printed, that command finishes the run; `evaluate` agrees with its history."""
    draw_photos(tmp_path / "photos", per_class=8)
    monkeypatch.chdir(tmp_path)
    arguments = ("--data", "photos", *TINY, "--epochs", "3", "--name", "my run")
    old = signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's job may ignore it
    with pytest.MonkeyPatch.context() as patch:
        press_ctrl_c_after(1, patch)
        cut = kvgg("train", *arguments)
    signal.signal(signal.SIGINT, old)
    assert cut.exit_code == 130, cut.output
    *_, answer, stopped, resume = cut.stderr.splitlines()
    assert answer == "Stopping after this step and saving. Ctrl-C again to stop at once."
    assert stopped == "Stopped in epoch 2, after step 0 of 3. Everything is saved. To resume:"
    assert resume == "  kvgg train --resume 'runs/my run'"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["my run"]  # no lock is left
    done = history(tmp_path / "runs" / "my run")
    assert len(done) == 1

    finished = kvgg(*shlex.split(resume.removeprefix("  kvgg ")), "--json")
    assert finished.exit_code == 0, finished.output
    assert re.search(r"^Resuming in epoch 2", finished.stderr, re.MULTILINE)
    printed, rows = json.loads(finished.stdout), history(tmp_path / "runs" / "my run")
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert (printed["epochs"], rows[:1]) == (3, done)
    evaluated = json.loads(kvgg("evaluate", "--json").stdout)
    best = printed["best"]
    assert (evaluated["accuracy"], evaluated["loss"]) == (best["val_accuracy"], best["val_loss"])


def test_ctrl_c_before_the_run_began_writes_nothing(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While photos are read there is nothing to resume."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inputs, "read", interrupt)
    result = kvgg("train", "--data", "photos", *TINY)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[1:] == [
        "Stopped before the run started; nothing was written."
    ]
    assert list(Path("runs").iterdir()) == []
