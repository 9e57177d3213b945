"""The program as a user who is not root and has no home: what is not allowed is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kvgg_jax.runs.folder import Run
from support.commands import TINY
from support.runs import PATIENCE, ROOT, THIN_VGG11, Trained, draw_photos
from support.users import nobody_process

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

USER = "nobody"
# One process, since most of its time goes to imports.
CALLS = f"""{THIN_VGG11}
import json, os, sys
from kvgg_jax.core.process import own_process
own_process()
tests, home, commands = json.load(sys.stdin)
sys.path.insert(0, tests)
from support.commands import kvgg
os.chdir(home)
results = (kvgg(*words) for words in commands)
print(json.dumps([[one.exit_code, one.stdout, one.stderr] for one in results]))
"""
PHOTOS = ("--data", "photos", *TINY, "--epochs", "1")
COMMANDS = {
    "train": ("train", *PHOTOS, "--out", "mine", "--name", "x"),
    "crossval": ("crossval", *PHOTOS, "--folds", "2", "--out", "mine", "--name", "c"),
    "tune": ("tune", *PHOTOS, "--trials", "1", "--out", "mine", "--name", "t"),
    "elsewhere": ("train", *PHOTOS, "--out", "photos"),
    "resume": ("train", "--resume", "run", "--epochs", "3"),
    "predict": ("predict", "--run", "run", "photos/blue/blue_00.png", "--json"),
    "a photo": ("train", "--data", "closed", *TINY, "--out", "mine", "--name", "y"),
}


class Done(NamedTuple):
    """What a command answered."""

    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def home(trained: Trained) -> Iterator[Path]:
    """A folder where the user may write to `mine` alone. Those that pytest makes are root's."""
    with tempfile.TemporaryDirectory(prefix="kvgg-user-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        for name in ("photos", "closed"):
            draw_photos(path / name, per_class=6)
        (path / "closed" / "red" / "red_00.png").chmod(0)
        shutil.copytree(trained.run, path / "run")
        (path / "mine").mkdir()
        shutil.chown(path / "mine", USER)
        yield path


@pytest.fixture(scope="module")
def answers(home: Path) -> dict[str, Done]:
    """Of all commands, by name."""
    with nobody_process() as who:
        done = subprocess.run(
            [who.python, "-c", CALLS],
            input=json.dumps([who.reach(ROOT / "tests"), str(home), [*COMMANDS.values()]]),
            **who.options,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = (Done(*one) for one in json.loads(done.stdout.splitlines()[-1]))
    return dict(zip(COMMANDS, found, strict=True))


def test_a_user_can_train(answers: dict[str, Done], home: Path) -> None:
    """The run is the user's."""
    done = answers["train"]
    assert (done.exit_code, "Traceback" in done.stderr) == (0, False), done.stderr
    run = Run(home / "mine" / "x")
    assert (run.is_finished, run.path.owner()) == (True, USER)


def test_a_user_can_cross_validate(answers: dict[str, Done], home: Path) -> None:
    done = answers["crossval"]
    assert (done.exit_code, "Traceback" in done.stderr) == (0, False), done.stderr
    written = json.loads((home / "mine" / "c" / "crossval.json").read_text())
    assert (written["status"], len(written["folds"])) == ("finished", 2)


def test_a_user_can_search(answers: dict[str, Done], home: Path) -> None:
    pytest.importorskip("optuna", reason="needs the extra tune")
    done = answers["tune"]
    assert (done.exit_code, "Traceback" in done.stderr) == (0, False), done.stderr
    assert (home / "mine" / "t" / "best.toml").is_file()


def test_a_folder_that_may_not_be_written_is_named(answers: dict[str, Done]) -> None:
    """Before the photos are read."""
    assert answers["elsewhere"] == (
        1,
        "",
        "Error: Cannot write to photos: Permission denied. Choose another folder with --out.\n",
    )


def test_a_run_of_another_user_is_used_and_not_resumed(
    answers: dict[str, Done], home: Path
) -> None:
    """Its lock cannot be written."""
    resumed, predicted = answers["resume"], answers["predict"]
    assert (resumed.exit_code, resumed.stderr.splitlines()[-1]) == (
        1,
        f"Error: Cannot lock run by {home / '.run.lock'}: Permission denied.",
    )
    assert (predicted.exit_code, len(json.loads(predicted.stdout))) == (0, 1), predicted.stderr


def test_a_photo_that_may_not_be_read_is_named(answers: dict[str, Done]) -> None:
    """As a damaged one is."""
    done = answers["a photo"]
    assert (done.exit_code, done.stdout) == (1, "")
    assert "red_00.png: cannot be read (Permission denied). Make it readable.\n" in done.stderr
