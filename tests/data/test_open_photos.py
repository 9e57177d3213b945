"""The photos of a configuration, by the kind of each place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.errors import ConfigError, DataError
from kvgg_jax.core.tables.data import DataConfig
from kvgg_jax.data.open_photos import open_photos, source_of
from kvgg_jax.data.sources.folder import Folder, scan
from kvgg_jax.data.sources.listing import Listed, scan_list
from kvgg_jax.data.sources.parts import Parts
from support.folders import image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Class folders, a list of photos elsewhere, and an existing split."""
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        image(tmp_path / "folder" / name)
        image(tmp_path / "split" / "train" / name)
        image(tmp_path / "split" / "val" / name)
    (tmp_path / "list.csv").write_text("path,label\na/1.png,a\nb/2.png,b\n")
    return tmp_path


def test_a_folder_and_a_list_are_told_apart_by_name(root: Path) -> None:
    """Where a list's paths start is `data.root`."""
    folder, file = root / "folder", root / "list.csv"
    assert open_photos(DataConfig(dir=str(folder))) == scan(folder)
    listed = DataConfig(dir=str(file), root=str(folder))
    assert open_photos(listed) == scan_list(file, folder)
    assert source_of(DataConfig(dir=str(folder))) == Folder(folder)
    assert source_of(listed) == Listed(folder, file)
    assert source_of(DataConfig(dir=str(file))) == Listed(root, file)


def test_parts_may_be_of_several_kinds(root: Path) -> None:
    """A folder to train on, a list to validate on, another folder to test on."""
    folder, file = root / "folder", root / "list.csv"
    config = DataConfig(dir=str(folder), val=str(file), test=str(folder), root=str(folder))
    found = open_photos(config)
    assert found.source == source_of(config)
    assert found.source == Parts(Folder(folder), Listed(folder, file), Folder(folder))
    assert found.parts == ("train",) * 3 + ("val",) * 2 + ("test",) * 3
    assert found.paths[3:5] == ("val/a/1.png", "val/b/2.png")


def test_one_class_is_enough_for_validation_and_evaluation(root: Path) -> None:
    """Not for training."""
    image(root / "one" / "b" / "1.png")
    (root / "one" / "a").mkdir()
    folder = str(root / "folder")
    assert len(open_photos(DataConfig(dir=folder, val=str(root / "one")))) == 4
    assert open_photos(DataConfig(dir=str(root / "one")), to_train=False).labels == (1,)
    with pytest.raises(DataError, match="has no images"):
        open_photos(DataConfig(dir=str(root / "one")))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"dir": "{root}/folder", "root": "{root}"},
            "`data.root` has no effect: {root}/folder is not a list.",
        ),
        *(
            (
                given,
                "{root}/split is split already, so it cannot be one part of a split. Name its "
                "parts: `data.dir`, `data.val`, `data.test`.",
            )
            for given in (
                {"dir": "{root}/split", "test": "{root}/folder"},
                {"dir": "{root}/folder", "val": "{root}/split"},
            )
        ),
    ],
)
def test_what_has_no_effect_or_two_meanings_is_refused(
    root: Path, given: dict[str, Any], message: str
) -> None:
    """With the settings that would do."""
    config = DataConfig(**{key: text.format(root=root) for key, text in given.items()})
    with pytest.raises(ConfigError) as caught:
        open_photos(config)
    assert str(caught.value) == message.format(root=root)
