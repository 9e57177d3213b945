"""Which score tells photos unlike all training photos? A Markdown table.

python benchmarks/unknown.py ../shared/data/coffee ../shared/data/flowers --out DIR
python benchmarks/unknown.py ../shared/data/coffee ../shared/data/flowers --out DIR \\
    --recipe transfer --weights ../shared/data/vgg16-imagenet/vgg16_notop.h5 --preprocessing caffe

Each class of the first folder is left out in turn: a network is trained on the others, and its
photos are unknown. Then both folders whole: the photos of each are unknown to the network of the
other, and so are drawn noise and drawn screenshots of text. --photos of each class are used.
Known are the validation photos. A cell is the area under the ROC curve, and the share of unknown
photos that are taken for known where 95 % of the known ones are. Called again with the same --out,
it continues.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from changes import link_some
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from kvgg_jax import RunConfig, resume, train
from kvgg_jax.cli.console import Screen
from kvgg_jax.core.config_file import read_toml
from kvgg_jax.core.events import Emit
from kvgg_jax.core.places import Place
from kvgg_jax.data.samples import reader
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.evaluation.unknown import separation
from kvgg_jax.inference import known_photos
from kvgg_jax.inference.classifier import Classifier, load_classifier
from kvgg_jax.inference.embedding import embed
from kvgg_jax.inference.known_photos import COMPONENTS
from kvgg_jax.models.heads import LAST
from kvgg_jax.runs.folder import Run

CONFIGS = Path(__file__).parents[1] / "configs"
DRAWN = 200  # images of noise, and of text
Array = NDArray[np.floating]
Score = Callable[[Array, Array], Array]
"""Embeddings and logits of photos -> the higher, the more they are like the training photos."""


class Known(NamedTuple):
    """The training photos as a network sees them."""

    x: Array
    y: NDArray[np.integer]


def draw_noise(folder: Path) -> Path:
    """Colors drawn pixel by pixel, or for blocks of pixels."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(DRAWN):
        side = int(rng.choice([4, 16, 64, 224]))
        pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).resize((224, 224), Image.Resampling.NEAREST).save(
            folder / f"{number:03}.png"
        )
    return folder


def draw_text(folder: Path) -> Path:
    """Lines of random words, dark on light or light on dark."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    for number in range(DRAWN):
        paper = tuple(rng.integers(200, 256, 3).tolist())
        ink = tuple(rng.integers(0, 80, 3).tolist())
        if rng.random() < 0.3:
            paper, ink = ink, paper
        image = Image.new("RGB", (448, 448), paper)
        draw, step = ImageDraw.Draw(image), int(rng.integers(14, 34))
        for top in range(8, 440, step):
            words = ("".join(rng.choice(letters, int(n))) for n in rng.integers(2, 10, 12))
            draw.text((10, top), " ".join(words), fill=ink, font_size=0.7 * step)
        image.save(folder / f"{number:03}.png")
    return folder


def configure(args: argparse.Namespace, photos: Path) -> RunConfig:
    """The recipe, with what was asked for."""
    table = read_toml(CONFIGS / f"{args.recipe}.toml")
    data = {"dir": str(photos), "split": "stratified", "image_size": args.image_size}
    table["data"] = table.get("data", {}) | data
    if args.weights:
        table["model"] |= {"weights": str(args.weights), "preprocessing": args.preprocessing}
    if args.epochs:
        table.setdefault("train", {})["epochs"] = args.epochs
    return RunConfig.model_validate(table)


def trained(args: argparse.Namespace, photos: Path, name: str, emit: Emit) -> Classifier:
    """The network of a run, which is started or continued."""
    run = Run(args.out / f"{args.recipe}-{name}")
    if not run.exists:
        train(configure(args, photos), out=args.out, name=run.path.name, emit=emit)
    elif not run.is_finished:
        resume(run.path, emit=emit)
    return load_classifier(run.path)


def seen(
    classifier: Classifier, files: Sequence[Place] | Path, emit: Emit, **how: Any
) -> tuple[Array, Array]:
    """Embeddings and logits of photos."""
    found = [one.vector for one in embed(files, classifier, emit=emit, **how)]
    x = np.stack([one for one in found if one is not None])
    params = {**classifier.weights[0], **classifier.weights[1]}
    kernel, bias = (np.asarray(params[f"{LAST}/{part}"]) for part in ("kernel", "bias"))
    return x, x @ kernel + bias


def make_scores(known: Known) -> Iterator[tuple[str, Score]]:
    """Name -> score."""

    def probability(x: Array, z: Array) -> Array:
        shares = np.exp(z - z.max(axis=1, keepdims=True))
        return 1 / shares.sum(axis=1)

    yield "largest probability", probability
    yield "energy", lambda x, z: np.logaddexp.reduce(z.astype(np.float64), axis=1)
    mean, scale = known.x.mean(axis=0), known.x.std(axis=0) + 1e-6

    def standard(x: Array) -> Array:
        return (x - mean) / scale

    def unit(x: Array) -> Array:
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    reference = unit(standard(known.x))

    yield "10th neighbor", lambda x, z: np.sort(unit(standard(x)) @ reference.T, axis=1)[:, -10]
    for components in (16, COMPONENTS, 64, None):
        distance = mahalanobis(known, components)
        yield f"Mahalanobis, {components or 'all'}", lambda x, z, of=distance: -of(x)


def mahalanobis(known: Known, components: int | None) -> Callable[[Array], Array]:
    """As `kvgg_jax` has it, in so many principal components; None: in all."""
    with patch.object(known_photos, "COMPONENTS", components or len(known.x)):
        return known_photos.fit(known.x, known.y, known.x[:1]).distance


def rate(known: Array, unknown: Array) -> tuple[float, float]:
    """The area under the ROC curve, and the false-positive rate."""
    found = separation(-known, -unknown)
    return found.roc_area, found.false_positive_rate


def compare(
    classifier: Classifier, unknown: dict[str, Path], emit: Emit
) -> Iterator[tuple[str, dict[str, tuple[float, float]]]]:
    """Name of unknown photos -> score -> how well it tells them."""
    split = classifier.run.split()
    x, _ = seen(classifier, split.train.files(), emit, read=reader(split.train))
    known = Known(x, np.array(split.train.labels))
    inside = seen(classifier, split.val.files(), emit, read=reader(split.val))
    scores = dict(make_scores(known))
    for name, folder in unknown.items():
        outside = seen(classifier, folder, emit)
        yield name, {s: rate(score(*inside), score(*outside)) for s, score in scores.items()}


def all_rows(
    args: argparse.Namespace, emit: Emit
) -> Iterator[tuple[str, dict[str, tuple[float, float]]]]:
    """Of all networks, as `compare` gives them."""
    first, second = (
        link_some(folder, args.out / folder.name, {"some": args.per_class}, seed=0) / "some"
        for folder in (args.photos, args.other)
    )
    drawn = {
        "noise": draw_noise(args.out / "noise"),
        "text": draw_text(args.out / "text"),
    }
    for name in scan(first).classes:
        left = args.out / f"without-{name}"
        for folder in first.iterdir():
            if folder.name != name and not (left / folder.name).exists():
                left.mkdir(exist_ok=True)
                (left / folder.name).symlink_to(folder.resolve())
        classifier = trained(args, left, f"without-{name}", emit)
        yield from compare(classifier, {f"{name}, left out": first / name}, emit)
    for known, other in ((first, second), (second, first)):
        classifier = trained(args, known, known.parent.name, emit)
        own, others = known.parent.name, other.parent.name
        unknown = {f"{others} to {own}": other, **{f"{k} to {own}": v for k, v in drawn.items()}}
        yield from compare(classifier, unknown, emit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--weights", type=Path, help="ImageNet's, in a file of Keras")
    parser.add_argument("--preprocessing", choices=("scale", "caffe"))
    parser.add_argument("--image-size", type=int, default=48)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--per-class", type=int, default=300)
    parser.add_argument("--out", type=Path, required=True, help="links and runs are kept here")
    args = parser.parse_args()
    rows: list[NDArray[np.float64]] = []
    with Screen() as screen:
        for name, found in all_rows(args, screen):
            if not rows:
                print("| unknown |", " | ".join(found), "|")
                print("|---" * (1 + len(found)) + "|")
            rows.append(np.array(list(found.values())))
            print_row(name, rows[-1])
    print_row("mean", np.mean(rows, axis=0))


def print_row(name: str, found: NDArray[np.float64]) -> None:
    """Areas and rates, [scores, 2]."""
    cells = (f"{area:.3f}, {share:.0%}" for area, share in found)
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
