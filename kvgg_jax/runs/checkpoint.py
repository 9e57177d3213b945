"""Two kinds of saved state: `last` (all of it, to resume) and `best` (weights, to use).

checkpoints/<kind>/<optimizer steps>/  Orbax' files, notes.json, SHA256SUMS

A step is written beside the others, sealed with digests, flushed to the disk, and only then gets
its name by one rename: it is there whole or not at all. Digests are checked before a step is
loaded, and the one before it is kept to fall back on. Its notes have the run that it is of (`id` in
`run.json`), its number, and for the best weights their row of the history: weights from elsewhere
are not used.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import jax
import orbax.checkpoint.experimental.v1 as ocp

from kvgg_jax.core.devices.hosts import are_several, from_main, is_main
from kvgg_jax.core.devices.mesh import state_sharding
from kvgg_jax.core.errors import KvggError, RunError, is_out_of_memory
from kvgg_jax.core.events import Emit, Warned, ignore
from kvgg_jax.core.history import Epoch
from kvgg_jax.core.process import is_own_process
from kvgg_jax.core.state import AnyArray, TrainState, Weights
from kvgg_jax.runs import digests, step_folders
from kvgg_jax.runs.folder import Run

P = ParamSpec("P")
R = TypeVar("R")
NOTES, ORIGIN = "notes.json", "origin"
ROW = ("epoch", "val_loss", "val_accuracy")  # of the history, that best weights are tied to

if is_own_process():  # Orbax logs the traceback of a failed save too, which `wait` raises
    logging.getLogger("absl").setLevel(logging.CRITICAL)


class Checkpoints:
    """The `checkpoints/` folder of one run. Close it (or use `with`) so that all saves are done.

    Steps that are not of `run` are refused; None takes all. `read_only` leaves half-written saves
    alone: they may be those of a run that is under way. A damaged step that another one stands in
    for is a `Warned` event.
    """

    def __init__(
        self, folder: Path, *, run: Run | None = None, read_only: bool = False, emit: Emit = ignore
    ) -> None:
        self.folder = folder.absolute()  # Orbax refuses relative paths
        self._run, self._emit = run, emit
        self._worker = ThreadPoolExecutor(1, "save")
        self._pending: Future[None] | None = None
        if not read_only:
            from_main(lambda: self._try(step_folders.clear_up, self.folder))

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None and not issubclass(kind, KvggError) and are_several():
            return  # another process may be gone, without which no save can end
        self.close()

    def save_last(self, state: TrainState, notes: Mapping[str, float] | None = None) -> None:
        """Start saving all of `state` in the background, with `notes` about how it came to be.

        Its arrays may be donated afterwards. Waits for the save before, and raises RunError when
        that one failed.
        """
        origin = self._origin(int(state.step))
        self._start("last", int(state.step), state._asdict(), {**(notes or {}), ORIGIN: origin})

    def save_best(self, state: TrainState, row: Epoch | None = None) -> None:
        """Start saving the weights of `state` as the best ones, those of the epoch `row`."""
        weights = {"params": state.params, "model_state": state.model_state}
        self._start("best", int(state.step), weights, {ORIGIN: self._origin(int(state.step), row)})

    def _origin(self, step: int, row: Epoch | None = None) -> dict[str, object]:
        of_row = {name: getattr(row, name) for name in ROW} if row else {}
        return {"run": self._run and self._run.id(), "step": step, **of_row}

    def wait(self) -> None:
        """Until the save that was started is on disk. Raises RunError when it failed."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._try(pending.result)

    def close(self) -> None:
        """Finish the save that was started."""
        try:
            self.wait()
        finally:
            self._worker.shutdown()

    def has_best(self, step: int) -> bool:
        """Whether there are best weights of so many optimizer steps, and they are whole."""
        return step in self._steps("best") and not from_main(lambda: self._fault("best", step))

    def drop_best_after(self, step: int) -> None:
        """Remove best weights of more optimizer steps: a run that resumes from `step` has none."""
        from_main(lambda: self._try(step_folders.drop_newer, self.folder / "best", step))

    def load_last(self, like: TrainState) -> tuple[TrainState, dict[str, float]] | None:
        """The newest whole full state and its notes; None when none was ever saved.

        Raises RunError when all are damaged, or names, shapes or types differ from `like`.
        """
        if not self._steps("last"):
            return None
        step, loaded = self._load_newest("last", like._asdict())
        notes = _notes(self.folder / "last" / str(step))
        notes.pop(ORIGIN, None)
        return TrainState(**loaded), notes

    def load_best(self, like: Weights) -> tuple[str, Weights]:
        """The newest whole best weights, and the name that `step_folders.name` gives to their step.

        Raises RunError as `load_last`, and when there are none.
        """
        step, loaded = self._load_newest("best", {"params": like[0], "model_state": like[1]})
        where = self.folder / "best" / str(step)
        return step_folders.name(where), (loaded["params"], loaded["model_state"])

    def _start(
        self, kind: str, step: int, tree: dict[str, Any], notes: Mapping[str, object]
    ) -> None:
        self.wait()
        final = self.folder / kind / str(step)
        saving = Path(from_main(lambda: str(self._try(step_folders.prepare, final))))
        response = self._try(ocp.save_async, saving, tree, overwrite=True)
        self._pending = self._worker.submit(_finish, response, saving, final, notes)

    def _try(self, save: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return save(*args, **kwargs)
        except (OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                reason = (
                    "a save did not end in time: the process was suspended, or the storage does "
                    "not answer"
                )
                remedy = "Continue with --resume."
            else:
                reason = str(error)
                remedy = "Free disk space or make it writable, then continue with --resume."
            raise RunError(
                f"Cannot save to {self.folder}: {reason}. Earlier checkpoints are intact. {remedy}"
            ) from error

    def _steps(self, kind: str) -> dict[int, int]:
        return dict(from_main(lambda: [*step_folders.steps(self.folder / kind).items()]))

    def _fault(self, kind: str, step: int) -> str | None:
        where = self.folder / kind / str(step)
        try:
            return digests.fault(where) or self._stranger(where)
        except (OSError, ValueError) as error:
            return f"{NOTES} cannot be read ({type(error).__name__})"

    def _stranger(self, where: Path) -> str | None:
        """Why a step is not of this run, as far as its notes say: old runs have none."""
        if self._run is None:
            return None
        origin = _notes(where).get(ORIGIN, {})
        if origin.get("run") != self._run.id():
            return "it was saved by another run"
        if origin.get("step", int(where.name)) != int(where.name):
            return f"it was saved as step {origin['step']}"
        if "epoch" in origin:
            row, rows = str([origin.get(name) for name in ROW]), list(self._run.history())
            if rows and row not in [str([getattr(one, name) for name in ROW]) for one in rows]:
                return f"the history has no epoch {origin['epoch']} with its validation figures"
        return None

    def _load_newest(self, kind: str, like: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        where = self.folder / kind
        while True:
            steps, faults = self._steps(kind), dict[int, str]()
            for step in steps:
                fault, loaded = self._load(kind, step, like)
                if fault is None:
                    for bad, why in faults.items():
                        text = f"The checkpoint {where / str(bad)} is damaged: {why}."
                        self._emit(Warned(f"{text} Using {where / str(step)} instead."))
                    return step, loaded
                if self._steps(kind) != steps:
                    break  # not damaged: a run that is under way put a newer one in its place
                faults[step] = fault
            else:
                raise RunError(_none_is_whole(where, faults))

    def _load(
        self, kind: str, step: int, like: dict[str, Any]
    ) -> tuple[str | None, dict[str, Any]]:
        """(what is wrong with a step, nothing) or (None, what it holds)."""
        if fault := from_main(lambda: self._fault(kind, step)):
            return fault, {}
        where = self.folder / kind / str(step)
        try:
            found = ocp.metadata(where).metadata
            if found is None:  # half of it is gone, as when a run that is under way removes it
                return "it has no metadata", {}
            _check_same(found, like, where)
            return None, ocp.load(where, jax.tree.map(_abstract, like))
        except RunError:
            raise
        except Exception as error:  # bad bytes come out of Orbax as nearly any type
            if is_out_of_memory(error):
                raise
            return f"it cannot be loaded ({type(error).__name__})", {}


def _notes(step: Path) -> dict[str, Any]:
    return json.loads((step / NOTES).read_text())


def _finish(
    response: ocp.AsyncResponse[None], saving: Path, final: Path, notes: Mapping[str, object]
) -> None:
    response.result()  # of all processes
    if not is_main():
        return
    (saving / NOTES).write_text(json.dumps(notes) + "\n")
    step_folders.publish(saving, final)


def _none_is_whole(where: Path, faults: dict[int, str]) -> str:
    if not faults:
        return f"{where} has no checkpoint. Let the run finish an epoch, or choose another run."
    lines = [f"  {step}: {why}" for step, why in faults.items()]
    head = f"No checkpoint in {where} is intact:"
    return "\n".join([head, *lines, "Restore a copy of one, or train again."])


def _abstract(array: AnyArray) -> jax.ShapeDtypeStruct:
    sharding = getattr(array, "sharding", None)  # where the caller wants it
    if sharding is None:
        sharding = state_sharding()
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


def _signature(tree: object) -> dict[str, str]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path): f"{jax.numpy.dtype(leaf.dtype)}{list(leaf.shape)}"
        for path, leaf in leaves
    }


def _check_same(found: object, like: object, where: Path) -> None:
    """Names, shapes and types must agree exactly: a silent partial load is a wrong model."""
    have, want = _signature(found), _signature(like)
    if have == want:
        return
    name = min(set(have.items()) ^ set(want.items()))[0]
    raise RunError(
        f"{where} does not fit this model: {name} is {have.get(name, 'absent')} in the "
        f"checkpoint and {want.get(name, 'absent')} in the model."
    )
