"""Two states of a run on disk: whole, exact, and refused with a reason when they do not fit."""

from __future__ import annotations

import gc
import itertools
import json
import math
import multiprocessing
import re
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Event, Warned
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.core.state import TrainState, Weights
from kvgg_jax.runs import checkpoint, digests, step_folders
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run

SEEDS = "seed_generator_0/seed_generator_state"


def state(step: int, *, size: int = 6) -> TrainState:
    """A state of each kind of array that a run has; its values differ from step to step."""
    noise = np.random.default_rng(step).normal(size=(size, 3)).astype(np.float32)
    return TrainState(
        step=jnp.int32(step),
        params={"block1_conv1/kernel": jnp.array(noise), "fc1/bias": jnp.full(3, step / 3)},
        model_state={SEEDS: jnp.array([1, step], jnp.uint32)},
        opt_state={"adam/iteration": jnp.int32(step), "adam/m": jnp.array(noise[0] * 1e-40)},
    )


def weights(step: int) -> Weights:
    made = state(step)
    return made.params, made.model_state


def last(checkpoints: Checkpoints, like: TrainState) -> TrainState:
    """The newest state, which must be there."""
    found = checkpoints.load_last(like)
    assert found is not None
    return found[0]


def assert_same(left: object, right: object) -> None:
    """The same tree of the same bits."""
    jax.tree.map(np.testing.assert_array_equal, left, right)
    assert jax.tree.structure(left) == jax.tree.structure(right)


def test_a_saved_state_comes_back_although_its_arrays_were_donated(tmp_path):
    """The next step takes the arrays over while the save is still under way."""
    grow = jax.jit(lambda s: jax.tree.map(lambda a: a + a, s), donate_argnums=0)
    given, like = state(5, size=100_000), state(0, size=100_000)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_last(given)
        grow(given)
        assert given.params["fc1/bias"].is_deleted()
    with Checkpoints(tmp_path) as checkpoints:
        loaded = last(checkpoints, like)
        assert isinstance(loaded, TrainState)
        assert_same(loaded, state(5, size=100_000))


def test_best_stays_while_last_moves_on(tmp_path):
    """Each kind keeps the two newest of those it was given."""
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.load_last(state(0)), checkpoints.has_best(0)) == (None, False)
        for step, best in ((4, True), (8, True), (12, False), (16, True), (20, False)):
            checkpoints.save_last(state(step))
            if best:
                checkpoints.save_best(state(step))
        checkpoints.wait()
        assert checkpoints.has_best(16)
    kept = {kind: {p.name for p in (tmp_path / kind).iterdir()} for kind in ("last", "best")}
    assert kept == {"last": {"16", "20"}, "best": {"8", "16"}}
    with Checkpoints(tmp_path) as checkpoints:
        assert_same(last(checkpoints, state(0)), state(20))
        assert_same(checkpoints.load_best(weights(0))[1], weights(16))


def test_notes_come_back_with_the_state_they_were_saved_with(tmp_path):
    """To the last bit of a float32."""
    notes = {"steps": 2, "loss": float(np.float32(1.1)), "seconds": 0.1}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_last(state(4), notes)
    with Checkpoints(tmp_path) as checkpoints:
        found = checkpoints.load_last(state(0))
    assert found is not None
    assert found[1] == notes


def test_a_step_saved_again_takes_the_place_of_the_old_one_and_of_newer_ones(tmp_path):
    """A run that fell back on an older state repeats its steps."""
    for values in (state(1), state(2)):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save_last(values._replace(step=jnp.int32(4)))
            if values.step == 1:
                checkpoints.save_last(state(8))
    assert [path.name for path in (tmp_path / "last").iterdir()] == ["4"]
    with Checkpoints(tmp_path) as checkpoints:
        assert_same(last(checkpoints, state(0)).params, state(2).params)


def test_a_relative_folder_will_do(tmp_path, monkeypatch):
    """`runs/` is relative, and Orbax alone would refuse it."""
    monkeypatch.chdir(tmp_path)
    with Checkpoints(Path("checkpoints")) as checkpoints:
        checkpoints.save_last(state(4))
    assert (tmp_path / "checkpoints" / "last" / "4").is_dir()


def test_where_nothing_was_saved_nothing_can_be_loaded(tmp_path):
    """Looking leaves no folder behind either."""
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.load_last(state(0)) is None
        with pytest.raises(RunError) as caught:
            checkpoints.load_best(weights(0))
    assert str(caught.value) == (
        f"{tmp_path / 'checkpoints' / 'best'} has no checkpoint. "
        "Let the run finish an epoch, or choose another run."
    )
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("params", "name", "have", "want"),
    [
        ({"fc9/bias": jnp.ones(3)}, "fc1/bias", "float32[3]", "absent"),
        ({"fc1/bias": jnp.ones(3), "fc2/bias": jnp.ones(3)}, "fc2/bias", "absent", "float32[3]"),
        ({"fc1/bias": jnp.ones(4)}, "fc1/bias", "float32[3]", "float32[4]"),
        ({"fc1/bias": jnp.ones(3, jnp.int32)}, "fc1/bias", "float32[3]", "int32[3]"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path, params, name, have, want):
    """By name, shape or type of the first array that differs: never a silent partial load."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_last(state(4))
        kernel = {"block1_conv1/kernel": state(4).params["block1_conv1/kernel"]}
        checkpoints.wait()
        with pytest.raises(RunError) as caught:
            checkpoints.load_last(state(0)._replace(params={**kernel, **params}))
    assert str(caught.value) == (
        f"{tmp_path / 'last' / '4'} does not fit this model: ['params']['{name}'] is {have} in the "
        f"checkpoint and {want} in the model."
    )


def harm(step: Path, how: str) -> str:
    """Damage the largest file of a saved step; gives what `digests` says of it."""
    files = [path for path in step.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    file = max(files, key=lambda path: path.stat().st_size)
    name, content = file.relative_to(step).as_posix(), bytearray(file.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif how == "truncated":
        file.write_bytes(content[:-1])
    elif how == "emptied":
        file.write_bytes(b"")
    elif how == "deleted":
        file.unlink()
        return f"{name} is missing"
    elif how == "without its list":
        (step / "SHA256SUMS").unlink()
        return "SHA256SUMS cannot be read: No such file or directory"
    return f"{name} has changed since it was written"


HARMS = ["flipped", "truncated", "emptied", "deleted", "without its list"]


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("kind", ["last", "best"])
def test_of_damaged_states_the_newest_whole_one_is_used_and_the_fault_named(tmp_path, kind, how):
    """One flipped bit would load without a word from Orbax."""
    with Checkpoints(tmp_path) as checkpoints:
        for step in (4, 8):
            checkpoints.save_last(state(step))
            checkpoints.save_best(state(step))
    why, heard = harm(tmp_path / kind / "8", how), list[Event]()
    with Checkpoints(tmp_path, emit=heard.append) as checkpoints:
        if kind == "last":
            assert_same(last(checkpoints, state(0)), state(4))
        else:
            assert checkpoints.has_best(4)
            assert_same(checkpoints.load_best(weights(0))[1], weights(4))
    where = tmp_path / kind
    assert heard == [
        Warned(f"The checkpoint {where / '8'} is damaged: {why}. Using {where / '4'} instead.")
    ]


def test_a_step_removed_while_it_is_read_is_looked_for_again(tmp_path, monkeypatch):
    """Its digests were right a moment before; Orbax then finds no metadata."""
    real, heard = checkpoint.ocp.metadata, list[Event]()
    with Checkpoints(tmp_path) as writer:
        writer.save_best(state(4))
        writer.wait()

        def removed(where: Path) -> Any:
            monkeypatch.setattr(checkpoint.ocp, "metadata", real)
            for step in (8, 12):
                writer.save_best(state(step))
            writer.wait()
            return SimpleNamespace(metadata=None)

        monkeypatch.setattr(checkpoint.ocp, "metadata", removed)
        with Checkpoints(tmp_path, read_only=True, emit=heard.append) as reader:
            assert_same(reader.load_best(weights(0))[1], weights(12))
    assert heard == []


def test_the_best_weights_come_with_the_name_of_the_step_they_are_of(tmp_path):
    """Not of the newest one, where that is damaged; equal steps of other weights differ in it."""
    with Checkpoints(tmp_path / "a") as checkpoints, Checkpoints(tmp_path / "b") as others:
        for step in (4, 8):
            checkpoints.save_best(state(step))
        others.save_best(state(4)._replace(params=state(5).params))
        checkpoints.wait()
        others.wait()
        newest, _ = checkpoints.load_best(weights(0))
        other, _ = others.load_best(weights(0))
        harm(tmp_path / "a" / "best" / "8", "flipped")
        name, loaded = checkpoints.load_best(weights(0))
    assert [text.partition("-")[0] for text in (newest, name, other)] == ["8", "4", "4"]
    assert name != other
    assert name == step_folders.name(tmp_path / "a" / "best" / "4")
    assert_same(loaded, weights(4))
    assert step_folders.name(tmp_path / "a" / "best" / "12") == "12-gone"


@pytest.mark.parametrize("kind", ["last", "best"])
def test_where_all_states_are_damaged_each_is_named_and_none_is_loaded(tmp_path, kind):
    """Going on from anything else would be another run."""
    with Checkpoints(tmp_path) as checkpoints:
        for step in (4, 8):
            checkpoints.save_last(state(step))
            checkpoints.save_best(state(step))
    old, new = (harm(tmp_path / kind / step, "flipped") for step in ("4", "8"))
    with Checkpoints(tmp_path) as checkpoints:
        load = {
            "last": lambda: checkpoints.load_last(state(0)),
            "best": lambda: checkpoints.load_best(weights(0)),
        }[kind]
        with pytest.raises(RunError) as caught:
            load()
    assert str(caught.value) == (
        f"No checkpoint in {tmp_path / kind} is intact:\n  8: {new}\n  4: {old}\n"
        "Restore a copy of one, or train again."
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_orbax_cannot_read_is_damaged_whatever_its_digests_say(tmp_path):
    """They may be those of a file that was wrong when it was listed."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(state(4, size=1000))
    step = tmp_path / "best" / "4"
    harm(step, "emptied")
    digests.seal(step)
    like = state(0, size=1000)
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(RunError) as caught:
        checkpoints.load_best((like.params, like.model_state))
    assert re.fullmatch(
        rf"No checkpoint in {step.parent} is intact:\n  4: it cannot be loaded \(\w+\)\n"
        "Restore a copy of one, or train again.",
        str(caught.value),
    )
    caught = None
    gc.collect()  # Orbax leaves its failed read to the collector, which would blame a later test


def save_until(done: Any, folder: Path) -> None:
    with Checkpoints(folder) as checkpoints:
        for step in itertools.count(1):
            checkpoints.save_best(state(step))
            if done.is_set():
                return


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_beside_a_running_run_never_says_damaged(tmp_path):
    """Steps come and go under its eyes: it looks again, and has one of the whole ones."""
    heard, spawn = list[Event](), multiprocessing.get_context("spawn")
    done = spawn.Event()
    writer = spawn.Process(target=save_until, args=(done, tmp_path))
    writer.start()
    while not step_folders.steps(tmp_path / "best"):
        assert writer.is_alive()
        time.sleep(0.01)
    for _ in range(20):
        with Checkpoints(tmp_path, read_only=True, emit=heard.append) as reader:
            assert int(reader.load_best(weights(0))[1][1][SEEDS][1]) >= 1
    assert writer.is_alive()
    done.set()
    writer.join()
    gc.collect()  # a read whose step went leaves Orbax' coroutines, which a later test would rue
    assert (writer.exitcode, heard) == (0, [])


def test_a_reader_looks_again_when_a_step_is_replaced_while_it_reads(tmp_path, monkeypatch):
    """The step it had chosen is gone when it opens the files: there is a newer one."""
    writer = Checkpoints(tmp_path)
    for step in (1, 2):
        writer.save_best(state(step))
    writer.wait()
    once = iter([lambda: [writer.save_best(state(step)) for step in (3, 4)], writer.wait])

    def slow(folder: Path, **kind: bool) -> str | None:
        for act in once:
            act()
        return fault(folder, **kind)

    fault = digests.fault
    monkeypatch.setattr(digests, "fault", slow)
    heard: list[Event] = []
    with Checkpoints(tmp_path, read_only=True, emit=heard.append) as reader:
        assert_same(reader.load_best(weights(0))[1], weights(4))
    assert heard == []
    writer.close()


def test_a_folder_that_cannot_be_made_is_a_run_error(tmp_path):
    """Here a file has its name."""
    folder = tmp_path / "checkpoints"
    folder.write_text("")
    with Checkpoints(folder) as checkpoints, pytest.raises(RunError) as caught:
        checkpoints.save_best(state(4))
    assert str(caught.value) == (
        f"Cannot save to {folder}: [Errno 20] Not a directory: '{folder / 'best'}'. "
        "Earlier checkpoints are intact. Free disk space or make it writable, then continue with "
        "--resume."
    )


@contextmanager
def disk_with_room_for(count: int) -> Iterator[None]:
    """No file may grow beyond `count` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("then", ["save", "wait", "close"])
def test_a_save_that_fails_in_the_background_surfaces_at_the_next_call(tmp_path, then):
    """Not later, not as another error, and the states saved before are still whole."""
    big = 100_000
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_last(state(4, size=big))
        checkpoints.save_best(state(4, size=big))
    checkpoints = Checkpoints(tmp_path)
    with disk_with_room_for(400_000):
        checkpoints.save_last(state(8, size=big))
        call = {"save": lambda: checkpoints.save_last(state(12))}.get(
            then, getattr(checkpoints, then, None)
        )
        assert call is not None
        with pytest.raises(RunError, match=f"^Cannot save to {tmp_path}: .*File too large"):
            call()
        checkpoints.close()
    like = state(0, size=big)
    with Checkpoints(tmp_path) as checkpoints:
        assert_same(last(checkpoints, like), state(4, size=big))
        _, (loaded, _) = checkpoints.load_best((like.params, like.model_state))
        assert_same(loaded, state(4, size=big).params)


def test_a_save_that_never_ended_does_not_blame_the_disk(tmp_path, monkeypatch):
    """Orbax gives up when the process was suspended in the midst of one."""

    def suspended(*_: object) -> None:
        raise TimeoutError("ChainedFuture completed 0/2 futures but timed out")

    monkeypatch.setattr(checkpoint, "_finish", suspended)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_last(state(4))
    with pytest.raises(RunError) as caught:
        checkpoints.close()
    assert str(caught.value) == (
        f"Cannot save to {tmp_path}: a save did not end in time: the process was suspended, or "
        "the storage does not answer. Earlier checkpoints are intact. Continue with --resume."
    )


def test_a_reader_leaves_the_half_written_save_of_a_running_run_alone(tmp_path):
    """`kvgg predict` may open a run that is saving; only the run itself clears up after a crash."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(state(4))
    halves = [tmp_path / "best" / name for name in ("8.saving", "2.gone")]
    for half in halves:
        shutil.copytree(tmp_path / "best" / "4", half)
    with Checkpoints(tmp_path, read_only=True) as reader:
        assert reader.has_best(4)
        assert_same(reader.load_best(weights(0))[1], weights(4))
    assert [half.is_dir() for half in halves] == [True, True]
    Checkpoints(tmp_path).close()
    assert [half.exists() for half in halves] == [False, False]


ROWS = tuple(Epoch(k, 1.0, 0.5, 1 / k, k / 4) for k in (1, 2))


def run_of(folder: Path, **info: str) -> Run:
    """A run of two epochs of four steps, and these fields in `run.json`."""
    folder.mkdir()
    run = Run(folder)
    run.write("run.json", json.dumps(info))
    run.write("history.csv", History(ROWS).to_csv())
    return run


def save_both(run: Run, of: Run | None = None) -> None:
    """Each epoch's state and weights, as `of` would write them."""
    with Checkpoints(run.checkpoints, run=of or run) as checkpoints:
        for row in ROWS:
            checkpoints.save_last(state(4 * row.epoch), {"loss": 0.5})
            checkpoints.save_best(state(4 * row.epoch), row)


def refusal(run: Run) -> str:
    with (
        Checkpoints(run.checkpoints, run=run, read_only=True) as checkpoints,
        pytest.raises(RunError) as caught,
    ):
        checkpoints.load_best(weights(0))
    return str(caught.value)


def test_a_checkpoint_of_the_run_is_used(tmp_path):
    """What it notes for this check is not among the notes that come back."""
    run = run_of(tmp_path / "a", id="a")
    save_both(run)
    with Checkpoints(run.checkpoints, run=run) as checkpoints:
        assert checkpoints.load_last(state(0))[1] == {"loss": 0.5}
        assert checkpoints.has_best(8)
        assert_same(checkpoints.load_best(weights(0))[1], weights(8))


@pytest.mark.parametrize("own", ["a", None])
def test_weights_of_another_run_are_refused(tmp_path, own):
    """Though their shapes and digests are right; also in a run that has no `id` yet."""
    run = run_of(tmp_path / "a", **({"id": own} if own else {}))
    save_both(run, of=run_of(tmp_path / "b", id="b"))
    assert refusal(run) == (
        f"No checkpoint in {run.checkpoints}/best is intact:\n"
        "  8: it was saved by another run\n  4: it was saved by another run\n"
        "Restore a copy of one, or train again."
    )
    with Checkpoints(run.checkpoints, run=run) as checkpoints:
        assert not checkpoints.has_best(8)
        with pytest.raises(RunError, match="8: it was saved by another run"):
            checkpoints.load_last(state(0))


def test_a_step_that_no_epoch_of_the_history_ends_at_is_refused(tmp_path):
    """One under another number, and one of an epoch that was trained again. The step before them
    is used, with a warning."""
    run = run_of(tmp_path / "a", id="a")
    save_both(run)
    best = run.checkpoints / "best"
    (best / "8").rename(best / "12")
    heard = list[Event]()
    with Checkpoints(run.checkpoints, run=run, emit=heard.append) as checkpoints:
        assert_same(checkpoints.load_best(weights(0))[1], weights(4))
    assert heard == [
        Warned(
            f"The checkpoint {best}/12 is damaged: it was saved as step 8. Using {best}/4 instead."
        )
    ]
    (best / "12").rename(best / "8")
    run.write("history.csv", History((replace(ROWS[0], val_loss=0.9),)).to_csv())
    assert refusal(run) == (
        f"No checkpoint in {best} is intact:\n"
        "  8: the history has no epoch 2 with its validation figures\n"
        "  4: the history has no epoch 1 with its validation figures\n"
        "Restore a copy of one, or train again."
    )


def test_a_run_of_the_time_before_runs_had_an_id_is_read(tmp_path):
    """Its steps say nothing of their origin."""
    run = run_of(tmp_path / "a")
    save_both(run)
    for step in run.checkpoints.glob("*/*"):
        (step / "notes.json").write_text("{}\n")
        digests.seal(step)
    with Checkpoints(run.checkpoints, run=run) as checkpoints:
        assert checkpoints.load_last(state(0))[1] == {}
        assert_same(checkpoints.load_best(weights(0))[1], weights(8))


def test_an_epoch_whose_loss_is_no_number_is_known_again(tmp_path):
    """NaN is not NaN, but the same figures."""
    run = run_of(tmp_path / "a", id="a")
    row = Epoch(1, math.nan, 0.0, math.nan, 0.0)
    run.write("history.csv", History((row,)).to_csv())
    with Checkpoints(run.checkpoints, run=run) as checkpoints:
        checkpoints.save_best(state(4), row)
        checkpoints.wait()
        assert checkpoints.has_best(4)
