"""The commands as typed: what they print where, what they leave on disk, how they end."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest
from typer.main import get_command

import kvgg_jax
from kvgg_jax.cli import main
from kvgg_jax.cli.main import app
from kvgg_jax.core.config import SETTINGS, RunConfig
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.data import demo
from kvgg_jax.runs import catalog, manifest
from kvgg_jax.runs.folder import Run
from kvgg_jax.training import inputs, trainer
from kvgg_jax.training.trainer import TrainResult
from support.commands import ENVIRONMENT, TINY, kvgg, message
from support.runs import ROOT, THIN_VGG11, draw_photos

COMMANDS = (
    *(("train",), ("crossval",), ("evaluate",), ("calibrate",), ("predict",), ("runs",)),
    *(("lr-find",), ("tune",), ("summary",), ("bench",), ("explain",), ("export",)),
    *(("report",), ("serve",), ("recipes",)),
    *(("data", "demo"), ("data", "check"), ("data", "preview")),
)
HEAVY = ("jax", "keras", "matplotlib", "numpy", "pydantic", "tensorflow")
COLUMNS = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,images_per_second"


pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, thin_network: None) -> Path:
    """A folder with `photos`, and the run that `kvgg train --json` made of them."""
    place = tmp_path_factory.mktemp("cli")
    draw_photos(place / "photos", per_class=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        arguments = ("--data", "photos", *TINY, "--epochs", "2", "--name", "first", "--json")
        result = kvgg("train", *arguments)
    assert result.exit_code == 0, result.output
    (place / "train.json").write_text(result.stdout)
    (place / "train.err").write_text(result.stderr)
    return place


@pytest.fixture
def at(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The work place as current folder."""
    monkeypatch.chdir(workplace)
    return workplace


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


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example_that_can_be_pasted(command: tuple[str, ...]) -> None:
    """One unbroken line, which the command's own parser accepts."""
    result = kvgg(*command, "--help")
    assert result.exit_code == 0
    (example,) = re.findall(r"Example: kvgg (.*\S)", result.stdout)
    words = shlex.split(example)
    parser: Any = get_command(app)
    for name in command:
        assert words.pop(0) == name
        parser = parser.commands[name]
    parser.make_context(" ".join(command), words)  # raises a usage error if it does not parse


def test_the_help_of_train_has_the_default_of_every_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As they stand in config.py; an option without one says in its words what holds then."""
    monkeypatch.setitem(ENVIRONMENT, "COLUMNS", "200")
    told = kvgg("train", "--help").stdout
    found = dict(re.findall(r"│ (--\S+) .*\n(?:│  .*\n)*?│ +\[default: (\S+)\]", told))
    expected = {
        str(setting.flag): str(setting.default)
        for setting in SETTINGS.values()
        if setting.flag and setting.default not in (None, ())
    }
    negated = {flag: f"no-{flag[2:]}" for flag, value in expected.items() if value == "False"}
    assert found == {**expected, **negated, "--out": "runs"}


def test_every_command_is_tested_here_for_its_example() -> None:
    """A new command comes with an example."""
    top: Any = get_command(app)
    names = {(name,) for name in top.commands if name != "data"}
    names |= {("data", name) for name in top.commands["data"].commands}
    assert names == set(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    """So that `python cli.py --help` answers at once."""
    code = (
        "import runpy, sys; sys.argv = ['cli.py', '--help']\n"
        "try: runpy.run_path('cli.py', run_name='__main__')\n"
        f"finally: print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
    )
    done = python("-c", code, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "Train, evaluate and use image classifiers" in done.stdout


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python without what would color its output or make it narrow."""
    loud = {"COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"}
    env = {name: value for name, value in os.environ.items() if name not in loud}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )


# Train


def test_train_json_is_what_the_documents_promise(workplace: Path) -> None:
    """The best epoch's figures are those of history.csv; nothing else is on stdout."""
    printed, rows = (
        json.loads((workplace / "train.json").read_text()),
        history(workplace / "runs" / "first"),
    )
    best = max(rows, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    assert list(printed) == ["run", "best", "epochs", "seconds", "images_per_second"]
    assert printed["run"] == "runs/first"
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
    lines = (workplace / "train.err").read_text().splitlines()
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
        *("created", "data", "device", "format", "number", "reason", "seconds", "settings"),
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


def test_a_run_is_replaced_only_when_told_so(quick: Path) -> None:
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


def test_the_program_says_its_version() -> None:
    """As the package has it."""
    result = kvgg("--version")
    assert (result.exit_code, result.stdout) == (0, f"kvgg_jax {kvgg_jax.__version__}\n")
    assert importlib.metadata.version("kvgg_jax") == kvgg_jax.__version__


def test_every_flag_of_train_reaches_its_setting(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with a value that is not the default."""
    with h5py.File(quick / "given.h5", "w") as file:
        file["predictions/bias"] = [0.0]
    monkeypatch.setattr(trainer, "load_initial_weights", lambda *_: None)
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
        "--lr": "0.01",
        "--schedule": "cosine",
        "--warmup-steps": "2",
        "--label-smoothing": "0.1",
        "--weight-decay": "0.5",
        "--patience": "5",
        "--min-delta": "0.25",
        "--save-every-steps": "4",
        "--precision": "bfloat16",
        "--ema": "0.9",
        "--class-weight": "balanced",
        "--augment": "strong",
        "--mix": "cutmix",
        "--mix-alpha": "0.5",
        "--val-split": "0.5",
        "--split": "stratified",
        "--seed": "1",
        "--accumulate": "2",
        "--cache": "disk",
    }
    words = [word for flag in flags.items() for word in flag]
    switches = ("--batch-norm", "--skip-bad", "--augment-color")
    elsewhere = {"--data", "--track", "--balance"}  # the last goes without --class-weight alone
    asked = {*flags, *switches, *elsewhere}
    assert asked == {setting.flag for setting in SETTINGS.values() if setting.flag}
    result = kvgg("train", "--data", "photos", *words, *switches, "--name", "x")
    assert result.exit_code == 0, result.output
    assert Run(Path("runs/x")).config() == RunConfig(
        seed=1,
        data={
            "dir": str(quick / "photos"),
            "image_size": 40,
            "val_split": 0.5,
            "split": "stratified",
            "augment": "strong",
            "augment_color": True,
            "mix": "cutmix",
            "mix_alpha": 0.5,
            "skip_bad": True,
            "cache": "disk",
        },
        model={
            "arch": "vgg13",
            "head": "16,8",
            "dropout": 0.5,
            "batch_norm": True,
            "init": "glorot_uniform",
            "weights": str(quick / "given.h5"),
            "preprocessing": "scale",
            "freeze": "2",
        },
        optim={
            "lr": 0.01,
            "schedule": "cosine",
            "warmup_steps": 2,
            "label_smoothing": 0.1,
            "weight_decay": 0.5,
        },
        train={
            "epochs": 3,
            "batch_size": 2,
            "accumulate": 2,
            "patience": 5,
            "min_delta": 0.25,
            "save_every_steps": 4,
            "precision": "bfloat16",
            "ema": 0.9,
            "class_weight": "balanced",
        },
    )


def test_without_data_a_folder_called_data_is_taken(quick: Path) -> None:
    """And photos get the picture size of the VGG paper."""
    Path("photos").rename("data")
    result = kvgg("train", "--batch-size", "4", "--name", "x")
    assert result.exit_code == 0, result.output
    settled = Run(Path("runs/x")).config().data
    assert (settled.dir, settled.image_size) == (str(quick / "data"), 224)


def test_without_data_and_folder_the_demo_set_is_drawn(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, keeps it in the cache folder, and shows it at 48 px."""
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
    """Only --epochs and --track may change; a flag that would be ignored is refused."""
    result = kvgg("train", "--resume", "x", "--epochs", "9", *flags)
    assert (result.exit_code, message(result)) == (
        2,
        f"Error: --resume goes on with the run's own settings; {extra} cannot change them. "
        "Only --epochs can be raised, and --track given.\n",
    )


THIN_PROGRAM = f"""{THIN_VGG11}
from kvgg_jax.cli.main import main
main()
"""


# It halts after an epoch while there is a file `hold` beside it.
HALTING = """
import os, time
from kvgg_jax.cli.console import Screen
from kvgg_jax.core.events import EpochEnded
show = Screen.__call__

def halt(self, event):
    show(self, event)
    while isinstance(event, EpochEnded) and os.path.exists("hold"):
        time.sleep(0.01)

Screen.__call__ = halt
"""


def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed as printed, that command finishes the run; `evaluate` agrees with its history."""
    draw_photos(tmp_path / "photos", per_class=8)
    (tmp_path / "cli.py").write_text(HALTING + THIN_PROGRAM)
    (tmp_path / "hold").touch()
    arguments = ("--data", "photos", *TINY, "--epochs", "12")
    command = [sys.executable, "cli.py", "train", *arguments, "--name", "my run"]
    old = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child may inherit "ignore"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, old)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("  1/12 "):
                break
        process.send_signal(signal.SIGINT)
        (tmp_path / "hold").unlink()
        *_, answer, stopped, resume = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert answer == "Stopping after this step and saving. Ctrl-C again to stop at once."
    where = r"(in epoch \d+, after step \d+ of 3|while validating epoch \d+)"
    assert re.fullmatch(rf"Stopped {where}\. Everything is saved\. To resume:", stopped), stopped
    assert resume == "  python cli.py train --resume 'runs/my run'"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["my run"]  # no lock is left
    done = history(tmp_path / "runs" / "my run")
    assert 1 <= len(done) < 12
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["my run"]  # no lock is left

    monkeypatch.chdir(tmp_path)
    finished = kvgg(*shlex.split(resume.removeprefix("  python cli.py ")), "--json")
    assert finished.exit_code == 0, finished.output
    assert re.search(r"^Going on (in|with the validation of) epoch", finished.stderr, re.MULTILINE)
    printed, rows = json.loads(finished.stdout), history(tmp_path / "runs" / "my run")
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert (printed["epochs"], rows[: len(done)]) == (12, done)
    evaluated = json.loads(kvgg("evaluate", "--json").stdout)
    best = printed["best"]
    assert (evaluated["accuracy"], evaluated["loss"]) == (best["val_accuracy"], best["val_loss"])


def test_ctrl_c_before_the_run_began_writes_nothing(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While photos are read there is nothing to go on with."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inputs, "read", interrupt)
    result = kvgg("train", "--data", "photos", *TINY)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[1:] == [
        "Stopped before the run started; nothing was written."
    ]
    assert list(Path("runs").iterdir()) == []


# Evaluate


FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "matthews")
SHAPE = [
    *("run", "state", "data", "split", "count", "trained_on", "loss", *FIGURES, "top_k"),
    *("calibration_error", "calibration", "intervals"),
    *("classes", "confusion", "color", "reliability", "mistakes", "files"),
]


def test_evaluate_json_is_what_the_documents_promise(at: Path) -> None:
    """On the newest run by default; the figures of the best epoch, to the last digit."""
    result = kvgg("evaluate", "--json")
    assert result.exit_code == 0, result.output
    printed, best = json.loads(result.stdout), json.loads((at / "train.json").read_text())["best"]
    assert list(printed) == SHAPE
    assert (printed["run"], printed["split"], printed["count"]) == ("runs/first", "val", 3)
    assert (printed["loss"], printed["accuracy"]) == (best["val_loss"], best["val_accuracy"])
    assert list(printed["classes"]) == ["blue", "green", "red"]
    for name, row in zip(printed["classes"], printed["confusion"], strict=True):
        score = printed["classes"][name]
        parts = ["precision", "recall", "f1", "count", "roc_area", "average_precision"]
        assert list(score) == parts
        assert score["count"] == sum(row)
    assert list(printed["top_k"]) == ["2"]
    assert list(printed["intervals"]) == ["level", "resamples", "seed", *FIGURES]
    for name in FIGURES:
        low, high = printed["intervals"][name]
        assert low <= printed[name] <= high
    assert [list(one) for one in printed["reliability"]] == [
        ["low", "high", "count", "confidence", "accuracy"]
    ] * 15
    assert len(printed["mistakes"]) == 3 - round(3 * printed["accuracy"])
    for one in printed["mistakes"]:
        assert list(one) == ["path", "class", "predicted", "probability"]
    assert all(Path(file).is_file() for file in printed["files"])


def test_evaluate_shows_scores_and_confusion_and_draws_them(at: Path) -> None:
    """A headline with the figures, three tables, and the names of what it wrote."""
    figures = json.loads(kvgg("evaluate", "--split", "all", "--json").stdout)
    files = [Path(file) for file in figures["files"]]
    for file in files:
        file.unlink()
    result = kvgg("evaluate", "--split", "all", "--run", "first")
    right = sum(figures["confusion"][k][k] for k in range(3))
    scores = {name: [*score.values()][:4] for name, score in figures["classes"].items()}
    lines = result.stdout.splitlines()
    assert lines[0] == (
        f"runs/first on 18 images (all): accuracy {figures['accuracy']:.4f} ({right} right), "
        f"loss {figures['loss']:.4f}"
    )
    assert lines[-1] == f"Wrote to runs/first: {', '.join(file.name for file in files)}"
    cells = [re.findall(r"[^│┃ ]+", line) for line in lines if line.startswith("│")]
    assert [row[-4:] for row in cells[:4]] == [
        [f"{figures[name]:.4f}", f"{low:.4f}", "to", f"{high:.4f}"]
        for name in FIGURES
        for low, high in [figures["intervals"][name]]
    ]
    areas = [score["roc_area"] for score in figures["classes"].values()]
    assert [row[-1] for row in cells[4:7]] == [
        f"{figure:.4f}"
        for figure in (figures["top_k"]["2"], figures["calibration_error"], sum(areas) / 3)
    ]
    assert cells[7:] == [
        *(
            [name, *("-" if x is None else f"{x:.4f}" for x in shares), str(count)]
            for name, (*shares, count) in scores.items()
        ),
        *(
            [name, *map(str, row)]
            for name, row in zip(figures["classes"], figures["confusion"], strict=True)
        ),
    ]
    for file in files:
        openings = {".png": b"\x89PNG\r\n\x1a\n", ".csv": b'"path","class"', ".json": b"{"}
        assert file.read_bytes().startswith(openings[file.suffix])


# Predict


def test_predict_json_is_what_the_documents_promise(at: Path) -> None:
    """A file each, in the order given; --top says how many classes."""
    files = ["photos/red/red_01.png", "photos/blue/blue_00.png"]
    result = kvgg("predict", *files, "--json", "--top", "2")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert [one["path"] for one in printed] == files
    for one in printed:
        assert list(one) == [
            *("path", "class", "probability", "calibrated", "unsure", "unsure_below", "top")
        ]
        assert (one["calibrated"], one["unsure"], one["unsure_below"]) == (False, False, None)
        assert [list(entry) for entry in one["top"]] == [["class", "probability"]] * 2
        assert one["top"][0] == {"class": one["class"], "probability": one["probability"]}
        assert one["top"][0]["probability"] >= one["top"][1]["probability"]


def test_a_bad_file_is_reported_and_the_rest_is_answered(at: Path, tmp_path: Path) -> None:
    """On stderr and by the exit code; stdout stays pure."""
    good, bad = "photos/red/red_01.png", tmp_path / "bad.jpg"
    bad.write_text("no picture")
    error = f"{bad}: is text, not an image. Replace or remove it."
    result = kvgg("predict", good, bad, "--json")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"Error: {error}"
    first, second = json.loads(result.stdout)
    assert (first["path"], second) == (good, {"path": str(bad), "error": error})
    plain = kvgg("predict", bad, good)
    assert plain.stdout == f"{good}: {first['class']} {first['probability']:.1%}\n"
    assert (plain.exit_code, plain.stderr.splitlines()[-1]) == (1, f"Error: {error}")


def test_predict_csv_has_a_row_a_class(at: Path, tmp_path: Path) -> None:
    """path, rank, class, probability; a bad file has one row, of its path and its error."""
    picture = tmp_path / 'a, "b".png'
    shutil.copy("photos/red/red_01.png", picture)
    bad = tmp_path / "bad.jpg"
    bad.touch()
    (expected,) = json.loads(kvgg("predict", picture, "--json", "--top", "3").stdout)
    result = kvgg("predict", bad, picture, "--csv", "--top", "3")
    assert result.exit_code == 1
    assert list(csv.reader(io.StringIO(result.stdout))) == [
        ["path", "rank", "class", "probability", "error"],
        [str(bad), "", "", "", f"{bad}: is empty (0 bytes). Replace or remove it."],
        *(
            [str(picture), str(rank), one["class"], f"{one['probability']:.6f}", ""]
            for rank, one in enumerate(expected["top"], 1)
        ),
    ]


def test_predict_shows_a_line_a_picture(at: Path) -> None:
    """A folder is answered picture by picture, unbroken whatever the length of its path."""
    deep = at / ("long-name-" * 9)
    shutil.copytree(at / "photos" / "red", deep, dirs_exist_ok=True)
    expected = json.loads(kvgg("predict", deep, "--json", "--top", "2").stdout)
    result = kvgg("predict", deep, "--top", "2")
    assert result.stdout.splitlines() == [
        f"{one['path']}: " + "  ".join(f"{e['class']} {e['probability']:.1%}" for e in one["top"])
        for one in expected
    ]
    assert len(expected) == 6


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_what_looks_at_pictures_imports_neither_tensorflow_nor_keras(
    at: Path, command: str
) -> None:
    """They would add seconds to each call."""
    look = "print(sorted({'tensorflow', 'keras'} & {*sys.modules}))"
    code = f"import atexit, sys; atexit.register(lambda: {look})\n"
    done = python("-c", code + THIN_PROGRAM, command, "photos/red/red_00.png", cwd=at)
    assert done.returncode == 0, done.stderr
    answer, imported = done.stdout.splitlines()
    assert answer.startswith("photos/red/red_00.png: ")
    assert imported == "[]"


# Summary


def test_summary_adds_up_a_network() -> None:
    """VGG16 with the slim head at 4 classes and 224 px; the layers' rows add up to the totals."""
    result = kvgg("summary", "--head", "slim")
    lines = result.stdout.splitlines()
    assert lines[0] == "vgg16, head slim, 4 classes, 224 x 224 pixels"
    rows = [re.split(r"\s*│\s*", line.strip("│ ")) for line in lines if line.startswith("│")]
    assert len(rows) == 13 + 5 + 3
    assert rows[0] == ["block1_conv1", "224 x 224 x 64", "1,792", "173.4", "12,544"]
    assert sum(int(row[2].replace(",", "")) for row in rows) == 40_932_676
    assert lines[-4:] == [
        "Parameters: 40,932,676, of which 26,217,988 in the head (64.05%)",
        "FLOPs for one picture: 30.75 G forward, 92.06 G training (a multiply-add is two)",
        "Memory at batch 32, float32: 1,859.1 MiB of activations kept for the backward pass; "
        "2,483.7 MiB with weights, gradients and moments",
        "Weights: 156.1 MiB",
    ]


def test_compare_is_honest_about_what_the_slim_head_saves() -> None:
    """78.07 % of the head, and what that is of the whole: worked out by hand from the paper."""
    result = kvgg("summary", "--compare")
    assert result.stdout.splitlines()[-1] == (
        "The slim head saves 78.07% of the head's parameters. Of the whole network that is 69.52% "
        "of parameters and weight bytes, 36.46% of training memory, but only 0.60% of the forward "
        "and 0.60% of the training FLOPs: the convolutions do the work."
    )
    rows = [re.split(r"\s*│\s*", x.strip("│ ")) for x in result.stdout.splitlines() if x[:1] == "│"]
    assert rows[:2] == [
        ["parameters", "134,276,932", "40,932,676", "14,716,740"],
        ["in the head", "119,562,244", "26,217,988", "2,052"],
    ]


def test_summary_json_has_the_figures_of_the_tables() -> None:
    """Whole numbers, for a batch."""
    one = json.loads(kvgg("summary", "--head", "full", "--batch-size", "1", "--json").stdout)
    both = json.loads(kvgg("summary", "--compare", "--batch-size", "1", "--json").stdout)
    layers = one.pop("layers")
    assert list(both) == ["full", "slim", "gap"]
    assert both["full"] == one
    assert (one["params"], one["head_params"]) == (134_276_932, 119_562_244)
    assert sum(layer["params"] for layer in layers) == one["params"]
    assert sum(layer["flops"] for layer in layers) == one["forward_flops"]


# Data


def test_data_demo_writes_a_folder_to_train_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four classes of as many pictures as asked for, and the next command to type."""
    monkeypatch.chdir(tmp_path)
    result = kvgg("data", "demo", "beans", "--per-class", "2")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "",
        "Wrote the demo set to beans. Train on it:\n  kvgg train --data beans --image-size 48\n",
    )
    found = sorted(path.as_posix() for path in Path("beans").glob("*/*"))
    assert found == [
        f"beans/{name}/{name.lower()}_00{i}.png"
        for name in ("Dark", "Green", "Light", "Medium")
        for i in range(2)
    ]


# How the process ends


def test_late_writes_of_a_failed_save_are_no_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The save tells its failure by itself; what nobody knows of is still shown."""
    escape_name: list[Any] = []
    monkeypatch.setattr(sys, "__unraisablehook__", escape_name.append)
    late, another = (
        SimpleNamespace(exc_value=RuntimeError(text)) for text in ("Event loop is closed", "x")
    )
    main._ignore_late(late)
    main._ignore_late(another)
    assert escape_name == [another]
