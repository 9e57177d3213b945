"""The version, who owns the process, where the cache is, and for which processor.

The command owns its process. As a library, kvgg_jax is a guest and changes nothing of its host.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import tempfile
from pathlib import Path

__version__ = "0.2.0"
_owned = False


def own_process() -> None:
    """Let kvgg_jax set up this process. Call it before Keras, JAX and TensorFlow are loaded."""
    global _owned  # noqa: PLW0603  # a fact of the process
    _owned = True


def is_own_process() -> bool:
    """Whether this is the process of the command."""
    return _owned


def cache_folder() -> Path:
    """The folder for what can be made again: `$XDG_CACHE_HOME/kvgg_jax`, or in `~/.cache`.

    A relative `XDG_CACHE_HOME` is ignored, as its specification asks. A user without a home gets a
    private folder that is removed when the process ends.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given / "kvgg_jax"
    home = os.path.expanduser("~")  # noqa: PTH111  # Path.home raises where there is none
    return Path(_scratch().name if home == "~" else f"{home}/.cache", "kvgg_jax")


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="kvgg_jax-", ignore_cleanup_errors=True)


@functools.cache
def processor() -> str:
    """A short digest of the processor's name and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        text = "\n".join(sorted({x for x in lines if x.startswith(("model name", "flags"))}))
    except OSError:  # no such file outside Linux
        text = ""
    text = text or f"{platform.machine()} {platform.processor()} {platform.node()}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
