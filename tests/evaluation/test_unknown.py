"""How well unknown photos are told: figures by hand, of a run, and what `calibrate` adds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax import evaluate
from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Note, Warned
from kvgg_jax.evaluation.unknown import Separation, keep_where_missing, separation
from kvgg_jax.inference.known_photos import FILE
from kvgg_jax.runs import step_folders
from kvgg_jax.runs.folder import Run
from support.commands import kvgg
from support.images import noise
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A run of one's own."""
    return Path(shutil.copytree(trained.run, tmp_path / "x"))


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """A folder of two photos of no class, and of a file that is no photo."""
    folder = tmp_path / "unknown"
    folder.mkdir()
    Image.fromarray(noise(32)).save(folder / "noise.png")
    Image.fromarray(np.full((32, 32, 3), 255, np.uint8)).save(folder / "white.png")
    (folder / "bad.png").write_text("no image")
    return folder


def arrays_of(run: Path) -> dict[str, np.ndarray]:
    """What it keeps to tell unknown photos."""
    with np.load(run / FILE) as kept:
        return dict(kept)


def test_the_figures_are_those_of_their_definitions() -> None:
    """Of 20 known photos one may be lost at a recall of 95 %: 19 pass, and what is no farther."""
    known, unknown = np.arange(20.0), np.array([18.0, 18.5, 19.0, 30.0])
    # farther than 18.5 (ties count half), 19, 19.5 and 20 of the 20 known ones
    area = (18.5 + 19 + 19.5 + 20) / 80
    assert separation(known, unknown) == Separation(roc_area=area, false_positive_rate=0.25)


def test_evaluate_measures_how_well_unknown_photos_are_told(run: Path, unknown: Path) -> None:
    """Beside the largest probability; a file that cannot be read is left out with a warning."""
    heard: list[object] = []
    found = evaluate(run, unknown=unknown, emit=heard.append).unknown
    assert found is not None
    assert (found.known, found.count, found.data) == (7, 2, str(unknown))
    assert (found.known_refused, found.refused, found.unknown_below) == (0, 0, 0.05)
    assert found.typicality == Separation(roc_area=1, false_positive_rate=0)
    assert 0 <= found.probability.roc_area <= 1
    bad = f"{unknown}/bad.png: is text, not an image. Replace or remove it."
    assert Warned(f"Left out: {bad}") in heard


def test_the_command_shows_them(run: Path, unknown: Path) -> None:
    """As text, as JSON, and in the record of the run; without --unknown there is null."""
    shown = kvgg("evaluate", "--run", run, "--unknown", unknown)
    assert shown.exit_code == 0, shown.output
    assert (
        f"Unknown photos: predict calls 0.0% of the 2 in {unknown} unknown, and 0.0% of the 7 "
        "known ones (typicality below 5%)"
    ) in shown.stdout.replace("\n", " ")
    printed = json.loads(kvgg("evaluate", "--run", run, "--unknown", unknown, "--json").stdout)
    assert list(printed["unknown"]) == [
        *("data", "known", "count", "unknown_below", "known_refused", "refused"),
        *("typicality", "probability"),
    ]
    kept = json.loads((run / "evaluation-val.json").read_text())
    assert kept["unknown"] == printed["unknown"]
    assert json.loads(kvgg("evaluate", "--run", run, "--json").stdout)["unknown"] is None


def test_without_a_photo_or_what_tells_them_it_is_refused(run: Path, unknown: Path) -> None:
    for photo in ("noise.png", "white.png"):
        (unknown / photo).unlink()
    with pytest.raises(DataError) as none:
        evaluate(run, unknown=unknown)
    assert str(none.value) == f"None of the 1 images in {unknown} can be read."
    (run / FILE).unlink()
    with pytest.raises(RunError) as lacks:
        evaluate(run, unknown=unknown)
    assert str(lacks.value) == (
        f"{run} has no known.npz, which tells unknown photos. Fit it: kvgg calibrate --run {run}"
    )


def test_a_run_from_before_gets_what_tells_unknown_photos(run: Path, trained: Trained) -> None:
    """That which training would have kept, once; `calibrate` does it."""
    state = step_folders.newest(run / "checkpoints" / "best")
    assert state is not None
    expected, heard = arrays_of(run), list[object]()
    for damage in (None, "nothing"):
        (run / FILE).unlink() if damage is None else (run / FILE).write_text(damage)
        heard.clear()
        keep_where_missing(Run(run), state, heard.append)
        assert Note(f"Wrote {run / FILE}: predict says 'unknown' by it") in heard
        found = arrays_of(run)
        np.testing.assert_allclose(found["distances"], expected["distances"], rtol=1e-2)
        assert found["state"] == expected["state"]
    heard.clear()
    keep_where_missing(Run(run), state, heard.append)
    assert heard == []


def test_photos_that_are_gone_are_a_warning(run: Path, trained: Trained, tmp_path: Path) -> None:
    photos = Path(shutil.copytree(trained.photos, tmp_path / "photos"))
    config = run / "config.toml"
    config.write_text(config.read_text().replace(str(trained.photos), str(photos)))
    gone = Run(run).split().train.files()[0]
    Path(str(gone)).unlink()
    (run / FILE).unlink()
    heard: list[object] = []
    keep_where_missing(Run(run), "any", heard.append)
    assert Warned(f"{gone}: does not exist. Check the path. No photo will be unknown.") in heard
    assert not (run / FILE).exists()
