"""Photos in fsspec's file system in memory, and one that fails as a test wants it to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.memory import MemoryFileSystem


def upload(folder: Path, address: str) -> None:
    """The files of `folder` below `memory://...` or another address."""
    system, root = fsspec.core.url_to_fs(address)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            system.pipe_file(f"{root}/{file.relative_to(folder).as_posix()}", file.read_bytes())


@contextmanager
def empty_memory() -> Iterator[None]:
    """Nothing is in it before and after."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    try:
        yield
    finally:
        MemoryFileSystem.store.clear()


class Faulty(AsyncFileSystem):
    """What is in memory, asked as a library asks a bucket; `errors` come first, one for each call
    of a method, and a method in `stuck` never answers."""

    protocol = "faulty"
    cachable = False
    errors: list[Exception] = []  # noqa: RUF012  # a test fills it
    stuck: set[str] = set()  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012
    parts: list[tuple[str, int | None, int | None]] = []  # noqa: RUF012
    """Path, start and end of what was asked for."""
    broken_after: int | None = None
    """Of so many files, none can be read any more."""

    async def _answer(self, method: str, *args, **kwargs):
        self.asked.append(f"{method} {os.path.basename(args[0])}")  # noqa: PTH119
        if method in self.stuck:
            await asyncio.sleep(3600)
        read = sum(text.startswith("cat_file") for text in self.asked)
        if self.broken_after is not None and read > self.broken_after:
            raise ConnectionError("the bucket is gone")
        if self.errors:
            raise self.errors.pop(0)
        return getattr(MemoryFileSystem(), method)(*args, **kwargs)

    async def _info(self, path, **kwargs):
        return await self._answer("info", path)

    # Their other arguments have another order in each library.
    async def _cat_file(self, path, *, start=None, end=None, **kwargs):
        self.parts.append((path, start, end))
        return await self._answer("cat_file", path, start=start, end=end)

    async def _ls(self, path, *, detail=True):
        return await self._answer("ls", path, detail)

    async def _find(self, path, *, withdirs=False, detail=False):
        return await self._answer("find", path, withdirs=withdirs, detail=detail)

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("faulty://", "memory://"))


@contextmanager
def faulty() -> Iterator[type[Faulty]]:
    """`faulty://` is there, and does not fail until told."""
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    Faulty.errors, Faulty.stuck, Faulty.broken_after = [], set(), None
    Faulty.asked, Faulty.parts = [], []
    with empty_memory():
        yield Faulty


def shard_requests() -> list[tuple[int, int | None]]:
    """What was asked of shards at `faulty://`: the number of each, and where a photo starts; None
    for a whole shard."""
    of_shards = [(path, start) for path, start, _ in Faulty.parts if path.endswith(".tar")]
    return [(int(path[-10:-4]), start or None) for path, start in of_shards]


def save_as_data_set(
    photos: Path, folder: Path, names: list[str] | None, splits: tuple[str, ...] = ()
) -> str:
    """The address of class folders, saved in a folder as a data set of Hugging Face, or as one of
    several equal splits; without `names` the labels are text."""
    import datasets

    files = sorted(photos.glob("*/*"))
    features = {"image": datasets.Image(), "label": datasets.Value("string")}
    if names:
        features["label"] = datasets.ClassLabel(names=names)
    columns = {
        "image": [{"bytes": file.read_bytes(), "path": None} for file in files],
        "label": [file.parent.name for file in files],
    }
    one = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    made = datasets.DatasetDict(dict.fromkeys(splits, one)) if splits else one
    made.save_to_disk(str(folder))
    return f"hf:{folder}"


def prepare_data_set(
    photos: Path,
    folder: Path,
    names: list[str],
    splits: tuple[str, ...] = ("train",),
    *,
    file_format: str = "tfrecord",
) -> str:
    """The address of class folders, prepared in a folder as a data set of TensorFlow Datasets of
    equal splits; a photo without a class among `names` has no label."""
    import tensorflow_datasets as tfds  # imports TensorFlow at its first use

    import kvgg_jax.core.tf_gate  # noqa: F401

    examples = [
        (i, {"image": file.read_bytes(), "label": label_of(file.parent.name, names), "text": "x"})
        for i, file in enumerate(sorted(photos.glob("*/*")))
    ]
    made = tfds.dataset_builders.store_as_tfds_dataset(
        "made",
        "1.0.0",
        tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=names),
                "text": tfds.features.Text(),
            }
        ),
        dict.fromkeys(splits, examples),
        data_dir=folder,
        file_format=file_format,
        disable_shuffling=True,
    )
    return f"tfds:{made.data_dir}"


def label_of(name: str, names: list[str]) -> int:
    """As TensorFlow Datasets has it, which takes -1 for none."""
    return names.index(name) if name in names else -1
