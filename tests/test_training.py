"""What `train` refuses before it has written anything."""

from __future__ import annotations

import pytest
from conftest import small_config

from kvgg_jax.data.folder import deal, scan
from kvgg_jax.errors import DataError
from kvgg_jax.training import train


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
