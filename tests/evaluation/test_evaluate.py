"""A run evaluated on its own photos and on others."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kvgg_jax import evaluate, predict
from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Event, Warned
from kvgg_jax.evaluation.files import try_to_keep
from kvgg_jax.evaluation.record import probabilities_text
from kvgg_jax.runs.catalog import find
from kvgg_jax.runs.folder import Run
from support.images import noise
from support.runs import Trained, draw_photos
from support.users import nobody

pytestmark = pytest.mark.usefixtures("thin_network")

CLASSES = 3


@pytest.fixture
def photos(trained: Trained) -> Path:
    """What it learnt from, to be read and not written."""
    return trained.photos


def test_evaluate_gives_exactly_what_training_recorded(trained: Trained) -> None:
    """Bit by bit: the same photos, the same program, the best epoch's weights."""
    best, result = Run(trained.run).history().best, evaluate(trained.run)
    assert best is not None
    assert (result.accuracy, result.loss) == (best.val_accuracy, best.val_loss)
    assert (result.run, result.split) == (trained.run, "val")


def test_evaluate_counts_the_validation_photos_of_the_kept_split(
    trained: Trained,
) -> None:
    """`split.csv` says which; accuracy, confusion and scores agree with each other."""
    val = find(trained.run).split().val
    result = evaluate(trained.run)
    assert result.samples.paths == val.paths
    predicted = result.probabilities.argmax(axis=1)
    assert result.count == len(val) == np.sum(result.confusion)
    assert result.accuracy == pytest.approx(np.mean(predicted == np.array(val.labels)))
    assert result.right == round(result.accuracy * result.count)
    assert [score.count for score in result.classes.values()] == [
        val.labels.count(k) for k in range(CLASSES)
    ]


def test_the_loss_is_the_mean_cross_entropy_of_the_probabilities(trained: Trained) -> None:
    """-log p of the true class, over the photos that count and no filler."""
    result = evaluate(trained.run, split="all")
    true = result.probabilities[np.arange(result.count), list(result.samples.labels)]
    assert result.loss == pytest.approx(-np.log(true).mean(), rel=1e-4)


def test_split_all_evaluates_every_photo_of_the_run(trained: Trained, photos: Path) -> None:
    """Training and validation part together."""
    result = evaluate(trained.run, split="all")
    found = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*"))
    assert sorted(result.samples.paths) == found
    assert result.split == "all"


def test_other_photos_are_all_evaluated(trained: Trained, photos: Path, tmp_path: Path) -> None:
    """`data` is another folder of the same classes; all of it counts."""
    shutil.copytree(photos, tmp_path / "other")
    own, result = evaluate(trained.run, split="all"), evaluate(trained.run, data=tmp_path / "other")
    assert (result.split, result.samples.root) == ("all", tmp_path / "other")
    assert result.count == own.count
    assert result.confusion == own.confusion


def test_other_photos_may_lack_a_class(trained: Trained, photos: Path, tmp_path: Path) -> None:
    """Labels follow the run's classes, not the folder's; the absent class has no photo."""
    classes = find(trained.run).classes()
    for name in classes[1:]:
        shutil.copytree(photos / name, tmp_path / name)
    result = evaluate(trained.run, data=tmp_path)
    own = evaluate(trained.run, split="all")
    assert tuple(result.classes) == classes
    absent = result.classes[classes[0]]
    assert (absent.recall, absent.count) == (None, 0)
    assert result.confusion == ((0,) * CLASSES, *own.confusion[1:])


def test_the_validation_part_can_be_evaluated_where_the_photos_are_now(
    trained: Trained, photos: Path, tmp_path: Path
) -> None:
    """`data` with split "val": the files of the split, below another folder."""
    moved = shutil.copytree(photos, tmp_path / "moved")
    result, own = evaluate(trained.run, data=moved, split="val"), evaluate(trained.run)
    assert (result.samples.root, result.samples.paths) == (moved, own.samples.paths)
    assert (result.loss, result.accuracy) == (own.loss, own.accuracy)


def test_a_class_that_the_run_does_not_know_is_named(trained: Trained, tmp_path: Path) -> None:
    """Before any photo is read."""
    known = find(trained.run).classes()
    for name in (known[0], "Oak", "Pine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    with pytest.raises(DataError) as caught:
        evaluate(trained.run, data=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has classes that {trained.run} does not know: Oak, Pine. "
        f"It knows: {', '.join(known)}."
    )


def test_probabilities_that_are_no_numbers_are_refused(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All figures would be made of them."""
    from kvgg_jax.training import loop

    measure = loop.evaluate

    def spoilt(*given: Any, **named: Any) -> Any:
        metrics, probabilities = measure(*given, **named)
        return metrics, np.where(probabilities == probabilities.max(), np.nan, probabilities)

    monkeypatch.setattr(loop, "evaluate", spoilt)
    with pytest.raises(RunError) as caught:
        evaluate(trained.run)
    assert str(caught.value) == (
        f"The best weights of {trained.run} give probabilities that are no numbers. "
        "Train it anew, with a lower `optim.lr`."
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that any user may look into; those of pytest are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.filterwarnings("ignore:Error writing persistent")  # that user has no cache
def test_a_user_who_may_only_read_a_run_evaluates_it(trained: Trained, open_folder: Path) -> None:
    """With one warning that nothing is kept; and nothing is written."""
    run = shutil.copytree(trained.run, open_folder / "run")
    photos = shutil.copytree(trained.photos, open_folder / "photos")
    text = (run / "config.toml").read_text().replace(str(trained.photos), str(photos))
    (run / "config.toml").write_text(text)
    own, heard = evaluate(run), list[Event]()
    before = sorted((path, path.stat().st_mtime_ns) for path in (run, *run.rglob("*")))
    with nobody(open_folder):
        result = try_to_keep(evaluate(run, emit=heard.append), heard.append)
    assert (result.accuracy, result.files) == (own.accuracy, ())
    assert [event for event in heard if isinstance(event, Warned)] == [
        Warned(
            f"Cannot lock {run} by {run}/.evaluation.lock: Permission denied. "
            "The evaluation is shown and not kept."
        )
    ]
    assert sorted((path, path.stat().st_mtime_ns) for path in (run, *run.rglob("*"))) == before


def test_folds_are_evaluated_together_on_other_photos(folds: Path, tmp_path: Path) -> None:
    """The mean of their probabilities; the record names the networks."""
    other = draw_photos(tmp_path / "other", per_class=3)
    each = [evaluate(folds / f"fold-{number}", data=other) for number in (1, 2)]
    found = evaluate(folds, data=other)
    mean = np.mean([one.probabilities for one in each], axis=0)
    np.testing.assert_allclose(found.probabilities, mean, rtol=0, atol=1e-6)
    true = found.probabilities[np.arange(found.count), list(found.samples.labels)]
    assert found.loss == pytest.approx(-np.log(true).mean(), rel=1e-4)
    assert (found.run, found.split, found.count) == (folds, "all", 9)
    assert found.state == "+".join(one.state for one in each)
    assert [(one.run, one.state, one.temperature) for one in found.members] == [
        (str(one.run), one.state, None) for one in each
    ]
    assert probabilities_text(found) == "Probabilities: mean of 2 networks, not calibrated"


def test_photos_that_folds_were_trained_on_are_refused_or_counted(
    folds: Path, trained: Trained
) -> None:
    """Their own are refused; those of a folder are counted once, whichever fold learned them."""
    for split in (None, "val", "all"):
        with pytest.raises(DataError) as caught:
            evaluate(folds, split=split)
        assert str(caught.value) == (
            f"{folds} has no photos of its own that none of its folds was trained on: what one "
            "held out, the others learned. Evaluate it on other photos: --data DIR, or --split "
            "test if it was made with --test-split."
        )
    with pytest.raises(DataError, match=f"{folds}/fold-1 has no test photos"):
        evaluate(folds, split="test")
    heard: list[Event] = []
    found = evaluate(folds, data=trained.photos, emit=heard.append)
    learned = [len(Run(folds / f"fold-{number}").split().train) for number in (1, 2)]
    assert max(learned) <= (found.trained_on or 0) <= 36
    assert any(f"{folds} was trained on" in one.text for one in heard if isinstance(one, Warned))


def test_tta_gives_a_photo_and_its_mirror_image_the_same(trained: Trained, tmp_path: Path) -> None:
    """Predict gives the same probabilities; the record says so."""
    for name in ("blue", "green", "red"):
        (tmp_path / name).mkdir()
        Image.fromarray(noise(32)).save(tmp_path / name / "a.png")
        Image.fromarray(noise(32)[:, ::-1]).save(tmp_path / name / "b.png")
    found = evaluate(trained.run, data=tmp_path, tta=True)
    np.testing.assert_allclose(found.probabilities, found.probabilities[[0] * 6], atol=1e-6)
    (one,) = predict(tmp_path / "red" / "a.png", trained.run, tta=True)
    assert sorted(share for _, share in one.top) == pytest.approx(
        sorted(found.probabilities[0]), abs=1e-5
    )
    assert found.tta
    text = "Probabilities: mean of each photo and its mirror image, not calibrated"
    assert probabilities_text(found) == text
