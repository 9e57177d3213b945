"""What color alone says: the two classifiers, and their place beside the network's accuracy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax import evaluate
from kvgg_jax.data.audit.color_baseline import ColorBaseline, color_baseline, compare_colors
from kvgg_jax.data.audit.duplicates import Fingerprint
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.audit.inspect import Seen
from kvgg_jax.data.sources.folder import scan
from support.commands import kvgg
from support.runs import COLORS, Trained, draw_photos

pytestmark = pytest.mark.usefixtures("thin_network")


def photo(name: str, *color: float) -> Seen:
    """A look with these numbers, the rest 0."""
    numbers = np.zeros(6, np.float32)
    numbers[: len(color)] = color
    return Seen(Path(name), Fingerprint("", 0, np.zeros((16, 16, 3), np.uint8), numbers))


def test_the_class_mean_and_the_nearest_photo_are_two_answers() -> None:
    """A class around another: by their means nothing is known, by the nearest photo all is."""
    around = [photo("a", 0.0), photo("b", 1.0)], [0, 0]
    amid = [photo("c", 0.45), photo("d", 0.54)], [1, 1]
    train = around[0] + amid[0], around[1] + amid[1]
    asked = [photo("e", 0.05), photo("f", 0.95), photo("g", 0.49), photo("h", 0.51)], [0, 0, 1, 1]
    found = compare_colors(train, asked)
    assert found == ColorBaseline(class_mean=0.5, nearest=1.0, reference=4)


def test_a_photo_is_not_its_own_neighbour() -> None:
    """Where training photos are evaluated too, by the path; else it would always be right."""
    photos = [photo("a", 0.0), photo("b", 0.1), photo("c", 0.2)]
    labels = [0, 1, 0]
    assert compare_colors((photos, labels), (photos, labels)).nearest == 0.0
    copies = [photo("x", 0.0), photo("y", 0.1), photo("z", 0.2)]
    assert compare_colors((photos, labels), (copies, labels)).nearest == 1.0


def test_many_training_photos_are_thinned_evenly(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 36, every fourth where nine are the limit."""
    samples = scan(photos)
    whole = color_baseline(samples, samples)
    assert whole == ColorBaseline(class_mean=1.0, nearest=1.0, reference=36)
    monkeypatch.setattr("kvgg_jax.data.audit.color_baseline.LIMIT", 9)
    assert color_baseline(samples, samples) == ColorBaseline(1.0, 1.0, 9)
    few = samples.take([*np.flatnonzero(np.array(samples.labels) != 1).tolist(), 17])
    assert few.labels.count(1) == 1
    assert color_baseline(few, few).left_out is None  # each class has one at least


def test_a_class_without_a_readable_training_photo_leaves_it_out(photos: Path) -> None:
    """It could never be named, which would say nothing of color."""
    samples = scan(photos)
    for file in (photos / "green").iterdir():
        file.write_text("no image")
    (photos / "red" / "red_00.png").unlink()
    assert color_baseline(samples, samples) == ColorBaseline(
        left_out=f"no training photo of class green can be read in {photos} any more"
    )
    others = samples.take([place for place, label in enumerate(samples.labels) if label != 1])
    assert color_baseline(others, others) == ColorBaseline(1.0, 1.0, 23)


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of a finished run with photos of its own, to be changed."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    photos = shutil.copytree(trained.photos, tmp_path / "photos")
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace(str(trained.photos), str(photos)))
    return run


def test_evaluate_sets_color_beside_the_network(run: Path) -> None:
    """In both forms. Flat colors tell the three classes apart."""
    printed = json.loads(kvgg("evaluate", "--run", run, "--json").stdout)
    assert printed["color"] == {"class_mean": 1.0, "nearest": 1.0, "reference": 29}
    lines = kvgg("evaluate", "--run", run).stdout.splitlines()
    assert lines[2] == (
        "color alone: accuracy 1.0000 by the nearest class mean, "
        "1.0000 by the nearest of 29 training photos"
    )


def test_other_photos_are_compared_with_the_training_part_while_it_is_there(run: Path) -> None:
    """Once it is gone, the line says so, and the network is evaluated all the same."""
    other = draw_photos(run.parent / "other", per_class=2)
    assert evaluate(run, data=other).color == ColorBaseline(1.0, 1.0, 29)
    photos = run.parent / "photos"
    shutil.rmtree(photos)
    reason = f"no training photo of class blue can be read in {photos} any more"
    assert evaluate(run, data=other).color == ColorBaseline(left_out=reason)
    result = kvgg("evaluate", "--run", run, "--data", other)
    assert result.stdout.splitlines()[2] == f"color alone: left out, because {reason}"
    printed = json.loads(kvgg("evaluate", "--run", run, "--data", other, "--json").stdout)
    assert (printed["color"], printed["count"]) == ({"left_out": reason}, 2 * len(COLORS))
    (run / "split.csv").unlink()
    reason = f"{run} has no readable split.csv: No such file or directory"
    assert evaluate(run, data=other).color == ColorBaseline(left_out=reason)


def test_color_alone_on_the_coffee_photos(checked: Check) -> None:
    """On the split of seed 42: 187 and 225 of 240 right."""
    assert checked.color == ColorBaseline(187 / 240, 225 / 240, 960)
