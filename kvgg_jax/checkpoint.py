"""Orbax keeps two states of a run: `last` (all of it, to resume) and `best` (weights, to use).

Each save is written beside the old one and takes its place by one rename, so that a crash leaves
the old state or the new one, never half of either.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint.experimental.v1 as ocp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint.experimental.v1.training import Checkpointer, preservation_policies

from kvgg_jax.errors import RunError
from kvgg_jax.state import AnyArray, TrainState, Weights

# Orbax logs each save, and the traceback of a failed one, which `wait` raises as a RunError
logging.getLogger("absl").setLevel(logging.CRITICAL)


class Checkpoints:
    """The `checkpoints/` folder of one run. Close it (or use `with`) so that all saves are done.

    `read_only` leaves half-written saves alone: they may be those of a run that is under way.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder.absolute()  # Orbax refuses relative paths
        self._read_only = read_only
        self._open: dict[str, Checkpointer] = {}
        self._pending: list[ocp.AsyncResponse[Any]] = []

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def save(self, state: TrainState, *, best: bool) -> None:
        """Start saving `state` in the background; its arrays may be donated afterwards.

        Waits for the previous save first, and raises RunError when that one failed.
        """
        self.wait()
        step = int(state.step)
        if best:
            self.save_best(state)
        self._start("last", step, state._asdict())

    def save_best(self, state: TrainState) -> None:
        """Start saving the weights of `state` as the best; the full state on disk stays."""
        weights = {"params": state.params, "model_state": state.model_state}
        self._start("best", int(state.step), weights)

    def wait(self) -> None:
        """Until every started save is on disk. Raises RunError when one failed."""
        pending, self._pending = self._pending, []
        try:
            for response in pending:
                response.result()
        except (OSError, ValueError) as error:
            raise RunError(f"Cannot save to {self.folder}: {error}") from error

    def close(self) -> None:
        """Finish every save and let go of the folder."""
        try:
            self.wait()
        finally:
            opened, self._open = self._open, {}
            for checkpointer in opened.values():
                with contextlib.suppress(OSError, ValueError):  # `wait` has raised it already
                    checkpointer.close()

    def last_step(self) -> int | None:
        """Optimizer steps in the newest full state; None when there is none."""
        return self._latest("last")

    def best_step(self) -> int | None:
        """Optimizer steps of the best weights; None when there are none."""
        return self._latest("best")

    def load_last(self, like: TrainState) -> TrainState:
        """The newest full state. Raises RunError when names, shapes or types differ from `like`."""
        return TrainState(**self._load("last", like._asdict()))

    def load_best(self, like: Weights) -> Weights:
        """The best weights. Raises RunError when names, shapes or types differ from `like`."""
        loaded = self._load("best", {"params": like[0], "model_state": like[1]})
        return loaded["params"], loaded["model_state"]

    def _start(self, kind: str, step: int, tree: dict[str, Any]) -> None:
        try:
            response = self._checkpointer(kind).save_async(step, tree, force=True, overwrite=True)
        except OSError as error:
            raise RunError(f"Cannot save to {self.folder / kind}: {error}") from error
        assert response is not None, "force=True always saves"
        self._pending.append(response)

    def _checkpointer(self, kind: str) -> Checkpointer:
        if kind not in self._open:
            self._open[kind] = Checkpointer(
                self.folder / kind,
                preservation_policy=preservation_policies.LatestN(1),
                cleanup_tmp_directories=not self._read_only,
            )
        return self._open[kind]

    def _latest(self, kind: str) -> int | None:
        if not (self.folder / kind).is_dir():
            return None
        latest = self._checkpointer(kind).latest
        return None if latest is None else latest.step

    def _load(self, kind: str, like: dict[str, Any]) -> dict[str, Any]:
        where = self.folder / kind
        step = self._latest(kind)
        if step is None:
            raise RunError(
                f"{where} holds no checkpoint. Let the run finish an epoch, or choose another run."
            )
        checkpointer = self._checkpointer(kind)
        try:
            _check_same(checkpointer.metadata(step).metadata, like, where)
            loaded: dict[str, Any] = checkpointer.load(step, jax.tree.map(_abstract, like))
        except RunError:
            raise
        except Exception as error:  # bad bytes come out of Orbax as nearly any type
            raise RunError(
                f"The checkpoint {where / str(step)} is damaged ({type(error).__name__}). "
                "Put back a copy of it, or train again."
            ) from error
        return loaded


def _abstract(array: AnyArray) -> jax.ShapeDtypeStruct:
    sharding = getattr(array, "sharding", None)  # where the caller wants it
    if sharding is None:
        sharding = SingleDeviceSharding(jax.local_devices()[0])
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
