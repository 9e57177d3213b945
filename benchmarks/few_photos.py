"""Random weights, a frozen backbone or a fine-tuned one, by photos per class? A Markdown table.

python benchmarks/few_photos.py ../shared/data/flowers --per-class 10 50 200 --test 100 --out DIR \\
    --weights ../shared/data/vgg16-imagenet/vgg16_notop.h5 --preprocessing caffe

The recipes `fast`, `transfer` and `finetune`, all at --image-size, each with the same photos: so
many per class, of which a fifth is for validation. The accuracy is that on --test others of each
class, the same ones for all. p is McNemar's, adjusted for the three pairs. Called again with the
same --out, it continues.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

from changes import link_some

from kvgg_jax import RunConfig, compare_runs, evaluate, resume, train
from kvgg_jax.cli.console import Screen
from kvgg_jax.core.config_file import read_toml
from kvgg_jax.core.errors import KvggError
from kvgg_jax.core.events import Emit
from kvgg_jax.runs.folder import Run

RECIPES = ("fast", "transfer", "finetune")
CONFIGS = Path(__file__).parents[1] / "configs"


def configure(args: argparse.Namespace, recipe: str, photos: Path, *, seed: int) -> RunConfig:
    """A recipe with what was asked for; the given weights where it takes some."""
    table = read_toml(CONFIGS / f"{recipe}.toml")
    data = {"dir": str(photos), "image_size": args.image_size, "split": "stratified"}
    table["data"] = table.get("data", {}) | data
    if "weights" in table["model"]:
        given = {"weights": str(args.weights), "preprocessing": args.preprocessing}
        table["model"] |= given
    return RunConfig.model_validate({**table, "seed": seed})


def trained(config: RunConfig, run: Run, emit: Emit) -> Run | None:
    """The run, started or continued; None where so few photos cannot be trained on like that."""
    try:
        if not run.exists:
            train(config, out=run.path.parent, name=run.path.name, emit=emit)
        elif not run.is_finished:
            resume(run.path, emit=emit)
    except KvggError as error:
        print(f"<!-- {run.path.name}: {error} -->")
        return None
    return run


def row(args: argparse.Namespace, count: int, seed: int, emit: Emit) -> str:
    """All recipes on one draw of photos."""
    counts = {"train": count, "test": args.test}
    photos = link_some(args.photos, args.out / f"photos-{count}-{seed}", counts, seed=seed)
    found = {}
    for recipe in RECIPES:
        config = configure(args, recipe, photos / "train", seed=seed)
        run = trained(config, Run(args.out / f"{recipe}-{count}-{seed}"), emit)
        if run is not None:
            found[recipe] = run
    test = photos / "test"
    scores = {
        recipe: evaluate(run.path, data=test, emit=emit).accuracy for recipe, run in found.items()
    }
    cells = [f"{scores[recipe]:.4f}" if recipe in scores else "-" for recipe in RECIPES]
    compared = compare_runs([run.path for run in found.values()], data=test, emit=emit)
    tests = {(pair.first, pair.second): pair.p for pair in compared.pairs}
    for pair in pairwise(f"{recipe}-{count}-{seed}" for recipe in RECIPES):
        p = tests.get(pair)
        cells.append("-" if p is None else f"{p:.2g}")
    return f"| {count} | {seed} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--preprocessing", choices=("scale", "caffe"))
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--per-class", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="links and runs are kept here")
    args = parser.parse_args()
    print("| photos per class | seed | fast | frozen | fine-tuned | p, fast and frozen "
          "| p, frozen and fine-tuned |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for count in args.per_class:
        for seed in range(args.seeds):
            with Screen() as screen:
                line = row(args, count, seed, screen)
            print(line, flush=True)


if __name__ == "__main__":
    main()
