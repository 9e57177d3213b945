"""Runs that are killed at any moment and gone on with end as a run that never was, bit for bit."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from kvgg_jax.core.events import Event
from kvgg_jax.models.build import vgg
from kvgg_jax.runs import digests, step_folders
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.ema import with_average
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state
from support.commands import kvgg
from support.faults import (
    EPOCHS,
    PROGRAM,
    STEPS,
    Start,
    Tries,
    arguments_for,
    assert_same_run,
    gone_on_from,
    harm_until_done,
    moments,
    reached,
    states,
)
from support.runs import PATIENCE, ROOT, Trained

SEED = 4


pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def copy_of(whole: Trained, folder: Path) -> Path:
    """A place for another run on the same photos."""
    shutil.copytree(whole.photos, folder / "photos")
    return folder


def test_a_run_killed_in_a_save_and_gone_on_with_is_the_run_that_was_never_killed(
    whole, tmp_path, monkeypatch
):
    """By SIGKILL, and ended by another process: no bit differs.

    The run that was never killed saved once an epoch, this one after every step.
    """
    folder = copy_of(whole, tmp_path)
    (folder / "hold").write_text("3")
    killed = Start(folder, arguments_for(folder))
    assert killed.until((folder / "held").exists), killed.text
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    assert list(folder.glob("runs/run/checkpoints/*/*.saving"))
    monkeypatch.chdir(folder)
    last = kvgg("train", *arguments_for(folder))
    assert last.exit_code == 0, last.output
    assert gone_on_from(last.stderr) == 2
    assert_same_run(folder / "runs" / "run", whole.run)


def test_the_whole_run_is_one_that_a_fault_could_harm(whole):
    """It takes all its steps."""
    last, _ = states(whole.run)
    assert int(last.step) == EPOCHS * STEPS


@pytest.mark.faults
@pytest.mark.parametrize(
    ("number", "harms"), [(signal.SIGKILL, 30), (signal.SIGTERM, 10), (signal.SIGINT, 5)]
)
def test_no_moment_of_being_killed_changes_a_run(whole, tmp_path, capsys, number, harms):
    """Runs on end until there were so many kills; `-s` shows the table."""
    chance, table, done = random.Random(SEED), defaultdict[str, Tries](Tries), 0
    name = signal.Signals(number).name
    for attempt in range(harms):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        copy_of(whole, folder)
        left = min(harms - done, 10)
        done += harm_until_done(folder, table, chance, harms=left, number=number)
        assert_same_run(folder / "runs" / "run", whole.run)
        if done >= harms:
            break
    assert done >= harms
    with capsys.disabled():
        print()
        for moment, tries in sorted(table.items()):
            print(tries.row(f"{name} during {moment}"))


@pytest.mark.faults
def test_no_damage_to_a_saved_state_goes_unseen(whole, tmp_path, capsys):
    """A bit flipped, the end cut off, or a file deleted: the state before it is used, or none."""
    run, chance, tries = tmp_path / "run", random.Random(SEED), defaultdict[str, int](int)
    shutil.copytree(whole.run, run)
    model = vgg(Run(run).config().model, classes=3, image_size=32)
    like = with_average(init_state(model, build_optimizer(Run(run).config().optim, model)))
    for _ in range(300):
        kind = chance.choice(["last", "best"])
        newest, older = step_folders.steps(run / "checkpoints" / kind)
        files = [p for p in (run / "checkpoints" / kind / str(newest)).rglob("*") if p.is_file()]
        file, how = chance.choice(files), chance.choice(["flip", "cut", "delete"])
        content = file.read_bytes()
        harm_file(file, how, chance)
        heard: list[Event] = []
        with Checkpoints(run / "checkpoints", read_only=True, emit=heard.append) as checkpoints:
            if kind == "last":
                found = checkpoints.load_last(like)
                assert found is not None
                assert int(found[0].step) == older
            else:
                checkpoints.load_best((like.params, like.model_state))
        (warned,) = heard
        assert file.name in warned.text or file.name == digests.SUMS  # which blames what it lists
        assert warned.text.endswith(f"Using {run / 'checkpoints' / kind / str(older)} instead.")
        file.write_bytes(content)
        tries[how] += 1
    with capsys.disabled():
        print()
        for how, count in sorted(tries.items()):
            print(
                f"| {how} in a file of a saved state | {count} | {count} | back to the one before |"
            )


def harm_file(file: Path, how: str, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    if how == "delete" or not content:
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[: chance.randrange(len(content))])
    else:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)


@pytest.mark.faults
def test_a_disk_that_fills_at_any_moment_costs_no_more_than_the_save(whole, tmp_path, capsys):
    """No file of the running process may grow beyond a limit; it ends with 1 and says why."""
    chance, tries = random.Random(SEED), Tries()
    for attempt in range(6):
        folder = copy_of(whole, tmp_path / str(attempt))
        start = Start(folder, arguments_for(folder))
        assert start.until(moments(start, chance)["a step"]), start.text
        limit = chance.randrange(1000, 100_000)
        resource.prlimit(start.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        assert start.process.wait(PATIENCE) == 1, start.text
        assert re.search(r"^Error: Cannot (save|write) .*File too large.*\n\Z", start.text, re.M)
        assert "Traceback" not in start.text
        before, last = reached(folder), Start(folder, arguments_for(folder))
        assert last.process.wait(PATIENCE) == 0, last.text
        tries.tries += 1
        tries.lost.append(before - gone_on_from(last.text))
        assert_same_run(folder / "runs" / "run", whole.run)
    with capsys.disabled():
        print(f"\n{tries.row('the disk fills up')}")


# Before the first step the process is given a limit: less than the step asks for.
STARVED = """
import resource
from pathlib import Path
from kvgg_jax.cli.console import Screen
from kvgg_jax.core.events import Compiled
before = Screen.__call__

def starve(self, event):
    before(self, event)
    if isinstance(event, Compiled) and event.what == "evaluation":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + 2**28
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

Screen.__call__ = starve
"""


@pytest.mark.faults
def test_a_step_that_the_system_has_no_memory_for_ends_the_run(whole, tmp_path):
    """A real limit on a real process: a message, exit code 1; without it the run goes on."""
    copy_of(whole, tmp_path)

    def train(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "cli.py").write_text(program)
        return subprocess.run(
            [sys.executable, "cli.py", "train", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    size = ("--image-size", "512", "--batch-size", "24", "--epochs", "1", "--name", "run")
    plain = ("--data", "photos", "--arch", "vgg11", "--head", "gap", *size)
    failed = train(STARVED + PROGRAM, *plain)
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (
        1,
        "Error: Out of memory with batches of 24 images of 512 px. Start a new run with "
        "--accumulate 2 (the same steps), --batch-size 12 or a smaller --image-size. What this run "
        "saved is safe.",
    )
    assert "Traceback" not in failed.stderr
    gone_on = train(PROGRAM, "--resume", "runs/run")
    assert gone_on.returncode == 0, gone_on.stderr


@pytest.mark.faults
def test_a_reader_of_our_output_that_goes_away_costs_no_more_than_the_epoch(whole, tmp_path):
    """As `2>&1 | head -1` does: no traceback, exit code 1, and the run can be gone on with."""
    folder = copy_of(whole, tmp_path / "run")
    (folder / "cli.py").write_text(PROGRAM)
    command = f"{sys.executable} cli.py train {' '.join(arguments_for(folder))} 2>&1 | head -1"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    last = Start(folder, arguments_for(folder))
    assert last.process.wait(PATIENCE) == 0, last.text
    assert_same_run(folder / "runs" / "run", whole.run)
