"""Every file is decoded once, before training; a bad one is named, or left out and listed."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.reader import DecodedImages, fingerprint, read
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import scan
from support.users import nobody


def draw(path: Path, seed: int = 0, *, size: tuple[int, int] = (40, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three images, PNG and JPEG, none alike."""
    for seed, name in enumerate(("a/1.png", "a/2.jpg", "a/3.png", "b/1.png", "b/2.jpg", "b/3.png")):
        draw(tmp_path / name, seed)
    return tmp_path


def spoil(path: Path) -> Path:
    path.write_text("no image")
    return path


def images_of(*images: tuple[str, str, int]) -> DecodedImages:
    """Images of 2 pixels a side from (path, class, grey)."""
    classes = tuple(sorted({name for _, name, _ in images}))
    samples = Samples(
        Path("r"),
        tuple(path for path, _, _ in images),
        tuple(classes.index(name) for _, name, _ in images),
        classes,
    )
    return DecodedImages(samples, np.stack([np.full((2, 2, 3), g, np.uint8) for _, _, g in images]))


def test_each_image_is_what_load_gives(folder: Path) -> None:
    """The one decode: no second way for pixels to reach the network."""
    samples = scan(folder)
    decoded = read(samples, 16)
    expected = np.stack([load(path, 16) for path in samples.files()])
    np.testing.assert_array_equal(decoded.images, expected)
    assert (decoded.images.dtype, decoded.samples, decoded.bad) == (np.uint8, samples, ())
    assert len({image.tobytes() for image in decoded.images}) == 6


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_each_image_is_resized_as_asked(cache: str, folder: Path) -> None:
    """At the first reading and, without a cache, at every other."""
    decoded = read(scan(folder), 16, "pad", cache=cache)
    expected = np.stack([load(path, 16, "pad") for path in scan(folder).files()])
    np.testing.assert_array_equal(decoded.images[np.arange(6)], expected)


def test_reading_is_reported_image_by_image(folder: Path) -> None:
    """A progress bar that ends at the number of images."""
    seen: list[Event] = []
    read(scan(folder), 16, emit=seen.append)
    assert seen == [Progress("reading", done, 6) for done in range(1, 7)]


def test_bad_files_are_named_all_at_once(folder: Path) -> None:
    """One message, in the order of the folder, before the first training step."""
    bad = spoil(folder / "b" / "2.jpg")
    (folder / "a" / "3.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read(scan(folder), 16)
    assert str(caught.value) == (
        "2 of 6 images cannot be read:\n"
        f"  {folder}/a/3.png: is empty (0 bytes). Replace or remove it.\n"
        f"  {bad}: is text, not an image. Replace or remove it.\n"
        "Remove or replace them, or leave them out: `data.skip_bad = true`."
    )


def test_more_than_ten_bad_files_are_summarised(tmp_path: Path) -> None:
    """Ten names, then how many more."""
    draw(tmp_path / "a" / "good.png")
    names = [spoil(draw(tmp_path / "b" / f"{i:02}.png")) for i in range(13)]
    with pytest.raises(DataError) as caught:
        read(scan(tmp_path), 16)
    reason = "is text, not an image. Replace or remove it."
    assert str(caught.value).splitlines() == [
        "13 of 14 images cannot be read:",
        *(f"  {name}: {reason}" for name in names[:10]),
        "  and 3 more",
        "Remove or replace them, or leave them out: `data.skip_bad = true`.",
    ]


def test_a_folder_that_vanished_is_named_and_not_its_photos(folder: Path) -> None:
    """`--skip-bad` would not help; the same with it."""
    samples = scan(folder)
    shutil.rmtree(folder)
    for skip_bad in (False, True):
        with pytest.raises(DataError) as caught:
            read(samples, 16, skip_bad=skip_bad)
        assert str(caught.value) == (
            f"{folder} is not there any more. Put the folder back, or name the one that holds its "
            "photos now: `data.dir`."
        )


def test_where_all_are_bad_none_can_be_left_out(folder: Path) -> None:
    """So that is no advice."""
    for path in folder.glob("*/*"):
        spoil(path)
    with pytest.raises(DataError) as caught:
        read(scan(folder), 16)
    assert str(caught.value).splitlines()[-1] == "Remove or replace them."


def test_skip_bad_leaves_them_out_and_lists_them(folder: Path) -> None:
    """The good ones keep their pixels and classes."""
    whole = read(scan(folder), 16)
    bad = spoil(folder / "a" / "2.jpg")
    decoded = read(scan(folder), 16, skip_bad=True)
    kept = [0, 2, 3, 4, 5]
    assert decoded.samples == whole.samples.take(kept)
    np.testing.assert_array_equal(decoded.images[np.arange(5)], whole.images[kept])
    reason = "is text, not an image. Replace or remove it."
    assert [str(error) for error in decoded.bad] == [f"{bad}: {reason}"]


def test_skip_bad_needs_one_image_that_is_good(folder: Path) -> None:
    """A folder without any readable image is an error all the same."""
    for path in scan(folder).files():
        spoil(path)
    with pytest.raises(DataError) as caught:
        read(scan(folder), 16, skip_bad=True)
    assert str(caught.value) == f"None of the 6 images in {folder} can be read."


def test_rows_find_the_images_of_a_part(folder: Path) -> None:
    """In the part's order; what was left out as bad has no row."""
    samples = scan(folder)
    spoil(folder / "a" / "2.jpg")
    decoded = read(samples, 16, skip_bad=True)
    assert decoded.rows(samples.take([4, 1, 0])).tolist() == [3, 0]


def test_the_fingerprint_does_not_depend_on_the_order() -> None:
    """The same photos in another order, are the same photos; numbers of classes do not count."""
    images = [("a/1", "a", 1), ("a/2", "a", 2), ("b/1", "b", 3)]
    first, other = images_of(*images), images_of(*images[::-1])
    assert fingerprint(first) == fingerprint(other)
    renumbered = replace(first, samples=first.samples.relabel(("b", "a")))
    assert fingerprint(first) == fingerprint(renumbered)


def test_the_fingerprint_is_a_digest_of_sorted_lines() -> None:
    """As it stands in the `run.json` of every run so far."""
    images = [(f"{'ab'[i % 2]}/{i:x}é", "ab"[i % 2], i) for i in range(40)]
    lines = [
        f"{path}\0{name}\0{hashlib.sha256(bytes([gray]) * 12).hexdigest()}\n"
        for path, name, gray in sorted(images)
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert fingerprint(images_of(*images)) == expected


def test_the_fingerprint_knows_pixels_names_and_classes() -> None:
    """Any change that a model could learn from changes it."""
    base = images_of(("a/1", "a", 1), ("b/1", "b", 3))
    one_pixel = base.images.copy()
    one_pixel[1, 0, 1, 2] += 1
    changed = [
        replace(base, images=one_pixel),
        images_of(("a/2", "a", 1), ("b/1", "b", 3)),
        images_of(("a/1", "b", 1), ("b/1", "b", 3)),
        images_of(("a/1", "a", 1), ("b/1", "b", 3), ("b/2", "b", 3)),
    ]
    assert len({fingerprint(decoded) for decoded in (base, *changed)}) == 5


def test_the_fingerprint_takes_names_that_are_not_utf_8() -> None:
    """Old archives hold such names."""
    assert fingerprint(images_of(("a/\udcff", "a", 1))) != fingerprint(
        images_of(("a/\udcfe", "a", 1))
    )


def test_photos_that_this_user_may_not_read_are_named_and_the_others_are_read() -> None:
    """Not `tmp_path`, which lies in a folder of root's."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for seed, file in enumerate(("a/1.png", "a/2.png", "b/1.png", "b/2.png")):
            draw(root / file, seed)
        for file in ("a/1.png", "b/2.png"):
            (root / file).chmod(0)
        (root / "b" / "2.png").rename(root / "b" / "2")  # nor can its first bytes be read
        reason = "cannot be read (Permission denied). Make it readable."
        with nobody(root):
            samples = scan(root)
            with pytest.raises(DataError) as caught:
                read(samples, 16)
            kept = read(samples, 16, skip_bad=True)
            (errors, denied) = ([str(error) for error in kept.bad], caught.value)
        assert errors == [f"{root}/a/1.png: {reason}", f"{root}/b/2: {reason}"]
        assert str(denied).splitlines()[:3] == [
            "2 of 4 images cannot be read:",
            *(f"  {error}" for error in errors),
        ]
        assert kept.samples.paths == ("a/2.png", "b/1.png")
