"""The distance from the known photos: by its formula, as a share, kept in the run, and in use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kvgg_jax import load_classifier, predict
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Warned, ignore
from kvgg_jax.inference.known_photos import FILE, RIDGE, SMALL, KnownPhotos, current, fit
from kvgg_jax.inference.prediction import Typicality
from kvgg_jax.runs.folder import Run
from support.commands import kvgg, message
from support.images import noise
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of none of the classes."""
    file = tmp_path_factory.mktemp("unknown") / "noise.png"
    Image.fromarray(noise(32)).save(file)
    return file


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A run of one's own."""
    return Path(shutil.copytree(trained.run, tmp_path / "x"))


def test_the_distance_is_that_of_mahalanobis_to_the_nearest_class() -> None:
    """Of standardized values, with the covariance within the classes, by its definition."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20)
    vectors = (rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)) + labels[:, None]).astype("f4")
    others = rng.normal(size=(5, 4)).astype(np.float32)
    known = fit(vectors, labels, others)
    scale = vectors.std(axis=0) + SMALL
    means = np.stack([vectors[labels == k].mean(axis=0) for k in range(3)])
    within = np.cov(((vectors - means[labels]) / scale).T, bias=True)
    inverse = np.linalg.inv(within + (RIDGE * within.trace() / 4 + SMALL) * np.eye(4))
    away = (others[:, None] - means) / scale
    squares = np.einsum("nci,ij,ncj->nc", away, inverse, away)
    expected = np.sqrt(squares.min(axis=1))
    np.testing.assert_allclose(known.distance(others), expected, rtol=1e-4)
    np.testing.assert_allclose(known.distances, np.sort(expected), rtol=1e-4)


def test_a_value_that_never_changes_and_a_class_of_one_photo_do_no_harm() -> None:
    vectors = np.array([[0, 5], [1, 5], [4, 5]], np.float32)
    known = fit(vectors, np.array([0, 0, 2]), vectors)
    assert known.means.shape == (2, 2)
    assert np.isfinite(known.distances).all()


def test_typicality_is_the_share_that_is_as_far() -> None:
    """Of the known photos and the photo itself."""
    typicality = Typicality(np.array([1.0, 2.0, 3.0]), 0.05)
    found = [typicality.of(distance) for distance in (0.5, 1.0, 1.5, 3.0, 4.0)]
    assert found == [1.0, 1.0, 0.75, 0.5, 0.25]


@given(
    st.lists(st.floats(0, 100, width=32), min_size=1, max_size=80),
    st.floats(0, 1),
    st.floats(0, 200, width=32),
)
def test_at_most_the_share_asked_for_is_refused(
    distances: list[float], below: float, distance: float
) -> None:
    """Of the photos that set the threshold; and a file says the same as `Typicality`."""
    array = np.sort(np.array(distances, np.float32))
    typicality = Typicality(array, below)
    refused = [typicality.of(one) < below for one in array]
    assert np.mean(refused) <= below
    nothing = np.zeros((1, 1), np.float32)
    farthest = KnownPhotos(nothing, nothing[0], nothing, array).farthest(below)
    is_unknown = farthest is not None and distance > farthest
    assert is_unknown == (typicality.of(distance) < below)


def test_a_run_keeps_what_tells_unknown_photos_for_its_weights(run: Path) -> None:
    """Not for others; a run from before there was any has none, and nothing is said."""
    heard: list[object] = []
    state = load_classifier(run).state
    found = current(Run(run), state, heard.append)
    assert found is not None
    assert (found.kernel.shape, found.means.shape) == ((64, 29), (3, 29))
    assert len(found.distances) == len(Run(run).split().val) == 7
    assert heard == []
    assert current(Run(run), "of another", heard.append) is None
    assert heard == [
        Warned(
            f"{run}/known.npz was fitted to other weights than the run's best ones now; not used. "
            f"Fit it again: kvgg calibrate --run {run}"
        )
    ]
    (run / FILE).unlink()
    assert current(Run(run), state, ignore) is None


@pytest.mark.parametrize("harm", ["text", "half", "lacks", "shape", "nan", "pickle"])
def test_a_damaged_file_is_named(run: Path, harm: str) -> None:
    file = run / FILE
    with np.load(file) as kept:
        arrays = dict(kept)
    match harm:
        case "text":
            file.write_text("nothing")
        case "half":
            file.write_bytes(file.read_bytes()[:2000])
        case "lacks":
            np.savez(file, state=arrays["state"])
        case "shape":
            np.savez(file, **{**arrays, "bias": arrays["bias"][:-1]})
        case "nan":
            np.savez(file, **{**arrays, "bias": arrays["bias"] * np.float32("nan")})
        case "pickle":
            np.savez(file, **{**arrays, "bias": np.array([print])}, allow_pickle=True)
    with pytest.raises(RunError) as caught:
        current(Run(run), str(arrays["state"]), ignore)
    assert str(caught.value) == f"{file} is damaged. Fit it again: kvgg calibrate --run {run}"


def test_predict_says_unknown_of_a_photo_unlike_those_of_training(
    trained: Trained, unknown: Path
) -> None:
    """By the share of known photos that may be refused: with seven, an eighth at least."""
    photo = next((trained.photos / "red").iterdir())
    (known,), (other,) = (
        predict(file, trained.run, unknown_below=0.2) for file in (photo, unknown)
    )
    assert (known.unknown, other.unknown) == (False, True)
    assert (other.typicality, other.unknown_below) == (1 / 8, 0.2)
    assert known.typicality is not None
    assert known.typicality > 1 / 8
    (at_first,), (never,) = (
        predict(unknown, trained.run, unknown_below=below) for below in (None, 0)
    )
    assert (at_first.unknown, at_first.unknown_below) == (False, 0.05)
    assert (never.unknown, never.typicality) == (False, 1 / 8)


def test_a_photo_keeps_its_probabilities_whatever_is_measured(run: Path, unknown: Path) -> None:
    """A run without it gives the same ones."""
    (one,) = predict(unknown, run)
    (run / FILE).unlink()
    (other,) = predict(unknown, run)
    assert dict(one.top) == pytest.approx(dict(other.top), abs=1e-6)
    assert (other.unknown, other.unknown_below, other.typicality) == (False, None, None)


def test_the_command_says_unknown(trained: Trained, unknown: Path) -> None:
    """Before the class that is nearest; JSON has the figures."""
    asked = ("predict", unknown, "--run", trained.run, "--unknown-below", "0.2")
    (one,) = json.loads(kvgg(*asked, "--json").stdout)
    assert (one["unknown"], one["unknown_below"], one["typicality"]) == (True, 0.2, 0.125)
    assert kvgg(*asked).stdout == (
        f"{unknown}: unknown (typicality 12.5%, below 20.0%): "
        f"{one['class']} {one['probability']:.1%}\n"
    )


def test_a_threshold_out_of_range_is_one_message(trained: Trained, unknown: Path) -> None:
    result = kvgg("predict", unknown, "--run", trained.run, "--unknown-below", "1.5")
    assert (result.exit_code, message(result)) == (
        2,
        "Error: Invalid value for '--unknown-below': Input should be less than or equal to 1\n",
    )
    with pytest.raises(ValueError, match=r"^unknown_below -1: a share of photos is in \[0, 1\]$"):
        predict(unknown, trained.run, unknown_below=-1)


def test_a_threshold_for_a_run_that_measures_nothing_is_refused(run: Path, unknown: Path) -> None:
    (run / FILE).unlink()
    with pytest.raises(RunError) as caught:
        predict(unknown, run, unknown_below=0.1)
    assert str(caught.value) == (
        f"{run} has no known.npz, which tells unknown photos. Fit it: kvgg calibrate --run {run}"
    )
