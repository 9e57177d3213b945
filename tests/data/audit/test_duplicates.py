"""Which images are the same photo: copies found, lookalikes left apart."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from kvgg_jax.data.audit import duplicates
from kvgg_jax.data.audit.duplicates import Fingerprint, group_equal, look, same_photo
from kvgg_jax.data.audit.findings import Check, Duplicates
from kvgg_jax.data.audit.inspect import inspect_photos
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder
from support.images import scene

KNOWN = {  # found by hand before this program looked
    ("Dark", (104, 105)),
    ("Dark", (74, 75, 76)),
    ("Dark", (78, 79)),
    ("Dark", (80, 81)),
    ("Green", (282, 283)),
}
SEEN = {  # found by this program, then looked at: the same bean, moved by a pixel or two
    ("Green", (9, 10)),
    ("Light", (178, 179)),
}


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def save(image: Image.Image) -> Image.Image:
        image.save(buffer := io.BytesIO(), "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return save


def looked(image: Image.Image) -> Fingerprint:
    return look(np.asarray(image))


@pytest.mark.parametrize(
    "change",
    [
        jpeg(80),
        jpeg(40),
        lambda image: image.resize((48, 48)),
        lambda image: image.resize((200, 120)),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: ImageEnhance.Contrast(image).enhance(0.8),
        lambda image: image.crop((1, 0, 96, 95)),
    ],
    ids=["jpeg 80", "jpeg 40", "half", "stretched", "darker", "flatter", "shifted"],
)
def test_a_copy_that_was_saved_anew_is_the_same_photo(
    change: Callable[[Image.Image], Image.Image],
) -> None:
    """Each of ten scenes and its changed copy are a group; no two scenes are."""
    scenes = [scene(seed) for seed in range(10)]
    looks = [looked(image) for image in scenes] + [looked(change(image)) for image in scenes]
    assert same_photo(looks).tolist() == [*range(10), *range(10)]
    assert group_equal([one.digest for one in looks]).tolist() == list(range(20))


def test_equal_pixels_are_an_exact_duplicate_whatever_the_file(tmp_path: Path) -> None:
    """A PNG and a BMP of the same pixels; another shape of the same bytes is another image."""
    image = scene(1)
    for name in ("a.png", "b.bmp", "c.webp"):
        image.save(tmp_path / name, lossless=True)
    names = ("a.png", "b.bmp", "c.webp")
    samples = Samples(Folder(tmp_path), names, (0, 0, 0), ("x",))
    a, b, c = (seen.look for seen in inspect_photos(samples))
    assert a is not None
    assert a.digest == b.digest == c.digest
    flat = np.zeros((4, 8, 3), np.uint8)
    assert look(flat).digest != look(flat.reshape(8, 4, 3)).digest


def test_images_of_one_color_are_near_nothing() -> None:
    """A blank page correlates with no other, not by chance either; equal ones are exact."""
    white, white_too, grey = (
        look(np.full((32, 32, 3), value, np.uint8)) for value in (255, 255, 254)
    )
    assert same_photo([white, grey, white_too]).tolist() == [0, 1, 0]


def test_a_chain_of_neighbours_is_one_group() -> None:
    """A near B and B near C puts all three together, in whatever order they come."""
    image = scene(3)
    chain = [looked(image.crop((n, 0, 80 + n, 80))) for n in range(0, 9)]
    ends = same_photo([chain[0], chain[-1]])
    assert ends.tolist() == [0, 1], "the ends alone are not near"
    for order in (chain, chain[::-1], [chain[0], chain[-1], *chain[1:-1]]):
        assert set(same_photo(order).tolist()) == {0}


def test_a_file_without_a_look_is_alone() -> None:
    """An unreadable image is no duplicate of another unreadable one."""
    one = looked(scene(1))
    assert same_photo([None, one, None, one]).tolist() == [0, 1, 2, 1]
    assert same_photo([None, None]).tolist() == [0, 1]
    assert same_photo([]).tolist() == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=12))
def test_groups_are_named_by_their_first_member(kinds: list[int]) -> None:
    """Whatever the order: equal images share the place of the first of them."""
    looks = [looked(scene(kind, 24)) for kind in kinds]
    assert same_photo(looks).tolist() == [kinds.index(kind) for kind in kinds]


def test_the_hash_is_the_median_sign_of_a_cosine_transform() -> None:
    """Bit (v, u) is that of frequency (v, u), by the sum that defines it (DCT-II)."""
    n, low = np.arange(32), np.arange(8)
    grey = np.random.default_rng(0).uniform(0, 255, (32, 32))
    waves = np.cos(np.pi * low[:, None] * (2 * n + 1) / 64)
    by_sum = np.einsum("vy,ux,yx->vu", waves, waves, grey).ravel()
    expected = by_sum > np.median(by_sum[1:])
    expected[0] = False  # the mean, in which copies may differ
    bits = f"{duplicates._perceptual_hash(grey):064b}"
    assert [bit == "1" for bit in bits] == expected.tolist()


def test_copies_are_found_across_blocks_and_by_the_thousand(monkeypatch) -> None:
    """Wherever they lie; ten thousand near copies of one photo do not take ten thousand squared."""
    monkeypatch.setattr(duplicates, "_BLOCK", 64)
    rng = np.random.default_rng(0)
    thumbs: NDArray[np.uint8] = rng.integers(0, 256, (500, 16, 16, 3), dtype=np.uint8)
    hashes = rng.integers(0, 2**64, 500, dtype=np.uint64)
    thumbs[400], thumbs[401], hashes[401] = thumbs[5], thumbs[6], hashes[6]
    hashes[400] = hashes[5] ^ np.uint64(2**17 - 1)
    expected = np.arange(500)
    expected[401] = 6
    assert duplicates._join_near(hashes, thumbs).tolist() == expected.tolist(), "400: hash too far"
    thumbs[:], hashes[:] = thumbs[0], hashes[0]
    assert set(duplicates._join_near(hashes, thumbs).tolist()) == {0}


def test_the_known_duplicates_of_the_coffee_photos_are_found(checked: Check) -> None:
    """Those known from their bytes, two more that are real, and nothing else."""

    def named(group: Duplicates) -> tuple[str, tuple[int, ...]]:
        numbers = [int(re.findall(r"\((\d+)\)", photo.path.name)[0]) for photo in group.photos]
        return group.photos[0].label, tuple(sorted(numbers))

    assert {named(group) for group in checked.duplicates if group.exact} == KNOWN
    assert {named(group) for group in checked.duplicates if not group.exact} == SEEN
