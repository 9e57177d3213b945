"""Files at an address, asked for through fsspec: its library, patience, and one message for what
fails."""

from __future__ import annotations

import logging
import time
from typing import Any

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.extras import require
from kvgg_jax.core.places import Url
from kvgg_jax.core.process import is_own_process
from kvgg_jax.core.text import escape_name

SECONDS = 60  # for one file, the tries of its library included
TRIES = 3  # where the library tries once
PATIENT = ("s3", "gs")  # those that try again themselves, for up to a minute
LIBRARIES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http"}
"""Scheme of an address -> the extra that has its library; others are as fsspec finds them."""
ADVICE = "Check the address and the network, or copy the photos to this machine: `data.dir`."
LONG = 200  # characters of what a library says


def is_web(url: Url) -> bool:
    """Whether it is that of a web server: its parts are quoted, and it may list nothing."""
    return _extra(url) == "http"


def _extra(url: Url) -> str | None:
    return LIBRARIES.get(url.text.partition(":")[0])


def open_system(url: Url) -> tuple[Any, str]:
    """The file system of an address and the path in it; the file system is made once."""
    if extra := _extra(url):
        require(extra, by=f"{url.text.partition(':')[0]}://")
    if extra == "gs" and is_own_process():
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints a traceback
    from fsspec.core import url_to_fs

    # For proxies and `~/.netrc`, which the other libraries look for by themselves.
    options: Any = {"client_kwargs": {"trust_env": True}} if is_web(url) else {}
    try:
        return url_to_fs(str(url), **options)
    except Exception as error:  # nearly any type: of another library each
        raise failed(url, error) from error


def call(
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
                raise failed(url, reason, limit) from error
        time.sleep(attempt)
    raise AssertionError


def _reason(url: Url, error: Exception) -> Exception:
    """What is behind it: of a web server, fsspec takes all that fails for a file that is missing.

    Then a photo would be left out because a server was busy.
    """
    cause = error.__cause__
    is_missing = getattr(cause, "status", None) in (404, 410)
    behind = isinstance(error, FileNotFoundError) and is_web(url) and not is_missing
    return cause if behind and isinstance(cause, Exception) else error


def _is_final(error: Exception) -> bool:
    """Whether to ask again is of no use, or has been done for a minute."""
    final = FileNotFoundError | PermissionError | TimeoutError | ImportError | ValueError
    return isinstance(error, final) or getattr(error, "status", 500) < 500


def failed(url: Url, error: Exception, seconds: float = SECONDS) -> DataError:
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
