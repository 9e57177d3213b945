"""`audit`: wrong labels, and what else is worth a look."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from kvgg_jax import audit
from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import UsageError
from kvgg_jax.evaluation.label_audit.findings import Audit, Labelled, facts
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture(scope="module")
def config(finished: Path) -> RunConfig:
    """The backbone of a run, at 32 px."""
    return RunConfig(data={"image_size": 32}, model={"arch": "vgg11", "weights": str(finished)})


@pytest.fixture(scope="module")
def found(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Photos of three colors, with faults of each kind."""
    photos = draw_photos(tmp_path_factory.mktemp("audit") / "photos", per_class=20)
    (photos / "red" / "red_04.png").rename(photos / "blue" / "was_red.png")
    shutil.copy(photos / "green" / "green_05.png", photos / "blue" / "copy.png")
    for name, change in (
        ("green_06", lambda image: image.filter(ImageFilter.GaussianBlur(3))),
        ("green_07", lambda image: image.point(lambda value: value // 4)),
    ):
        file = photos / "green" / f"{name}.png"
        change(Image.open(file)).save(file)
    return audit(photos, config=config)


def test_a_wrong_label_is_named_with_the_class_that_it_should_be(found: Audit) -> None:
    """And its probabilities, which the score is made of."""
    by_path = {one.path: one for one in found.issues}
    one = by_path["blue/was_red.png"]
    assert (one.label, one.suggested) == ("blue", "red")
    assert one.score == pytest.approx(
        one.probability / (one.probability + one.label_probability), abs=1e-4
    )
    assert one.score > 10 / 11
    assert {path for path in by_path if path.startswith("red")} == set()


def test_duplicates_in_several_classes_are_together(found: Audit) -> None:
    """Whichever of them is right."""
    assert found.contradictory == (
        (Labelled("blue/copy.png", "blue"), Labelled("green/green_05.png", "green")),
    )


def test_blurred_and_dark_photos_are_named(found: Audit) -> None:
    """By what is usual in their class."""
    assert "green/green_06.png" in [one.path for one in found.blurred]
    assert [one.path for one in found.dark] == ["green/green_07.png"]
    dark = found.dark[0]
    assert dark.value == pytest.approx(dark.typical / 4, rel=0.1)


def test_json_has_all_of_it(found: Audit) -> None:
    """`class` is the label, as elsewhere."""
    as_json = found.to_json()
    assert list(as_json) == [
        *("folder", "count", "how", "issues", "contradictory", "outliers", "blurred", "dark"),
    ]
    assert (as_json["count"], as_json["how"]) == (61, "5 folds on features of vgg11 at 32 px")
    assert {tuple(one) for one in as_json["issues"]} == {
        ("path", "class", "suggested", "score", "probability", "class_probability")
    }
    assert as_json["contradictory"] == [
        [
            {"path": "blue/copy.png", "class": "blue"},
            {"path": "green/green_05.png", "class": "green"},
        ]
    ]
    assert as_json["dark"] == [
        {
            "path": "green/green_07.png",
            "class": "green",
            "value": found.dark[0].value,
            "typical": found.dark[0].typical,
        }
    ]


def test_the_facts_count_what_was_found(found: Audit) -> None:
    """For the terminal and the page."""
    shown = dict(facts(found))
    assert shown["photos"] == "61 in 3 classes"
    assert shown["contradictory"] == "groups of duplicates in several classes: 1"
    assert shown["dark"] == "1"
    assert shown["wrong labels"] == f"{len(found.issues)}, probably"


def test_photos_as_they_are_have_no_wrong_labels(config: RunConfig, photos: Path) -> None:
    """Of three plain colors, each in its own folder."""
    result = audit(photos, config=config)
    assert (result.issues, result.contradictory) == ((), ())


def test_of_a_list_the_labels_are_those_of_the_list(config: RunConfig, photos: Path) -> None:
    """Whatever folder a photo is in."""
    files = sorted(photos.glob("*/*.png"))
    names = ["red" if file.name == "blue_02.png" else file.parent.name for file in files]
    rows = [f"{f.parent.name}/{f.name},{name}" for f, name in zip(files, names, strict=True)]
    (photos / "list.csv").write_text("\n".join(["path,label", *rows]))
    result = audit(photos / "list.csv", config=config)
    assert [(one.path, one.label, one.suggested) for one in result.issues] == [
        ("blue/blue_02.png", "red", "blue")
    ]


@pytest.mark.parametrize("given", [{}, {"data": "photos", "run": "cv"}])
def test_either_photos_or_a_run_is_needed(given: dict[str, str]) -> None:
    """Not both, not none."""
    with pytest.raises(UsageError) as caught:
        audit(**given)
    assert str(caught.value) == "Give either a folder of photos, or a cross-validation: --run."


def test_an_outlier_is_named(config: RunConfig, tmp_path: Path) -> None:
    """A photo unlike all others."""
    photos = draw_photos(tmp_path / "photos", per_class=20)
    rng = np.random.default_rng(1)
    ramp = np.linspace(0, 255, 32)[:, None, None] * np.array([1.0, 0.2, 1.0])
    odd = (ramp + rng.normal(0, 20, (32, 32, 3))).clip(0, 255).astype(np.uint8)
    Image.fromarray(odd).save(photos / "blue" / "odd.png")
    result = audit(photos, config=config)
    assert result.outliers is not None
    assert result.outliers[0].path == "blue/odd.png"
