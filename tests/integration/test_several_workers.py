"""A search on a real PostgreSQL server by three real workers, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.runs import PATIENCE, ROOT, THIN_VGG11, draw_photos

pytestmark = pytest.mark.extras

PROGRAM = f"""{THIN_VGG11}
from kvgg_jax.training.search import database
database.BEAT, database.GRACE, database.PAUSE = 1, 5, 0.1
from kvgg_jax.cli.main import main
main()
"""
TUNE = (
    *("tune", "--data", "photos", "--arch", "vgg11", "--head", "gap", "--image-size", "32"),
    *("--augment", "none", "--batch-size", "8", "--epochs", "2", "--trials", "5", "--json"),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server that only this test uses."""
    pytest.importorskip("psycopg", reason="needs the extra postgresql")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs' of a missing XDG_RUNTIME_DIR
        pgserver = pytest.importorskip("pgserver", reason="brings the server of this test")
    folder = Path("/tmp") / f"kvgg-pg-{os.getpid()}"  # the path of a socket must be short
    server = pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


class Worker:
    """`kvgg tune` with its runs in a folder of its own."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        (folder / "program.py").write_text(PROGRAM)
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        words = [sys.executable, "program.py", *TUNE, "--storage", url, "--out", name]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=out,
                stderr=err,
            )

    def until(self, text: str) -> None:
        """Wait until it has printed `text`, or has ended."""
        while text not in self.err.read_text() and self.process.poll() is None:
            time.sleep(0.01)


def test_a_killed_worker_loses_no_trial_and_doubles_none(url, tmp_path):
    """The others train its trial too, with the settings it had, and all agree on the best."""
    draw_photos(tmp_path / "photos", per_class=5)
    killed = Worker(tmp_path, "a", url)
    killed.until("Trial 1 of 5: ")
    others = [Worker(tmp_path, name, url) for name in "bc"]
    killed.until("Compiled the training step")
    killed.process.kill()
    assert killed.process.wait(PATIENCE) == -signal.SIGKILL
    assert [one.process.wait(PATIENCE) for one in others] == [0, 0]
    found = [json.loads(worker.out.read_text())["trials"] for worker in others]
    for trial in (*found[0], *found[1]):  # each worker names the folder that it would have itself
        trial["run"] = Path(trial["run"]).name
    assert found[0] == found[1]
    numbers = [trial["number"] for trial in found[0]]
    assert len(set(numbers)) == len(numbers) == 5
    runs = [path.name for name in "bc" for path in (tmp_path / name / "tune").glob("trial-*")]
    assert sorted(runs) == [f"trial-{number:03}" for number in numbers]
    tried = killed.err.read_text().partition("Trial 1 of 5: ")[2].splitlines()[0]
    again = [one.err.read_text().count(f"Trial 1 of 5: {tried}") for one in others]
    assert sorted(again) == [0, 1]
