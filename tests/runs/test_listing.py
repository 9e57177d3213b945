"""What runs there are, from their small files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kvgg_jax import list_runs, load_classifier
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.listing import DamagedRun, RunSummary
from support.commands import kvgg, message

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """Two runs, the later one first by name, and a damaged one."""
    for number, name in ((1, "zebra"), (2, "ant")):
        shutil.copytree(finished, tmp_path / name)
        Run(tmp_path / name).update_info(number=number, created="2026-07-25T13:00:00+00:00")
    shutil.copytree(finished, tmp_path / "mole")
    (tmp_path / "mole" / "history.csv").write_text("?")
    Run(tmp_path / "mole").update_info(number=3)
    return tmp_path


def test_runs_come_in_the_order_they_were_started(out: Path) -> None:
    """By number, not by name; a damaged one does not stand in the way."""
    found = list_runs(out)
    assert [one.path.name for one in found] == ["zebra", "ant", "mole"]
    assert found[2] == DamagedRun(
        out / "mole",
        f"{out}/mole/history.csv is damaged: expected the columns epoch,loss,accuracy,val_loss,"
        "val_accuracy, each once.",
    )


def test_parameters_are_those_of_the_network(out: Path) -> None:
    """Counted from the settings, without building it."""
    one = list_runs(out)[0]
    assert isinstance(one, RunSummary)
    assert one.params == load_classifier(one.path).model.count_params()


def test_the_command_prints_a_line_a_run(out: Path, finished: Path) -> None:
    """And what is damaged on stderr, with exit code 0."""
    result = kvgg("runs", "--out", out)
    assert result.exit_code == 0, result.output
    head, *lines = [line.split() for line in result.stdout.splitlines()]
    assert head == ["run", "status", "epochs", "accuracy", "params", "time", "px", "created"]
    best = Run(finished).history().best
    assert best is not None
    shares = [["finished", "1/1", f"{best.val_accuracy:.4f}"]] * 2
    assert [line[0] for line in lines] == ["zebra", "ant", "mole"]
    assert [line[1:4] for line in lines[:2]] == shares
    assert [line[-2:] for line in lines[:2]] == [["32", "2026-07-25"]] * 2
    assert lines[2] == ["mole", "damaged"]
    assert result.stderr.startswith(f"Damaged: {out}/mole/history.csv is damaged: ")


def test_runs_json_is_what_the_documents_promise(out: Path) -> None:
    """An object a run; one name gives that run alone."""
    printed = json.loads(kvgg("runs", "--out", out, "--json").stdout)
    assert list(printed[0]) == [
        *("run", "status", "number", "created", "epochs", "epochs_asked", "monitor"),
        *("best_epoch", "val_accuracy", "val_loss", "params", "seconds", "arch", "head"),
        *("image_size", "device"),
    ]
    assert list(printed[2]) == ["run", "status", "error"]
    assert json.loads(kvgg("runs", "ant", "--out", out, "--json").stdout) == printed[1:2]


def test_no_runs_is_no_error(tmp_path: Path) -> None:
    """An empty list, and what to do."""
    result = kvgg("runs", "--out", tmp_path / "none", "--json")
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert result.stderr == (
        f"No runs in {tmp_path}/none. Train one first: kvgg train --data DIR\n"
    )


def test_other_photos_are_for_comparing() -> None:
    """A flag that would be ignored is refused."""
    result = kvgg("runs", "one", "--data", "photos")
    assert (result.exit_code, message(result)) == (
        2,
        "Error: --data needs at least two runs to compare.\n",
    )


def test_a_config_without_what_a_run_has_is_damaged(out: Path) -> None:
    """As after an edit by hand; the other runs are listed."""
    config = out / "ant" / "config.toml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("image_size")))
    assert [type(one) for one in list_runs(out)] == [RunSummary, DamagedRun, DamagedRun]
    assert message(kvgg("predict", "x.png", "--run", out / "ant")) == (
        f"Error: {config} is damaged: data.dir and data.image_size must be set.\n"
    )


def test_a_history_with_infinity_does_not_stop_the_list(out: Path) -> None:
    """That run is damaged; the others are listed."""
    history = out / "ant" / "history.csv"
    rows = [line.split(",") for line in history.read_text().splitlines()]
    rows[1][rows[0].index("seconds")] = "inf"
    history.write_text("".join(",".join(row) + "\n" for row in rows))
    result = kvgg("runs", "--out", out)
    assert result.exit_code == 0, result.output
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:]] == [
        ["zebra", "finished"],
        ["ant", "damaged"],
        ["mole", "damaged"],
    ]
    assert result.stderr.startswith(
        f"Damaged: {history} is damaged: row 1: seconds is 'inf', which cannot be measured."
    )


def test_what_a_cut_start_has_left_is_no_run(out: Path) -> None:
    """A run is made under a hidden name, then renamed."""
    shutil.copytree(out / "ant", out / ".new-one.new")
    assert [one.path.name for one in list_runs(out)] == ["zebra", "ant", "mole"]
