"""The photos that a configuration names, in whatever kind of source they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.places import Place, Url, place
from kvgg_jax.core.tables.data import DataConfig
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.samples import Part, Samples
from kvgg_jax.data.source import Source
from kvgg_jax.data.sources.folder import Folder, scan, scan_tree
from kvgg_jax.data.sources.hub import HuggingFace, is_hub, scan_hub
from kvgg_jax.data.sources.listing import Listed, is_list, scan_list
from kvgg_jax.data.sources.parts import Parts, join_parts
from kvgg_jax.data.sources.remote import RemoteFolder
from kvgg_jax.data.sources.shards import Shards, is_packed, scan_shards
from kvgg_jax.data.sources.tfds import TensorFlowDataSet, is_tfds, scan_tfds


class Kind(NamedTuple):
    """A kind of source; a place is what the user names, `root` is `data.root`."""

    fits: Callable[[Place], bool]
    """Whether a place is of this kind, by its name or by what is there."""
    source: Callable[[Any, Place | None, Emit], Source]
    """Of a place and `root`; nothing is read. What takes long later is told to the last."""
    scan: Callable[[Any, Place | None, bool, Emit], Samples]
    """All photos of a place, with `root`; the bool says whether to train on them."""


KINDS = (
    Kind(
        is_list,
        lambda file, root, emit: Listed((root or file.parent).absolute(), file),
        lambda file, root, to_train, emit: scan_list(file, root, to_train=to_train),
    ),
    Kind(
        is_hub,
        lambda name, root, emit: HuggingFace(name),
        lambda name, root, to_train, emit: scan_hub(name, to_train=to_train),
    ),
    Kind(
        is_tfds,
        lambda name, root, emit: TensorFlowDataSet(name),
        lambda name, root, to_train, emit: scan_tfds(name, to_train=to_train),
    ),
    Kind(
        is_packed,
        lambda folder, root, emit: Shards(folder),
        lambda folder, root, to_train, emit: scan_shards(folder, to_train=to_train),
    ),
    Kind(
        lambda place: isinstance(place, Url),
        lambda url, root, emit: RemoteFolder(url, emit),
        lambda url, root, to_train, emit: scan_tree(RemoteFolder(url, emit), to_train=to_train),
    ),
    Kind(
        lambda place: True,
        lambda folder, root, emit: Folder(folder),
        lambda folder, root, to_train, emit: scan(folder, to_train=to_train),
    ),
)


def open_photos(data: DataConfig, *, to_train: bool = True, emit: Emit = ignore) -> Samples:
    """All photos of `data.dir`, and those of `data.val` and `data.test` as parts of a split.

    Without `to_train`, one class is enough. Raises DataError, and ConfigError where one of the
    places is split already.
    """
    found = {
        part: _kind(where).scan(where, _root(data), to_train and part == "train", emit)
        for part, where in _places(data).items()
    }
    if data.root is not None and not any(map(is_list, _places(data).values())):
        raise ConfigError(f"`data.root` has no effect: {escape_name(data.dir)} is not a list.")
    if len(found) == 1:
        return found["train"]
    for one in found.values():
        if one.parts:
            raise ConfigError(
                f"{escape_name(one.root)} is split already, so it cannot be one part of a split. "
                "Name its parts: `data.dir`, `data.val`, `data.test`."
            )
    return join_parts(found)


def source_of(data: DataConfig, emit: Emit = ignore) -> Source:
    """Where the photos of `data` are. Nothing is read."""
    sources = {
        part: _kind(where).source(where, _root(data), emit) for part, where in _places(data).items()
    }
    return Parts(**sources) if len(sources) > 1 else sources["train"]


def _places(data: DataConfig) -> dict[Part, Place]:
    every: dict[Part, str | None] = {"train": data.dir, "val": data.val, "test": data.test}
    return {part: place(given) for part, given in every.items() if given is not None}


def _root(data: DataConfig) -> Place | None:
    return None if data.root is None else place(data.root)


def _kind(where: Place) -> Kind:
    return next(kind for kind in KINDS if kind.fits(where))
