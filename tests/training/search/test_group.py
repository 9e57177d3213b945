"""Runs in one folder for one answer: they are comparable, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.search.group import check_photos, group_folder


@pytest.fixture
def members(finished: Path, tmp_path: Path) -> tuple[Run, Run]:
    """Two runs of the same photos in one folder, to be changed."""
    one, two = (Run(shutil.copytree(finished, tmp_path / name)) for name in ("one", "two"))
    return one, two


def change(run: Run, **data: Any) -> None:
    """Other photos, as far as `run.json` says."""
    run.update_info(data={**run.info()["data"], **data})


@pytest.mark.parametrize("key", ["fingerprint", "left_out", "split"])
def test_runs_of_other_photos_or_of_another_split_cannot_be_compared(members, key):
    """The message names both; the same photos are accepted."""
    one, two = members
    check_photos(two)
    change(two, **{key: "another"})
    with pytest.raises(RunError) as caught:
        check_photos(two)
    assert str(caught.value) == (
        f"The photos changed since {two.path.parent} was started, so {two.path} cannot be compared "
        f"with {one.path}. Restore them and remove {two.path}, or choose another --name."
    )


@pytest.mark.parametrize("shape", [{"image_size": 64}, {"resize": "pad"}])
def test_pixels_are_compared_between_runs_of_one_image_size(members, shape):
    """They differ by size, and by how photos become squares; the split does not."""
    _, two = members
    two.write("config.toml", two.config().with_data(**shape).to_toml())
    change(two, fingerprint="of other pixels")
    check_photos(two)
    change(two, split="another")
    with pytest.raises(RunError, match="The photos changed since"):
        check_photos(two)


def test_splits_are_compared_between_runs_of_one_fold(members):
    """Folds differ by their split; their photos do not."""
    _, two = members
    config = two.config().with_data(split="grouped", folds=2, fold=2)
    two.write("config.toml", config.to_toml())
    change(two, split="another")
    check_photos(two)
    change(two, fingerprint="another")
    with pytest.raises(RunError, match="The photos changed since"):
        check_photos(two)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    """Its mark tells a group that was started before; an empty folder will do."""
    with group_folder(tmp_path / "new", mark="m", what="search"):
        (tmp_path / "new" / "m").touch()
    with group_folder(tmp_path / "new", mark="m", what="search"):
        pass
    (tmp_path / "other" / "x").mkdir(parents=True)
    with pytest.raises(RunError) as caught, group_folder(tmp_path / "other", mark="m", what="x"):
        pytest.fail("it must not be used")
    assert str(caught.value) == (
        f"{tmp_path / 'other'} already exists and is no x. Choose another --name."
    )
