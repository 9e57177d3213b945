"""Exports: each read by its own runtime alone, with the probabilities of `predict`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from kvgg_jax import evaluate, export, load_classifier, predict, vgg
from kvgg_jax.core.errors import DataError, KvggError, MissingExtra, RunError, UsageError
from kvgg_jax.core.events import ignore
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.folder import Samples
from kvgg_jax.export import exporter, keras_file, saved_model, stablehlo
from kvgg_jax.export.exporter import FORMATS, Export, Int8
from kvgg_jax.inference.classifier import Classifier
from kvgg_jax.inference.temperature import apply_temperature
from kvgg_jax.models.build import variable_names
from kvgg_jax.runs.folder import Run
from support.commands import calibrate_at, kvgg, message
from support.runs import draw_photos

pytestmark = [
    pytest.mark.usefixtures("thin_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own
]

SIZE = 64  # at which 2x2 features reach the head, and their order matters
CLASSES = ("blue", "green", "red")


def needs(format: str) -> None:
    """Skips where the extra of a format is not installed."""
    extra = FORMATS[format].extra
    if extra and importlib.util.find_spec(extra) is None:
        pytest.skip(f'needs pip install "kvgg_jax[{extra}]"')


@pytest.fixture(scope="module")
def run(finished: Path) -> Classifier:
    """Of a run with global average pooling, its photos beside it."""
    return load_classifier(finished)


@pytest.fixture(scope="module")
def drawn(run: Classifier) -> Classifier:
    """A network with all kinds of layers, batch norm that has seen things, in bfloat16."""
    changes = {"head": "16,8", "batch_norm": True, "dropout": 0.5}
    config = run.config.with_data(image_size=SIZE).with_train(precision="bfloat16")
    config = config.model_copy(update={"model": config.model.model_copy(update=changes)})
    model = vgg(config.model, classes=3, image_size=SIZE, precision="bfloat16", seed=None)
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if len(variable.shape) > 1:
            spread = (2 / np.prod(variable.shape[:-1])) ** 0.5
            variable.assign(rng.normal(0, spread, variable.shape))
        elif variable.dtype == "float32":
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    weights = tuple(
        {name: np.asarray(v.value) for name, v in zip(variable_names(part), part, strict=True)}
        for part in (model.trainable_variables, model.non_trainable_variables)
    )
    return replace(run, config=config, weights=weights)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Six pictures as the network takes them."""
    folder = draw_photos(tmp_path_factory.mktemp("pictures") / "p", per_class=2, size=SIZE)
    return np.stack([load(file, SIZE) for file in sorted(folder.rglob("*.png"))])


@pytest.fixture(scope="module")
def expected(drawn: Classifier, pictures: np.ndarray) -> np.ndarray:
    """What the network of this package gives for them, in float32."""
    model = vgg(drawn.config.model, classes=3, image_size=SIZE, seed=None)
    params, state = drawn.weights
    values = {**params, **state}
    lists = (
        [values[name] for name in variable_names(part)]
        for part in (model.trainable_variables, model.non_trainable_variables)
    )
    logits, _ = jax.jit(lambda x: model.stateless_call(*lists, x))(pictures / np.float32(255))
    return np.asarray(jax.nn.softmax(logits))


def about(file: Path) -> dict[str, Any]:
    return json.loads(file.with_name(f"{file.name}.json").read_text())


# Each format by its own runtime


def test_keras_loads_it_safely_without_this_package(
    drawn: Classifier, pictures: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """In safe mode, on another backend, for uint8 and float pictures alike; classes beside it."""
    result = export("keras", drawn, output=tmp_path / "x.keras")
    assert result.difference <= 1e-4
    np.save(tmp_path / "pictures.npy", pictures)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.models.load_model('x.keras')\n"
        "pictures = np.load('pictures.npy')\n"
        "np.savez('found.npz', *(model(x) for x in (pictures, pictures.astype('float32'))))\n"
        "print(keras.backend.backend(), 'kvgg_jax' in sys.modules, model.input_shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"numpy False (None, {SIZE}, {SIZE}, 3)\n", done.stderr
    for found in np.load(tmp_path / "found.npz").values():
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert about(result.path)["classes"] == list(CLASSES)


@pytest.fixture(scope="module")
def saved_model_export(calibrated: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Which takes a process of TensorFlow's."""
    return export("saved-model", calibrated, output=tmp_path_factory.mktemp("saved") / "x")


def test_tensorflow_serves_it_with_its_own_operations(
    saved_model_export: Export, pictures: np.ndarray, expected: np.ndarray
) -> None:
    """None of XLA's, so that TensorFlow Lite and any device take it; classes inside."""
    from kvgg_jax.core.tf_gate import tf

    result = saved_model_export
    loaded = tf.saved_model.load(str(result.path))
    serve = loaded.signatures["serving_default"]
    found = serve(tf.constant(pictures))["probabilities"].numpy()
    np.testing.assert_allclose(found, apply_temperature(expected, 2.5), rtol=0, atol=1e-4)
    graph = serve.graph.as_graph_def()
    used = {n.op for f in graph.library.function for n in f.node_def}
    assert {"Conv2D", "MaxPool", "MatMul", "Softmax"} <= used
    assert not any("Xla" in op for op in used)
    beside = json.loads((result.path / "assets.extra" / "classes.json").read_text())
    assert beside["classes"] == list(CLASSES)
    assert result.size == sum(f.stat().st_size for f in result.path.rglob("*") if f.is_file())


@pytest.mark.extras
def test_onnxruntime_runs_it(
    drawn: Classifier, pictures: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """Nodes are ONNX's own, one a layer; classes are in the metadata."""
    needs("onnx")
    import onnx
    import onnxruntime

    result = export("onnx", drawn, output=tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(result.path)
    (found,) = session.run(["probabilities"], {"image": pictures})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    (single,) = session.run(None, {"image": pictures[:1]})
    np.testing.assert_allclose(single, expected[:1], rtol=0, atol=1e-4)
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == list(CLASSES)
    graph = onnx.load(result.path).graph
    assert [node.op_type for node in graph.node][:4] == ["Cast", "Transpose", "Mul", "Conv"]
    assert {node.domain for node in graph.node} == {""}


def test_jax_export_runs_it_for_any_batch(
    drawn: Classifier, pictures: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """Stock operations alone: a convolution a layer and platform, and none of the loops that the
    fast one is made of; classes beside it."""
    result = export("stablehlo", drawn, output=tmp_path / "x.stablehlo")
    program = jax.export.deserialize(bytearray(result.path.read_bytes()))
    for count in (len(pictures), 1):
        found = program.call(pictures[:count])
        np.testing.assert_allclose(found, expected[:count], rtol=0, atol=1e-4)
    assert program.platforms == ("cpu", "cuda", "rocm", "tpu")
    text = program.mlir_module()
    convolutions = [one for one in drawn.model.layers if isinstance(one, keras.layers.Conv2D)]
    assert text.count("stablehlo.convolution") == len(convolutions) * len(program.platforms)
    assert "stablehlo.while" not in text
    assert about(result.path)["classes"] == list(CLASSES)


def test_safetensors_has_the_weights_to_the_bit(drawn: Classifier, tmp_path: Path) -> None:
    """By layer name, with the settings and classes that rebuild the network in the header."""
    needs("safetensors")
    from safetensors import safe_open

    result = export("safetensors", drawn, output=tmp_path / "x.safetensors")
    params, state = drawn.weights
    kept = {k: v for k, v in {**params, **state}.items() if "seed_generator" not in k}
    with safe_open(result.path, framework="numpy") as file:
        assert set(file.keys()) == set(kept)
        for name, values in kept.items():
            np.testing.assert_array_equal(file.get_tensor(name), values)
        said = {key: json.loads(value) for key, value in file.metadata().items()}
    assert said["classes"] == list(CLASSES)
    assert said["model"] == drawn.config.model.model_dump(exclude={"weights", "freeze"})
    assert result.path.stat().st_mode & 0o044  # save_file would let nobody else read it


@pytest.mark.parametrize(
    "format",
    [
        pytest.param("saved-model", marks=pytest.mark.faults),  # a process of TensorFlow's
        "stablehlo",
        "safetensors",
    ],
)
def test_an_average_pooled_network_is_read_back_as_it_is(
    run: Classifier, tmp_path: Path, format: str
) -> None:
    """As `export` itself compares it with `predict`; a folder takes the file under its name."""
    needs(format)
    name = FORMATS[format].file
    result = export(format, run, output=tmp_path / name if format == "saved-model" else tmp_path)
    assert result.difference <= 1e-5
    assert (result.path, result.format, result.int8) == (tmp_path / name, format, None)
    beside = {f"{name}.json"} if format == "stablehlo" else set()
    assert {path.name for path in tmp_path.iterdir()} == {name} | beside


# Calibration


@pytest.fixture(scope="module")
def calibrated(drawn: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """`drawn` of a run with a temperature of 2.5."""
    run = Run(shutil.copytree(drawn.run.path, tmp_path_factory.mktemp("calibrated") / "run"))
    calibrate_at(2.5, run, drawn.state)
    return replace(drawn, run=run)


@pytest.mark.parametrize("format", ["keras", "saved-model", "stablehlo"])
def test_a_calibrated_run_is_exported_with_its_temperature(
    calibrated: Classifier,
    pictures: np.ndarray,
    expected: np.ndarray,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    format: str,
) -> None:
    """In the graph, where programs of others need not know of it; what is beside it says so."""
    if format == "saved-model":
        result = request.getfixturevalue("saved_model_export")
    else:
        result = export(format, calibrated, output=tmp_path / FORMATS[format].file)
    assert (result.temperature, result.difference <= 1e-4) == (2.5, True)
    read = {"keras": keras_file, "saved-model": saved_model, "stablehlo": stablehlo}[format].read
    softened = apply_temperature(expected, 2.5)
    assert np.abs(softened - expected).max() > 0.1
    np.testing.assert_allclose(read(result.path)(pictures), softened, rtol=0, atol=1e-4)
    inside = result.path / saved_model.ABOUT
    said = json.loads(inside.read_text()) if format == "saved-model" else about(result.path)
    assert said["temperature"] == 2.5


def test_raw_leaves_the_calibration_out(
    calibrated: Classifier, pictures: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """The probabilities are the network's own, and said to be."""
    result = export("stablehlo", calibrated, output=tmp_path / "x.stablehlo", raw=True)
    assert (result.temperature, about(result.path)["temperature"]) == (None, None)
    found = stablehlo.read(result.path)(pictures)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_weights_alone_have_the_temperature_in_their_header(
    calibrated: Classifier, tmp_path: Path
) -> None:
    """And what to do with it."""
    needs("safetensors")
    from safetensors import safe_open

    for raw, temperature, divided in ((False, 2.5, "logits / temperature"), (True, None, "logits")):
        file = tmp_path / f"{raw}.safetensors"
        assert export("safetensors", calibrated, output=file, raw=raw).difference <= 1e-4
        with safe_open(file, framework="numpy") as opened:
            said = {key: json.loads(value) for key, value in opened.metadata().items()}
        assert said["temperature"] == temperature
        assert said["output"] == (f"the weights alone: softmax({divided}), in the order of classes")


# int8


@pytest.mark.extras
def test_int8_says_what_it_costs_on_the_validation_photos(
    run: Classifier, finished: Path, tmp_path: Path
) -> None:
    """Accuracy before is that of `evaluate`, after that of the file itself, which is a quarter as
    large; `data` says where the photos are."""
    needs("onnx")
    whole = export("onnx", run, output=tmp_path / "whole.onnx")
    photos = shutil.copytree(finished.parents[1] / "photos", tmp_path / "photos")
    small = export("onnx", run, output=tmp_path / "small.onnx", quantize="int8", data=photos)
    evaluated = evaluate(finished)
    found = predict(evaluated.samples.files(), small.path)
    right = [o.label == CLASSES[k] for o, k in zip(found, evaluated.samples.labels, strict=True)]
    assert small.int8 == Int8(
        float(np.mean(right)), pytest.approx(evaluated.accuracy), evaluated.count
    )
    assert small.size < 0.4 * whole.size
    assert 0 < small.difference < 0.2
    rows = [[p for _, p in one.top] for one in found]  # in float32: of 256 levels they would not
    np.testing.assert_allclose(np.sum(rows, axis=1), 1, atol=1e-6)
    assert any(p * 255 % 1 > 0.01 for row in rows for p in row)


def test_int8_names_a_validation_photo_that_cannot_be_read(
    run: Classifier, finished: Path, tmp_path: Path
) -> None:
    """It is judged on all of them or on none."""
    photos = shutil.copytree(finished.parents[1] / "photos", tmp_path / "photos")
    lost = Run(finished).split(photos).val.files()[0]
    lost.unlink()
    output = tmp_path / "x.keras"
    with pytest.raises(DataError) as caught:
        export("keras", run, output=output, quantize="int8", data=photos)
    assert str(caught.value) == (
        f"int8 is judged on all validation photos. {lost}: does not exist. Check the path."
    )
    assert not output.exists()


def test_int8_sees_training_photos_from_first_to_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may lie class by class: each has its share."""
    labels = tuple(label for label in range(4) for _ in range(48))
    samples = Samples(Path(), tuple(map(str, range(192))), labels, tuple("abcd"))
    monkeypatch.setattr(exporter, "load", lambda file, size: np.array(int(file.name)))
    escape_name = np.concatenate(list(exporter._images(samples, 32, ignore)))
    assert np.bincount(escape_name // 48).tolist() == [32, 32, 32, 32]


def test_int8_without_the_photos_says_where_it_looked(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the long work."""
    gone = Run(finished).config().with_data(dir=str(tmp_path / "gone"))
    monkeypatch.setattr(Run, "config", lambda self: gone)
    with pytest.raises(DataError) as caught:
        export("keras", finished, output=tmp_path / "x.keras", quantize="int8")
    assert str(caught.value) == (
        f"int8 is judged on the run's photos, and {tmp_path / 'gone'} is not there. "
        "Say where they are: --data DIR"
    )


# What is delivered, and what is not


def test_a_file_that_answers_otherwise_is_not_kept(
    run: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read back before it is put in place, and what was there stays."""
    (tmp_path / "x.keras").write_text("old")
    monkeypatch.setattr(keras_file, "read", lambda file: lambda images: np.ones((8, 3)) / 3)
    with pytest.raises(RunError, match="The keras file answers otherwise than the run") as caught:
        export("keras", run, output=tmp_path / "x.keras", overwrite=True)
    assert str(caught.value).endswith("away. It was not kept; please report it.")
    assert [path.name for path in tmp_path.iterdir()] == ["x.keras"]
    assert (tmp_path / "x.keras").read_text() == "old"


@pytest.mark.parametrize(
    ("format", "options", "kind", "expected"),
    [
        (
            "h5",
            {},
            UsageError,
            "--format h5: use keras, saved-model, onnx, stablehlo, safetensors.",
        ),
        ("keras", {"quantize": "int4"}, UsageError, "--quantize int4: use int8."),
        (
            "stablehlo",
            {"quantize": "int8"},
            UsageError,
            "--quantize: stablehlo has no int8; use --format keras or onnx.",
        ),
        (
            "keras",
            {"data": "photos"},
            UsageError,
            "--data: only --quantize int8 looks at photos.",
        ),
        (
            "keras",
            {"output": "x.h5"},
            UsageError,
            "--output x.h5: the name must end in .keras.",
        ),
        (
            "saved-model",
            {"output": "."},
            RunError,
            ". already exists. Choose another --output, or replace it with --overwrite.",
        ),
    ],
)
def test_what_cannot_be_exported_is_said_at_once(
    finished: Path, format: str, options: dict[str, Any], kind: type[KvggError], expected: str
) -> None:
    """Before anything is loaded."""
    with pytest.raises(kind) as caught:
        export(format, finished, **options)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("format", "missing"), [("onnx", "onnxruntime"), ("safetensors", "safetensors")]
)
def test_a_missing_extra_is_answered_with_the_command_that_adds_it(
    finished: Path, monkeypatch: pytest.MonkeyPatch, format: str, missing: str
) -> None:
    """Before anything is loaded."""
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1" if name == "onnx" else known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(MissingExtra) as caught:
        export(format, finished)
    assert str(caught.value) == (
        f"--format {format} needs {missing}, which is not installed. "
        f'Add it: pip install "kvgg_jax[{format}]"'
    )


# The command


def test_export_is_what_the_documents_promise(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines or JSON, on stdout alone; a second export is refused, --overwrite replaces the
    first. Keras' int8 is judged as well."""
    monkeypatch.chdir(tmp_path)
    arguments = ("export", "--format", "keras", "--run", finished, "--output", "x.keras")
    result = kvgg(*arguments)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first == f"Wrote x.keras: keras, {Path('x.keras').stat().st_size / 1e6:.1f} MB"
    assert second.startswith("Read back: the probabilities of predict, to ")
    refused = kvgg(*arguments)
    assert (refused.exit_code, message(refused)) == (
        1,
        "Error: x.keras already exists. Choose another --output, or replace it with --overwrite.\n",
    )
    again = kvgg(*arguments, "--overwrite", "--quantize", "int8", "--json")
    assert again.exit_code == 0, again.output
    printed, evaluated = json.loads(again.stdout), evaluate(finished)
    assert list(printed) == [
        "run",
        "path",
        "format",
        "bytes",
        "temperature",
        "max_difference",
        "seconds",
        "int8",
    ]
    assert (printed["run"], printed["path"]) == (str(finished), "x.keras")
    assert printed["bytes"] == Path("x.keras").stat().st_size
    assert list(printed["int8"]) == ["accuracy", "float_accuracy", "count"]
    assert printed["int8"]["float_accuracy"] == pytest.approx(evaluated.accuracy)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.keras", "x.keras.json"]


@pytest.mark.parametrize("format", ["keras", "stablehlo"])
def test_a_file_where_the_class_names_would_go_is_left_alone(
    finished: Path, tmp_path: Path, format: str
) -> None:
    """It is not ours, and `--overwrite` was not said."""
    output = tmp_path / f"beans.{format}"
    theirs = tmp_path / f"{output.name}.json"
    theirs.write_text("mine")
    with pytest.raises(RunError) as caught:
        export(format, finished, output=output)
    assert str(caught.value) == (
        f"{theirs} already exists. Choose another --output, or replace it with --overwrite."
    )
    assert (theirs.read_text(), list(tmp_path.iterdir())) == ("mine", [theirs])
