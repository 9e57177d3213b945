"""A trained run put to use: the figures of training again, on its own photos or on others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvgg_jax import evaluate, load_classifier, predict
from kvgg_jax.core.errors import DataError, ImageError, RunError
from kvgg_jax.data.decode.image import load
from kvgg_jax.inference.prediction import Prediction
from kvgg_jax.runs.catalog import find
from kvgg_jax.runs.folder import Run
from support.runs import Trained

CLASSES = 3


pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def photos(trained: Trained) -> Path:
    """What it learnt from, to be read and not written."""
    return trained.photos


def copy_run(source: Path, target: Path, **info: Any) -> Path:
    """A run folder of its own, with some fields of `run.json` changed."""
    shutil.copytree(source, target)
    Run(target).update_info(**info)
    return target


def test_evaluate_gives_exactly_what_training_recorded(trained: Trained) -> None:
    """Bit by bit: the same pictures, the same program, the best epoch's weights."""
    best, result = Run(trained.run).history().best, evaluate(trained.run)
    assert best is not None
    assert (result.accuracy, result.loss) == (best.val_accuracy, best.val_loss)
    assert (result.run, result.split) == (trained.run, "val")


def test_evaluate_counts_the_validation_pictures_of_the_split_as_dealt(
    trained: Trained,
) -> None:
    """`split.csv` says which; accuracy, confusion and scores agree with each other."""
    val = find(trained.run).split(Run(trained.run).config().data.dir).val  # type: ignore[arg-type]
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
    """-log p of the true class, over the pictures that count and no filler."""
    result = evaluate(trained.run, split="all")
    true = result.probabilities[np.arange(result.count), list(result.samples.labels)]
    assert result.loss == pytest.approx(-np.log(true).mean(), rel=1e-4)


def test_split_all_judges_every_picture_of_the_run(trained: Trained, photos: Path) -> None:
    """Training and validation part together."""
    result = evaluate(trained.run, split="all")
    found = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*"))
    assert sorted(result.samples.paths) == found
    assert result.split == "all"


def test_predict_gives_the_probabilities_of_evaluate(trained: Trained) -> None:
    """Within 1e-5 on the same files, though in batches of another size."""
    evaluated = evaluate(trained.run)
    found = predict(evaluated.samples.files(), trained.run)
    assert [one.path for one in found] == evaluated.samples.files()
    got = [[dict(one.top)[name] for name in evaluated.classes] for one in found]
    np.testing.assert_allclose(got, evaluated.probabilities, rtol=0, atol=1e-5)


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
    bad.write_text("no picture")
    first, broken, second = predict([good[0], bad, good[1]], trained.run)
    reason = f"{bad}: is text, not an image. Replace or remove it."
    assert broken == Prediction(bad, error=reason)
    for one, alone in zip((first, second), predict(good, trained.run), strict=True):
        assert (one.path, one.label) == (alone.path, alone.label)
        assert one.probability == pytest.approx(alone.probability, abs=1e-5)


def test_more_pictures_than_a_batch_come_back_in_order(
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


def test_other_photos_are_judged_whole(trained: Trained, photos: Path, tmp_path: Path) -> None:
    """`data` is another folder of the same classes; all of it counts."""
    shutil.copytree(photos, tmp_path / "other")
    own, result = evaluate(trained.run, split="all"), evaluate(trained.run, data=tmp_path / "other")
    assert (result.split, result.samples.root) == ("all", tmp_path / "other")
    assert result.count == own.count
    assert result.confusion == own.confusion


def test_other_photos_may_lack_a_class(trained: Trained, photos: Path, tmp_path: Path) -> None:
    """Labels follow the run's classes, not the folder's; the absent class has no picture."""
    classes = find(trained.run).classes()
    for name in classes[1:]:
        shutil.copytree(photos / name, tmp_path / name)
    result = evaluate(trained.run, data=tmp_path)
    own = evaluate(trained.run, split="all")
    assert tuple(result.classes) == classes
    absent = result.classes[classes[0]]
    assert (absent.recall, absent.count) == (None, 0)
    assert result.confusion == ((0,) * CLASSES, *own.confusion[1:])


def test_the_validation_part_can_be_judged_where_the_photos_are_now(
    trained: Trained, photos: Path, tmp_path: Path
) -> None:
    """`data` with split "val": the files of the split, below another folder."""
    moved = shutil.copytree(photos, tmp_path / "moved")
    result, own = evaluate(trained.run, data=moved, split="val"), evaluate(trained.run)
    assert (result.samples.root, result.samples.paths) == (moved, own.samples.paths)
    assert (result.loss, result.accuracy) == (own.loss, own.accuracy)


def test_a_class_that_the_run_does_not_know_is_named(trained: Trained, tmp_path: Path) -> None:
    """Before any picture is read."""
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


def test_a_run_without_a_checkpoint_says_so(trained: Trained, tmp_path: Path) -> None:
    """A run that stopped in its first epoch, or whose checkpoint was deleted."""
    run = copy_run(trained.run, tmp_path / "runs" / "bare")
    shutil.rmtree(run / "checkpoints" / "best")
    with pytest.raises(RunError) as caught:
        predict("x.png", run)
    assert (
        str(caught.value) == f"{run}/checkpoints/best has no checkpoint. "
        "Let the run finish an epoch, or choose another run."
    )
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RunError) as caught:
        evaluate(run)
    assert str(caught.value) == (
        f"{run} has no checkpoint yet. Let it finish an epoch: kvgg train --resume {run}"
    )


def test_a_run_that_is_not_there_is_looked_for_by_folder_and_by_name(
    trained: Trained, tmp_path: Path
) -> None:
    """The message says both places and what runs there are."""
    copy_run(trained.run, tmp_path / "first")
    with pytest.raises(RunError) as caught:
        load_classifier("nope", out=tmp_path)
    assert str(caught.value) == (
        f"No run at nope or {tmp_path}/nope. Runs there: first. "
        "Use one of them; kvgg runs lists all."
    )
    with pytest.raises(RunError) as caught:
        load_classifier("nope", out=tmp_path / "none")
    assert str(caught.value) == (
        f"No run at nope or {tmp_path}/none/nope. Train one first: kvgg train --data DIR."
    )
    with pytest.raises(RunError) as caught:
        load_classifier(out=tmp_path / "none")
    assert str(caught.value) == (
        f"No finished run in {tmp_path}/none. Train one first: kvgg train --data DIR."
    )


def test_the_newest_finished_run_is_the_default(trained: Trained, tmp_path: Path) -> None:
    """By the time it was created, not by name; a run still under way is passed over."""
    for name, day, status in (
        ("zebra", "2026-01-01", "finished"),
        ("ant", "2026-01-02", "finished"),
        ("bee", "2026-01-03", "unfinished"),
    ):
        copy_run(trained.run, tmp_path / name, created=f"{day}T00:00:00+00:00", status=status)
    assert load_classifier(out=tmp_path).run.path == tmp_path / "ant"
    assert load_classifier("zebra", out=tmp_path).run.path == tmp_path / "zebra"


@pytest.mark.parametrize("text", ["{", "[1]", '"ab"'])
def test_damaged_class_names_are_an_error(trained: Trained, tmp_path: Path, text: str) -> None:
    """The file is named, whatever it holds."""
    run = copy_run(trained.run, tmp_path / "run")
    (run / "classes.json").write_text(text)
    reason = {"{": "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"}
    with pytest.raises(RunError) as caught:
        load_classifier(run)
    expected = reason.get(text, "expected a list of names")
    assert str(caught.value) == f"{run}/classes.json is damaged: {expected}."


def test_a_checkpoint_of_another_network_is_refused(trained: Trained, tmp_path: Path) -> None:
    """Names, shapes and types must agree: a partial load would be a wrong model."""
    run = copy_run(trained.run, tmp_path / "run")
    names = [*find(run).classes(), "yellow"]
    (run / "classes.json").write_text(json.dumps(names))
    newest = max((run / "checkpoints" / "best").iterdir(), key=lambda path: int(path.name))
    with pytest.raises(RunError) as caught:
        load_classifier(run)
    assert str(caught.value) == (
        f"{newest} does not fit this model: ['params']['predictions/bias'] is "
        "float32[3] in the checkpoint and float32[4] in the model."
    )


def test_a_classifier_holds_a_plain_keras_model(trained: Trained) -> None:
    """Logits of its `model` give the probabilities that `evaluate` reports."""
    evaluated = evaluate(trained.run)
    classifier = load_classifier(trained.run)
    model = classifier.model
    images = np.stack([pixels(path, classifier.image_size) for path in evaluated.samples.files()])
    logits = np.asarray(model(images))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, evaluated.probabilities, rtol=0, atol=1e-5)


def pixels(path: Path, size: int) -> Any:
    return load(path, size).astype(np.float32) / 255


def test_the_label_of_a_file_that_cannot_be_read_is_its_error() -> None:
    """Not an index error: the message is the one for the user."""
    bad = Prediction(Path("x.jpg"), error="x.jpg: it is empty (0 bytes).")
    for name in ("label", "probability"):
        with pytest.raises(ImageError) as caught:
            getattr(bad, name)
        assert str(caught.value) == "x.jpg: it is empty (0 bytes)."


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_a_loaded_model_can_be_saved_and_loaded_by_keras(trained: Trained, tmp_path: Path) -> None:
    """Its zero initializer is known to Keras."""
    from kvgg_jax.core.keras_gate import keras

    model = load_classifier(trained.run).model
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


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
