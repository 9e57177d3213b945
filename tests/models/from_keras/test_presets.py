"""Presets of KerasHub: a folder made here; one that is broken or hostile brings no code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import ConfigError, KvggError, MissingExtra
from kvgg_jax.core.events import ignore
from kvgg_jax.core.extras import EXTRAS
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.build import build
from kvgg_jax.models.cost import describe
from kvgg_jax.models.from_keras.networks import connected
from kvgg_jax.training.trainer import train
from kvgg_jax.training.transfer.initial_weights import load_initial_weights
from support.presets import save_vit


def needs_hub(test: Callable) -> Callable:
    """Mark a test that calls KerasHub; it is skipped where that is not installed."""
    missing = find_spec("keras_hub") is None
    return pytest.mark.extras(pytest.mark.skipif(missing, reason="needs the extra hub")(test))


VIT = {
    "module": "keras_hub.src.models.vit.vit_backbone",
    "class_name": "ViTBackbone",
    "config": {"image_shape": [32, 32, 3], "patch_size": 8, "num_layers": 2},
}


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vit(tmp_path_factory.mktemp("presets") / "vit")


@needs_hub
def test_it_gives_the_numbers_of_keras_hub(vit: Path) -> None:
    """With its weights and its preparation of images; the tokens are a square without the class."""
    import keras_hub

    arch = f"hub:{vit}"
    config = RunConfig(data={"image_size": 32}, model={"arch": arch, "weights": "preset"})
    initial = load_initial_weights(config, ("a", "b"), ignore)
    assert initial is not None
    image = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    (ours,) = connected(arch, image_size=32).compute(initial.arrays, image)
    tokens = np.asarray(keras_hub.models.Backbone.from_preset(str(vit))(image * 2 - 1))
    np.testing.assert_allclose(ours, tokens[:, 1:].reshape(2, 4, 4, -1), atol=1e-5)


@needs_hub
def test_its_size_and_its_name_are_those_of_the_preset(vit: Path) -> None:
    """Other sizes can be asked for; the name of the model has no path in it."""
    config = ModelConfig(arch=f"hub:{vit}")
    model = build(config, classes=2, image_size=64, precision="float32", seed=1).model
    assert (model.name, model.input_shape) == ("vit", (None, 64, 64, 3))
    costs = describe(config, classes=2, image_size=64)
    assert sum(layer.params for layer in costs) == model.count_params()


def written(folder: Path, content: object) -> str:
    folder.mkdir()
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "config.json").write_text(text)
    return f"hub:{folder}"


EVIL = {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "os.system"}}


@needs_hub
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read: config.json Expecting property name"),
        ("[" * 100_000, "cannot be read: config.json"),
        ([], "has something else than settings in config.json"),
        (" " * 2**21, "cannot be read: config.json is too large"),
        (EVIL, "has Lambda in config.json, which is no backbone of KerasHub"),
        (VIT | {"class_name": "__class__"}, "has __class__ in config.json, which is no backbone"),
        (VIT | {"class_name": "BertBackbone"}, "is BertBackbone, which has no `image_shape`"),
        (VIT | {"config": 3}, "has no `config` in config.json"),
        (VIT | {"config": VIT["config"] | {"norm": EVIL}}, "has objects inside its config.json"),
        (VIT | {"config": VIT["config"] | {"depth": 3}}, "cannot be built as ViTBackbone"),
        (VIT | {"config": VIT["config"] | {"patch_size": 0}}, "cannot be built as ViTBackbone"),
    ],
)
def test_a_preset_that_is_broken_or_hostile_is_refused(content, message, tmp_path):
    """Nothing of it is run."""
    if isinstance(content, dict) and content.get("class_name") == "BertBackbone":
        content = content | {"config": {"vocabulary_size": 10}}
    name = written(tmp_path / "bad", content)
    with pytest.raises(ConfigError) as caught:
        describe(ModelConfig(arch=name), classes=2, image_size=32)
    assert f"`model.arch = {name}`: the preset {message}" in str(caught.value)


@needs_hub
def test_a_preset_without_its_weights_or_with_spoilt_ones_is_said(vit, photos, tmp_path):
    """Before a run is begun."""
    broken = Path(shutil.copytree(vit, tmp_path / "broken"))
    config = RunConfig(
        data={"dir": str(photos)},
        model={"arch": f"hub:{broken}", "weights": "preset"},
        train={"batch_size": 8},
    )
    file = broken / "model.weights.h5"
    file.write_bytes(file.read_bytes()[:1000])
    for message in ("is damaged or cut short", "has no model.weights.h5"):
        with pytest.raises(KvggError, match=message):
            train(config, out=tmp_path / "runs")
        file.unlink(missing_ok=True)
    assert not list(tmp_path.glob("runs/*"))


def test_a_folder_that_is_not_there_is_said(tmp_path):
    """It is not looked for elsewhere."""
    with pytest.raises(ConfigError, match="the preset is a folder that is not there"):
        describe(ModelConfig(arch=f"hub:{tmp_path}/none"), classes=2, image_size=32)


def test_without_keras_hub_the_command_that_adds_it_is_said(monkeypatch, tmp_path):
    """As for every extra."""
    monkeypatch.setitem(EXTRAS, "hub", ("pip-of-no-kind",))
    with pytest.raises(MissingExtra, match=r'pip install "kvgg_jax\[hub\]"'):
        describe(ModelConfig(arch=written(tmp_path / "x", VIT)), classes=2, image_size=32)


@pytest.mark.parametrize(
    ("arch", "weights", "message"),
    [
        ("vgg16", "preset", "VGG16 has no weights preset: use imagenet."),
        ("hub:x", "imagenet", "hub:x has no weights imagenet: use preset."),
    ],
)
def test_named_weights_go_with_their_networks(arch, weights, message, photos):
    """The message has the other name."""
    config = RunConfig(data={"dir": str(photos)}, model={"arch": arch, "weights": weights})
    with pytest.raises(ConfigError) as caught:
        train(config)
    assert str(caught.value) == message


@needs_hub
def test_a_name_that_hub_has_not_or_that_cannot_be_fetched_is_one_message(monkeypatch):
    """The first cause of what its libraries say."""
    from keras_hub.src.utils import preset_utils

    def no_network(*_: object) -> str:
        try:
            raise OSError("Name or service not known")
        except OSError as error:
            raise ValueError("HTTPSConnectionPool(...)\nMax retries") from error

    def message() -> str:
        with pytest.raises(ConfigError) as caught:
            describe(ModelConfig(arch="hub:vit_bse"), classes=2, image_size=32)
        return str(caught.value)

    start = "`model.arch = hub:vit_bse`: the preset cannot be had: "
    assert message().startswith(f"{start}Unknown preset identifier. Give a name of KerasHub")
    monkeypatch.setattr(preset_utils, "get_file", no_network)
    assert message().startswith(f"{start}Name or service not known. Give a name of KerasHub")
