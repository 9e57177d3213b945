"""Runs that are killed at any moment and gone on with end as a run that never was, bit for bit."""

from __future__ import annotations

import random
import shutil
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import THIN, draw_photos
from faults import (
    EPOCHS,
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

from kvgg_jax.arch import BLOCKS

SEED = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a run that was never killed; it has filled the compilation cache too."""
    folder = tmp_path_factory.mktemp("whole")
    draw_photos(folder / "photos")
    start = Start(folder, arguments_for(folder))
    assert start.process.wait(300) == 0, start.text
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCKS, "vgg11", THIN)
        yield folder


def copy_of(whole: Path, folder: Path) -> Path:
    """A place for another run on the same photos."""
    shutil.copytree(whole / "photos", folder / "photos")
    return folder


def test_a_run_killed_twice_and_gone_on_with_is_the_run_that_was_never_killed(whole, tmp_path):
    """Once by SIGKILL in a save, once by SIGTERM after a step: nothing differs in the end."""
    folder, chance = copy_of(whole, tmp_path), random.Random(SEED)
    killed = Start(folder, arguments_for(folder))
    assert killed.until(moments(killed, chance)["a save"]), killed.text
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    stopped = Start(folder, arguments_for(folder))
    assert stopped.until(moments(stopped, chance)["a step"]), stopped.text
    assert stopped.end(signal.SIGTERM) == 143, stopped.text
    assert stopped.text.endswith(
        "All of it is saved. To go on:\n  python cli.py train --resume runs/run\n"
    )
    before = reached(folder)
    last = Start(folder, arguments_for(folder))
    assert last.process.wait(300) == 0, last.text
    assert gone_on_from(last.text) >= before > 0
    assert_same_run(folder / "runs" / "run", whole / "runs" / "run")


def test_the_whole_run_is_one_that_a_fault_could_harm(whole):
    """It takes all its steps, and its weights are not those it began with."""
    last, _ = states(whole / "runs" / "run")
    assert int(last.step) == EPOCHS * STEPS == reached(whole)


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
        assert_same_run(folder / "runs" / "run", whole / "runs" / "run")
        if done >= harms:
            break
    assert done >= harms
    with capsys.disabled():
        print()
        for moment, tries in sorted(table.items()):
            print(tries.row(f"{name} during {moment}"))
