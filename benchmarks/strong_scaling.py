"""What a second process or device brings on this machine: wall time and CPU time of a step.

python benchmarks/strong_scaling.py --image-size 64 --batch-size 64

The same training step (VGG16, slim head, the demo photos), by one process on one core, by two
processes with a core each, and by one process on two cores with one device and with two. They
take turns; the figures are medians. A process computes with as many threads as it has cores.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

FOUND = "found"
ROOT = Path(__file__).parents[1]


class Contestant(NamedTuple):
    """Processes, each on its own cores."""

    name: str
    cores: tuple[str, ...]
    devices: int = 1


CONTESTANTS = (
    Contestant("one process, one core", ("0",)),
    Contestant("two processes, a core each", ("0", "1")),
    Contestant("one process, two cores, one device", ("0,1",)),
    Contestant("one process, two cores, two devices", ("0,1",), devices=2),
)


def compute(args: argparse.Namespace) -> None:
    """One process: for each line on stdin some steps; prints seconds and CPU seconds per step."""
    from kvgg_jax.core.config import RunConfig
    from kvgg_jax.core.devices import hosts
    from kvgg_jax.core.devices.mesh import place_rows
    from kvgg_jax.core.events import ignore
    from kvgg_jax.training.inputs import complete_config
    from kvgg_jax.training.setup import devices_of
    from kvgg_jax.training.step import zero_tally
    from kvgg_jax.training.trainer import prepare

    if args.address:
        hosts.join(args.address, 2, args.process)
    config = RunConfig(
        data={"image_size": args.image_size},
        train={"batch_size": args.batch_size, "devices": str(args.devices)},
    )
    config = complete_config(config, ignore)
    with devices_of(config):
        inputs, state = prepare(config)
        batch = place_rows(next(inputs.train.epoch(1)))
        for _ in sys.stdin:
            started, spent = time.perf_counter(), time.process_time()
            for _ in range(args.steps):
                state, tally = inputs.train_step(state, zero_tally(), batch)
                float(tally.loss)
            found = time.perf_counter() - started, time.process_time() - spent
            print(FOUND, json.dumps([value / args.steps for value in found]), flush=True)


@contextmanager
def started(one: Contestant, args: argparse.Namespace) -> Iterator[list[subprocess.Popen[str]]]:
    """Its processes, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={one.devices}"
    env = {name: value for name, value in os.environ.items() if "_proxy" not in name.lower()}
    env |= {"PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    words = [sys.executable, __file__, "--devices", str(one.devices), "--steps", str(args.steps)]
    words += ["--image-size", str(args.image_size), "--batch-size", str(args.batch_size)]
    processes = []
    for number, cores in enumerate(one.cores):
        joining = ["--address", address] if len(one.cores) > 1 else []
        process = subprocess.Popen(
            ["taskset", "--cpu-list", cores, *words, "--process", str(number), *joining],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
    yield processes
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    for process in processes:  # they wait for each other at their ends
        process.wait()


def turn(processes: list[subprocess.Popen[str]]) -> tuple[float, float]:
    """Seconds of a step, of the slowest process, and CPU seconds of all."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = []
    for process in processes:
        assert process.stdout is not None
        line = next(text for text in process.stdout if text.startswith(FOUND))  # gloo talks too
        found.append(json.loads(line.removeprefix(FOUND)))
    return max(wall for wall, _ in found), sum(spent for _, spent in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="per round")
    parser.add_argument("--devices", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--process", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.devices is not None:
        compute(args)
        return
    with ExitStack() as stack:
        gangs = [stack.enter_context(started(one, args)) for one in CONTESTANTS]
        rounds = [[turn(gang) for gang in gangs] for _ in range(args.rounds + 1)][1:]
    print("| | seconds per step | CPU seconds per step | speed |\n|---|---|---|---|")
    for place, one in enumerate(CONTESTANTS):
        wall = statistics.median(each[place][0] for each in rounds)
        spent = statistics.median(each[place][1] for each in rounds)
        speed = statistics.median(each[0][0] / each[place][0] for each in rounds)
        print(f"| {one.name} | {wall:.3f} | {spent:.3f} | {speed:.2f} |")


if __name__ == "__main__":
    main()
