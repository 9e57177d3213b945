"""Which training photos are shown as similar, and how they are kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax import load_classifier, similar
from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Compiled, Note, Progress, Warned
from kvgg_jax.inference.neighbors import FILE, Neighbor, TrainingPhotos
from kvgg_jax.runs.folder import Run
from support.commands import calibrate_at
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A run of one's own, as embeddings are kept in it."""
    return Path(shutil.copytree(trained.run, tmp_path / "x"))


def stages(heard: list[object]) -> set[int]:
    """How many photos were embedded at once."""
    return {one.total for one in heard if isinstance(one, Progress) and one.stage == "embedding"}


def test_a_training_photo_is_most_like_itself(run: Path, trained: Trained) -> None:
    train = Run(run).split().train
    file = train.files()[0]
    (found,) = similar([file], run, count=3)
    first, *others = found.neighbors
    assert (first.path, first.label) == (str(file), train.classes[train.labels[0]])
    assert first.similarity == pytest.approx(1, abs=1e-4)
    assert first.similarity > others[0].similarity >= others[1].similarity
    assert found.to_json()["similar"][0] == first.to_json()


def test_training_photos_are_embedded_once_for_its_weights(run: Path, trained: Trained) -> None:
    photo, heard = next(trained.photos.glob("*/*")), list[object]()
    again = [next(similar([photo], run, emit=heard.append)) for _ in range(2)]
    count = len(Run(run).split().train)
    first, second = ([(near.path, near.label) for near in one.neighbors] for one in again)
    assert first == second
    first, second = ([near.similarity for near in one.neighbors] for one in again)
    assert first == pytest.approx(second, abs=1e-5)  # in a batch of another size
    assert [one.total for one in heard if isinstance(one, Progress)].count(count) > 0
    heard.clear()
    list(similar([photo], run, emit=heard.append))
    assert stages(heard) == {1}
    with np.load(run / FILE) as file:
        kept = dict(file)
    np.savez(run / FILE, **{**kept, "state": np.array("of other weights")})
    list(similar([photo], run, emit=heard.append))
    assert stages(heard) == {1, count}


def test_one_program_and_one_note_serve_all_photos(run: Path, trained: Trained) -> None:
    """Those of training, the first time, and those that were asked for."""
    classifier, heard = load_classifier(run), list[object]()
    calibrate_at(2.0, classifier.run, classifier.state)
    list(similar([next(trained.photos.glob("*/*"))], run, emit=heard.append))
    assert stages(heard) == {1, len(Run(run).split().train)}
    assert [one.what for one in heard if isinstance(one, Compiled)] == ["embedding"]
    assert len([one for one in heard if isinstance(one, Note)]) == 1


def test_a_bad_file_has_its_error(run: Path, trained: Trained, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    (found,) = similar([bad], run)
    assert found.to_json() == {
        "path": str(bad),
        "error": f"{bad}: is text, not an image. Replace or remove it.",
        "similar": [],
    }


def test_a_damaged_file_is_named(run: Path, trained: Trained) -> None:
    (run / FILE).write_text("nothing")
    with pytest.raises(RunError, match=rf"{FILE} is damaged. Remove it: it will be made again"):
        list(similar(trained.photos, run))


def test_training_photos_that_are_gone_are_left_out(
    run: Path, trained: Trained, tmp_path: Path
) -> None:
    """Some: with a warning, and nothing is kept. All: an error with the first reason."""
    photos = Path(shutil.copytree(trained.photos, tmp_path / "photos"))
    config = run / "config.toml"
    config.write_text(config.read_text().replace(str(trained.photos), str(photos)))
    photo, train = next(trained.photos.glob("*/*")), Run(run).split().train
    Path(str(train.files()[0])).unlink()
    heard: list[object] = []
    list(similar([photo], run, emit=heard.append))
    assert Warned(f"1 of the {len(train)} training photos cannot be read any more") in heard
    assert not (run / FILE).exists()
    shutil.rmtree(photos)
    with pytest.raises(DataError, match=r"No photo that .* was trained on can be read"):
        list(similar([photo], run))


def test_a_count_below_one_is_refused(run: Path, trained: Trained) -> None:
    with pytest.raises(ValueError, match="count 0"):
        similar(trained.photos, run, count=0)


def test_similarity_is_the_cosine_of_standardized_vectors() -> None:
    """By hand: each value less its mean, divided by its deviation."""
    vectors = np.array([[1, 0], [3, 0], [1, 4], [3, 4]], np.float32)
    known = TrainingPhotos(("a", "b", "c", "d"), ("x", "x", "y", "y"), vectors)
    found = known.nearest(np.array([4, 4], np.float32), 2)
    assert [(one.path, one.label) for one in found] == [("d", "y"), ("b", "x")]
    # (4, 4) is (2, 1) standardized; d is (1, 1), b is (1, -1)
    assert [one.similarity for one in found] == pytest.approx([3 / 10**0.5, 1 / 10**0.5], rel=1e-4)


def test_a_value_that_never_changes_says_nothing() -> None:
    vectors = np.array([[1, 5], [2, 5]], np.float32)
    (first,) = TrainingPhotos(("a", "b"), ("x", "y"), vectors).nearest(vectors[1], 1)
    assert first == Neighbor("b", "y", pytest.approx(1))
