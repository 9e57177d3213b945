"""A trained run put to use: the figures of training again, on its own photos or on others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kvgg_jax import evaluate, load_classifier, predict
from kvgg_jax.core.errors import RunError
from kvgg_jax.data.decode.image import load
from kvgg_jax.inference.prediction import Prediction
from kvgg_jax.runs.catalog import find
from kvgg_jax.runs.folder import Run
from support.images import encode, heic, noise, write
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


def copy_run(source: Path, target: Path, **info: Any) -> Path:
    """A run folder of its own, with some fields of `run.json` changed."""
    shutil.copytree(source, target)
    Run(target).update_info(**info)
    return target


def test_predict_gives_the_probabilities_of_evaluate(trained: Trained) -> None:
    """Within 1e-5 on the same files, though in batches of another size."""
    evaluated = evaluate(trained.run)
    found = predict(evaluated.samples.files(), trained.run)
    assert [one.path for one in found] == evaluated.samples.files()
    got = [[dict(one.top)[name] for name in evaluated.classes] for one in found]
    np.testing.assert_allclose(got, evaluated.probabilities, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["AVIF", pytest.param("HEIC", marks=pytest.mark.extras)])
def test_a_photo_has_one_class_whatever_its_format(
    whole: Trained, tmp_path: Path, kind: str
) -> None:
    """That of the same photo as JPEG, of a phone held sideways."""
    exif, by_jpeg, by_kind = Image.Exif(), [], []
    exif[0x0112] = 6
    for photo in sorted(whole.photos.glob("*/*_00.png")):
        pixels = np.ascontiguousarray(np.rot90(Image.open(photo).resize((64, 64))))
        jpeg = encode(pixels, "JPEG", exif=exif, quality=95)
        by_jpeg.append(write(tmp_path / f"{photo.stem}.jpg", jpeg))
        other = heic(pixels, 6) if kind == "HEIC" else encode(pixels, kind, exif=exif, quality=95)
        by_kind.append(write(tmp_path / f"{photo.stem}.{kind.lower()}", other))
    found, expected = predict(by_kind, whole.run), predict(by_jpeg, whole.run)
    assert [one.label for one in found] == [one.label for one in expected]
    assert [one.label for one in expected] == ["blue", "green", "red"]
    for one, its in zip(found, expected, strict=True):
        assert dict(one.top) == pytest.approx(dict(its.top), abs=0.05)


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


def test_the_weights_of_another_run_are_not_used(
    trained: Trained, finished: Path, tmp_path: Path
) -> None:
    """They fit the network, and would answer as if they were those of the run."""
    run, best = copy_run(trained.run, tmp_path / "run"), tmp_path / "run" / "checkpoints" / "best"
    shutil.rmtree(best)
    shutil.copytree(finished / "checkpoints" / "best", best)
    steps = sorted((int(path.name) for path in best.iterdir()), reverse=True)
    with pytest.raises(RunError) as caught:
        load_classifier(run)
    lines = "".join(f"  {step}: it was saved by another run\n" for step in steps)
    assert str(caught.value) == (
        f"No checkpoint in {best} is intact:\n{lines}Restore a copy of one, or train again."
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


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_a_loaded_model_can_be_saved_and_loaded_by_keras(trained: Trained, tmp_path: Path) -> None:
    """Its zero initializer is known to Keras."""
    from kvgg_jax.core.keras_gate import keras

    model = load_classifier(trained.run).model
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def shares(found: list[Prediction]) -> np.ndarray:
    """[count, classes], the classes by name."""
    return np.array([[share for _, share in sorted(one.top)] for one in found])


def test_folds_answer_with_the_mean_of_their_probabilities(folds: Path, trained: Trained) -> None:
    """By path and by name; no fold is called calibrated, so the mean is not."""
    photos = sorted(trained.photos.glob("*/*_0[01].png"))
    each = [shares(predict(photos, folds / f"fold-{number}")) for number in (1, 2)]
    assert np.abs(each[0] - each[1]).max() > 0.01
    found = predict(photos, "cv", out=folds.parent)
    np.testing.assert_allclose(shares(found), np.mean(each, axis=0), rtol=0, atol=1e-6)
    assert [one.path for one in found] == photos
    assert not any(one.calibrated for one in found)


def test_folds_that_differ_are_not_averaged(folds: Path, tmp_path: Path) -> None:
    """The fold is named, and what differs."""
    path = Path(shutil.copytree(folds, tmp_path / "cv"))
    advice = "so they cannot be averaged. Cross-validate again under another --name."
    config = path / "fold-2" / "config.toml"
    config.write_text(config.read_text().replace('resize = "squash"', 'resize = "crop"'))
    with pytest.raises(RunError) as caught:
        predict("x.png", path)
    assert str(caught.value) == f"{path}/fold-2 has other settings than fold-1, {advice}"
    (path / "fold-2" / "classes.json").write_text('["blue", "green", "yellow"]')
    with pytest.raises(RunError) as caught:
        predict("x.png", path)
    assert str(caught.value) == f"{path}/fold-2 has other classes than fold-1, {advice}"


def test_tta_averages_a_photo_and_its_mirror_image(trained: Trained, tmp_path: Path) -> None:
    """So both get the same probabilities: the mean of what each has alone."""
    photo, mirror = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(noise(32)).save(photo)
    Image.fromarray(noise(32)[:, ::-1]).save(mirror)
    alone = shares(predict([photo, mirror], trained.run))
    both = shares(predict([photo, mirror], trained.run, tta=True))
    assert np.abs(alone[0] - alone[1]).max() > 1e-6
    np.testing.assert_allclose(both, [alone.mean(axis=0)] * 2, rtol=0, atol=1e-6)
