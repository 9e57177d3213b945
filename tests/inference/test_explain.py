"""`explain` on files: the figures of `predict`, heat where the class is decided, true sums."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax import explain, load_classifier, predict, similar, vgg
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.image import load
from kvgg_jax.inference.classifier import Classifier
from kvgg_jax.inference.explain import METHODS
from kvgg_jax.inference.neighbors import FILE
from kvgg_jax.models.build import variable_names
from support.images import noise

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture(scope="module")
def classifier(finished: Path) -> Classifier:
    """Of a run of the thin network."""
    return load_classifier(finished)


@pytest.fixture(scope="module")
def files(finished: Path) -> list[Path]:
    """A photo of each class."""
    return sorted((finished.parents[1] / "photos").glob("*/*_00.png"))


@pytest.mark.parametrize("method", METHODS)
def test_an_explanation_goes_with_the_prediction(
    classifier: Classifier, files: list[Path], method: str
) -> None:
    """Probabilities are those of `predict`, the image is the one the network sees, the heat has
    its size, and the class is the predicted one."""
    found = list(explain(files, classifier, method=method))
    assert [one.prediction for one in found] == predict(files, classifier)
    for one, file in zip(found, files, strict=True):
        np.testing.assert_array_equal(one.image, load(file, 32))
        assert (one.heat.shape, one.heat.dtype) == ((32, 32), np.float32)
        assert np.isfinite(one.heat).all()
        assert (one.path, one.method) == (file, method)
        assert (one.label, one.probability) == one.prediction.top[0]


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_the_heat_lies_over_the_square_that_the_network_gets(
    classifier: Classifier, tmp_path: Path, resize: Resize
) -> None:
    """Both are of the photo as the run resizes it."""
    file = tmp_path / "wide.png"
    Image.fromarray(noise(64)[:24]).save(file)
    other = replace(classifier, config=classifier.config.with_data(resize=resize))
    (one,) = explain(file, other)
    np.testing.assert_array_equal(one.image, load(file, 32, resize))
    assert one.prediction == predict(file, other)[0]
    assert one.heat.shape == (32, 32)


def test_a_class_can_be_asked_for(classifier: Classifier, files: list[Path]) -> None:
    """Its probability is its own, and the maps of two classes differ."""
    red, blue = (
        next(explain(files, classifier, method="integrated-gradients", target=name))
        for name in ("red", "blue")
    )
    assert red.probability == dict(red.prediction.top)["red"]
    assert not np.array_equal(red.heat, blue.heat)


def test_integrated_gradients_add_up_to_the_logit(
    classifier: Classifier, files: list[Path]
) -> None:
    """Completeness (Sundararajan et al. 2017, proposition 1): the sum of the map is the logit less
    that of the baselines, here the mean of black's and white's."""
    model = classifier.model
    black, white = (np.full((1, 32, 32, 3), value, np.float32) for value in (0, 1))
    for one in explain(files, classifier, method="integrated-gradients", target="red"):
        logits = [
            float(np.asarray(model(images))[0, classifier.classes.index("red")])
            for images in (one.image[None].astype(np.float32) / 255, black, white)
        ]
        expected = logits[0] - (logits[1] + logits[2]) / 2
        assert one.expected_sum == pytest.approx(expected, abs=1e-4)
        assert one.heat.sum() == pytest.approx(expected, abs=0.03 * np.ptp(logits))


def test_integrated_gradients_are_zero_where_nothing_decides(
    classifier: Classifier, tmp_path: Path
) -> None:
    """A head that reads the upper right quadrant alone, behind convolutions that do not look
    aside: nothing else in a noisy image has a share."""
    config = classifier.config.with_data(image_size=64)
    config = config.model_copy(update={"model": config.model.model_copy(update={"head": "4"})})
    model = vgg(config.model, classes=3, image_size=64)
    for layer in model.layers:
        if layer.name.startswith("block") and layer.weights:
            kernel = np.zeros(layer.kernel.shape, np.float32)
            kernel[1, 1] = np.abs(np.asarray(layer.kernel.value)[1, 1])
            layer.kernel.assign(kernel)
    first = model.get_layer("fc1").kernel
    kernel = np.zeros(first.shape, np.float32).reshape(2, 2, -1, 4)
    kernel[0, 1] = 0.1
    first.assign(kernel.reshape(first.shape))
    model.get_layer("predictions").kernel.assign(np.ones((4, 3)))
    values = [np.asarray(v.value) for v in model.trainable_variables]
    params = dict(zip(variable_names(model.trainable_variables), values, strict=True))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    drawn = replace(classifier, config=config, weights=(params, {}), state="drawn")
    (one,) = explain(tmp_path, drawn, method="integrated-gradients")
    quadrant = np.zeros((64, 64), bool)
    quadrant[:32, 32:] = True
    assert np.abs(one.heat[~quadrant]).max() == 0
    assert np.abs(one.heat[quadrant]).max() > 0


def test_one_bad_file_does_not_stop_the_others(
    classifier: Classifier, files: list[Path], tmp_path: Path
) -> None:
    """It has no arrays, and says what `predict` says."""
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    broken, good = explain([bad, files[0]], classifier)
    assert broken.prediction == predict(bad, classifier)[0]
    assert (broken.image, broken.heat) == (None, None)
    assert good.heat is not None


def test_what_cannot_be_explained_is_said_at_once(
    classifier: Classifier, files: list[Path]
) -> None:
    """Before the first photo is explained."""
    with pytest.raises(RunError) as caught:
        explain(files, classifier, target="oak")
    expected = f"{classifier.run.path} does not know the class oak. It knows: blue, green, red."
    assert str(caught.value) == expected
    with pytest.raises(ValueError, match="method 'x': use one of grad-cam, integrated-gradients"):
        explain(files, classifier, method="x")


def test_training_photos_that_look_alike_can_be_asked_for(
    finished: Path, files: list[Path], tmp_path: Path
) -> None:
    """Those of `similar`, with the same prediction; without asking, the run is not written."""
    run = shutil.copytree(finished, tmp_path / "x")
    next(explain(files, run))
    assert not (run / FILE).exists()
    found = list(explain(files, run, similar=2))
    expected = list(similar(files, run, count=2))
    for own, theirs in zip(found, expected, strict=True):
        names = [(near.path, near.label) for near in theirs.neighbors]
        assert [(near.path, near.label) for near in own.neighbors] == names
        # photos one by one, or several at once: another order of sums on some processors
        likeness = [near.similarity for near in theirs.neighbors]
        assert [near.similarity for near in own.neighbors] == pytest.approx(likeness, abs=1e-6)
    assert [len(one.neighbors) for one in found] == [2, 2, 2]
    assert all(one.heat is not None for one in found)
    with pytest.raises(ValueError, match="count -1"):
        explain(files, run, similar=-1)
