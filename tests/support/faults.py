"""How the fault tests harm a run: real processes of `python cli.py train`, ended at any moment."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread

import jax
import numpy as np

from kvgg_jax.core.history import Epoch, History
from kvgg_jax.core.state import TrainState, Weights
from kvgg_jax.models.build import vgg
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.ema import with_average
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state
from support.runs import PATIENCE, ROOT, THIN_VGG11

EPOCHS, STEPS = 4, 4  # 29 pictures in batches of 8, the last one padded
EVENTFUL = (  # the settings of `conftest.eventful`
    *("--arch", "vgg11", "--head", "8", "--image-size", "32", "--batch-size", "8"),
    *("--dropout", "0.3", "--batch-norm", "--augment", "light", "--lr", "0.001"),
    *("--crop", "0.5", "--erase", "0.5"),
    *("--mix", "mixup", "--balance", "--ema", "0.9", "--label-smoothing", "0.1"),
    *("--warmup-steps", "3", "--weight-decay", "0.01"),
    *("--epochs", str(EPOCHS), "--data", "photos", "--name", "run"),
)
# The program on a thin network; it notes each step that is done, to measure what was lost. A file
# `hold` beside it with a number in it, say 3, halts the third save for good; `held` then tells that
# it has.
PROGRAM = f"""{THIN_VGG11}
import itertools, time
from pathlib import Path
from kvgg_jax.cli.main import main
from kvgg_jax.cli.console import Screen
from kvgg_jax.runs import digests
from kvgg_jax.core.events import Progress
show, log = Screen.__call__, open("steps.log", "a", buffering=1)
seal, saves = digests.seal, itertools.count(1)
hold = int(Path("hold").read_text()) if Path("hold").exists() else None

def halting(*args, **kwargs):
    if next(saves) == hold:
        Path("held").touch()
        time.sleep(3600)
    return seal(*args, **kwargs)

def note(self, event):
    if isinstance(event, Progress) and event.stage == "training":
        print((event.epoch - 1) * event.total + event.done, file=log)
    show(self, event)

Screen.__call__, digests.seal = note, halting
main()
"""


@dataclass
class Start:
    """One start of the program in `folder`, which holds `photos`; its talk goes to a file, by a
    thread here, which no limit on the program's files meets."""

    folder: Path
    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes] = field(init=False)
    listener: Thread = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "cli.py").write_text(PROGRAM)
        self.stderr_console = self.folder / "talk"
        self.stderr_console.touch()
        old = signal.signal(signal.SIGINT, signal.default_int_handler)  # or a child ignores it too
        self.process = subprocess.Popen(
            [sys.executable, "cli.py", "train", *self.arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        signal.signal(signal.SIGINT, old)
        self.listener = Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with (
            self.process.stdout as said,
            self.stderr_console.open("wb", buffering=0) as stderr_console,
        ):
            while part := said.read1():
                stderr_console.write(part)

    @property
    def text(self) -> str:
        if self.process.poll() is not None:
            self.listener.join(PATIENCE)
        return self.stderr_console.read_text()

    def until(self, when: Callable[[], object]) -> bool:
        """Wait until `when` holds; False when the process has ended before."""
        while self.process.poll() is None:
            if when():
                return True
            time.sleep(0.001)
        return False

    def end(self, number: int) -> int:
        """Send a signal and wait; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def moments(start: Start, chance: random.Random) -> dict[str, Callable[[], object]]:
    """What to wait for before a kill, by name: all that a run does."""
    run = start.folder / "runs" / "run"

    def validating() -> bool:
        last = [int(p.name) for p in run.glob("checkpoints/last/*") if p.name.isdecimal()]
        rows = run / "history.csv"
        done = len(rows.read_text().splitlines()) - 1 if rows.exists() else 0
        return bool(last) and max(last) % STEPS == 0 and max(last) // STEPS > done

    def wait(seconds: float) -> bool:
        time.sleep(chance.uniform(0, seconds))
        return True

    def steps() -> int:
        log = start.folder / "steps.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    before = steps()
    return {
        "start, reading": lambda: wait(8),
        "compiling": lambda: "Writing to" in start.text and wait(2),
        "a step": lambda: steps() > before and wait(0.4),
        "a save": lambda: any(run.glob("checkpoints/*/*.saving*")) and wait(0.1),
        "validation": lambda: validating() and wait(0.02),
    }


@dataclass
class Tries:
    """How often a run was harmed in one way, and the steps that it had to do again for it."""

    tries: int = 0
    lost: list[int] = field(default_factory=list)

    def row(self, fault: str) -> str:
        """Of the table in docs/reliability.md, once the run has proven to be whole."""
        most = max([0, *self.lost])  # a save may be a step ahead of what was shown as done
        return f"| {fault} | {self.tries} | {self.tries} | at most {most} steps |"


def harm_until_done(
    folder: Path, table: dict[str, Tries], chance: random.Random, *, harms: int, number: int
) -> int:
    """Start, end at a random moment, start again ... until the run is done; gives the harms.

    Each harm and what it cost goes to the `table`, by the moment it came at.
    """
    done, hurt = 0, Tries()
    while True:
        before = reached(folder)
        start = Start(folder, arguments_for(folder))
        name, when = chance.choice(sorted(moments(start, chance).items()))
        is_hit = done < harms and start.until(when)
        code = start.end(number) if is_hit else start.process.wait(PATIENCE)
        if "Going on" in start.text:
            hurt.lost.append(before - gone_on_from(start.text))
            hurt = Tries()
        if code == 0:
            return done
        assert is_hit, start.text
        assert code in (-number, 128 + number), start.text
        done, hurt = done + 1, table[name]
        hurt.tries += 1


def reached(folder: Path) -> int:
    """Steps of the run that were done when it ended."""
    log = folder / "steps.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return int(lines[-1]) if lines and lines[-1] else 0


def gone_on_from(text: str) -> int:
    """The step of the run at which a start goes on, by its own words; 0 for a new one."""
    if found := re.search(r"\(step (\d+) of the run\)", text):
        return int(found[1])
    if found := re.search(r"validation of epoch (\d+)", text):
        return int(found[1]) * STEPS
    return 0


def arguments_for(folder: Path) -> tuple[str, ...]:
    """To go on with the run where there is one, else to begin it."""
    begun = (folder / "runs" / "run" / "config.toml").exists()
    return ("--resume", "runs/run") if begun else (*EVENTFUL, "--save-every-steps", "1")


def timeless(history: History) -> list[Epoch]:
    """The rows without what the clock said."""
    return [replace(row, seconds=0.0, images_per_second=0.0) for row in history]


def states(run: Path) -> tuple[TrainState, Weights]:
    """The last state and the best weights of a run."""
    config = Run(run).config()
    model = vgg(config.model, classes=3, image_size=32, seed=None)
    like = init_state(model, build_optimizer(config.optim, model))
    if config.train.ema is not None:
        like = with_average(like)
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        last = checkpoints.load_last(like)
        assert last is not None
        return last[0], checkpoints.load_best((like.params, like.model_state))[1]


def assert_same_run(left: Path, right: Path) -> None:
    """Same rows, last weights, dropout seeds, Adam slots and best weights, bit for bit."""
    assert timeless(Run(left).history()) == timeless(Run(right).history())
    jax.tree.map(np.testing.assert_array_equal, states(left), states(right))
    assert Run(left).info()["status"] == "finished"
