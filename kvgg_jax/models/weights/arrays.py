"""An array of a weight file, before and after it is read, and what may be wrong with a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import KvggError, WeightsError
from kvgg_jax.core.text import escape_name

MAX_CONFIG = 2**24  # bytes of a model's configuration; VGG16's has 20,000
ORDER = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
TRUSTED = {"keras", "kvgg_jax", "builtins", "None"}  # modules that a configuration may name


class Refused(Exception):
    """Why a file is refused; `named` puts its name before the text."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One array of a file: its shape, and the way to its values."""

    shape: tuple[int, ...]
    read: Callable[[], NDArray[np.float32]]
    """Raises Refused for values that are no finite floats, or are not all there."""


Layers: TypeAlias = Mapping[str, tuple[Stored, ...]]
"""Layer name -> its arrays, in Keras' order: kernel, bias; or gamma, beta, mean, variance."""


def rank(name: str) -> tuple[int, str]:
    """What sorts the variables of a layer as Keras does."""
    return (ORDER.index(name) if name in ORDER else len(ORDER)), name


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Bad bytes come out of the libraries as nearly any exception; here they get a name."""
    file = escape_name(path)
    try:
        yield
    except (KvggError, MemoryError):
        raise
    except Refused as error:
        raise WeightsError(f"{file}{error}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.strerror and error.filename:
            raise WeightsError(f"Cannot read {file}: {error.strerror}.") from None
        raise WeightsError(
            f"{file} is damaged or cut short, so its weights cannot be read. Fetch it again."
        ) from error


def finite(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The values in float32. Raises Refused when one is NaN or infinite."""
    array = np.asarray(values, np.float32)
    if not np.isfinite(array).all():
        raise Refused(f": {escape_name(name)!r} has values that are not finite.")
    return array


def refuse_code(config: str | bytes) -> None:
    """Raises Refused for a model that has code in its configuration, as Keras' safe mode does.

    The configuration is not used: the arrays alone are.
    """
    left = [json.loads(config)]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            kind, module = str(value.get("class_name")), str(value.get("module"))
            if kind in ("Lambda", "__lambda__") or module.split(".", 1)[0] not in TRUSTED:
                raise Refused(
                    f" has code in its configuration ({escape_name(module)}, {escape_name(kind)}). "
                    "It is not run, and the file is refused. Where you trust it, save the weights "
                    "alone: model.save_weights('NAME.weights.h5')."
                )
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
