"""Packing: the same bytes each time, however often it was stopped."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Event, Note, Progress, Warned
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.shards.pack import Pack, pack_data
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.data.sources.listing import scan_list
from kvgg_jax.data.sources.shards import Shards, scan_shards
from support.folders import image

SMALL = 20_000  # bytes a shard: five photos or so


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(*args: object, **given: object) -> str:
    with pytest.raises(DataError) as caught:
        pack_data(*args, **given)  # type: ignore[arg-type]
    return str(caught.value)


def test_packed_photos_are_those_of_the_folder(photos: Path, tmp_path: Path) -> None:
    """Keys, classes and bytes, in the same order."""
    told: list[Event] = []
    found = pack_data(photos, tmp_path / "out", shard_bytes=SMALL, emit=told.append)
    size = sum(file.stat().st_size for file in (tmp_path / "out").glob("*.tar"))
    assert found == Pack(tmp_path / "out", photos=36, shards=9, bytes=size, left_out=0)
    assert told == [Progress("packing", done, 36) for done in range(1, 37)]
    here, there = scan(photos), scan_shards(tmp_path / "out")
    assert (there.paths, there.labels, there.classes) == (here.paths, here.labels, here.classes)
    assert [there.read(i) for i in range(36)] == [here.read(i) for i in range(36)]


def test_each_shard_has_photos_of_several_classes(photos: Path, tmp_path: Path) -> None:
    """What reads one shard after the other would else learn one class after the other."""
    pack_data(photos, tmp_path / "out", shard_bytes=SMALL)
    samples = scan_shards(tmp_path / "out")
    shard = Shards(tmp_path / "out").index.columns["shard"]
    classes = [len({samples.labels[i] for i in np.flatnonzero(shard == k)}) for k in range(9)]
    assert min(classes) > 1


def test_a_pack_within_the_photos_is_refused(photos: Path) -> None:
    """The next command would take it for a class."""
    out = photos / "packed"
    assert refused(photos, out) == (
        f"{out} is in {photos}, where it would be taken for a class. Choose a folder beside it."
    )
    assert not out.exists()


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_photos_may_be_packed_at_the_size_of_training(
    resize: Resize, photos: Path, tmp_path: Path
) -> None:
    """Without loss: the pixels are those that the folder gives at this size."""
    Image.new("RGB", (60, 20), "red").save(photos / "red" / "long.png")
    config = RunConfig().with_data(resize=resize)
    pack_data(photos, tmp_path / "out", size=20, config=config)
    there = scan_shards(tmp_path / "out")
    for i, file in enumerate(scan(photos).files()):
        np.testing.assert_array_equal(there.load(i, 20, resize), load(file, 20, resize))


def test_a_list_is_packed_with_all_that_it_says(tmp_path: Path) -> None:
    """Part, group and weight of each photo."""
    for name in ("1.png", "2.jpg", "3.png"):
        image(tmp_path / name)
    file = tmp_path / "list.csv"
    rows = "1.png,a,train,x,1\n2.jpg,b,val,y,0.1\n3.png,b,train,x,2\n"
    file.write_text(f"path,label,part,group,weight\n{rows}")
    pack_data(file, tmp_path / "out")
    here, there = scan_list(file), scan_shards(tmp_path / "out")
    for column in ("paths", "labels", "classes", "parts", "groups", "weights"):
        assert getattr(there, column) == getattr(here, column)


@pytest.mark.parametrize("stop", [1, 5, 17, 36])
def test_a_pack_that_was_stopped_continues_to_the_same_bytes(
    stop: int, photos: Path, tmp_path: Path
) -> None:
    """After a kill, which leaves what was being written."""

    def interrupt(event: Event) -> None:
        if isinstance(event, Progress) and event.done == stop:
            raise KeyboardInterrupt

    pack_data(photos, tmp_path / "whole", shard_bytes=SMALL)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        pack_data(photos, out, shard_bytes=SMALL, emit=interrupt)
    (out / f".shard-{len(list(out.glob('*.tar'))):06}.tar.tmp").write_bytes(b"half")
    (out / ".index.tmp").mkdir()
    told: list[Event] = []
    pack_data(photos, out, shard_bytes=SMALL, emit=told.append)
    assert contents(out) == contents(tmp_path / "whole")
    done = (stop - 2) // 4 * 4  # the photo after a shard is there before the shard is closed
    notes = [event for event in told if isinstance(event, Note)]
    assert notes == [Note(f"{done} of 36 photos are packed already")] * (done > 0)


def test_a_pack_that_was_stopped_is_not_continued_as_another(photos: Path, tmp_path: Path) -> None:
    """Nor is it data to train on."""
    out = tmp_path / "out"

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_data(photos, out, emit=interrupt)
    other = (
        f"{out} holds a pack of other photos, or with other options, that was stopped. Run it "
        "again as it was, or remove the folder."
    )
    assert refused(photos, out, size=32) == other
    image(photos / "red" / "new.png")
    assert refused(photos, out) == other
    with pytest.raises(DataError) as caught:
        scan_shards(out)
    assert str(caught.value) == f"{out} is not packed to its end. Run `kvgg data pack` again."


def test_a_pack_needs_a_folder_of_its_own(photos: Path, tmp_path: Path) -> None:
    """What is in another is left alone."""
    out = tmp_path / "out"
    pack_data(photos, out)
    before = contents(out)
    text = f"{out} is packed already. Choose another folder, or remove it."
    assert refused(photos, out) == text
    assert contents(out) == before
    full = image(tmp_path / "full" / "1.png").parent
    assert refused(photos, full) == f"{full} is not empty. Choose another folder."
    file = image(tmp_path / "x.png")
    assert refused(photos, file) == f"Cannot pack into {file}: File exists."
    handle = os.open(out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert refused(photos, out) == f"Another process is packing into {out}."
    os.close(handle)


def test_a_photo_that_cannot_be_read_stops_the_pack_or_is_left_out(
    photos: Path, tmp_path: Path
) -> None:
    """As in training."""
    bad = photos / "green" / "green_03.png"
    bad.write_text("no image")
    reason = f"{bad}: is text, not an image. Replace or remove it."
    assert refused(photos, tmp_path / "out") == (
        f"{reason} Or leave out such photos: `data.skip_bad = true`, in a new folder. "
        "`kvgg data check` finds them all."
    )
    told: list[Event] = []
    skip = RunConfig().with_data(skip_bad=True)
    found = pack_data(photos, tmp_path / "new", config=skip, shard_bytes=SMALL, emit=told.append)
    assert (found.photos, found.left_out) == (35, 1)
    assert [e for e in told if isinstance(e, Warned)] == [Warned(f"Left out: {reason}")]
    here, there = scan(photos), scan_shards(tmp_path / "new")
    good = [i for i, path in enumerate(here.paths) if path != "green/green_03.png"]
    assert [*there.paths] == [here.paths[i] for i in good]
    assert [there.read(row) for row in range(35)] == [here.read(i) for i in good]
    for file in photos.rglob("*.png"):
        file.write_text("none")
    text = "None of the 36 photos can be read."
    assert refused(photos, tmp_path / "none", config=skip) == text


def test_a_photo_with_a_wrong_suffix_is_packed_by_its_content(tmp_path: Path) -> None:
    """A reader of shards goes by the suffix."""
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / name / "x.jpg", "png")
    pack_data(tmp_path / "in", tmp_path / "out")
    assert b"000000000.png" in (tmp_path / "out" / "shard-000000.tar").read_bytes()
