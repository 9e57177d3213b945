"""Every kind of `hostile.py` through the decoder, the API and the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from kvgg_jax import predict
from kvgg_jax.core.text import escape_name, printable
from kvgg_jax.data.reader import read
from kvgg_jax.data.sources.folder import find_images, scan
from kvgg_jax.runs.folder import Run
from support.commands import TINY, kvgg
from support.hostile import BOMB, CLASSES, KINDS, TOO_LONG, Kind, listed, write_corpus
from support.runs import PATIENCE, ROOT

pytestmark = [
    pytest.mark.usefixtures("thin_network", "blank"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # Pillow remarks on odd files, as in `main`
]
SECONDS = 3.0  # of processor time: one on a machine with nothing else to do
BEFORE_DECODING = ("; the limit is ", BOMB, TOO_LONG)  # in what is said of a file refused so
LARGEST = {"scan.png"} | {name for name in KINDS if "within the limit" in name}

# Each in a process of its own, whose memory grows by what this one file takes.
DECODE = """
import json, os, resource, sys, time
from pathlib import Path
from support.decodes import are_small, noted
from kvgg_jax.data.decode.image import decode, load
from kvgg_jax.core.errors import ImageError

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def row_of(path):
    row = {"error": "", "size": None, "corners": None}
    start, before = time.process_time(), peak()
    with noted() as begun:
        fill(row, path, start)
    return {**row, "mib": peak() - before, "decodes": len(begun), "is_small": are_small(begun)}

def fill(row, path, start):
    try:
        load(path, 64)
        row["seconds"] = time.process_time() - start
        pixels = decode(path)
        row["size"] = pixels.shape[:2]
        row["corners"] = pixels[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()
    except ImageError as error:
        row["seconds"], row["error"] = time.process_time() - start, str(error)

for path in sorted(Path(sys.argv[1]).glob("*/*")):
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, path
    else:
        print(json.dumps([str(path), row_of(path)]), flush=True)
        os._exit(0)
"""


class Corpus(NamedTuple):
    """The folder of hostile pictures, with what is right of each."""

    root: Path
    kinds: dict[Path, Kind]

    @property
    def bad(self) -> list[str]:
        """What is to be said of each file that a scan finds and nobody can read."""
        return [said(path, kind) for path, kind in sorted(listed(self.kinds).items()) if kind.error]

    @property
    def good(self) -> list[Path]:
        return [path for path, kind in sorted(listed(self.kinds).items()) if not kind.error]


def said(path: Path, kind: Kind) -> str:
    return f"{escape_name(path)}: {kind.error}"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """All kinds, in class folders whose names are hostile too."""
    root = tmp_path_factory.mktemp("hostile") / "photos"
    return Corpus(root, write_corpus(root))


@pytest.fixture(scope="module")
def decoded(corpus: Corpus) -> dict[str, dict]:
    """What a process of its own made of each file; it may not hang, nor talk."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DECODE, str(corpus.root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def folder(corpus: Corpus, decoded: dict[str, dict]) -> Corpus:
    """All but four of the largest, which would be read six times more; a large scan is left."""
    kinds = {path: kind for path, kind in corpus.kinds.items() if path.name not in LARGEST}
    for path in corpus.kinds.keys() - kinds.keys():
        path.unlink()
    return Corpus(corpus.root, kinds)


class Trained(NamedTuple):
    """A run on the hostile folder, and what `train --skip-bad` said on stderr."""

    run: Path
    stderr_console: str


@pytest.fixture(scope="module")
def trained(folder: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`kvgg train --skip-bad` on the whole folder, one epoch."""
    out = tmp_path_factory.mktemp("runs")
    where = ("--data", folder.root, "--out", out, "--name", "x")
    result = kvgg("train", *where, *TINY, "--epochs", "1", "--skip-bad")
    assert result.exit_code == 0, result.output
    return Trained(out / "x", result.stderr)


def test_there_are_more_than_sixty_kinds() -> None:
    """As docs/reliability.md counts them."""
    assert len(KINDS) == 148


@pytest.mark.parametrize("name", KINDS, ids=ascii)
def test_a_kind_is_the_right_picture_or_a_named_error(
    name: str, corpus: Corpus, decoded: dict[str, dict]
) -> None:
    """By its corners and its size, or by the whole message; in bounded memory and work.

    `load` and `decode` decode it once each, its first frame alone; what is refused for its size or
    number of scans is not decoded at all.
    """
    ((path, kind),) = ((path, kind) for path, kind in corpus.kinds.items() if path.name == name)
    if name == "locked.png" and not kind.error:
        pytest.skip("the tests run as root, whom permissions do not stop")
    row = decoded[str(path)]
    assert row["error"] == (said(path, kind) if kind.error else "")
    if not kind.error:
        assert tuple(row["size"]) == kind.size
        assert np.abs(np.subtract(row["corners"], kind.colors)).max() <= kind.off
    assert row["mib"] < kind.mib
    assert row["is_small"]
    if not kind.error:
        assert row["decodes"] == 2
    elif any(text in kind.error for text in BEFORE_DECODING):
        assert row["decodes"] == 0
    else:
        assert row["decodes"] <= 1


@pytest.mark.faults
def test_no_kind_takes_seconds(decoded: dict[str, dict]) -> None:
    """To be made small or to be refused; what takes longer shows by time alone."""
    slow = {path: row["seconds"] for path, row in decoded.items() if row["seconds"] >= SECONDS}
    assert slow == {}


def test_reading_the_folder_leaves_out_the_bad_and_names_each(folder: Corpus) -> None:
    """`read(..., skip_bad=True)`: a link to a folder is not followed, a pipe not waited for."""
    samples = scan(folder.root)
    assert sorted(samples.files()) == sorted(listed(folder.kinds))
    pictures = read(samples, 32, skip_bad=True)
    assert sorted(map(str, pictures.bad)) == sorted(folder.bad)
    assert sorted(pictures.samples.files()) == folder.good


def test_predicting_answers_the_good_and_names_the_bad(folder: Corpus, trained: Trained) -> None:
    """From Python: one Prediction a file, with its error or with all classes."""
    found = predict([folder.root], trained.run)
    assert [one.path for one in found] == find_images([folder.root])
    assert sorted(one.error for one in found if one.error) == sorted(folder.bad)
    answered = [one for one in found if not one.error]
    assert sorted(one.path for one in answered) == folder.good
    assert all({name for name, _ in one.top} == set(CLASSES) for one in answered)


def test_train_names_each_bad_file_and_keeps_the_others(folder: Corpus, trained: Trained) -> None:
    """On stderr and in run.json; no line of theirs can be one of ours."""
    left = [line for line in trained.stderr_console.splitlines() if line.startswith("Left out: ")]
    assert sorted(left) == sorted(f"Left out: {error}" for error in folder.bad)
    assert trained.stderr_console == printable(trained.stderr_console)
    run = Run(trained.run)
    assert sorted(run.info()["data"]["left_out"]) == sorted(folder.bad)
    assert sorted(run.split().all.files()) == folder.good
    assert run.classes() == CLASSES


def test_predict_has_a_line_a_file(folder: Corpus, trained: Trained) -> None:
    """The command: answers on stdout, errors on stderr, exit code 1, nothing else."""
    result = kvgg("predict", folder.root, "--run", trained.run, "--top", "2")
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert sorted(errors) == sorted(f"Error: {error}" for error in folder.bad)
    starts = [line[: line.rindex(": ")] for line in result.stdout.splitlines()]
    assert sorted(starts) == sorted(escape_name(path) for path in folder.good)
    for text in (result.stdout, result.stderr):
        assert text == printable(text)


def test_evaluate_judges_the_good_and_names_the_bad(folder: Corpus, trained: Trained) -> None:
    """The command: its table shows the names of the classes escaped, and in one line."""
    result = kvgg("evaluate", "--run", trained.run, "--data", folder.root, "--skip-bad")
    assert result.exit_code == 0, result.output
    left = [line for line in result.stderr.splitlines() if line.startswith("Left out: ")]
    assert sorted(left) == sorted(f"Left out: {error}" for error in folder.bad)
    assert f" on {len(folder.good)} images (all): accuracy " in result.stdout
    for name in CLASSES:
        assert f"│ {escape_name(name)} " in result.stdout
    for text in (result.stdout, result.stderr):
        assert text == printable(text)
