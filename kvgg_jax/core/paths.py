"""Where the program keeps what is not of a run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where the program keeps what it can make again: `$XDG_CACHE_HOME/kvgg_jax`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvgg_jax"
