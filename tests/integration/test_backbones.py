"""A backbone that Keras builds goes through everything that a VGG does.

By default a small network of the test's own; `nox -s backbones` takes real ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import ConfigError, KvggError, UsageError
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables import architectures
from kvgg_jax.core.tables.architectures import register_backbone
from kvgg_jax.evaluation.calibration import calibrate
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.export.exporter import FORMATS, export
from kvgg_jax.inference.classifier import load_classifier, predict
from kvgg_jax.inference.explain import explain
from kvgg_jax.models.build import build
from kvgg_jax.models.cost import describe
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.search.crossval import crossval
from kvgg_jax.training.search.tuning import tune
from kvgg_jax.training.trainer import resume, train
from kvgg_jax.web.html.report import report
from support.faults import states, timeless
from support.presets import save_vit

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras' own
)
layers = keras.layers
REAL = ("mobilenetv3-small", "efficientnetv2-b0", "convnext-tiny", "vit")


def small(image_size: int) -> keras.Model:
    """Separable convolutions, batch norm, dropout."""
    x = image = keras.Input((image_size, image_size, 3))
    for channels in (4, 8):
        x = layers.SeparableConv2D(channels, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("gelu")(layers.BatchNormalization()(x))
        x = layers.Dropout(0.2)(layers.MaxPooling2D()(x))
    return keras.Model(image, x)


def small_vit(image_size: int) -> keras.Model:
    """Patches, one block of attention, tokens."""
    image = keras.Input((image_size, image_size, 3))
    count = (image_size // 8) ** 2
    x = layers.Reshape((count, 8))(layers.Conv2D(8, 8, strides=8)(image))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)])
    return keras.Model(image, layers.LayerNormalization()(x))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks above, for one test."""
    monkeypatch.setattr(architectures, "_registered", {})
    for build_one in (small, small_vit):
        register_backbone(build_one)


def configure(photos: Path, arch: str, **train_: object) -> RunConfig:
    return RunConfig(
        data={"dir": str(photos), "image_size": 32},
        model={"arch": arch},
        optim={"lr": 1e-6},  # some photos stay wrong: `calibrate` needs mistakes
        train={"epochs": 2, "batch_size": 8, **train_},
    )


def cut(config: RunConfig, out: Path) -> None:
    """End a run by Ctrl-C in its second epoch, after a step that is not saved."""

    def press(event: Event) -> None:
        if isinstance(event, Progress) and (event.stage, event.epoch) == ("training", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, out=out, name="cut", emit=press)


def assert_goes_through_everything(
    arch: str, photos: Path, out: Path, formats: tuple[str, ...]
) -> Path:
    """Train, cut and resume, evaluate, predict, explain, calibrate, export, report; the run."""
    config = configure(photos, arch)
    whole = train(config, out=out, name="whole")
    cut(config, out)
    resumed = resume("cut", out=out)
    assert timeless(resumed.history) == timeless(whole.history)
    for left, right in zip(states(whole.run), states(resumed.run), strict=True):
        keras.tree.map_structure(np.testing.assert_array_equal, left, right)
    found, best = evaluate(whole.run), whole.history.best
    assert best is not None
    assert (found.accuracy, found.loss) == (best.val_accuracy, best.val_loss)
    (file,) = sorted(photos.rglob("*_00.png"))[:1]
    (prediction,) = predict(file, run=whole.run)
    assert {name for name, _ in prediction.top} == set(Run(whole.run).classes())
    (explained,) = explain(file, run=whole.run)
    assert explained.prediction.top == prediction.top
    for format in formats:
        assert export(format, whole.run, raw=True).difference < 1e-4, format
    calibrate(whole.run)
    assert report(whole.run).path.exists()
    assert_describes(config, whole.run)
    return whole.run


def assert_describes(config: RunConfig, run: Path) -> None:
    """`summary` counts the parameters of the network that was trained."""
    classes = len(Run(run).classes())
    costs = describe(config.model, classes=classes, image_size=32)
    params, state = load_classifier(run).weights
    sizes = [np.size(a) for name, a in {**params, **state}.items() if "seed_gen" not in name]
    assert sum(layer.params for layer in costs) == sum(sizes)


def assert_predicts_without_tensorflow(run: Path, photos: Path) -> None:
    """In a process of its own, as a user calls it."""
    program = (
        "import sys; from kvgg_jax.cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'tensorflow', 'tensorflow_text'} & sys.modules.keys()"
    )
    words = ["predict", "--run", str(run), str(next(photos.rglob("*.png"))), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "AssertionError" in done.stderr) == (0, False), done.stderr
    assert len(json.loads(done.stdout)) == 1


@pytest.mark.parametrize("arch", ["small", "small_vit"])
def test_a_network_of_your_own_goes_through_everything(arch, photos, tmp_path, blank):
    """Exported in the formats that need no other process."""
    assert_goes_through_everything(arch, photos, tmp_path / "runs", ("keras", "stablehlo"))


@pytest.mark.backbones
@pytest.mark.parametrize("arch", REAL)
def test_a_network_of_keras_or_keras_hub_goes_through_everything(arch, photos, tmp_path):
    """In every format, and in folds and trials."""
    if arch == "vit":
        arch = f"hub:{save_vit(tmp_path / 'vit')}"
    run = assert_goes_through_everything(arch, photos, tmp_path / "runs", tuple(FORMATS))
    config = Run(run).config().with_train(epochs=1)
    assert_predicts_without_tensorflow(run, photos)
    assert len(crossval(config, folds=2, out=tmp_path / "runs").folds) == 2
    space = {"optim.lr": [1e-4, 1e-3]}
    assert len(tune(config, space=space, trials=2, out=tmp_path / "runs").trials) == 2


def test_a_network_of_an_installed_package_is_found_by_its_name(tmp_path, monkeypatch):
    """By its entry point, for the command too; until then nothing of the package is loaded."""
    about = tmp_path / "nets-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nets\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[kvgg_jax.backbones]\nplain = nets_of_a_test:plain\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = RunConfig(model={"arch": "plain"}).model
    (tmp_path / "nets_of_a_test.py").write_text(
        "import keras\n"
        "def plain(image_size):\n"
        "    image = keras.Input((image_size, image_size, 3))\n"
        "    return keras.Model(image, keras.layers.Conv2D(3, 1)(image))\n"
    )
    costs = describe(config, classes=2, image_size=32)
    assert sum(layer.params for layer in costs) == (3 * 3 + 3) + (3 * 2 + 2)


def test_train_takes_the_function_and_resume_needs_it_again(photos, tmp_path, monkeypatch, blank):
    """The run keeps its name; a process that does not know it is told what to do."""
    config = RunConfig(
        data={"dir": str(photos), "image_size": 32}, train={"epochs": 1, "batch_size": 8}
    )
    run = train(config, backbone=small, out=tmp_path).run
    assert (Run(run).config().model.arch, Run(run).config().model.head) == ("small", "gap")
    monkeypatch.setattr(architectures, "_registered", {})
    with pytest.raises(KvggError, match=r"'small' is not a network: .* register one of your own"):
        predict(photos, run=run)
    assert resume(run, backbone=small, epochs=2).history.epochs[-1].epoch == 2


def test_a_configuration_that_names_a_network_is_not_overruled(photos):
    """One of the two would have no effect."""
    with pytest.raises(UsageError, match=r"`model.arch` has no effect beside `backbone=`"):
        train(configure(photos, "vgg11"), backbone=small)


def with_weights(image_size: int) -> keras.Model:
    model = small(image_size)
    model.layers[1].set_weights([np.ones(w.shape) for w in model.layers[1].weights])
    return model


def two_outputs(image_size: int) -> keras.Model:
    image = keras.Input((image_size, image_size, 3))
    return keras.Model(image, [image, image])


def failing(image_size: int) -> keras.Model:
    raise ValueError("no such size")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda size: None, "The network bad is no functional model: build it as"),
        (two_outputs, "has 2 outputs: it must take images (None, 32, 32, 3) and have one."),
        (failing, "The network bad cannot be built for 32 pixels a side: no such size."),
        (with_weights, "The network sets weights while it is built, which would be lost"),
    ],
)
def test_a_function_that_cannot_be_used_says_why(function: Callable, message: str):
    """Before anything is written."""
    register_backbone(function, "bad")
    config = RunConfig(model={"arch": "bad"}).model
    with pytest.raises(ConfigError) as caught:
        build(config, classes=2, image_size=32, precision="float32", seed=1)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("xception", "image_size 32 is too small: xception needs at least 71 pixels a side."),
        ("bad", "The network bad cannot be built for 32 pixels a side: no such size."),
    ],
)
def test_a_network_that_cannot_be_built_leaves_no_run_behind(arch, message, photos, tmp_path):
    """It is tried before the folder is written."""
    register_backbone(failing, "bad")
    with pytest.raises(ConfigError) as caught:
        train(configure(photos, arch), out=tmp_path / "runs")
    assert (str(caught.value), list(tmp_path.glob("runs/*"))) == (message, [])


@pytest.mark.parametrize("name", ["vgg16", "convnext-tiny", "<lambda>", "-x", "a/b"])
def test_a_name_that_is_taken_or_no_name_is_refused(name):
    """It would be a path, a flag or another network."""
    with pytest.raises(UsageError, match="name a backbone of your own by letters"):
        register_backbone(small, name)


def test_a_network_that_is_defined_again_replaces_the_one_before():
    """As a notebook does it, under the same name."""
    config = RunConfig(model={"arch": "small"}).model
    narrow = sum(layer.params for layer in describe(config, classes=2, image_size=32))
    register_backbone(small_vit, "small")
    assert sum(layer.params for layer in describe(config, classes=2, image_size=32)) != narrow
