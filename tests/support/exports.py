"""What the tests of exports share."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.export.exporter import FORMATS

CLASSES = ["blue", "green", "red"]


def needs(format: str) -> None:
    """Skips where the extra of a format is not installed."""
    extra = FORMATS[format].extra
    if extra and importlib.util.find_spec(extra) is None:
        pytest.skip(f'needs pip install "kvgg_jax[{extra}]"')


def about(file: Path) -> dict[str, Any]:
    return json.loads(file.with_name(f"{file.name}.json").read_text())
