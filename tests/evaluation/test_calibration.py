"""A run calibrated: what is stored, who uses it, and when it is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from kvgg_jax import calibrate, evaluate, predict
from kvgg_jax.core.errors import DataError, RunError, UsageError
from kvgg_jax.core.events import Event, Note, Warned
from kvgg_jax.evaluation.calibration import (
    Calibrated,
    cross_fit,
    fit_temperature,
    remove_calibration,
)
from kvgg_jax.evaluation.metrics import losses
from kvgg_jax.inference.temperature import FILE, HIGHEST, LOWEST, apply_temperature, stored
from kvgg_jax.runs.folder import Run
from support.commands import kvgg, message
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos that no run knows, half of each class among the next: none can be right on all."""
    folder = tmp_path_factory.mktemp("others")
    photos = draw_photos(folder / "photos", per_class=6, size=40)  # no copies of those trained on
    folders = sorted(photos.iterdir())
    for file in sorted(photos.glob("*/*.png"))[::2]:
        following = folders[(folders.index(file.parent) + 1) % len(folders)]
        file.rename(following / file.name)
    return photos


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, finished: Path, others: Path) -> Calibrated:
    """A calibrated run, to be read and not written."""
    run = shutil.copytree(finished, tmp_path_factory.mktemp("calibrated") / "run")
    return calibrate(run, data=others)


def copy(done: Calibrated, tmp_path: Path) -> Path:
    return shutil.copytree(done.run, tmp_path / "run")


def test_what_is_stored_is_what_is_returned(done: Calibrated, others: Path) -> None:
    """With the photos it was fitted on, and the state it belongs to."""
    raw = evaluate(done.run, data=others, raw=True)
    of = done.calibration
    assert stored(Run(done.run)) == of
    assert (of.split, of.data, of.count) == ("all", str(others), 18)
    assert (of.state, of.wrong) == (raw.state, raw.wrong)
    assert of.before.loss == pytest.approx(raw.loss, rel=1e-5)
    assert of.before.calibration_error == raw.calibration_error


def test_evaluate_shows_the_calibrated_probabilities(done: Calibrated, others: Path) -> None:
    """Loss and scores are of them; no answer changes; `raw` gives the network's own."""
    raw, result = (evaluate(done.run, data=others, raw=raw) for raw in (True, False))
    expected = apply_temperature(raw.probabilities, done.calibration.temperature)
    np.testing.assert_array_equal(result.probabilities, expected)
    assert result.loss == losses(np.array(raw.samples.labels), expected).mean() < raw.loss
    assert result.confusion == raw.confusion
    assert (raw.calibration, result.calibration) == (None, done.calibration)


def test_predict_gives_the_probabilities_of_evaluate(done: Calibrated, others: Path) -> None:
    """Calibrated ones, within 1e-5; below 0.7 it is unsure, or below another threshold."""
    evaluated = evaluate(done.run, data=others)
    events: list[Any] = []
    found = predict(evaluated.samples.files(), done.run, emit=events.append)
    got = [[dict(one.top)[name] for name in evaluated.classes] for one in found]
    np.testing.assert_allclose(got, evaluated.probabilities, rtol=0, atol=1e-5)
    assert {(one.calibrated, one.unsure_below) for one in found} == {(True, 0.7)}
    assert [one.unsure for one in found] == [one.probability < 0.7 for one in found]
    temperature = done.calibration.temperature
    text = f"Probabilities are calibrated (temperature {temperature:.3f}); below 70% it is unsure"
    assert Note(text) in events
    (one,) = predict(evaluated.samples.files()[0], done.run, unsure_below=1)
    assert (one.unsure, one.unsure_below) == (True, 1)


def test_raw_predictions_are_the_networks_own(
    done: Calibrated, finished: Path, others: Path
) -> None:
    """The same to the bit as those of a run without a calibration, and never unsure."""
    raw = predict(others, done.run, raw=True)
    assert raw == predict(others, finished)
    assert {(one.calibrated, one.unsure_below, one.unsure) for one in raw} == {(False, None, False)}


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(done: Calibrated, value: float) -> None:
    """70 for 70 % would make everything unsure."""
    with pytest.raises(ValueError, match=r"a probability is in \[0, 1\]"):
        predict("x.png", done.run, unsure_below=value)


def test_a_calibration_of_other_weights_is_left_aside(
    done: Calibrated, others: Path, tmp_path: Path
) -> None:
    """As after more epochs with a better one; a new fit takes its place."""
    run = copy(done, tmp_path)
    state = done.calibration.state
    (run / FILE).write_text((run / FILE).read_text().replace(state, "99-0123456789ab"))
    events: list[Any] = []
    result = evaluate(run, data=others, emit=events.append)
    assert result.calibration is None
    (warning,) = [event.text for event in events if isinstance(event, Warned)]
    assert warning.startswith(f"{run}/calibration.json was fitted to other weights")
    again = calibrate(run, data=others).calibration
    assert again.state == state
    assert again.temperature == done.calibration.temperature
    assert evaluate(run, data=others).calibration == again


def test_a_damaged_calibration_can_be_fitted_again(
    done: Calibrated, others: Path, tmp_path: Path
) -> None:
    """It is in the way of evaluating, not of the command that its message names."""
    run = copy(done, tmp_path)
    (run / FILE).write_text("{")
    with pytest.raises(RunError, match=r"calibration\.json is damaged: "):
        predict(others, run)
    assert calibrate(run, data=others).calibration == done.calibration


def test_a_calibration_can_be_removed_once(done: Calibrated, tmp_path: Path) -> None:
    """Then the run is as it was."""
    run = copy(done, tmp_path)
    assert remove_calibration(run) == run / FILE
    assert not (run / FILE).exists()
    with pytest.raises(RunError) as caught:
        remove_calibration(run)
    assert str(caught.value) == f"{run}/calibration.json does not exist: the run is not calibrated."


def test_photos_of_training_do_not_calibrate(finished: Path, tmp_path: Path) -> None:
    """By --split all, or by the folder itself, under whatever name."""
    with pytest.raises(UsageError) as caught:
        calibrate(finished, split="all")
    assert str(caught.value) == (
        "--split all has the photos of training, on which a network is surer than elsewhere. "
        "Calibrate on --split val, or on other photos with --data."
    )
    (tmp_path / "link").symlink_to(finished.parents[1] / "photos")
    with pytest.raises(DataError) as caught_too:
        calibrate(finished, data=tmp_path / "link")
    assert str(caught_too.value) == (
        f"{tmp_path}/link has 10 photos that {finished} was trained on, and on those it is more "
        "confident than on new ones. Calibrate without --data, or add --split val."
    )
    assert not (finished / FILE).exists()


def test_without_mistakes_nothing_is_fitted(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is not enough: it cannot be set aside."""
    monkeypatch.setattr("kvgg_jax.evaluation.record.Evaluation.wrong", 1)
    monkeypatch.setattr("kvgg_jax.evaluation.record.Evaluation.right", 1)
    with pytest.raises(DataError) as caught:
        calibrate(finished)
    assert str(caught.value) == (
        f"{finished} predicts 1 of 2 photos correctly: with fewer than 2 mistakes nothing shows "
        "how far its certainty can be trusted. Calibrate on more photos that it was not trained "
        "on: --data DIR."
    )


def test_the_commands_say_what_is_calibrated(
    done: Calibrated, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """calibrate, evaluate and predict, and the way back."""
    run, of = copy(done, tmp_path), done.calibration
    monkeypatch.chdir(tmp_path)
    printed = kvgg("calibrate", "--run", "run", "--data", others, "--json")
    assert printed.exit_code == 0, printed.output
    assert json.loads(printed.stdout) == {
        "run": "run",
        "is_stored": True,
        **json.loads((run / FILE).read_text()),
    }
    lines = kvgg("calibrate", "--run", "run", "--data", others).stdout.splitlines()
    assert lines[0] == (
        f"run: temperature {of.temperature:.3f}, fitted on 18 images (all), "
        f"{of.wrong} of them misclassified"
    )
    assert f"│ {of.before.loss:.4f} │ {of.after.loss:.4f} │" in lines[4]
    assert lines[-2:] == [
        "Wrote run/calibration.json: predict and evaluate use it; predict says 'unsure' below 70%.",
        "To remove it: kvgg calibrate --run run --remove",
    ]
    monkeypatch.setattr("kvgg_jax.evaluation.files._charts", lambda _: {})  # each takes a moment
    evaluated = kvgg("evaluate", "--run", "run", "--data", others)
    assert evaluated.stdout.splitlines()[1] == (
        f"Probabilities: calibrated, temperature {of.temperature:.3f}, fitted on 18 images, "
        "the same as here: loss and calibration error are optimistic"
    )
    file = next(others.glob("*/*.png"))
    doubt = kvgg("predict", file, "--run", "run", "--unsure-below", "1")
    assert doubt.stdout.startswith(f"{file}: unsure (below 100.0%): ")
    removed = kvgg("calibrate", "--run", "run", "--remove")
    assert (removed.stdout, removed.stderr) == ("", "Removed run/calibration.json\n")


def test_remove_goes_with_nothing_that_fits() -> None:
    """A flag that would be ignored is refused."""
    result = kvgg("calibrate", "--remove", "--split", "val")
    assert (result.exit_code, message(result)) == (
        2,
        "Error: --remove cannot be combined with --split.\n",
    )


def test_a_temperature_at_its_highest_is_warned_of(
    done: Calibrated, others: Path, tmp_path: Path
) -> None:
    """This network guesses."""
    assert done.calibration.temperature == pytest.approx(HIGHEST)
    heard: list[Event] = []
    run = copy(done, tmp_path)
    calibrate(run, data=others, emit=heard.append)
    assert [event.text for event in heard if isinstance(event, Warned)] == [
        f"The temperature stopped at the highest, 8: {run} guesses, or is surest where it is "
        "wrong. More training photos help, and `optim.label_smoothing = 0.1`."
    ]


def honest(count: int, classes: int = 4) -> tuple[Any, Any]:
    """Probabilities, and classes drawn by them."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (count, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = np.array([rng.choice(classes, p=row) for row in probabilities])
    return true, probabilities


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(factor: float) -> None:
    """Logits made `factor` times as large as honest ones, in float32."""
    true, probabilities = honest(4000)
    spoilt = apply_temperature(probabilities, 1 / factor).astype(np.float32)
    assert fit_temperature(true, spoilt) == pytest.approx(factor, rel=0.05)


def test_the_fit_is_the_minimum_of_the_cross_entropy() -> None:
    """As a general minimiser finds it."""
    true, probabilities = honest(200)
    best = minimize_scalar(
        lambda t: losses(true, apply_temperature(probabilities, t)).mean(),
        bounds=(0.1, 10),
        method="bounded",
    )
    assert fit_temperature(true, probabilities) == pytest.approx(best.x, rel=1e-4)


def test_without_a_mistake_there_is_no_minimum() -> None:
    """The surer the better: it ends at the lowest temperature."""
    assert fit_temperature(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])) == pytest.approx(
        LOWEST
    )


def test_cross_fitting_keeps_a_photo_out_of_its_own_temperature() -> None:
    """Each fold's photos are at the temperature that the rest gives."""
    true, probabilities = honest(60)
    calibrated, temperatures = cross_fit(true, probabilities)
    assert len(temperatures) == 5
    used = np.array([np.log(row.max() / row.min()) for row in calibrated]) / np.array(
        [np.log(row.max() / row.min()) for row in probabilities]
    )
    for temperature in temperatures:
        inside = np.isclose(used, 1 / temperature, rtol=1e-9)
        assert inside.sum() == 12
        assert fit_temperature(true[~inside], probabilities[~inside]) == temperature


def test_each_fold_has_its_share_of_the_mistakes() -> None:
    """Two mistakes, two folds, one in each: none is fitted without any."""
    true = np.array([0] * 10 + [1] * 2)
    probabilities = np.array([[0.8, 0.2]] * 12)
    _, temperatures = cross_fit(true, probabilities)
    # 5 of 6 are right in each: the odds of 4 become those of 5
    assert temperatures == pytest.approx([np.log(4) / np.log(5)] * 2)
