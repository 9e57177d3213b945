"""Photos in a bucket or on a web server, read through fsspec: a folder, or the files of a list."""

from __future__ import annotations

import functools
import hashlib
import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.places import Url
from kvgg_jax.core.process import cache_folder
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.file_types import HEAD
from kvgg_jax.data.decode.image import SUFFIXES, is_image, too_many_bytes
from kvgg_jax.data.decode.limits import MAX_BYTES
from kvgg_jax.data.sources.address import call, failed, is_web, open_system
from kvgg_jax.data.sources.downloads import Downloads
from kvgg_jax.data.sources.folder import NAMES

LISTING = 3600  # seconds for one folder; 1,000 names come at once, so it lists millions
PART = 16 * 2**20  # bytes that are asked for at once: the patience of a minute is for each part
VERSIONS = ("ETag", "etag", "generation", "mtime", "LastModified", "Last-Modified", "created")
"""What a file system may say of a file that another content would change."""

_one_by_one = threading.Lock()

Sizes = dict[str, int | None]
"""Name of a file -> its bytes, where they are known."""


@dataclass(frozen=True)
class RemoteFiles:
    """Files below an address; the key of each is its path below it."""

    root: Url

    def name(self, key: str) -> str:
        """Its address."""
        return str(self._url(key))

    def read(self, key: str) -> bytes:
        """The content of a file, kept on this machine. Raises ImageError where there is none, and
        DataError where nothing answers: a photo is not bad because the network is."""
        return fetch(self._url(key), at_most=MAX_BYTES)

    def _url(self, key: str) -> Url:
        return self.root / (quote(key) if is_web(self.root) else key)


@dataclass(frozen=True)
class RemoteFolder(RemoteFiles):
    """A folder with one sub-folder per class, or with such a folder for each part of a split."""

    emit: Emit = field(default=ignore, compare=False)
    """Told how many files are listed."""

    def list_keys(self) -> list[str]:
        """The images in its sub-folders now. Raises DataError."""
        listed = RemoteFolder(self.root, self.emit)
        return [key for folder in listed.folders() for key in listed.images(folder)]

    def folders(self) -> list[str]:
        """As `folder.Tree` says; a bucket has no empty ones."""
        return sorted({key.partition("/")[0] for key in self._files})

    def images(self, folder: str) -> list[str]:
        """As `folder.Tree` says."""
        return [key for key, it_is in self._files.items() if it_is and key.startswith(f"{folder}/")]

    def below(self, folder: str) -> RemoteFolder:
        """As `folder.Tree` says."""
        found, start = RemoteFolder(self.root / folder, self.emit), f"{folder}/"
        inside = {k.removeprefix(start): v for k, v in self._files.items() if k.startswith(start)}
        found.__dict__["_files"] = {key: it_is for key, it_is in inside.items() if "/" in key}
        return found

    @functools.cached_property
    def _files(self) -> dict[str, bool]:
        """Files in sub-folders, as `image_dataset_from_directory` sorts them, and whether each is
        an image. Listed once."""
        sizes = _list(self.root, self.emit)
        keys = [key for key in sizes if "/" in key and "/." not in f"/{key}"]
        images = {key: key.lower().endswith(SUFFIXES) for key in keys}
        unsure = [key for key in keys if not images[key] and sizes[key] != 0]
        heads = _heads([self._url(key) for key in unsure])
        images |= {key: is_image(head) for key, head in zip(unsure, heads, strict=True)}
        return {key: images[key] for key in sorted(keys, key=lambda key: key.rpartition("/")[::2])}


def fetch(url: Url, *, at_most: int | None = None) -> bytes:
    """The content of the file at `url`, from this machine where it was read before and is the same.

    Raises ImageError where there is no such file, or one of more than `at_most` bytes, DataError
    where nothing answers, MissingExtra without the library.
    """
    system, path = open_system(url)
    info = call(url, system, "info", path)
    size = info.get("size")
    if at_most is not None and size is not None and size > at_most:
        raise too_many_bytes(str(url), size)
    marks = [str(info[name]) for name in VERSIONS if info.get(name)]

    def download() -> bytes:
        content: bytes = call(url, system, "cat_file", path)
        if size is not None and len(content) != size:
            raise failed(url, OSError(f"{len(content)} of {size} bytes came"))
        return content

    if not marks:  # it might have changed unnoticed
        return download()
    name = hashlib.sha256("\0".join([str(url), str(size), marks[0]]).encode()).hexdigest()
    return downloads().get(name, download)


def downloads() -> Downloads:
    """What is kept on this machine of files elsewhere."""
    return _downloads(cache_folder() / "remote")


@functools.cache
def _downloads(folder: Path) -> Downloads:
    return Downloads(folder)


def _list(root: Url, emit: Emit) -> Sizes:
    """Key -> size of all files below `root`. Raises DataError where there are none."""
    system, path = open_system(root)
    system.invalidate_cache()  # of an hour ago, perhaps
    try:
        call(root, system, "info", path)  # what does not answer is known in a minute
        found = _walk(root, system, path, emit)
    except ImageError as error:
        raise DataError(str(error)) from None
    start = len(path.rstrip("/")) + 1
    sizes = {unquote(k[start:]) if is_web(root) else k[start:]: size for k, size in found.items()}
    if not sizes:
        raise DataError(
            f"{escape_name(root)} lists no files. Expected {escape_name(root)}/<class>/<image "
            "files>, or the address of a CSV file with their paths and labels: a web server may "
            "have no list."
        )
    return sizes


def _walk(root: Url, system: Any, path: str, emit: Emit) -> Sizes:
    """Path -> size of all files, one class folder after the other: each is a sign of life, and
    lists 1,000 files a request."""
    found: Sizes = {}

    def keep(listed: dict[str, dict[str, Any]]) -> None:
        found.update({name: one.get("size") for name, one in listed.items()})
        emit(Progress("listing", len(found), None, unit="files"))

    keep({})
    files, folders = _look_into(root, system, path)
    keep(files)
    parts = {name for names in NAMES.values() for name in names}
    for part in [name for name in folders if name.rpartition("/")[2].lower() in parts]:
        files, classes = _look_into(root, system, part)
        keep(files)
        folders.remove(part)
        folders += classes
    for name in folders:
        every = call(root, system, "find", name, withdirs=False, detail=True, seconds=LISTING)
        keep({file: one for file, one in every.items() if file.startswith(f"{name}/")})
    return found


def _look_into(root: Url, system: Any, folder: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The files in one folder, and the folders in it that are not hidden."""
    files, folders = {}, []
    for one in call(root, system, "ls", folder, detail=True, seconds=LISTING):
        name = one["name"].rstrip("/")
        if not name.startswith(folder.rstrip("/") + "/"):
            continue  # such as the folder itself
        if one["type"] != "directory":
            files[name] = one
        elif not name.rpartition("/")[2].startswith("."):
            folders.append(name)
    return files, folders


def _heads(urls: list[Url]) -> list[bytes]:
    """The first bytes of each file."""
    if not urls:
        return []
    (system, _), paths = open_system(urls[0]), [open_system(url)[1] for url in urls]
    starts, ends = [0] * len(urls), [HEAD] * len(urls)
    given: Any = {"on_error": "raise", "seconds": LISTING}
    return list(call(urls[0], system, "cat_ranges", paths, starts, ends, **given))


def exists(root: Url, key: str) -> bool:
    """Whether there is a file `key` below `root`. Raises DataError, naming `root`."""
    system, path = open_system(root)
    try:
        call(root, system, "info", f"{path}/{key}")
    except ImageError:
        return False
    return True


def size_of(url: Url) -> int | None:
    """Bytes of a file, where its server says so. Raises as `fetch`."""
    system, path = open_system(url)
    size: int | None = call(url, system, "info", path).get("size")
    return size


def fetch_part(url: Url, start: int, length: int) -> bytes:
    """Bytes of a file from `start` on; all of it, where its server knows no parts."""
    system, path = open_system(url)
    # Such as `memory://`, whose threads share one place in a file.
    with nullcontext() if system.async_impl else _one_by_one:
        content: bytes = call(url, system, "cat_file", path, start=start, end=start + length)
    return content


def download(url: Url, file: Path) -> None:
    """Write a file elsewhere into one here, part by part. Raises as `fetch`, and OSError."""
    size = size_of(url)
    if size is None:
        file.write_bytes(fetch(url))
        return
    with file.open("wb") as out:
        while (start := out.tell()) < size:
            content = fetch_part(url, start, min(PART, size - start))
            if not content:
                raise failed(url, OSError(f"{start} of {size} bytes came"))
            out.write(content)
