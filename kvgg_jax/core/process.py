"""The program and its process: version, whose process it is, where the cache lies.

A program that imports kvgg_jax is its host, and a guest changes nothing there. The command owns its
process; it alone quiets libraries and sets them up for all of it.
"""

from __future__ import annotations

import os
from pathlib import Path

__version__ = "0.1.0"
_owned = False


def own_process() -> None:
    """Let kvgg_jax set up the whole process. Called before Keras, JAX and TensorFlow are loaded."""
    global _owned  # noqa: PLW0603  # it is what a process is, not what a caller has
    _owned = True


def is_own_process() -> bool:
    """Whether the process is that of the command."""
    return _owned


def cache_folder() -> Path:
    """Where the program keeps what it can make again: `$XDG_CACHE_HOME/kvgg_jax`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvgg_jax"
