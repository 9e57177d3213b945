"""Processes that train together are one process with their devices, and survive its deaths."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from kvgg_jax.runs.folder import Run
from support.commands import kvgg, message
from support.faults import EVENTFUL, assert_same_run, states
from support.processes import Gang
from support.runs import draw_photos

SHORT = (*EVENTFUL, "--epochs", "2", "--save-every-steps", "1")
PLAIN = (
    *("--arch", "vgg11", "--head", "gap", "--image-size", "32", "--batch-size", "8"),
    *("--epochs", "1", "--data", "photos", "--name", "plain"),
)
pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, and a run of one process on two devices."""
    folder = tmp_path_factory.mktemp("one")
    draw_photos(folder / "photos")
    gang = Gang(folder, 2, *SHORT, together=False)
    assert gang.wait() == [0], gang.err(0)
    return folder


def place(one: Path, folder: Path) -> Path:
    """Another folder with those photos."""
    shutil.copytree(one / "photos", folder / "photos")
    return folder


def stopped(folder: Path, host: int) -> Gang:
    """Two processes that both ended with 143 after SIGTERM to one of them."""
    gang = Gang(folder, 2, *SHORT)
    gang.until(" 1/2 ")
    gang.processes[host].send_signal(signal.SIGTERM)
    assert gang.wait() == [143, 143]
    return gang


def check_that_they_are_one(
    one: Path, folder: Path, name: str, *arguments: str, count: int = 2, xla: str = ""
) -> None:
    """Bit for bit. Process 0 alone prints, and its stdout is JSON alone."""
    gang = Gang(place(one, folder), count, *arguments, "--json", xla=xla)
    assert gang.wait() == [0] * count, gang.err(0) + gang.err(1)
    assert_same_run(one / "runs" / name, folder / "runs" / name)
    assert json.loads(gang.out(0))["run"] == f"runs/{name}"
    assert gang.out(1) == ""
    assert "epoch" not in gang.err(1)


def test_two_processes_give_the_run_of_one_with_two_devices(tmp_path: Path) -> None:
    """Bit for bit; with the photos on their devices, too."""
    one, two = tmp_path / "one", tmp_path / "two"
    draw_photos(one / "photos", per_class=6)
    assert Gang(one, 2, *PLAIN, together=False).wait() == [0]
    check_that_they_are_one(one, two, "plain", *PLAIN, "--cache", "device")


@pytest.mark.faults
def test_four_processes_give_the_run_of_one_with_four_devices(tmp_path: Path) -> None:
    """To the last digits, since four sums may be made in another order; and always the same."""
    folders = [tmp_path / name for name in ("one", "four", "again")]
    draw_photos(folders[0] / "photos", per_class=6)
    assert Gang(folders[0], 4, *PLAIN, together=False).wait() == [0]
    for folder in folders[1:]:
        assert Gang(place(folders[0], folder), 4, *PLAIN).wait() == [0] * 4
    one, four, again = (folder / "runs" / "plain" for folder in folders)
    assert_same_run(four, again)
    first, second = (Run(run).history().epochs for run in (one, four))
    assert [row.loss for row in second] == pytest.approx([row.loss for row in first], rel=1e-5)
    weights = (states(run)[0].params for run in (one, four))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7), *weights)


@pytest.mark.faults
def test_sharded_weights_are_never_summed_by_a_reduce_scatter(tmp_path: Path) -> None:
    """Over gloo it was silently wrong for large arrays (jax-ml/jax#40830)."""
    one, two, dump = tmp_path / "one", tmp_path / "two", tmp_path / "dump"
    draw_photos(one / "photos", per_class=6)
    sharded = (*PLAIN, "--head", "4096", "--shard", "fsdp")
    assert Gang(one, 2, *sharded, together=False).wait() == [0]
    xla = f"--xla_dump_to={dump} --xla_dump_hlo_as_text"
    check_that_they_are_one(one, two, "plain", *sharded, xla=xla)
    programs = [file.read_text() for file in dump.glob("*after_optimizations.txt")]
    assert any(re.search(r" all-gather(-start)?\(", program) for program in programs)
    assert not any(re.search(r" reduce-scatter(-start)?\(", program) for program in programs)


@pytest.mark.faults
def test_so_do_they_with_all_that_a_run_can_have(one: Path, tmp_path: Path) -> None:
    """Batch norm, mixing, averages."""
    check_that_they_are_one(one, tmp_path, "run", *SHORT)


@pytest.mark.faults
@pytest.mark.parametrize("host", [0, 1])
def test_sigterm_to_either_saves_the_same_step_and_ends_both(
    one: Path, tmp_path: Path, host: int
) -> None:
    """With exit code 143; and what was saved is resumed to the bit."""
    gang = stopped(place(one, tmp_path), host)
    assert "Everything is saved" in gang.err(0)
    assert Gang(tmp_path, 2, "--resume", "run").wait() == [0, 0]
    assert_same_run(one / "runs" / "run", tmp_path / "runs" / "run")


@pytest.mark.faults
def test_ten_kills_at_random_end_all_at_once_and_are_resumed_to_the_bit(
    one: Path, tmp_path: Path
) -> None:
    """By two processes again. All end within 5 seconds, without a barrier."""
    chance, run, kills = random.Random(1), tmp_path / "runs" / "run", 0
    place(one, tmp_path)
    while kills < 10 or run.exists():
        begun = (run / "config.toml").exists()
        gang = Gang(tmp_path, 2, *(("--resume", "run") if begun else SHORT))
        if kills < 10:
            gang.until("Compiled the evaluation")
            time.sleep(chance.uniform(0, 2))
            gang.processes[kills % 2].kill()
            killed = time.monotonic()
            codes = gang.wait()
            assert time.monotonic() - killed < 5
            kills += codes != [0, 0]
        else:
            codes = gang.wait()
        if codes == [0, 0]:  # it has ended; the next kills are of another run
            assert_same_run(one / "runs" / "run", run)
            shutil.rmtree(run)
        else:
            assert 0 not in codes


@pytest.mark.faults
def test_a_run_of_two_processes_is_resumed_by_one_in_the_same_order(
    one: Path, tmp_path: Path
) -> None:
    """With a warning; the history is the same but for the last digits."""
    stopped(place(one, tmp_path), 1)
    alone = Gang(tmp_path, 1, "--resume", "run", together=False)
    assert alone.wait() == [0]
    assert "was trained on 2 device(s), and continues on 1" in " ".join(alone.err(0).split())
    histories = [Run(folder / "runs" / "run").history() for folder in (one, tmp_path)]
    first, second = ([row.loss for row in history] for history in histories)
    assert second == pytest.approx(first, rel=1e-3)


@pytest.mark.faults
def test_photos_that_differ_on_another_host_are_refused_by_all(one: Path, tmp_path: Path) -> None:
    """Which host, and which photo."""
    place(one, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(one / "photos", other / "photos")
    changed = sorted((other / "photos" / "red").iterdir())[0]
    shutil.copy(sorted((other / "photos" / "blue").iterdir())[0], changed)
    (other / "runs").symlink_to(tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    gang = Gang(tmp_path, 2, *SHORT, elsewhere={1: other})
    assert gang.wait() == [1, 1]
    assert "host 1" in gang.err(0)
    assert "1 changed" in gang.err(0)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ("--process", "0"),
            "--coordinator and --process (JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID) need "
            "--processes (JAX_NUM_PROCESSES).",
        ),
        (("--processes", "two"), "--processes two: not a number, and not auto."),
        (("--processes", "2"), "--processes 2 needs --coordinator HOST:PORT and --process."),
    ],
)
def test_flags_that_do_not_say_how_to_join_are_refused(
    flags: tuple[str, ...], expected: str
) -> None:
    """Before JAX starts."""
    result = kvgg("train", *flags)
    assert (message(result), result.exit_code) == (f"Error: {expected}\n", 2)
