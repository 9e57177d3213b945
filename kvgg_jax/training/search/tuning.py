"""`tune`: a search for settings by Optuna, each trial an ordinary run in the folder of the search.

A search that was stopped and resumed is the search that was never stopped, since each trial depends
on the seed and the trials before it alone, and can be resumed itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import read_toml
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.extras import require
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import write_file
from kvgg_jax.runs.manifest import UNSEEN, differences, refuse
from kvgg_jax.training.inputs import complete_config
from kvgg_jax.training.loop import never
from kvgg_jax.training.search.group import group_folder
from kvgg_jax.training.search.space import DEFAULT_SPACE, Space, check_space, to_table
from kvgg_jax.training.search.storage import Direction, Journal, Storage
from kvgg_jax.training.search.study import BEST, Search, Trial
from kvgg_jax.training.tracking.tracking import check_trackers

SEARCHED = "tune.toml"  # what is searched


@dataclass(frozen=True, slots=True)
class TuneResult:
    """All trials of a search in their order, and the configuration of the best."""

    folder: Path
    trials: tuple[Trial, ...]
    config: Path
    """`best.toml`, for `kvgg train --config`."""

    @property
    def best(self) -> Trial:
        """The complete trial of the highest rank."""
        return max(self.trials, key=lambda trial: trial.rank)


def tune(
    config: RunConfig | None = None,
    space: Space = DEFAULT_SPACE,
    *,
    trials: int = 20,
    storage: str | None = None,
    out: str | Path = catalog.OUT,
    name: str = "tune",
    stop: Callable[[], bool] = never,
    before_run: Callable[[], None] | None = None,
    emit: Emit = ignore,
) -> TuneResult:
    """Search `space` around `config` until `out/name` holds `trials` trials.

    Called again with the same arguments, or more trials, it resumes. `storage` is the URL of a
    database, in which several workers, each a call on any machine, share the search `name`.
    `stop` and `before_run` are as for `crossval`. Raises MissingExtra without Optuna or a driver of
    the database, ConfigError for a space that is not legal, UsageError for a `storage` that is no
    URL, and RunError when the folder or the database holds another search, when the database does
    not answer, or when no trial was completed.
    """
    require("tune", by="kvgg tune")
    catalog.check_name(name)
    config, folder = complete_config(config or RunConfig(), emit, out=out), Path(out) / name
    check_trackers(config)
    check_space(space, config, where="space")
    if trials < 1:
        raise UsageError(f"--trials {trials}: at least 1.")
    with (
        group_folder(folder, mark=SEARCHED, what="search", shared=storage is not None),
        _opened(storage, folder, config) as opened,
    ):
        _check_settings(folder, opened, config, space)
        search = Search(
            folder=folder,
            storage=opened,
            config=config,
            space=space,
            stop=stop,
            before_run=before_run,
            emit=emit,
        )
        while search.run_next(trials):
            pass
        search.write_best()  # a kill after the last trial may have come before it
        found = TuneResult(folder, tuple(search.ended()), folder / BEST)
    if found.best.state != "complete":
        raise RunError(
            f"None of the {len(found.trials)} trials in {folder} was completed. "
            "Search a space with lower learning rates, or give more --trials."
        )
    return found


@contextmanager
def _opened(url: str | None, folder: Path, config: RunConfig) -> Iterator[Storage]:
    """The trials in `folder`, or those in a database under the same name."""
    seed, warmup = config.seed, config.train.epochs // 3 + 1
    direction: Direction = "minimize" if config.train.monitor == "loss" else "maximize"
    if url is None:
        yield Journal(folder, seed=seed, warmup=warmup, direction=direction)
        return
    from kvgg_jax.training.search.database import Database, answering

    with answering(url):
        yield Database(url, folder.name, seed=seed, warmup=warmup, direction=direction)


def _check_settings(folder: Path, storage: Storage, config: RunConfig, space: Space) -> None:
    """Write down what is searched. Raises RunError when something else is searched there."""
    file = folder / SEARCHED
    now = {"config": _table(config), "space": to_table(space)}
    if file.exists():
        _refuse_another(folder, read_toml(file, errors="surrogateescape"), now)
    else:
        write_file(file, tomli_w.dumps(now))
    if storage.is_shared:
        _refuse_another("The database", storage.study.user_attrs.get(SEARCHED, now), now)
        storage.study.set_user_attr(SEARCHED, now)


def _refuse_another(holder: object, then: dict[str, Any], now: dict[str, Any]) -> None:
    # a setting that the version that started it did not know had its default
    defaults, flat = _flat({"config": _table(RunConfig())}), _flat(now)
    known = {key: value for key, value in defaults.items() if key in flat} | _flat(then)
    refuse(
        f"{holder} holds another search:",
        differences(known, flat, {f"config.{key}" for key in UNSEEN}),
        "Search with its settings, or choose another --name.",
    )


def _table(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude_none=True)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat
