"""`predict` by an ONNX file: onnxruntime alone, and only what `export` made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax import export, load_classifier, predict
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Note
from kvgg_jax.inference import onnx_session
from kvgg_jax.inference.onnx_session import is_onnx, open_onnx
from kvgg_jax.runs.folder import Run
from support.commands import calibrate_at, kvgg, message
from support.images import noise
from support.runs import ROOT, draw_photos

pytest.importorskip("onnxruntime", reason='needs pip install "kvgg_jax[onnx]"')
onnx = pytest.importorskip("onnx", reason='needs pip install "kvgg_jax[onnx]"')
parser = pytest.importorskip("onnx.parser")

pytestmark = [
    pytest.mark.extras,
    pytest.mark.usefixtures("thin_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own
]


@pytest.fixture(scope="module")
def model(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as ONNX."""
    return export("onnx", finished, output=tmp_path_factory.mktemp("onnx") / "x.onnx").path


def test_predict_answers_as_with_the_run(finished: Path, model: Path, tmp_path: Path) -> None:
    """To 1e-4, a bad file included; from Python and by the command."""
    photos = shutil.copytree(finished.parents[1] / "photos", tmp_path / "photos")
    (photos / "bad.png").write_text("no image")
    by_run, by_file = predict(photos, finished), predict(photos, model)
    assert len(by_file) == 13
    for one, other in zip(by_run, by_file, strict=True):
        assert (one.path, one.error) == (other.path, other.error)
        assert dict(one.top) == pytest.approx(dict(other.top), abs=1e-4)
    result = kvgg("predict", photos, "--run", model, "--top", "3", "--json")
    assert result.exit_code == 1
    printed = json.loads(result.stdout)
    assert [one["path"] for one in printed] == [str(one.path) for one in by_file]
    assert printed[-1]["class"] == by_file[-1].label


def test_tta_is_that_of_the_run(finished: Path, model: Path) -> None:
    """To 1e-4."""
    photo = next((finished.parents[1] / "photos").glob("*/*"))
    (by_run,), (by_file,) = (predict(photo, of, tta=True) for of in (finished, model))
    assert dict(by_run.top) == pytest.approx(dict(by_file.top), abs=1e-4)


def test_photos_are_resized_as_the_file_says(finished: Path, tmp_path: Path) -> None:
    """As with the run; a file from before it said so squashes them, another word is refused."""
    photo, run = tmp_path / "wide.png", load_classifier(finished)
    Image.fromarray(noise(64)[:24]).save(photo)
    run = replace(run, config=run.config.with_data(resize="crop"))
    file = export("onnx", run, output=tmp_path / "x.onnx").path
    (by_run,), (by_file,) = predict(photo, run), predict(photo, file)
    assert dict(by_run.top) == pytest.approx(dict(by_file.top), abs=1e-4)
    assert open_onnx(file).resize == "crop"
    loaded = onnx.load(file)
    (entry,) = [one for one in loaded.metadata_props if one.key == "resize"]
    entry.value = '"stretch"'
    onnx.save(loaded, file)
    with pytest.raises(RunError, match="was not made by kvgg export"):
        open_onnx(file)
    loaded.metadata_props.remove(entry)
    onnx.save(loaded, file)
    assert open_onnx(file).resize == "squash"


@pytest.fixture(scope="module")
def calibrated(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run at a temperature of 8, which few answers of its are sure at."""
    run = shutil.copytree(finished, tmp_path_factory.mktemp("calibrated") / "run")
    calibrate_at(8.0, Run(run), load_classifier(run).state)
    return run


def test_a_calibrated_run_answers_as_calibrated(
    calibrated: Path, finished: Path, tmp_path: Path
) -> None:
    """As `predict` with the run: probabilities, the note on them, and what is unsure; --raw
    cannot be had of such a file, but of one that was exported so."""
    photos = finished.parents[1] / "photos"
    file = export("onnx", calibrated, output=tmp_path / "x.onnx").path
    heard: dict[Path, list[object]] = {calibrated: [], file: []}
    by_run, by_file = (
        predict(photos, one, emit=lambda event, one=one: heard[one].append(event)) for one in heard
    )
    for one, other in zip(by_run, by_file, strict=True):
        assert dict(one.top) == pytest.approx(dict(other.top), abs=1e-4)
        assert (other.calibrated, other.unsure_below, other.unsure) == (True, 0.7, one.unsure)
    note = Note("Probabilities are calibrated (temperature 8.000); below 70% it is unsure")
    assert [note in events for events in heard.values()] == [True, True]
    with pytest.raises(UsageError) as caught:
        predict(photos, file, raw=True)
    assert str(caught.value) == (
        f"--raw: the calibration is inside {file}. Export uncalibrated probabilities: "
        "kvgg export --format onnx --raw"
    )
    raw = kvgg(
        *("export", "--format", "onnx", "--run", calibrated, "--output", tmp_path / "raw.onnx"),
        "--raw",
    )
    assert raw.exit_code == 0, raw.output
    own = predict(photos, tmp_path / "raw.onnx", raw=True)
    for one, other in zip(predict(photos, finished), own, strict=True):
        assert dict(one.top) == pytest.approx(dict(other.top), abs=1e-4)
        assert (other.calibrated, other.unsure_below, other.unsure) == (False, None, False)


def test_neither_jax_nor_keras_is_loaded(finished: Path, model: Path) -> None:
    """So that an answer takes a second, and a small machine will do."""
    photo = finished.parents[1] / "photos" / "red" / "red_00.png"
    code = (
        "import atexit, sys\n"
        "heavy = ('jax', 'keras', 'tensorflow', 'orbax')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "from kvgg_jax.cli.main import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", str(photo), "--run", str(model)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    answer, loaded = done.stdout.splitlines()
    assert answer.startswith(f"{photo}: ")
    assert (loaded, done.stderr) == ("[]", "")


def test_a_folder_is_a_run_whatever_its_name(tmp_path: Path) -> None:
    """Only a file that ends in .onnx, or one that is not there, is taken for a model."""
    (tmp_path / "run.onnx").mkdir()
    assert [is_onnx(one) for one in (tmp_path / "run.onnx", tmp_path / "x.ONNX", "x.onnx")] == [
        False,
        True,
        True,
    ]
    assert [is_onnx(one) for one in (None, "x", 1)] == [False] * 3


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With the command that makes one."""
    result = kvgg("predict", "x.png", "--run", tmp_path / "x.onnx")
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: {tmp_path / 'x.onnx'} does not exist. Create it: kvgg export --format onnx\n",
    )


@pytest.mark.parametrize("content", [b"", b"no model", b"\x80\x04cos\nsystem\n."])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    """In one line; nothing is unpickled."""
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(RunError) as caught:
        open_onnx(tmp_path / "x.onnx")
    assert str(caught.value).startswith(f"{tmp_path / 'x.onnx'} is not a valid ONNX file: ")
    assert "\n" not in str(caught.value)


def with_metadata(model: Path, file: Path, key: str, value: str | None) -> None:
    """Writes `file`, which differs from `model` in that."""
    changed = onnx.load(model)
    kept = [prop for prop in changed.metadata_props if prop.key != key]
    del changed.metadata_props[:]
    changed.metadata_props.extend(kept)
    if value is not None:
        changed.metadata_props.add(key=key, value=value)
    onnx.save(changed, file)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("classes", value)
            for value in (
                None,
                "no json",
                "3",
                '["blue", "green"]',
                '["a", "a", "b"]',
                "[1, 2, 3]",
                "[" * 10**5,
            )
        ),
        *(("temperature", value) for value in ("no json", "true", '"2"', "5e-324", "NaN", "1e999")),
    ],
)
def test_a_model_that_does_not_say_its_classes_is_refused(
    model: Path, tmp_path: Path, key: str, value: str | None
) -> None:
    """None at all, or others than it has outputs: the wrong names would be given. Nor is one used
    whose temperature is none."""
    with_metadata(model, tmp_path / "x.onnx", key, value)
    with pytest.raises(RunError) as caught:
        predict(__file__, tmp_path / "x.onnx")
    assert str(caught.value) == (
        f"{tmp_path / 'x.onnx'} was not made by kvgg export: it lacks the class names or the "
        "image size."
    )


def test_a_model_of_the_time_before_temperatures_is_read(model: Path, tmp_path: Path) -> None:
    """Its probabilities were the network's own."""
    with_metadata(model, tmp_path / "x.onnx", "temperature", None)
    assert open_onnx(tmp_path / "x.onnx").temperatures == ()


def test_class_names_may_be_anything(model: Path, tmp_path: Path) -> None:
    """They are shown escaped; half characters come back as they were."""
    names = ["a\n[red]", "r\udce9d", "中"]
    with_metadata(model, tmp_path / "x.onnx", "classes", json.dumps(names))
    opened = open_onnx(tmp_path / "x.onnx")
    assert opened.classes == tuple(names)
    outputs = opened.predict(np.zeros((2, 32, 32, 3), np.uint8))
    assert outputs.probabilities.shape == (2, 3)


def by_hand(folder: Path, body: str) -> Path:
    """A file with what `export` writes, whose outputs `body` computes from `mean` [batch, 1]."""
    made = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        by_hand (uint8[batch, 8, 8, 3] image) => (float[batch, 2] probabilities) {{
            pixels = Cast <to = 1> (image)
            flat = Flatten (pixels)
            mean = ReduceMean <axes = [1]> (flat)
            {body}
        }}"""
    )
    made.metadata_props.add(key="classes", value='["a", "b"]')
    onnx.save(made, folder / "x.onnx")
    return folder / "x.onnx"


def of_constant(pair: str) -> str:
    return f"""zero = Sub (mean, mean)
            pair = Constant <value = float[1, 2] {{{pair}}}> ()
            probabilities = Add (zero, pair)"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return next(draw_photos(tmp_path / "photos", per_class=1).glob("*/*.png"))


def test_a_file_by_hand_that_gives_probabilities_is_used(tmp_path: Path, photo: Path) -> None:
    """So that the files below are refused for what they compute."""
    (one,) = predict(photo, by_hand(tmp_path, of_constant("0.25, 0.75")))
    assert one.top == (("b", 0.75), ("a", 0.25))


@pytest.mark.parametrize("pair", ["0.0, 5.0", "-0.5, 1.5", "0.25, 0.25", "{}"])
def test_what_a_file_computes_is_shown_only_where_it_is_probabilities(
    tmp_path: Path, photo: Path, pair: str
) -> None:
    """Not 500 %, not below zero, not a sum of a half, not NaN (the root of -1)."""
    nan = """minus = Constant <value = float[1, 2] {-1.0, -1.0}> ()
            zero = Sub (mean, mean)
            both = Add (zero, minus)
            probabilities = Sqrt (both)"""
    model = by_hand(tmp_path, nan if pair == "{}" else of_constant(pair))
    with pytest.raises(RunError) as caught:
        predict(photo, model)
    assert str(caught.value) == (
        f"{model} does not give probabilities: numbers from 0 to 1 with the sum 1 for each photo. "
        "Export the run again: kvgg export --format onnx"
    )


HUGE = """many = Constant <value = int64[1] {1099511627776}> ()
            pixel = Cast <to = 7> (mean)
            none = Sub (pixel, pixel)
            column = Add (none, many)
            shape = Reshape (column, one)
            large = ConstantOfShape (shape)
            sum = ReduceSum (large)
            zero = Sub (mean, mean)
            half = Constant <value = float[1, 2] {0.5, 0.5}> ()
            both = Add (zero, half)
            probabilities = Add (both, sum)"""
ENDLESS = """zero = Sub (mean, mean)
            always = Constant <value = bool {1}> ()
            half = Constant <value = float[1, 2] {0.5, 0.5}> ()
            start = Add (zero, half)
            probabilities = Loop (, always, start) <body = again (
                int64 i, bool before, float[batch, 2] x) => (bool after, float[batch, 2] y)
                { after = Identity (before)  y = Identity (x) }>"""


def test_a_file_that_wants_more_memory_than_there_is_is_an_error(
    tmp_path: Path, photo: Path
) -> None:
    """Four terabytes: one line, with what onnxruntime says."""
    one = "one = Constant <value = int64[1] {1}> ()\n            "
    model = by_hand(tmp_path, one + HUGE)
    result = kvgg("predict", photo, "--run", model)
    assert result.exit_code == 1
    assert message(result).startswith(f"Error: {model} cannot classify the photos: ")
    assert message(result).count("\n") == 1


def test_a_file_that_never_ends_is_stopped(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time it has grows with the photos, and is long; here it is short."""
    model = by_hand(tmp_path, ENDLESS)
    monkeypatch.setattr(onnx_session, "SECONDS_PER_IMAGE", 0.3)
    opened = open_onnx(model)
    monkeypatch.setattr(onnx_session, "LOAD_SECONDS", 0.0)
    before = {thread.name for thread in threading.enumerate() if thread.daemon}
    with pytest.raises(RunError) as caught:
        opened.predict(np.zeros((1, 8, 8, 3), np.uint8))
    assert str(caught.value) == (
        f"{model} cannot classify the photos: it took longer than 0 seconds"
    )
    assert {thread.name for thread in threading.enumerate() if thread.daemon} == before
