"""Where held-out probabilities come from: the folds of a cross-validation, or features."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import ConfigError, DataError, RunError
from kvgg_jax.core.events import Event, Note, ignore
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.evaluation.label_audit.held_out import (
    complete,
    compute_features,
    from_crossval,
    from_features,
)
from kvgg_jax.runs.folder import Run
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture(scope="module")
def folds(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a cross-validation of two folds leaves it: the second holds out what the first has not."""
    path = tmp_path_factory.mktemp("runs") / "cv"
    for fold in (1, 2):
        shutil.copytree(finished, path / f"fold-{fold}")
    split = path / "fold-2" / "split.csv"
    turned = {"train": "val", "val": "train"}
    rows = [line.rpartition(",") for line in split.read_text().splitlines()]
    split.write_text("".join(f"{a},{turned.get(part, part)}\n" for a, _, part in rows))
    (path / "crossval.json").write_text(json.dumps({"status": "finished", "folds": [{}, {}]}))
    return path


def frozen(source: Path, photos: Path, **data: object) -> RunConfig:
    """The backbone of that run, on photos of 32 px."""
    model = {"arch": "vgg11", "weights": str(source)}
    return RunConfig(data={"dir": str(photos), "image_size": 32, **data}, model=model)


def test_each_photo_is_judged_by_the_fold_that_held_it_out(folds: Path) -> None:
    """With the probabilities that `evaluate` has for it."""
    heard: list[Event] = []
    held = from_crossval("cv", out=folds.parent, emit=heard.append)
    parts = [evaluate(folds / f"fold-{fold}", raw=True) for fold in (1, 2)]
    assert list(held.samples.paths) == [path for part in parts for path in part.samples.paths]
    assert np.allclose(held.probabilities, np.concatenate([part.probabilities for part in parts]))
    assert (len(held.samples), held.distances) == (12, None)
    assert held.how == f"the 2 folds of {folds}"
    notes = [event.text for event in heard if isinstance(event, Note)]
    assert [text for text in notes if text.startswith("Fold")] == [
        f"Fold 1 of {folds}",
        f"Fold 2 of {folds}",
    ]


def test_photos_that_were_moved_since_are_named(folds: Path, tmp_path: Path) -> None:
    """Those of all folds in one message, before any network is loaded."""
    runs = Path(shutil.copytree(folds, tmp_path / "cv"))
    samples = Run(runs / "fold-1").split().all
    photos = Path(shutil.copytree(samples.root, tmp_path / "photos"))
    for fold in (1, 2):
        file = runs / f"fold-{fold}" / "config.toml"
        file.write_text(file.read_text().replace(str(samples.root), str(photos)))
    held = [Run(runs / f"fold-{fold}").split().val.paths for fold in (1, 2)]
    gone = [held[0][0], *held[1][:3]]
    for name in gone:
        (photos / name).unlink()
    heard: list[Event] = []
    with pytest.raises(DataError) as caught:
        from_crossval(runs, out=Path("runs"), emit=heard.append)
    named = ", ".join(str(photos / name) for name in gone[:3])
    assert str(caught.value) == (
        f"4 photos moved or removed since {runs} was made: {named}, .... Undo the moves, or "
        "cross-validate again under another --name."
    )
    assert heard == []


ADVICE = (
    "An audit needs each photo held out once: cross-validate first (kvgg crossval --data DIR), or "
    "let a frozen backbone do it in minutes: kvgg audit DIR."
)


def test_a_run_that_holds_out_some_photos_says_how_to_get_all(finished: Path) -> None:
    """With its numbers."""
    with pytest.raises(RunError) as caught:
        from_crossval(finished, out=Path("runs"), emit=ignore)
    assert str(caught.value) == f"{finished} holds out 2 of its 12 photos. {ADVICE}"


def test_a_folder_that_is_no_cross_validation_says_so(tmp_path: Path) -> None:
    """One that is not there, too."""
    for name in (tmp_path, "none"):
        with pytest.raises(RunError) as caught:
            from_crossval(name, out=tmp_path, emit=ignore)
        path = tmp_path if name == tmp_path else tmp_path / "none"
        assert str(caught.value) == f"{path} is no cross-validation. {ADVICE}"


@pytest.mark.parametrize("text", ["{", "[]", '{"status": "finished"}'])
def test_a_damaged_cross_validation_is_named(tmp_path: Path, text: str) -> None:
    """With its file."""
    (tmp_path / "crossval.json").write_text(text)
    with pytest.raises(RunError) as caught:
        from_crossval(tmp_path, out=tmp_path, emit=ignore)
    assert str(caught.value) == (
        f"{tmp_path}/crossval.json is damaged. Repeat its kvgg crossval command, which resumes."
    )


def test_an_unfinished_cross_validation_is_to_be_resumed(tmp_path: Path) -> None:
    """By its own command."""
    (tmp_path / "crossval.json").write_text('{"status": "unfinished", "folds": [{}, {}]}')
    with pytest.raises(RunError) as caught:
        from_crossval(tmp_path, out=tmp_path, emit=ignore)
    assert str(caught.value) == (
        f"{tmp_path} is unfinished: 2 folds are done. Repeat its kvgg crossval command, which "
        "resumes."
    )


def test_features_of_a_frozen_backbone_give_probabilities_too(finished: Path, photos: Path) -> None:
    """Three plain colors are told apart by any backbone."""
    config = complete(frozen(finished, photos), out=Path("runs"), emit=ignore)
    assert (config.model.freeze, config.model.head) == ("backbone", "linear")
    samples = scan(photos)
    held = from_features(samples, config, np.arange(36), emit=ignore)
    assert held.how == "5 folds on features of vgg11 at 32 px"
    assert held.samples == samples
    assert (held.probabilities.argmax(axis=1) == np.array(samples.labels)).all()
    assert held.distances is not None
    assert held.distances.shape == (36,)


def test_photos_that_cannot_be_read_are_left_out(finished: Path, photos: Path) -> None:
    """With `data.skip_bad`; the rows say which are left."""
    (photos / "green" / "green_03.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    config = complete(frozen(finished, photos, skip_bad=True), out=Path("runs"), emit=ignore)
    features, samples, rows = compute_features(scan(photos), config, ignore)
    assert (len(features), len(samples)) == (35, 35)
    assert rows.tolist() == [row for row in range(36) if row != 15]


def test_random_weights_are_refused() -> None:
    """Their features say little."""
    with pytest.raises(ConfigError) as caught:
        complete(RunConfig(), out=Path("runs"), emit=ignore)
    assert str(caught.value) == (
        "An audit needs a backbone with given weights: `model.weights = imagenet`."
    )


def test_a_class_of_few_photos_is_refused(finished: Path, tmp_path: Path) -> None:
    """Of its own in each fold there would be none."""
    photos = draw_photos(tmp_path / "photos", per_class=5)
    (photos / "green" / "green_00.png").unlink()
    config = complete(frozen(finished, photos), out=Path("runs"), emit=ignore)
    with pytest.raises(DataError) as caught:
        from_features(scan(photos), config, np.arange(14), emit=ignore)
    assert str(caught.value) == (
        f"{photos} has 4 photos of class green; an audit needs at least 5 per class."
    )
