"""Cross-validation: every photo held out once, folds that differ in the split alone, resuming."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from kvgg_jax import crossval
from kvgg_jax.cli.main import app
from kvgg_jax.cli.text.results import crossval_text
from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError, RunError, Stopped, UsageError
from kvgg_jax.core.events import Emit, Event, Note
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.data.grouping import split_photos
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.lock import locked
from kvgg_jax.runs.manifest import settings
from kvgg_jax.training import trainer
from kvgg_jax.training.search.crossval import Crossval, Fold
from kvgg_jax.training.trainer import TrainResult
from support.commands import TINY, kvgg, message
from support.runs import draw_photos, small_config

ACCURACY = {1: 0.5, 2: 0.75, 3: 1.0}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Training itself is skipped; the names of the runs that would have been trained, in turn."""
    names: list[str] = []

    def skip(
        run: Run,
        config: RunConfig,
        *_: Any,
        stop: Callable[[], bool],
        check: Callable[[Run], None] | None,
        emit: Emit,
    ) -> TrainResult:
        if check is not None:
            check(run)
        names.append(run.path.name)
        if stop():
            raise Stopped("Stopped in epoch 1, after step 1 of 4.")
        accuracy = ACCURACY[config.data.fold or 1]
        history = History((Epoch(1, 0.5, 0.9, 1 - accuracy, accuracy, 1e-4, 2.0, 10.0),))
        run.write("history.csv", history.to_csv())
        run.update_info(status="finished")
        return TrainResult(run.path, history, "all 1 epochs are done")

    monkeypatch.setattr(trainer, "_run", skip)
    return names


def test_each_run_that_is_not_done_is_preceded_by_a_call(
    trained: list[str], photos: Path, tmp_path: Path
) -> None:
    """Which may end the work, as Ctrl-C between two runs does."""

    def interrupt() -> None:
        if trained.count("call") == 2:
            raise KeyboardInterrupt
        trained.append("call")

    config, ways = small_config(photos), {"folds": 3, "out": tmp_path, "name": "x"}
    with pytest.raises(KeyboardInterrupt):
        crossval(config, **ways, before_run=interrupt)
    assert trained == ["call", "fold-1", "call", "fold-2"]
    trained.clear()
    crossval(config, **ways, before_run=interrupt)
    assert trained == ["call", "fold-3"]


def test_every_photo_is_held_out_once(trained: list[str], photos: Path, tmp_path: Path) -> None:
    """The folds share out the photos and each class, duplicates stay together."""
    for name in ("a", "b"):
        shutil.copy(photos / "red" / "red_03.png", photos / "red" / f"{name}.png")
    result = crossval(small_config(photos), folds=3, out=tmp_path, name="x")
    assert trained == ["fold-1", "fold-2", "fold-3"]
    splits = [Run(tmp_path / "x" / f"fold-{fold}").split() for fold in (1, 2, 3)]
    held_out = [path for split in splits for path in split.val.paths]
    assert sorted(held_out) == sorted(scan(photos).paths)
    for split, fold in zip(splits, result.folds, strict=True):
        assert sorted(split.all.paths) == sorted(held_out)
        assert (fold.train, fold.val) == (len(split.train), len(split.val))
        counts = Counter(split.val.labels)
        assert (counts[0], counts[1], 4 <= counts[2] <= 6) == (4, 4, True)
        copies = {"red/red_03.png", "red/a.png", "red/b.png"} & set(split.val.paths)
        assert len(copies) in (0, 3)


def test_folds_trained_one_by_one_in_any_order_are_collected_by_one_call(
    trained: list[str], photos: Path, tmp_path: Path
) -> None:
    """As on several machines; the result is that of one call."""
    config = small_config(photos)
    for fold in (2, 3, 1):
        alone = crossval(config, folds=3, fold=fold, out=tmp_path, name="shared")
        assert [one.fold for one in alone.folds] == [fold]
    assert not (tmp_path / "shared" / "crossval.json").exists()
    collected = crossval(config, folds=3, out=tmp_path, name="shared")
    assert trained == ["fold-2", "fold-3", "fold-1"]
    whole = crossval(config, folds=3, out=tmp_path, name="whole")
    figures = [[(one.fold, one.val_accuracy) for one in each.folds] for each in (collected, whole)]
    assert figures[0] == figures[1]


def test_folds_of_one_folder_can_be_trained_at_once(
    trained: list[str], photos: Path, tmp_path: Path
) -> None:
    """While another machine holds the second one, the first is free and the second is not."""
    config, ways = small_config(photos), {"folds": 3, "out": tmp_path, "name": "x"}
    (tmp_path / "x").mkdir()
    with locked(tmp_path / "x" / "fold-2"):
        crossval(config, fold=1, **ways)
        with pytest.raises(RunError, match="fold-2 is in use by process"):
            crossval(config, fold=2, **ways)
    assert trained == ["fold-1"]


@pytest.mark.parametrize("fold", [0, 4])
def test_a_fold_that_is_none_of_them_is_refused(photos: Path, tmp_path: Path, fold: int) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError) as caught:
        crossval(small_config(photos), folds=3, fold=fold, out=tmp_path / "runs")
    assert str(caught.value) == f"--fold {fold}: from 1 to 3, the number of --folds."
    assert not (tmp_path / "runs").exists()


def test_folds_differ_in_the_split_alone(trained: list[str], photos: Path, tmp_path: Path) -> None:
    """One setting of each run's config.toml, which gives the same split again."""
    crossval(small_config(photos), folds=3, out=tmp_path, name="x")
    runs = [Run(tmp_path / "x" / name) for name in trained]
    first = settings(runs[0].config())
    for number, run in enumerate(runs, 1):
        assert settings(run.config()) == {**first, "data.fold": number}
        assert split_photos(run.config(), scan(photos)) == run.split()
    assert (first["data.split"], first["data.folds"], first["seed"]) == ("grouped", 3, 42)


def test_the_seed_of_the_weights_can_change_on_the_same_folds(
    trained: list[str], photos: Path, tmp_path: Path
) -> None:
    """`data.split_seed` holds the folds, `seed` is free; without it both change."""
    for name, seed, split_seed in (("a", 1, 7), ("b", 2, 7), ("c", 2, None)):
        config = small_config(photos, data={"split_seed": split_seed})
        crossval(config.model_copy(update={"seed": seed}), folds=2, out=tmp_path, name=name)
    a, b, c = ((tmp_path / name / "fold-1" / "split.csv").read_text() for name in "abc")
    assert a == b != c


def test_mean_spread_and_files(trained: list[str], photos: Path, tmp_path: Path) -> None:
    """Sample standard deviation of 0.5, 0.75 and 1; JSON and CSV hold the rows."""
    result = crossval(small_config(photos), folds=3, out=tmp_path, name="x")
    assert (result.mean("val_accuracy"), result.sd("val_accuracy")) == (0.75, 0.25)
    written = json.loads((tmp_path / "x" / "crossval.json").read_text())
    assert written == {"status": "finished", **result.to_json()}
    assert written["folds"][1] == {
        "fold": 2,
        "run": str(tmp_path / "x" / "fold-2"),
        "train": 24,
        "val": 12,
        "epoch": 1,
        "val_accuracy": 0.75,
        "val_loss": 0.25,
        "seconds": 2.0,
    }
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x" / "crossval.csv").read_text())))
    assert rows == [{k: str(v) for k, v in row.items()} for row in written["folds"]]


def test_a_second_call_resumes_and_a_third_only_reports(
    trained: list[str], photos: Path, tmp_path: Path
) -> None:
    """Finished folds are not touched, the one that was stopped is resumed."""
    asked: list[int] = []

    def in_the_second_fold() -> bool:
        asked.append(1)
        return len(asked) == 2

    whole = crossval(small_config(photos), folds=3, out=tmp_path / "a", name="x")
    trained.clear()
    with pytest.raises(Stopped):
        crossval(
            small_config(photos), folds=3, out=tmp_path / "b", name="x", stop=in_the_second_fold
        )
    written = json.loads((tmp_path / "b" / "x" / "crossval.json").read_text())
    assert (written["status"], len(written["folds"])) == ("unfinished", 1)
    again = crossval(small_config(photos), folds=3, out=tmp_path / "b", name="x")
    assert trained == ["fold-1", "fold-2", "fold-2", "fold-3"]
    heard: list[Event] = []
    config = small_config(photos)
    assert crossval(config, folds=3, out=tmp_path / "b", name="x", emit=heard.append) == again
    assert heard == [Note(f"Fold {fold} of 3 is done already") for fold in (1, 2, 3)]
    assert len(trained) == 4
    assert [fold.val_loss for fold in again.folds] == [fold.val_loss for fold in whole.folds]


def test_other_settings_are_refused_with_both_values(
    trained: list[str], photos: Path, tmp_path: Path
) -> None:
    """Folds of two recipes have no common mean. What changes no step may change."""
    crossval(small_config(photos), folds=3, out=tmp_path, name="x")
    with pytest.raises(RunError) as caught:
        crossval(
            small_config(photos, optim={"lr": 0.01}, data={"split": "stratified"}),
            folds=5,
            out=tmp_path,
            name="x",
        )
    assert str(caught.value) == (
        f"{tmp_path / 'x'} was started with other settings:\n"
        '  data.split: "grouped" then, "stratified" now\n'
        "  data.folds: 3 then, 5 now\n"
        "  optim.lr: 0.0001 then, 0.01 now\n"
        "Use the same settings, or choose another --name."
    )
    other = small_config(photos, data={"cache": "none"}, train={"save_every_steps": 2})
    crossval(other, folds=3, out=tmp_path, name="x")
    assert len(trained) == 3


def test_photos_that_changed_between_folds_are_refused(
    trained: list[str], photos: Path, tmp_path: Path
) -> None:
    """One more photo would change the later folds, so they would overlap the earlier; the fold that
    would be trained on it is not."""
    crossval(small_config(photos), folds=3, out=tmp_path, name="x")
    shutil.rmtree(tmp_path / "x" / "fold-3")
    shutil.copy(photos / "red" / "red_00.png", photos / "red" / "new.png")
    with pytest.raises(RunError) as caught:
        crossval(small_config(photos), folds=3, out=tmp_path, name="x")
    place = tmp_path / "x"
    assert str(caught.value) == (
        f"The photos changed since {place} was started, so {place / 'fold-3'} cannot be compared "
        f"with {place / 'fold-1'}. Restore them and remove {place / 'fold-3'}, or choose another "
        "--name."
    )
    assert trained == ["fold-1", "fold-2", "fold-3"]


def test_a_bad_photo_that_goes_between_folds_is_refused(
    trained: list[str], photos: Path, tmp_path: Path
) -> None:
    """It is left out, but it was split: without it the others would be split in another way."""
    (photos / "red" / "bad.png").write_text("no image")
    config = small_config(photos, data={"skip_bad": True})
    crossval(config, folds=3, out=tmp_path, name="x")
    shutil.rmtree(tmp_path / "x" / "fold-3")
    (photos / "red" / "bad.png").unlink()
    with pytest.raises(RunError, match="The photos changed since"):
        crossval(config, folds=3, out=tmp_path, name="x")


def test_another_folder_is_left_alone(trained: list[str], photos: Path, tmp_path: Path) -> None:
    """A run, or anything else that lies there."""
    trainer.train(small_config(photos), out=tmp_path, name="x")
    with pytest.raises(RunError) as caught:
        crossval(small_config(photos), out=tmp_path, name="x")
    assert str(caught.value) == (
        f"{tmp_path / 'x'} already exists and is no cross-validation. Choose another --name."
    )


def test_too_few_photos_for_the_folds_is_a_data_error(tmp_path: Path, trained: list[str]) -> None:
    """Nothing is left behind that would stand in the way of a second try."""
    photos = draw_photos(tmp_path / "photos", per_class=1)
    config = small_config(photos, train={"batch_size": 2})
    with pytest.raises(DataError) as caught:
        crossval(config, folds=5, out=tmp_path, name="x")
    assert str(caught.value) == (
        f"{photos}: fold 4 of 5 would have 3 of 3 images for training and 0 for validation; "
        "each needs at least 1. Add photos or choose fewer folds."
    )
    assert trained == []  # not the folds that have photos either
    assert len(crossval(config, folds=3, out=tmp_path, name="x").folds) == 3


# As a command


def test_crossval_takes_the_options_of_train() -> None:
    """Declared once: all but those that a fold has no use for."""
    commands: Any = get_command(app)
    names = {
        name: {option.name for option in command.get_params(typer.Context(command))}
        for name, command in commands.commands.items()
    }
    together = {"coordinator", "processes", "process"}
    of_a_run = {"overwrite", "resume", "val_split"}
    assert names["train"] - names["crossval"] == {*of_a_run, *together}
    assert names["crossval"] - names["train"] == {"folds", "fold"}


def test_the_command_prints_a_table_and_json(
    trained: list[str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder named after the network; the same command again only reports."""
    monkeypatch.chdir(tmp_path)
    words = ("crossval", "--data", "photos", "--folds", "3", *TINY, "--set", "seed=1")
    result = kvgg(*words)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    cells = [re.findall(r"[^│┃ ]+", line) for line in lines if line.startswith("│")]
    assert cells == [
        ["1", "24", "12", "1", "0.5000", "0.5000", "0:02"],
        ["2", "24", "12", "1", "0.7500", "0.2500", "0:02"],
        ["3", "24", "12", "1", "1.0000", "0.0000", "0:02"],
    ]
    assert lines[-2:] == [
        "Validation accuracy 0.7500, standard deviation 0.2500",
        "Folds, crossval.json and crossval.csv: runs/crossval-vgg11-gap",
    ]
    printed = json.loads(kvgg(*words, "--json").stdout)
    assert (printed["crossval"], printed["mean"]) == (
        "runs/crossval-vgg11-gap",
        {"val_accuracy": 0.75, "val_loss": 0.25},
    )
    assert list(printed) == ["crossval", "monitor", "folds", "mean", "sd"]
    assert trained == ["fold-1", "fold-2", "fold-3"]


def test_what_is_monitored_is_in_the_table_and_the_files(capsys: Any, tmp_path: Path) -> None:
    """Beside accuracy and loss."""
    fold = Fold(1, "x/fold-1", 16, 8, 2, 0.75, 0.5, 61.0)
    folds = tuple(replace(fold, fold=n, val_macro_f1=0.5 + n / 8) for n in (1, 2))
    result = Crossval(tmp_path, folds, "macro_f1")
    crossval_text(result)
    printed = capsys.readouterr().out
    assert "macro F1" in printed
    assert "Validation macro F1 0.6875, standard deviation 0.0884\n" in printed
    assert "Validation accuracy 0.7500, standard deviation 0.0000\n" in printed
    found = result.to_json()
    assert (found["monitor"], found["mean"]) == (
        "macro_f1",
        {"val_accuracy": 0.75, "val_loss": 0.5, "val_macro_f1": 0.6875},
    )
    assert found["folds"][0]["val_macro_f1"] == 0.625
    assert "val_balanced_accuracy" not in found["folds"][0]


def test_a_stopped_command_shows_how_to_resume(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the exit code of Ctrl-C."""

    def stopped(*_: Any, **__: Any) -> None:
        raise Stopped("Stopped in epoch 2, after step 1 of 4.")

    monkeypatch.setattr(trainer, "_run", stopped)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kvgg", "crossval", "--data", "photos"])
    result = kvgg("crossval", "--data", "photos", *TINY)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-2:] == [
        "Stopped in epoch 2, after step 1 of 4. Everything is saved. "
        "To resume, repeat the command:",
        "  kvgg crossval --data photos",
    ]


@pytest.mark.parametrize("flag", ["--split keras", "--set data.split=keras"])
def test_keras_split_has_no_folds(flag: str) -> None:
    """As a flag it is refused; as the default of train, or of a recipe, it gives way."""
    assert message(kvgg("crossval", *flag.split())) == (
        f"Error: {flag}: not for folds; use stratified or grouped.\n"
    )


@pytest.mark.parametrize("key", ["data.val_split=0.3", "data.folds=3", "data.fold=2"])
def test_what_the_folds_decide_is_refused(key: str) -> None:
    """It would be passed over in silence."""
    assert message(kvgg("crossval", "--set", key)) == (
        f"Error: --set {key}: crossval splits by folds; set their number with --folds.\n"
    )


def test_a_name_is_that_of_one_folder(photos: Path, tmp_path: Path) -> None:
    """As for a run: nobody would find it otherwise."""
    with pytest.raises(UsageError) as caught:
        crossval(small_config(photos), folds=3, out=tmp_path, name="a/b")
    assert str(caught.value) == (
        "--name a/b: a run name is one folder name. Choose its parent folder with --out."
    )


@pytest.mark.parametrize("folds", [0, 1])
def test_fewer_than_two_folds_are_a_usage_error(photos: Path, tmp_path: Path, folds: int) -> None:
    """Nothing is written."""
    with pytest.raises(UsageError) as caught:
        crossval(small_config(photos), folds=folds, out=tmp_path / "runs")
    assert str(caught.value) == f"--folds {folds}: at least 2."
    assert not (tmp_path / "runs").exists()
