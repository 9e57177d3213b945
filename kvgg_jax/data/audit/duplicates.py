"""Which images of many are the same photo: exactly, or saved again, scaled, a little brighter.

Near duplicates agree in two ways: their color thumbnails correlate, and so do their perceptual
hashes (pHash: the signs of the 64 lowest frequencies of a cosine transform, after Zauner 2010,
"Implementation and Benchmarking of Perceptual Image Hash Functions"), which do not depend on a
background that all images share. Mirrored, rotated or strongly cropped copies are not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

SIDE = 64  # pixels a side to which an image is brought before anything is measured
CORRELATION = 0.99  # of thumbnails; on single beans the likest two that differ have 0.986
HASH_BITS = 16  # of 64 that may differ; unrelated images differ in about 32
_BLOCK = 512  # images compared with all others at once
_THUMB, _GREY, _LOW = 16, 32, 8


class Fingerprint(NamedTuple):
    """What an image is compared by: a kilobyte."""

    digest: str
    """SHA-256 of the decoded pixels and their shape."""
    hash: int
    """64 bits; those of near duplicates differ in few."""
    thumb: NDArray[np.uint8]
    """[16, 16, 3]"""
    color: NDArray[np.float32]
    """Mean and standard deviation of red, green and blue, each in [0, 1]: [6]."""


def look(image: NDArray[np.uint8]) -> Fingerprint:
    """The look of a decoded image, uint8 [height, width, 3]."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32).reshape(-1, 3) / 255
    return Fingerprint(
        digest=digest.hexdigest(),
        hash=_perceptual_hash(np.asarray(small.convert("L").reduce(SIDE // _GREY), np.float64)),
        thumb=np.asarray(small.reduce(SIDE // _THUMB)),
        color=np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)]),
    )


def _perceptual_hash(grey: NDArray[np.float64]) -> int:
    from scipy.fft import dctn

    low = dctn(grey)[:_LOW, :_LOW].ravel()
    bits = low > np.median(low[1:])
    bits[0] = False  # brightness, in which copies may differ
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def group_equal(values: ArrayLike) -> NDArray[np.int64]:
    """Group of each value: the place of the first that is equal. int64 [count]."""
    _, first, which = np.unique(values, return_index=True, return_inverse=True)
    return first[which]


def same_photo(looks: Sequence[Fingerprint | None]) -> NDArray[np.int64]:
    """Group of each image, exact and near duplicates in one: the place of its first member.

    An image without a look is alone in its group. Groups are closed: where A is near B and B
    near C, all three are together. Each is compared with each, but as matrix products: 100,000
    images take two minutes of processor time and 0.8 GB. int64 [count].
    """
    exact = group_equal([f"{i}" if one is None else one.digest for i, one in enumerate(looks)])
    known = {i: one for i in np.unique(exact).tolist() if (one := looks[i])}
    if not known:
        return exact
    hashes = np.array([one.hash for one in known.values()], np.uint64)
    near = _join_near(hashes, np.stack([one.thumb for one in known.values()]))
    leader, places = np.arange(len(looks)), np.array(list(known))
    leader[places] = places[near]
    return leader[exact]


def _join_near(hashes: NDArray[np.uint64], thumbs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Group of each: the place of its first member."""
    ways, group = _directions(thumbs), np.arange(len(hashes))
    for start in range(0, len(ways), _BLOCK):
        alike = ways[start : start + _BLOCK] @ ways[start:].T >= CORRELATION
        # Row by row, without those that are joined already: a list of all pairs of 20,000 photos of
        # one scene takes 700 MB.
        for row in np.flatnonzero(alike.sum(axis=1) > 1):  # one is the image itself
            place = start + row
            others = np.flatnonzero(alike[row]) + start
            others = others[group[others] != group[place]]
            apart = np.bitwise_count(hashes[others] ^ hashes[place])
            found = group[others[apart <= HASH_BITS]]
            if len(found):
                joined = np.append(found, group[place])
                group[np.isin(group, joined)] = joined.min()
    return group


def _directions(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Thumbnails as unit vectors whose products are correlations: each channel less its mean."""
    channels = thumbs.reshape(len(thumbs), -1, 3).astype(np.float32)
    channels -= channels.mean(axis=1, keepdims=True)
    flat = channels.reshape(len(thumbs), -1)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat  # of one flat color: zeros, near nothing
