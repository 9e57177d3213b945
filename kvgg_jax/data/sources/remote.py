"""Photos in a bucket or on a web server, read through fsspec: a folder, or the files of a list."""

from __future__ import annotations

import functools
import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.extras import require
from kvgg_jax.core.places import Url
from kvgg_jax.core.process import cache_folder, is_own_process
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.file_types import HEAD
from kvgg_jax.data.decode.image import SUFFIXES, is_image, too_many_bytes
from kvgg_jax.data.decode.limits import MAX_BYTES
from kvgg_jax.data.sources.downloads import Downloads

SECONDS = 60  # for one file, the tries of its library included
LISTING = 3600  # seconds; 1,000 names come at once, so it lists millions
TRIES = 3  # where the library tries once
PATIENT = ("s3", "gs")  # those that try again themselves, for up to a minute
LIBRARIES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http"}
"""Scheme of an address -> the extra that has its library; others are as fsspec finds them."""
ADVICE = "Check the address and the network, or copy the photos to this machine: `data.dir`."
LONG = 200  # characters of what a library says
VERSIONS = ("ETag", "etag", "generation", "mtime", "LastModified", "Last-Modified", "created")
"""What a file system may say of a file that another content would change."""


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
        return self.root / (quote(key) if _is_web(self.root) else key)


class RemoteFolder(RemoteFiles):
    """A folder with one sub-folder per class, or with such a folder for each part of a split."""

    def list_keys(self) -> list[str]:
        """The images in its sub-folders now. Raises DataError."""
        listed = RemoteFolder(self.root)
        return [key for folder in listed.folders() for key in listed.images(folder)]

    def folders(self) -> list[str]:
        """As `folder.Tree` says; a bucket has no empty ones."""
        return sorted({key.partition("/")[0] for key in self._files})

    def images(self, folder: str) -> list[str]:
        """As `folder.Tree` says."""
        return [key for key, it_is in self._files.items() if it_is and key.startswith(f"{folder}/")]

    def below(self, folder: str) -> RemoteFolder:
        """As `folder.Tree` says."""
        found, start = RemoteFolder(self.root / folder), f"{folder}/"
        inside = {k.removeprefix(start): v for k, v in self._files.items() if k.startswith(start)}
        found.__dict__["_files"] = {key: it_is for key, it_is in inside.items() if "/" in key}
        return found

    @functools.cached_property
    def _files(self) -> dict[str, bool]:
        """Files in sub-folders, as `image_dataset_from_directory` sorts them, and whether each is
        an image. Listed once."""
        sizes = _list(self.root)
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
    system, path = _system(url)
    info = _call(url, system, "info", path)
    size = info.get("size")
    if at_most is not None and size is not None and size > at_most:
        raise too_many_bytes(str(url), size)
    marks = [str(info[name]) for name in VERSIONS if info.get(name)]

    def download() -> bytes:
        content: bytes = _call(url, system, "cat_file", path)
        if size is not None and len(content) != size:
            raise _failed(url, OSError(f"{len(content)} of {size} bytes came"))
        return content

    if not marks:  # it might have changed unnoticed
        return download()
    name = hashlib.sha256("\0".join([str(url), str(size), marks[0]]).encode()).hexdigest()
    return _downloads(cache_folder() / "remote").get(name, download)


@functools.cache
def _downloads(folder: Path) -> Downloads:
    return Downloads(folder)


def _extra(url: Url) -> str | None:
    return LIBRARIES.get(url.text.partition(":")[0])


def _is_web(url: Url) -> bool:
    return _extra(url) == "http"


def _list(root: Url) -> dict[str, int | None]:
    """Key -> size in bytes of all files below `root`. Raises DataError where there are none."""
    system, path = _system(root)
    system.invalidate_cache()  # of an hour ago, perhaps
    try:
        _call(root, system, "info", path)  # what does not answer is known in a minute
        found = _call(root, system, "find", path, None, False, detail=True, seconds=LISTING)
    except ImageError as error:
        raise DataError(str(error)) from None
    below = path.rstrip("/") + "/"
    inside = {name[len(below) :]: about for name, about in found.items() if name.startswith(below)}
    sizes = {
        unquote(key) if _is_web(root) else key: about.get("size") for key, about in inside.items()
    }
    if not sizes:
        raise DataError(
            f"{escape_name(root)} lists no files. Expected {escape_name(root)}/<class>/<image "
            "files>, or the address of a CSV file with their paths and labels: a web server may "
            "have no list."
        )
    return sizes


def _heads(urls: list[Url]) -> list[bytes]:
    """The first bytes of each file."""
    if not urls:
        return []
    (system, _), paths = _system(urls[0]), [_system(url)[1] for url in urls]
    starts, ends = [0] * len(urls), [HEAD] * len(urls)
    given: Any = {"on_error": "raise", "seconds": LISTING}
    return list(_call(urls[0], system, "cat_ranges", paths, starts, ends, **given))


def _system(url: Url) -> tuple[Any, str]:
    """The file system of an address and the path in it; the file system is made once."""
    if extra := _extra(url):
        require(extra, by=f"{url.text.partition(':')[0]}://")
    if extra == "gs" and is_own_process():
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints a traceback
    from fsspec.core import url_to_fs

    # For proxies and `~/.netrc`, which the other libraries look for by themselves.
    options: Any = {"client_kwargs": {"trust_env": True}} if _is_web(url) else {}
    try:
        return url_to_fs(str(url), **options)
    except Exception as error:  # nearly any type: of another library each
        raise _failed(url, error) from error


def _call(
    url: Url, system: Any, method: str, *args: Any, seconds: float | None = None, **kwargs: Any
) -> Any:
    """What a method of a file system gives, in so many seconds.

    Raises ImageError where there is no such file, else DataError.
    """
    limit = seconds or SECONDS  # also of what its library tries again
    tries = 1 if _extra(url) in PATIENT else TRIES
    for attempt in range(1, tries + 1):
        try:
            if not system.async_impl:
                return getattr(system, method)(*args, **kwargs)
            from fsspec.asyn import sync

            ask = getattr(system, f"_{method}")
            return sync(system.loop, ask, *args, timeout=limit, **kwargs)
        except Exception as error:  # nearly any type: of another library each
            reason = _reason(url, error)
            if attempt == tries or _is_final(reason):
                raise _failed(url, reason, limit) from error
        time.sleep(attempt)
    raise AssertionError


def _reason(url: Url, error: Exception) -> Exception:
    """What is behind it: of a web server, fsspec takes all that fails for a file that is missing.

    Then a photo would be left out because a server was busy.
    """
    cause = error.__cause__
    is_missing = getattr(cause, "status", None) in (404, 410)
    behind = isinstance(error, FileNotFoundError) and _is_web(url) and not is_missing
    return cause if behind and isinstance(cause, Exception) else error


def _is_final(error: Exception) -> bool:
    """Whether to ask again is of no use, or has been done for a minute."""
    final = FileNotFoundError | PermissionError | TimeoutError | ImportError | ValueError
    return isinstance(error, final) or getattr(error, "status", 500) < 500


def _failed(url: Url, error: Exception, seconds: float = SECONDS) -> DataError:
    """What went wrong, as one message."""
    at, reason = escape_name(url), escape_name(" ".join(str(error).split()))[:LONG]
    reason = reason or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{at}: does not exist. Check the address.")
    if isinstance(error, TimeoutError):
        return DataError(f"{at}: no answer in {seconds:.0f} seconds. {ADVICE}")
    if isinstance(error, PermissionError) or _is_refusal(error):
        return DataError(
            f"{at}: access is refused ({reason}). Check the address, and give your credentials "
            "where its library looks for them: docs/how-to/elsewhere.md."
        )
    return DataError(f"{at}: cannot be read ({reason}). {ADVICE}")


def _is_refusal(error: Exception) -> bool:
    return getattr(error, "status", None) in (401, 403) or "Credentials" in type(error).__name__
