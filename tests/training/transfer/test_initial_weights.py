"""Initial weights: which are loaded, what is reported, and what a resume needs of them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import ConfigError, RunError, WeightsError
from kvgg_jax.core.events import Event, Note, Progress, Warned
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.export.exporter import export
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.models.functional import weight_shapes
from kvgg_jax.models.weights import imagenet
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.trainer import resume, train
from kvgg_jax.training.transfer.initial_weights import (
    InitialWeights,
    complete_model,
    load_initial_weights,
)
from support.faults import states, timeless
from support.networks import arrays_of, stock_network, write_applications
from support.runs import small_config

CLASSES = ("blue", "green", "red")

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def config(finished: Path, weights: str | Path, **model: Any) -> RunConfig:
    photos = finished.parents[1] / "photos"
    return small_config(photos, model={"weights": str(weights), **model}, train={"epochs": 1})


def taken(
    finished: Path, weights: str | Path, *, classes: tuple[str, ...] = CLASSES, **model: Any
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The weights a run would start from, and the messages about them."""
    heard: list[Event] = []
    given = load_initial_weights(
        complete_model(config(finished, weights, **model), Path()), classes, heard.append
    )
    assert given is not None
    return given.arrays, [
        f"{type(e).__name__}: {e.text}" for e in heard if isinstance(e, Note | Warned)
    ]


def weights_of(run: Path) -> dict[str, np.ndarray]:
    params, state = load_classifier(run).weights
    return {name: np.asarray(array) for name, array in {**params, **state}.items()}


def assert_same(left: Any, right: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


# From a run


def test_all_weights_of_a_run_are_loaded_where_they_fit(finished):
    """Its best weights, the head too: to train further at another rate, or all of it."""
    arrays, said = taken(finished, finished)
    assert_same(arrays, weights_of(finished))
    assert said == [f"Note: Weights from {finished}: the 5 layers of VGG11's blocks, and the head"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"classes": ("a", "b", "c")}, "its classes are others"),
        ({"classes": ("blue", "red")}, "predictions is 64x3 and 3 there, 64x2 and 2 here"),
        ({"head": "64"}, "there it is predictions"),
    ],
    ids=["other classes", "fewer classes", "another head"],
)
def test_a_head_that_does_not_fit_starts_at_random(finished, how, why):
    """All of it or nothing, with the reason. The head of 64 units has a layer of the same shape."""
    arrays, said = taken(finished, finished, **how)
    whole = weights_of(finished)
    assert_same(arrays, {name: whole[name] for name in whole if name.startswith("block")})
    head = f"the head starts at random: {why}"
    assert said == [f"Note: Weights from {finished}: the 5 layers of VGG11's blocks; {head}"]


def test_a_run_gives_its_image_size_and_preprocessing_and_is_found_by_name(finished, tmp_path):
    """Unless others are asked for."""
    run = Path(shutil.copytree(finished, tmp_path / "mine"))
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("[model]", "[model]\npreprocessing = 'caffe'"))
    given = RunConfig(model={"weights": "mine"})
    found = complete_model(given, tmp_path)
    assert (found.model.weights, found.model.preprocessing) == (str(run), "caffe")
    assert found.data.image_size == 32
    asked = given.with_data(image_size=64).with_model(preprocessing="scale")
    expected = asked.with_model(weights=str(run), arch="vgg11").model_dump()
    assert complete_model(asked, tmp_path).model_dump() == expected


def test_a_run_gives_its_backbone_where_none_was_set(finished, tmp_path):
    """With the head that was asked for; another backbone keeps its own settings."""
    run = Path(shutil.copytree(finished, tmp_path / "mine"))
    text = (run / "config.toml").read_text()
    for old, new in (("width = 1.0", "width = 0.5"), ("batch_norm = false", "batch_norm = true")):
        text = text.replace(old, new)
    (run / "config.toml").write_text(text)

    def backbone(**model: Any) -> tuple[str, float, bool, str]:
        given = RunConfig(model={"weights": "mine", "freeze": "backbone", **model})
        found = complete_model(given, tmp_path).model
        return found.arch, found.width, found.batch_norm, found.head

    assert backbone() == ("vgg11", 0.5, True, "linear")
    assert backbone(batch_norm=False, arch="vgg11") == ("vgg11", 0.5, False, "linear")
    assert backbone(arch="vgg13") == ("vgg13", 1, False, "linear")


def test_a_setting_without_effect_on_the_backbone_of_the_run_is_refused(finished, tmp_path):
    """As it is where the backbone is named."""
    run = Path(shutil.copytree(finished, tmp_path / "mine"))
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace('arch = "vgg11"', 'arch = "mobilenetv2"'))
    given = RunConfig(model={"weights": "mine", "head": "gap", "batch_norm": True})
    with pytest.raises(ConfigError) as caught:
        complete_model(given, tmp_path)
    assert str(caught.value) == (
        f"the backbone of {run}: model: batch_norm has no effect with arch mobilenetv2, only with "
        "vgg11, vgg13, vgg16, vgg19."
    )


def test_weights_that_are_nowhere_are_named(tmp_path):
    """As a file and as a run."""
    with pytest.raises(WeightsError) as caught:
        complete_model(RunConfig(model={"weights": "x.h5"}), tmp_path)
    assert str(caught.value) == (
        f"`model.weights = x.h5`: there is no such file, and no run x.h5 or {tmp_path / 'x.h5'}. "
        "Give a weight file, a run, or imagenet."
    )


def test_weights_of_a_cross_validation_are_those_of_a_fold(tmp_path):
    """It is there, and says which run to name."""
    (tmp_path / "cv" / "fold-1").mkdir(parents=True)
    (tmp_path / "cv" / "fold-1" / "config.toml").touch()
    with pytest.raises(WeightsError) as caught:
        complete_model(RunConfig(model={"weights": "cv"}), tmp_path)
    assert str(caught.value) == (
        f"`model.weights = cv`: {tmp_path / 'cv'} is a cross-validation, and only predict, "
        f"evaluate and serve take all of its folds. Name one of them: {tmp_path / 'cv' / 'fold-1'}"
    )


# From a file


@pytest.fixture(scope="module")
def network(thin_network: None) -> keras.Model:
    return stock_network()


@pytest.fixture(scope="module")
def file(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_applications(tmp_path_factory.mktemp("file") / "x.h5", arrays_of(network))


SHOWN = "Note: The network gets images in [0, 1] (`model.preprocessing = caffe` or scale)"


def test_a_network_of_keras_own_layers_is_loaded_by_its_names(finished, network, file):
    """The head too, where it has these layers; a file knows no classes."""
    arrays, said = taken(finished, file, head="8")
    assert_same(arrays, {v.path: np.asarray(v.value) for v in network.variables})
    all_of = f"Note: Weights from {file}: the 5 layers of VGG11's blocks, and the head"
    assert said == [all_of, SHOWN]


def test_layers_that_do_not_fit_are_named(finished, network, tmp_path):
    """Three of them, and how many more; the rest of the backbone comes."""
    arrays = arrays_of(network)
    arrays["block2_conv1"] = [np.zeros((3, 3, 8, 32), np.float32), np.zeros(32, np.float32)]
    del arrays["block1_conv1"]
    file = write_applications(tmp_path / "x.h5", arrays)
    found, said = taken(finished, file, head="8")
    kept = {layer for layer in arrays if layer.startswith(("block3", "block4", "block5"))}
    assert {name.split("/")[0] for name in found} == kept
    assert said[0] == (
        f"Warned: Weights from {file}: 3 of the 5 layers of VGG11's blocks; the head starts at "
        "random: its backbone does too, in part. At random: block1_conv1 is not there; "
        "block2_conv1 is 3x3x8x32 and 32 there, 3x3x8x16 and 16 here."
    )
    with pytest.raises(WeightsError) as caught:
        taken(finished, file, freeze="2")
    assert str(caught.value).startswith(
        f"{file} has not all that `model.freeze = 2` would keep: block1_conv1 is not there; "
    )


def test_a_file_without_a_single_layer_that_fits_is_an_error(finished, file):
    """Batch norm has its own bias, so no convolution of the file is one of the network."""
    with pytest.raises(WeightsError) as caught:
        taken(finished, file, batch_norm=True)
    assert str(caught.value) == (
        f"{file} has none of the 10 layers of VGG11's blocks: "
        "block1_conv1 is 3x3x3x8 and 8 there, 3x3x3x8 here; block1_conv1_bn is not there; "
        "block2_conv1 is 3x3x8x16 and 16 there, 3x3x8x16 here; and 7 more."
    )


def test_the_error_for_a_run_of_another_network_names_the_settings_to_add(finished):
    """`--freeze` of a run needs its network, which its name does not say."""
    with pytest.raises(WeightsError) as caught:
        taken(finished, finished, batch_norm=True)
    assert str(caught.value).endswith(
        "; and 7 more. For that run's network add `model.batch_norm = false`."
    )
    with pytest.raises(WeightsError, match=r"For that run's network add `model.width = 1.0`\.$"):
        taken(finished, finished, width=2)


def test_a_file_of_keras_applications_is_known_by_its_content(finished, file, monkeypatch):
    """Under whatever name it was put there: its images are prepared as Keras does."""
    digest = hashlib.md5(file.read_bytes()).hexdigest()
    monkeypatch.setitem(imagenet.KERAS_MD5, "vgg16", (digest, ""))
    _, said = taken(finished, file)
    assert said[1] == (
        "Note: The network gets images as Keras prepares them for its ImageNet weights "
        "(`model.preprocessing = caffe` or scale)"
    )


# ImageNet


def test_keras_has_no_imagenet_weights_of_vgg11(finished):
    """VGG16 and VGG19 only."""
    with pytest.raises(ConfigError) as caught:
        taken(finished, "imagenet")
    assert str(caught.value) == (
        "Keras has ImageNet weights of VGG16 and VGG19, not of VGG11: use `model.arch = vgg16`."
    )


def test_imagenet_weights_are_for_all_channels(finished):
    """A thinner network has no use for them."""
    with pytest.raises(ConfigError) as caught:
        taken(finished, "imagenet", arch="vgg16", width=0.5)
    assert str(caught.value) == (
        "Keras' ImageNet weights of VGG16 are for all its channels: leave out `model.width = 0.5`."
    )


def test_the_whole_vgg16_comes_from_the_layout_of_its_file(finished, tmp_path, monkeypatch):
    """All widths, in the file that Keras' cache gives; images are prepared for it. Given by its
    name, a file that is like it but not the same may need that too."""
    shapes, _ = weight_shapes(ModelConfig(), classes=3, image_size=32)
    arrays: dict[str, list[np.ndarray]] = {}
    for name, one in shapes.items():
        if name.startswith("block"):
            value = np.full(one.shape, len(arrays), np.float32)
            arrays.setdefault(name.split("/")[0], []).append(value)
    file = write_applications(tmp_path / "notop.h5", arrays)
    monkeypatch.setattr(imagenet, "fetch", None)
    monkeypatch.setattr("kvgg_jax.training.transfer.initial_weights.fetch", lambda arch, emit: file)
    _, said = taken(finished, file, arch="vgg16")
    assert said[1] == (
        "Warned: The network gets images in [0, 1]. If these are Keras' ImageNet weights, add "
        "`model.preprocessing = caffe`."
    )
    found, said = taken(finished, "imagenet", arch="vgg16", freeze="backbone")
    assert sorted(found) == sorted(name for name in shapes if name.startswith("block"))
    assert_same(found["block5_conv3/kernel"], arrays["block5_conv3"][0])
    assert said == [
        "Note: Weights from imagenet: the 13 layers of VGG16's blocks; the head starts at random: "
        "they have none",
        "Note: The network gets images as Keras prepares them for its ImageNet weights "
        "(`model.preprocessing = caffe` or scale)",
    ]


# A run that begins so


@pytest.fixture(scope="module")
def begun(finished: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from a file, frozen in part and prepared as for ImageNet, never cut."""
    return train(frozen(finished, file), out=tmp_path_factory.mktemp("begun"), name="x").run


def test_what_was_exported_of_a_run_comes_with_its_preprocessing(begun, finished):
    """The file has it as a layer of its own, which is no part of the head."""
    pytest.importorskip("safetensors", reason="the extra safetensors is not here")
    file = export("safetensors", begun).path
    arrays, said = taken(finished, file, head="8")
    whole = {name: array for name, array in weights_of(begun).items() if "seed" not in name}
    assert_same(arrays, whole)
    assert said == [
        f"Note: Weights from {file}: the 5 layers of VGG11's blocks, and the head",
        "Note: The network gets images as Keras prepares them for its ImageNet weights "
        "(`model.preprocessing = caffe` or scale)",
    ]


def frozen(finished: Path, file: Path) -> RunConfig:
    return config(finished, file, head="8", freeze="3", preprocessing="caffe", dropout=0.2)


def test_frozen_blocks_keep_their_weights_and_the_others_learn(begun, network):
    """To the bit; and there is nothing of them among the optimizer's slots."""
    last, best = states(begun)
    first = {v.path: np.asarray(v.value) for v in network.variables}
    for name, value in first.items():
        kept = name.startswith(("block1", "block2", "block3"))
        now = (last.model_state if kept else last.params)[name]
        assert (np.asarray(now) == value).all() == kept, name
    assert not [name for name in last.opt_state if "block1" in name]
    assert best[1].keys() == last.model_state.keys()


def test_evaluate_and_predict_know_the_preprocessing_and_the_frozen_part(begun):
    """The same figures as the training's validation."""
    row = Run(begun).history().best
    evaluated = evaluate(begun)
    assert (evaluated.accuracy, evaluated.loss) == (row.val_accuracy, pytest.approx(row.val_loss))
    assert load_classifier(begun).model.get_layer("preprocessing") is not None
    assert load_classifier(begun).config.model.preprocessing == "caffe"


def test_a_run_that_has_saved_nothing_needs_the_weights_it_started_from(
    begun, finished, file, tmp_path
):
    """An error when missing or changed; restored, the run ends as the one never stopped."""
    copy, run = Path(shutil.copy(file, tmp_path / "copy.h5")), tmp_path / "cut"

    def press(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(frozen(finished, copy), out=tmp_path, name="cut", emit=press)
    copy.rename(tmp_path / "away.h5")
    with pytest.raises(WeightsError) as caught:
        resume(run)
    assert str(caught.value) == f"Cannot read {copy}: No such file or directory."
    shutil.copy(tmp_path / "away.h5", copy)
    with h5py.File(copy, "r+") as f:
        f["fc1/fc1_b_1:0"][0] += 1
    with pytest.raises(RunError) as caught:
        resume(run)
    assert str(caught.value) == (
        f"The weights at {copy} are not those that {run} started from, and it has saved nothing "
        "yet. Restore them, or start a new run."
    )
    (tmp_path / "away.h5").replace(copy)
    assert timeless(resume(run).history) == timeless(Run(begun).history())
    assert_same(states(run), states(begun))


def test_given_weights_have_a_digest_of_names_and_values():
    """Another name or another value is another digest."""
    one = np.ones(3, np.float32)
    digests = {InitialWeights(x).digest for x in ({"a": one}, {"b": one}, {"a": one + 1})}
    assert len(digests) == 3
