"""Whole processes: `--help`, and `predict` of one photo beside the same in Keras on TensorFlow.

python benchmarks/start.py --pairs 5

VGG16, slim head, 224 px. The runs alternate, after one of each that is not counted. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline import draw

CLI = str(Path(__file__).parent.parent / "cli.py")
PEER = """
import sys, keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
picture = keras.utils.load_img(sys.argv[2], target_size=(224, 224))
scaled = keras.utils.img_to_array(picture)[None] / 255
print(np.argmax(model.predict(scaled, verbose=0)))
"""
MAKE = "import sys, contestant; contestant.keras_network(224, classes=2).save(sys.argv[1])"


def seconds(command: list[str]) -> float:
    here = str(Path(__file__).parent)
    env = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": here}  # ours sets its own
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=env)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "photos", "png", 8)
        photo, run, model = folder / "photos/a/000000.png", folder / "r", folder / "m.keras"
        train = ["train", "--data", str(folder / "photos"), "--image-size", "224", "--epochs", "1"]
        seconds([CLI, *train, "--batch-size", "4", "--out", name, "--name", "r"])
        seconds(["-c", MAKE, str(model)])
        ours = [CLI, "predict", str(photo), "--run", str(run)]
        theirs = ["-c", PEER, str(model), str(photo)]
        rows = [(seconds(ours), seconds(theirs)) for _ in range(args.pairs + 1)][1:]
        result = {
            "help_seconds": statistics.median(seconds([CLI, "--help"]) for _ in range(5)),
            "order": "[kvgg predict, Keras on TensorFlow]",
            "predict_seconds": [statistics.median(side) for side in zip(*rows, strict=True)],
            "ratios": [round(b / a, 2) for a, b in rows],
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
