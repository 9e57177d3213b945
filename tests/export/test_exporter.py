"""Exports: what is written, checked, delivered and refused, whatever the format."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import resource
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kvgg_jax import evaluate, export, predict
from kvgg_jax.core.errors import DataError, KvggError, MissingExtra, RunError, UsageError
from kvgg_jax.core.events import ignore
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.export import exporter, keras_file, saved_model, stablehlo
from kvgg_jax.export.exporter import FORMATS, Int8
from kvgg_jax.export.graph import portable
from kvgg_jax.export.output import delivered
from kvgg_jax.inference.classifier import Classifier
from kvgg_jax.inference.known_photos import KnownPhotos, current
from kvgg_jax.inference.prediction import Outputs
from kvgg_jax.inference.temperature import apply_temperature
from kvgg_jax.models.functional import make_embed_step
from kvgg_jax.runs.folder import Run
from support.commands import kvgg, message
from support.exports import CLASSES, about, needs
from support.images import noise
from support.users import nobody

pytestmark = [
    pytest.mark.usefixtures("thin_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own
]


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


# Photos that are not square


@pytest.mark.parametrize(
    ("resize", "sentence"),
    [
        ("squash", "the whole image to a square, its sides scaled apart"),
        ("crop", "the largest square in the middle of the image, scaled"),
        (
            "pad",
            "the whole image in the middle, its longer side scaled, RGB (128, 128, 128) beside it",
        ),
    ],
)
def test_a_file_says_how_photos_become_squares(
    run: Classifier, tmp_path: Path, resize: Resize, sentence: str
) -> None:
    """In a word, and in a sentence: it does not resize by itself."""
    other = replace(run, config=run.config.with_data(resize=resize))
    written = about(export("stablehlo", other, output=tmp_path).path)
    assert written["resize"] == resize
    assert written["resizing"] == f"before: {sentence}; bilinear with antialiasing"


def test_int8_sees_photos_as_the_run_resizes_them(run: Classifier, tmp_path: Path) -> None:
    """Those it is calibrated on, and those it is evaluated on."""
    Image.fromarray(noise(64)[:24]).save(tmp_path / "wide.png")
    samples = Samples(Folder(tmp_path), ("wide.png",), (0,), ("blue", "green", "red"))
    other = replace(run, config=run.config.with_data(resize="pad"))
    expected = load(tmp_path / "wide.png", 32, "pad")[None]
    (calibrated,) = exporter._images(samples, other, ignore)
    np.testing.assert_array_equal(calibrated, expected)
    seen: list[np.ndarray] = []
    ones = Outputs(np.ones((1, 3)))
    exporter._probabilities(samples, other, lambda x: seen.append(x) or ones, ignore)
    np.testing.assert_array_equal(seen, [expected])


# Calibration


@pytest.mark.parametrize("format", ["keras", "saved-model", "stablehlo"])
def test_a_calibrated_run_is_exported_with_its_temperature(
    calibrated: Classifier,
    images: np.ndarray,
    expected: np.ndarray,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    format: str,
) -> None:
    """In the graph, so other programs need not know of it; the file beside it has it too."""
    if format == "saved-model":
        result = request.getfixturevalue("saved_model_export")
    else:
        result = export(format, calibrated, output=tmp_path / FORMATS[format].file)
    assert (result.temperature, result.difference <= 1e-4) == (2.5, True)
    read = {"keras": keras_file, "saved-model": saved_model, "stablehlo": stablehlo}[format].read
    softened = apply_temperature(expected, 2.5)
    assert np.abs(softened - expected).max() > 0.1
    found = read(result.path)(images)
    np.testing.assert_allclose(found.probabilities, softened, rtol=0, atol=1e-4)
    inside = result.path / saved_model.ABOUT
    written = json.loads(inside.read_text()) if format == "saved-model" else about(result.path)
    assert written["temperature"] == 2.5


def test_raw_leaves_the_calibration_out(
    calibrated: Classifier, images: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """The probabilities are the network's own, and marked as such."""
    result = export("stablehlo", calibrated, output=tmp_path / "x.stablehlo", raw=True)
    assert (result.temperature, about(result.path)["temperature"]) == (None, None)
    found = stablehlo.read(result.path)(images)
    np.testing.assert_allclose(found.probabilities, expected, rtol=0, atol=1e-4)


# Unknown photos


@pytest.mark.parametrize(
    "format",
    [
        pytest.param("onnx", marks=pytest.mark.extras),
        pytest.param("litert", marks=pytest.mark.faults),  # processes of TensorFlow's
        pytest.param("saved-model", marks=pytest.mark.faults),
    ],
)
def test_a_file_measures_what_tells_unknown_photos(
    run: Classifier, tmp_path: Path, format: str
) -> None:
    """The distances of the run, and what they mean: with that, no kvgg is needed."""
    needs(format)
    result = export(format, run, output=tmp_path / FORMATS[format].file)
    assert result.unknown_below == 0.05
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    embeddings = make_embed_step(run.config.model)(*run.weights, images)[0]
    known = current(run.run, run.state, ignore)
    assert known is not None
    expected = known.distance(np.asarray(embeddings))
    found = reader(format).read(result.path)(images)
    np.testing.assert_allclose(found.distances, expected, rtol=1e-3)
    assert exporter._about(run, None, known)["unknown"] == {
        "output": "distance: float32 [batch], to the nearest class of training photos",
        "rule": "a photo is unknown where it is above `above`; none is where that is null",
        "above": None,  # of two validation photos
        "unknown_below": 0.05,
        "distances": known.distances.tolist(),
    }


def test_a_file_with_other_distances_is_not_kept(
    run: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its probabilities are right; nothing is written."""
    needs("onnx")
    distance = KnownPhotos.distance
    monkeypatch.setattr(KnownPhotos, "distance", lambda *given: 1.1 * distance(*given))
    with pytest.raises(RunError) as caught:
        export("onnx", run, output=tmp_path / "x.onnx")
    assert str(caught.value) == (
        "The onnx file gives other distances from the known photos than the run. It was not kept; "
        "please report it."
    )
    assert list(tmp_path.iterdir()) == []


# int8


@pytest.mark.extras
def test_int8_reports_what_it_costs_on_the_validation_photos(
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
    """It is evaluated on all of them or on none."""
    photos = shutil.copytree(finished.parents[1] / "photos", tmp_path / "photos")
    lost = Run(finished).split(Folder(photos)).val.files()[0]
    lost.unlink()
    output = tmp_path / "x.keras"
    with pytest.raises(DataError) as caught:
        export("keras", run, output=output, quantize="int8", data=photos)
    assert str(caught.value) == (
        f"int8 is evaluated on all validation photos. {lost}: does not exist. Check the path."
    )
    assert not output.exists()


def test_int8_sees_training_photos_from_first_to_last(
    run: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be sorted by class: each has its share."""
    labels = tuple(label for label in range(4) for _ in range(48))
    samples = Samples(Folder(Path()), tuple(map(str, range(192))), labels, tuple("abcd"))
    monkeypatch.setattr(Samples, "load", lambda self, i, *_: np.array(int(self.paths[i])))
    places = np.concatenate(list(exporter._images(samples, run, ignore)))
    assert np.bincount(places // 48).tolist() == [32, 32, 32, 32]


def test_int8_without_the_photos_names_their_folder(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the long work."""
    gone = Run(finished).config().with_data(dir=str(tmp_path / "gone"))
    monkeypatch.setattr(Run, "config", lambda self: gone)
    with pytest.raises(DataError) as caught:
        export("keras", finished, output=tmp_path / "x.keras", quantize="int8")
    assert str(caught.value) == (
        f"int8 is evaluated on the run's photos, and {tmp_path / 'gone'} does not exist. "
        "Give their folder: --data DIR"
    )


# What is delivered, and what is not


def test_a_file_with_other_probabilities_is_not_kept(
    run: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read back before it is put in place, and what was there stays."""
    (tmp_path / "x.keras").write_text("old")
    thirds = Outputs(np.ones((8, 3)) / 3)
    monkeypatch.setattr(keras_file, "read", lambda file: lambda images: thirds)
    with pytest.raises(
        RunError, match="The keras file gives other probabilities than the run"
    ) as caught:
        export("keras", run, output=tmp_path / "x.keras", overwrite=True)
    assert str(caught.value).endswith("apart. It was not kept; please report it.")
    assert [path.name for path in tmp_path.iterdir()] == ["x.keras"]
    assert (tmp_path / "x.keras").read_text() == "old"


@pytest.fixture
def written(drawn: Classifier) -> Callable[[str, Path], Path]:
    """Writes the network of `drawn` in a format, without the comparison."""

    def write(format: str, folder: Path) -> Path:
        needs(format)
        path = folder / FORMATS[format].file
        with delivered(path, overwrite=False) as new:
            reader(format).write(portable(drawn.model), new, exporter._about(drawn, None))
        return path

    return write


def reader(format: str) -> Any:
    return importlib.import_module(f"kvgg_jax.export.{FORMATS[format].module}")


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_without_space_is_one_message_and_nothing_is_left(
    written: Callable[[str, Path], Path], tmp_path: Path, format: str
) -> None:
    """Here a limit on the size of files takes its place, which libraries meet in the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, before[1]))
    try:
        with pytest.raises(RunError) as caught:
            written(format, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == (
        f"Cannot write {tmp_path / FORMATS[format].file}: File too large. Choose another --output."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "saved-model"])
def test_another_user_can_read_an_export_in_a_folder_that_is_read_only(
    written: Callable[[str, Path], Path], monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """As `nobody`, who may write nothing there."""
    with tempfile.TemporaryDirectory() as name:  # that of pytest is for its user alone
        file = written(format, Path(name))
        Path(name).chmod(0o555)
        images = np.zeros((1, 64, 64, 3), np.uint8)
        reader(format).read(file)(images)  # imports and compiles what nobody may not
        with nobody(Path(name)):
            with pytest.raises(PermissionError):
                (Path(name) / "new").touch()
            predict = reader(format).read(file)
        assert np.asarray(predict(images).probabilities).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("format", "options", "kind", "expected"),
    [
        (
            "h5",
            {},
            UsageError,
            "--format h5: use keras, saved-model, onnx, litert, stablehlo, safetensors.",
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
            "--data: only --quantize int8 reads photos.",
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
def test_what_cannot_be_exported_is_an_error_at_once(
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
    first. Keras' int8 is evaluated as well."""
    monkeypatch.chdir(tmp_path)
    arguments = ("export", "--format", "keras", "--run", finished, "--output", "x.keras")
    result = kvgg(*arguments)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first == f"Wrote x.keras: keras, {Path('x.keras').stat().st_size / 1e6:.1f} MB"
    assert second.startswith("Read back: probabilities differ from those of predict by at most ")
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
        "unknown_below",
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
    """It is not ours, and `--overwrite` was not given."""
    output = tmp_path / f"x.{format}"
    theirs = tmp_path / f"{output.name}.json"
    theirs.write_text("mine")
    with pytest.raises(RunError) as caught:
        export(format, finished, output=output)
    assert str(caught.value) == (
        f"{theirs} already exists. Choose another --output, or replace it with --overwrite."
    )
    assert (theirs.read_text(), list(tmp_path.iterdir())) == ("mine", [theirs])
