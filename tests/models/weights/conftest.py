"""Sound weight files, to be copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kvgg_jax.core.keras_gate import keras
from support.networks import stock_network


@pytest.fixture(scope="package")
def network() -> keras.Model:
    return stock_network()


@pytest.fixture(scope="package")
def sound(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind, written by Keras itself; to be copied."""
    folder = tmp_path_factory.mktemp("sound")
    files = {kind: folder / f"sound{kind}" for kind in (".weights.h5", ".keras", ".h5")}
    network.save_weights(files[".weights.h5"])
    network.save(files[".keras"])
    network.save(files[".h5"])
    return files


@pytest.fixture
def copy(sound: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        file = tmp_path / f"x{kind}"
        file.write_bytes(sound[kind].read_bytes())
        return file

    return make
