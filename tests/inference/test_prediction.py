"""What is predicted of files, whichever network does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax import predict
from kvgg_jax.core.errors import DataError, ImageError, UsageError
from kvgg_jax.inference.prediction import Part, Prediction
from kvgg_jax.runs.catalog import find
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def photos(trained: Trained) -> Path:
    """What it learnt from, to be read and not written."""
    return trained.photos


def test_a_prediction_ranks_all_classes(trained: Trained, photos: Path) -> None:
    """By falling probability; they add up to one; label and probability are the first."""
    (one,) = predict(next(photos.glob("*/*")), trained.run)
    values = [probability for _, probability in one.top]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-5)
    assert {name for name, _ in one.top} == set(find(trained.run).classes())
    assert (one.label, one.probability) == one.top[0]


def test_one_bad_file_does_not_stop_the_others(
    trained: Trained, photos: Path, tmp_path: Path
) -> None:
    """It gives its reason in its place; the good ones are what they are without it."""
    good = sorted(photos.glob("*/*"))[:2]
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    first, broken, second = predict([good[0], bad, good[1]], trained.run)
    reason = f"{bad}: is text, not an image. Replace or remove it."
    assert broken == Prediction(bad, error=reason)
    for one, alone in zip((first, second), predict(good, trained.run), strict=True):
        assert (one.path, one.label) == (alone.path, alone.label)
        assert one.probability == pytest.approx(alone.probability, abs=1e-5)


def test_more_photos_than_a_batch_come_back_in_order(
    trained: Trained, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder is read batch by batch; the short last one is filled up and cut again."""
    whole = predict(photos, trained.run)
    monkeypatch.setattr("kvgg_jax.inference.classifier.MAX_BATCH", 8)
    parts = predict(photos, trained.run)
    assert len(whole) > 8
    assert [one.path for one in parts] == [one.path for one in whole] == sorted(photos.glob("*/*"))
    for one, other in zip(parts, whole, strict=True):
        assert dict(one.top) == pytest.approx(dict(other.top), abs=1e-5)


def test_predict_wants_something_to_classify(tmp_path: Path, trained: Trained) -> None:
    """An empty folder is no answer."""
    with pytest.raises(DataError) as caught:
        predict(tmp_path, trained.run)
    message = "No photos to classify: give image files, or folders with images."
    assert str(caught.value) == message


def test_the_label_of_a_file_that_cannot_be_read_is_its_error() -> None:
    """Not an index error: the message is the one for the user."""
    bad = Prediction(Path("x.jpg"), error="x.jpg: it is empty (0 bytes).")
    for name in ("label", "probability"):
        with pytest.raises(ImageError) as caught:
            getattr(bad, name)
        assert str(caught.value) == "x.jpg: it is empty (0 bytes)."


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "1/2/3", "a/b", "-1/3", "1/0"])
def test_what_is_no_part_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(UsageError) as caught:
        Part.parse(text)
    assert str(caught.value) == f"--part {text}: give which part and how many, such as 2/5."


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_all_parts_are_all_files_in_their_order(count: int) -> None:
    """Of equal size, give or take one."""
    files = [Path(str(number)) for number in range(11)]
    parts = [Part.parse(f"{number}/{count}").of(files) for number in range(1, count + 1)]
    assert [file for part in parts for file in part] == files
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
