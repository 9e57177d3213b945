"""Parts of a split from several sources: keys as in one folder that holds them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.data.sources.parts import Parts, join_parts
from support.folders import image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`root/train` and `root/val`, with two classes each."""
    for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/2.png"):
        image(tmp_path / name)
    return tmp_path


def test_folders_anywhere_are_as_folders_in_one(root: Path, tmp_path: Path) -> None:
    """The same keys, labels and parts; each is read where it is."""
    together = scan(root)
    shutil.move(root / "val", tmp_path / "else")
    apart = join_parts(
        {"train": scan(root / "train"), "val": scan(tmp_path / "else", to_train=False)}
    )
    assert (apart.paths, apart.labels) == (together.paths, together.labels)
    assert apart.parts == together.parts == ("train", "train", "val", "val")
    assert apart.files()[2] == tmp_path / "else" / "a" / "1.png"
    assert apart.read(2) == (tmp_path / "else" / "a" / "1.png").read_bytes()
    assert list(apart.source.list_keys()) == list(apart.paths)
    assert apart.root == root / "train"


def test_a_part_may_lack_classes_and_have_no_others(root: Path) -> None:
    """What training does not know has no output of the network."""
    shutil.rmtree(root / "val" / "a")
    train, val = scan(root / "train"), scan(root / "val", to_train=False)
    assert join_parts({"train": train, "val": val}).labels == (0, 1, 1)
    image(root / "val" / "c" / "1.png")
    with pytest.raises(DataError) as caught:
        join_parts({"train": train, "val": scan(root / "val", to_train=False)})
    assert str(caught.value) == (
        f"{root}/val has classes that {root}/train does not know: c. It knows: a, b."
    )


def test_a_photo_that_is_gone_is_named_where_it_was(root: Path) -> None:
    """Not by its key."""
    source = Parts(scan(root / "train").source, test=scan(root / "val").source)
    with pytest.raises(ImageError) as caught:
        source.read("test/a/9.png")
    assert str(caught.value) == f"{root}/val/a/9.png: does not exist. Check the path."
