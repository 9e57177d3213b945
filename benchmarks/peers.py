"""kvgg_jax beside Keras on TensorFlow, Keras on JAX and PyTorch, on this machine, paired.

nox -s peers -- step --image-size 224 --batch-size 8
nox -s peers -- step --arch resnet50v2 --peer keras-tensorflow

Each contestant runs in a process of its own (`contestant.py`); with each peer in turn, our process
and its process take turns, so that a drifting machine hits both. A turn is some runs in a row, as
in training; the first, which finds caches and memory as the other left them, is not counted.
Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from contestant import CONTESTANTS, KERAS

OURS = "kvgg_jax"


class Process:
    """A contestant that has had its first run and waits for the next."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        command = [sys.executable, str(Path(__file__).with_name("contestant.py")), name, args.task]
        command += ["--image-size", str(args.image_size), "--batch-size", str(args.batch_size)]
        command += ["--arch", args.arch]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if args.verbose else subprocess.DEVNULL,
            text=True,
        )
        self.first = self._answer()

    def turn(self, runs: int) -> float:
        """Median seconds of `runs` runs in a row, after one that is not counted."""
        assert self._process.stdin is not None
        seconds = []
        for _ in range(runs + 1):
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
            seconds.append(self._answer())
        return statistics.median(seconds[1:])

    def end(self) -> float:
        """Peak memory in MiB."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak = self._answer()
        self._process.wait()
        return peak

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended early; --verbose shows why")
        return float(line)


def pair(peer: str, args: argparse.Namespace) -> dict[str, Any]:
    """Our runs and those of `peer`, in turn."""
    ours, theirs = Process(args.ours, args), Process(peer, args)
    times = [(ours.turn(args.runs), theirs.turn(args.runs)) for _ in range(args.pairs)]
    ratios = [b / a for a, b in times]
    return {
        "seconds": [statistics.median(side) for side in zip(*times, strict=True)],
        "peer_over_ours": statistics.median(ratios),
        "ratios": [min(ratios), max(ratios)],
        "start_to_first_seconds": [ours.first, theirs.first],
        "peak_mib": [ours.end(), theirs.end()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("step", "forward"))
    parser.add_argument("--arch", default="vgg16", choices=("vgg16", *KERAS))
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=3, help="turns of each")
    parser.add_argument("--runs", type=int, default=3, help="timed runs a turn")
    ours = [name for name in CONTESTANTS if name.startswith(OURS)]
    parser.add_argument("--ours", default=OURS, choices=ours)
    peers = [name for name in CONTESTANTS if not name.startswith(OURS)]
    parser.add_argument("--peer", action="append", choices=peers, help="repeatable; default: all")
    parser.add_argument("--verbose", action="store_true", help="show what the contestants print")
    args = parser.parse_args()
    result = {
        "task": args.task,
        "arch": args.arch,
        "image_size": args.image_size,
        "batch_size": args.batch_size,
        "order": f"[{args.ours}, peer]",
        **{peer: pair(peer, args) for peer in args.peer or peers},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
