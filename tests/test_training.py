"""What `train` and `resume` refuse, and that refusing changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Trained, small_config

from kvgg_jax import runs
from kvgg_jax.data.folder import deal, scan
from kvgg_jax.errors import DataError, RunError, UsageError
from kvgg_jax.training import resume, train

pytestmark = pytest.mark.usefixtures("thin_network")


def test_a_batch_larger_than_the_training_set_is_a_data_error(photos, tmp_path):
    """36 photos, 7 of them for validation: at most 29 fit in a batch."""
    with pytest.raises(DataError) as caught:
        train(small_config(photos, train={"batch_size": 30}), out=tmp_path / "runs", name="new")
    assert str(caught.value) == (
        f"batch_size 30 is larger than the training set (29 images in {photos}). "
        "Choose --batch-size 29 or less."
    )
    assert not (tmp_path / "runs" / "new").exists()


def test_a_part_whose_pictures_are_all_unreadable_is_a_data_error(photos, tmp_path):
    """--skip-bad leaves them out, and a run without validation could not be judged."""
    for file in deal(scan(photos), val_split=0.2, seed=42).val.files():
        file.write_bytes(b"not a picture")
    with pytest.raises(DataError) as caught:
        train(small_config(photos, data={"skip_bad": True}), out=tmp_path / "runs", name="new")
    assert str(caught.value) == (
        f"{photos}: without its 7 unreadable images, 29 are left for training and 0 for "
        "validation; each needs at least 1. Replace them or add photos."
    )
    assert not (tmp_path / "runs" / "new").exists()


def test_a_folder_taken_meanwhile_is_not_removed(photos: Path, tmp_path: Path) -> None:
    """A run that another process made while this one read its photos stays as it is."""
    config = small_config(photos)
    path = runs.choose(config, out=tmp_path / "runs", name="x")
    runs.create(path, config, {"run.json": '{"who": "first"}'})
    with pytest.raises(RunError) as caught:
        runs.create(path, config, {"run.json": '{"who": "second"}'})
    assert str(caught.value) == (
        f"{path} was taken by another run meanwhile. Choose another --name."
    )
    assert runs.Run(path).info() == {"who": "first"}


def test_epochs_can_only_be_raised(trained: Trained, tmp_path: Path) -> None:
    """Fewer would leave a configuration that does not repeat the run."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    before = (run / "config.toml").read_text()
    with pytest.raises(UsageError) as caught:
        resume(run, epochs=1)
    assert str(caught.value) == (
        f"--epochs 1: {run} was started for 2 epochs, which can only be raised."
    )
    assert (run / "config.toml").read_text() == before


def test_a_history_that_lost_rows_is_refused(trained: Trained, tmp_path: Path) -> None:
    """Going on would number the epochs anew, and shuffle and decay as if they were the first."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    history = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text(history[0])
    with pytest.raises(RunError) as caught:
        resume(run, epochs=3)
    assert str(caught.value) == (
        f"{run / 'history.csv'} has 0 of the 1 epochs that the last checkpoint knows. "
        "Put the file back, or start a new run."
    )
