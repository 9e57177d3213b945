"""A program on eight simulated devices: steps and runs on one, two and all of them.

python several_devices.py FOLDER [CASE ...]    figures as JSON on stdout, runs in FOLDER/runs

With more than two cases, the runs have all that a run can have.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import count
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.mesh import place_rows, use_devices
from kvgg_jax.core.errors import Stopped
from kvgg_jax.core.events import Event, Warned, ignore
from kvgg_jax.core.process import own_process
from kvgg_jax.models.compile import keep_compiled_programs
from kvgg_jax.training import setup, trainer
from kvgg_jax.training.step import zero_tally
from support.faults import states
from support.runs import (
    blank_charts,
    draw_photos,
    eventful,
    narrow,
    one_program_per_step,
    small_config,
)

own_process()
keep_compiled_programs()
COLLECTIVE = re.compile(
    r"= .* (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)

CASES: dict[str, dict[str, Any]] = {
    **{f"seed {seed}": {"seed": seed} for seed in range(3)},
    "batch norm": {"model": {"batch_norm": True}},
    **{level: {"data": {"augment": level}} for level in ("light", "strong", "randaugment")},
    "fsdp": {"model": {"head": "4096"}},
}


def first_steps(config: RunConfig) -> dict[str, Any]:
    """Of the first epoch: losses, the gradients of step 1, bytes per device, the program."""
    programs: list[str] = []
    compile_step = setup.compile_step

    def keep(what: str, *args: Any, **kwargs: Any) -> Any:
        compiled = compile_step(what, *args, **kwargs)
        programs.extend([compiled.as_text()] if what == "training" else [])
        return compiled

    setup.compile_step = keep
    config = trainer.complete_config(config, ignore)
    with use_devices(config.train.devices, rows=config.train.part_size):
        inputs, state = trainer.prepare(config)
        losses, gradients = list[float](), list[Any]()
        for batch in inputs.train.epoch(1):
            state, tally = inputs.train_step(state, zero_tally(), place_rows(batch))
            losses.append(float(tally.loss) / float(tally.count))
            # Adam's first moment: a tenth of the gradient
            moments = {name: slot for name, slot in state.opt_state.items() if "momentum" in name}
            gradients = gradients or [np.asarray(moment) for moment in moments.values()]
    setup.compile_step = compile_step
    parts = (part for leaf in jax.tree.leaves(state) for part in leaf.addressable_shards)
    held = sum(part.data.nbytes for part in parts if part.device == jax.devices()[0])
    collectives = [COLLECTIVE.findall(program) for program in programs]
    return {"losses": losses, "gradients": gradients, "bytes": held, "programs": collectives}


def apart(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """How far two runs are apart, relative in the gradients, and the rest of the second."""
    distances = [
        float(np.linalg.norm(a - b) / np.linalg.norm(a))
        for a, b in zip(one["gradients"], other["gradients"], strict=True)
        if np.any(a)
    ]
    return {
        "losses": float(np.max(np.abs(np.subtract(one["losses"], other["losses"])))),
        "gradients": max(distances),
        "bytes": other["bytes"] / one["bytes"],
        "programs": other["programs"],
    }


def steps(photos: Path, devices: int, *, seed: int = 0, **tables: Any) -> dict[str, Any]:
    """`first_steps` of a small run."""
    train = {"devices": str(devices), **tables.pop("train", {})}
    config = small_config(photos, train=train, optim={"lr": 1e-3}, **tables)
    return first_steps(config.model_copy(update={"seed": seed}))


def compare(photos: Path, case: str) -> dict[str, Any]:
    """Eight devices beside one, or sharded weights beside whole ones."""
    tables = CASES[case]
    if case == "fsdp":
        whole = steps(photos, 8, **tables)
        return apart(whole, steps(photos, 8, train={"shard": "fsdp"}, **tables))
    return apart(steps(photos, 1, **tables), steps(photos, 8, **tables))


def train_some(config: RunConfig, out: Path) -> dict[str, Any]:
    """A run on all devices, the same again with its photos on them, and one that is cut in its
    second epoch and resumed."""
    trainer.train(config, out=out, name="whole")
    trainer.train(config.with_data(cache="device"), out=out, name="again")
    asked, warnings = count(), list[str]()
    try:
        trainer.train(config, out=out, name="cut", stop=lambda: next(asked) == 7)
    except Stopped as error:
        stopped = str(error)
    loaded = {}
    for devices in (1, 2, 8):
        with use_devices(str(devices), rows=8):
            loaded[devices] = jax.tree.map(np.asarray, states(out / "cut"))

    def listen(event: Event) -> None:
        warnings.extend([event.text] if isinstance(event, Warned) else [])

    trainer.resume(out / "cut", emit=listen)
    same = [jax.tree.all(jax.tree.map(np.array_equal, loaded[1], loaded[n])) for n in (2, 8)]
    return {"stopped": stopped, "loaded alike": same, "warnings": warnings}


if __name__ == "__main__":
    folder, cases = Path(sys.argv[1]), sys.argv[2:]
    with narrow(), blank_charts():
        photos = draw_photos(folder / "photos")
        found = {case: compare(photos, case) for case in cases}
        make = eventful if len(cases) > 2 else small_config
        config = make(photos, train={"devices": "all", "epochs": 2})
        with one_program_per_step():
            print(json.dumps({"steps": found, "runs": train_some(config, folder / "runs")}))
