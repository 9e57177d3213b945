"""Two states of a run on disk: whole, exact, and refused with a reason when they do not fit."""

from __future__ import annotations

import gc
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.checkpoint import Checkpoints
from kvgg_jax.errors import RunError
from kvgg_jax.state import TrainState


def state(step: int, *, size: int = 6) -> TrainState:
    """A state of each kind of array that a run has; its values differ from step to step."""
    noise = np.random.default_rng(step).normal(size=(size, 3)).astype(np.float32)
    return TrainState(
        step=jnp.int32(step),
        params={"block1_conv1/kernel": jnp.array(noise), "fc1/bias": jnp.full(3, step / 3)},
        model_state={"seed_generator_0/seed_generator_state": jnp.array([1, step], jnp.uint32)},
        opt_state={"adam/iteration": jnp.int32(step), "adam/m": jnp.array(noise[0] * 1e-40)},
    )


def assert_same(left: object, right: object) -> None:
    """The same tree of the same bits."""
    jax.tree.map(np.testing.assert_array_equal, left, right)
    assert jax.tree.structure(left) == jax.tree.structure(right)


def test_a_saved_state_comes_back_although_its_arrays_were_donated(tmp_path):
    """The next step takes the arrays over while the save is still under way."""
    grow = jax.jit(lambda s: jax.tree.map(lambda a: a + a, s), donate_argnums=0)
    given, like = state(5, size=100_000), state(0, size=100_000)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(given, best=True)
        grow(given)
        assert given.params["fc1/bias"].is_deleted()
    with Checkpoints(tmp_path) as checkpoints:
        loaded = checkpoints.load_last(like)
        assert isinstance(loaded, TrainState)
        assert_same(loaded, state(5, size=100_000))


def test_best_stays_while_last_moves_on(tmp_path):
    """Each kind keeps one state: the newest of those it was given."""
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.last_step(), checkpoints.best_step()) == (None, None)
        for step, best in ((4, True), (8, True), (12, False)):
            checkpoints.save(state(step), best=best)
        checkpoints.wait()
        assert (checkpoints.last_step(), checkpoints.best_step()) == (12, 8)
    kept = {kind: [p.name for p in (tmp_path / kind).iterdir()] for kind in ("last", "best")}
    assert kept == {"last": ["12"], "best": ["8"]}
    with Checkpoints(tmp_path) as checkpoints:
        assert_same(checkpoints.load_last(state(0)), state(12))
        like = state(0)
        best = checkpoints.load_best((like.params, like.model_state))
        assert_same(best, (state(8).params, state(8).model_state))


def test_a_step_saved_again_takes_the_place_of_the_old_one(tmp_path):
    """A run cut between its two saves repeats its last epoch."""
    for values in (state(1), state(2)):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(values._replace(step=jnp.int32(4)), best=True)
    with Checkpoints(tmp_path) as checkpoints:
        assert_same(checkpoints.load_last(state(0)).params, state(2).params)


def test_a_relative_folder_will_do(tmp_path, monkeypatch):
    """`runs/` is relative, and Orbax alone would refuse it."""
    monkeypatch.chdir(tmp_path)
    with Checkpoints(Path("checkpoints")) as checkpoints:
        checkpoints.save(state(4), best=False)
    assert (tmp_path / "checkpoints" / "last" / "4").is_dir()


def test_where_nothing_was_saved_nothing_can_be_loaded(tmp_path):
    """Looking leaves no folder behind either."""
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        for load, like in (
            (checkpoints.load_last, state(0)),
            (checkpoints.load_best, (state(0).params, state(0).model_state)),
        ):
            with pytest.raises(RunError) as caught:
                load(like)
            kind = load.__name__.removeprefix("load_")
            expected = (
                f"{tmp_path / 'checkpoints' / kind} holds no checkpoint. "
                "Let the run finish an epoch, or choose another run."
            )
            assert str(caught.value) == expected
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
        checkpoints.save(state(4), best=False)
        kernel = {"block1_conv1/kernel": state(4).params["block1_conv1/kernel"]}
        checkpoints.wait()
        with pytest.raises(RunError) as caught:
            checkpoints.load_last(state(0)._replace(params={**kernel, **params}))
    assert str(caught.value) == (
        f"{tmp_path / 'last'} does not fit this model: ['params']['{name}'] is {have} in the "
        f"checkpoint and {want} in the model."
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_a_run_error(tmp_path):
    """A file cut to nothing must not load as zeros, nor end in a stranger's traceback."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(4, size=1000), best=False)
    files = [path for path in (tmp_path / "last" / "4").rglob("d/*") if path.is_file()]
    max(files, key=lambda path: path.stat().st_size).write_bytes(b"")
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(RunError) as caught:
        checkpoints.load_last(state(0, size=1000))
    assert str(caught.value) == (
        f"The checkpoint {tmp_path / 'last' / '4'} is damaged "
        f"({type(caught.value.__cause__).__name__}). Put back a copy of it, or train again."
    )
    caught = None
    gc.collect()  # Orbax leaves its failed read to the collector, which would blame a later test


def test_a_folder_that_cannot_be_made_is_a_run_error(tmp_path):
    """Here a file has its name."""
    folder = tmp_path / "checkpoints"
    folder.write_text("")
    with Checkpoints(folder) as checkpoints, pytest.raises(RunError) as caught:
        checkpoints.save(state(4), best=True)
    assert str(caught.value) == (
        f"Cannot save to {folder / 'best'}: [Errno 20] Not a directory: '{folder / 'best'}'"
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
    """Not later, not as another error, and the state saved before is still whole."""
    big = 100_000
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(4, size=big), best=True)
    checkpoints = Checkpoints(tmp_path)
    with disk_with_room_for(400_000):
        checkpoints.save(state(8, size=big), best=False)
        call = {"save": lambda: checkpoints.save(state(12), best=False)}.get(
            then, getattr(checkpoints, then)
        )
        with pytest.raises(RunError, match=f"^Cannot save to {tmp_path}: .*File too large"):
            call()
        checkpoints.close()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.last_step() == 4
        assert_same(checkpoints.load_last(state(0, size=big)), state(4, size=big))


def test_a_reader_leaves_the_half_written_save_of_a_running_run_alone(tmp_path):
    """`kvgg predict` may open a run that is saving; only the run itself clears up after a crash."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(4), best=True)
    half = tmp_path / "best" / "8.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "best" / "4", half)
    like = state(0).params, state(0).model_state
    with Checkpoints(tmp_path, read_only=True) as reader:
        assert reader.best_step() == 4
        assert_same(reader.load_best(like), (state(4).params, state(4).model_state))
    assert half.is_dir()
    with Checkpoints(tmp_path) as writer:
        writer.load_best(like)
    assert not half.exists()


def test_making_up_for_a_best_state_leaves_the_last_one_alone(tmp_path):
    """Were `last` written again, a crash in between would leave none."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(4), best=False)
    stamp = (tmp_path / "last" / "4").stat().st_mtime_ns
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(state(4))
        checkpoints.wait()
        assert checkpoints.best_step() == 4
    assert (tmp_path / "last" / "4").stat().st_mtime_ns == stamp
