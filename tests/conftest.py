"""What the tests share: a private home for caches, tiny photos, and one small finished run."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from kvgg_jax.core.process import own_process
from support.runs import (
    ROOT,
    Trained,
    blank_charts,
    draw_photos,
    eventful,
    narrow,
    small_config,
    train_once,
)

if TYPE_CHECKING:
    from kvgg_jax.data.audit.findings import Check

# Before anything imports keras: it writes to its home, and obeys what it finds there. All
# tests share the programs compiled there, and so do the processes that run them side by side;
# the folder is removed at exit.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _HOME = tempfile.TemporaryDirectory(prefix="kvgg-tests-", ignore_cleanup_errors=True)
    os.environ["KERAS_HOME"] = str(Path(_HOME.name, "keras"))
    os.environ["XDG_CACHE_HOME"] = str(Path(_HOME.name, "cache"))
for _NAME in (
    *("JAX_COMPILATION_CACHE_DIR", "KVGG_COMPILE_CACHE"),
    *("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"),  # rich heeds them
):
    os.environ.pop(_NAME, None)
# A program of a test runs for milliseconds and takes seconds to optimize. The processes that
# tests start inherit it. `nox -s faults` sets it to 0 and harms what users run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# To look for garbage among all that Keras, JAX and TensorFlow hold takes a second each time.
gc.set_threshold(20_000, 20, 100)
own_process()  # as the command does; `test_guest.py` is about a host that does not
# A stall of a loaded machine is no failure, and the same examples come each time.
settings.register_profile(
    "kvgg",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("kvgg")


# The longest files come first, so that no worker of pytest-xdist ends with one of them.
LONG = (
    *("test_several_devices", "test_several_processes", "test_several_workers", "test_guest"),
    *("test_resume", "test_user", "test_hostile", "test_bad_input", "test_faults"),
    *("test_solved_head", "test_timed_runs"),
    *("test_exporter", "test_classifier", "test_functional", "test_conv"),
    *("test_convolution", "test_frozen_features", "test_tuning", "test_fit", "test_checkpoint"),
    *("test_train", "test_trackers", "test_initial_weights"),
)


def pytest_configure(config: pytest.Config) -> None:
    """By default pytest-xdist begins with the files of the most tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By file alone: the tests of a file, and the other files, keep their order."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


@pytest.fixture
def thin() -> Iterator[None]:
    """For one test."""
    with narrow():
        yield


@pytest.fixture(scope="module")
def thin_network() -> Iterator[None]:
    """For the whole module."""
    with narrow():
        yield


@pytest.fixture(scope="module")
def blank() -> Iterator[None]:
    """For the whole module: no test of it looks at a chart."""
    with blank_charts():
        yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of 12 PNGs, in a folder that the test may change."""
    return draw_photos(tmp_path / "photos")


# Runs to be read and copied, not written. Tests that build their network need `thin_network`.


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run of two epochs."""
    return train_once(tmp_path_factory, "trained", small_config)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch, on four photos a class."""
    config = partial(small_config, train={"epochs": 1})
    return train_once(tmp_path_factory, "finished", config, per_class=4).run


@pytest.fixture(scope="session")
def folds(trained: Trained, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a cross-validation of two folds leaves it: two networks alike, with other weights."""
    path = tmp_path_factory.mktemp("runs") / "cv"
    for number, run in enumerate((trained.run, finished), 1):
        shutil.copytree(run, path / f"fold-{number}")
    (path / "crossval.json").write_text('{"status": "finished", "folds": [{}, {}]}')
    return path


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An eventful run of four epochs that nobody cut or killed."""
    return train_once(tmp_path_factory, "whole", eventful)


@pytest.fixture(scope="session")
def coffee() -> Path:
    """The coffee photos that lie beside the checkout."""
    folder = ROOT.parent / "shared" / "data" / "coffee"
    if not folder.is_dir():
        pytest.skip(f"the coffee photos are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def checked(coffee: Path) -> Check:
    """What `data check` finds in the coffee photos, dealt as `train` does by default."""
    from kvgg_jax.data.audit.audit import check_data

    return check_data(coffee)
