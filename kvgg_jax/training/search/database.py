"""A search in a database, whose trials are trained by several workers, on any machines.

A worker that trains gives signs of life. Without one for a while, its trial is for another worker.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kvgg_jax.core.errors import KvggError, MissingExtra, RunError, Stopped, UsageError
from kvgg_jax.core.events import Emit, Note, Warned
from kvgg_jax.core.extras import require
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.search.storage import Direction, Storage, number

if TYPE_CHECKING:
    import optuna

BEAT, GRACE = 30, 120  # seconds between two signs of life, and from the last until it is taken
HOST = "host"  # the attribute of a trial that says where its run is
PAUSE = 1.0  # seconds between two looks at the trials of others
RETRIES = 10  # of a trial whose workers end, say for lack of memory


class Database(Storage):
    """A database of any kind that SQLAlchemy knows; `name` tells its searches apart."""

    is_shared = True

    def __init__(
        self, url: str, name: str, *, seed: int, warmup: int, direction: Direction = "maximize"
    ) -> None:
        """Create the search `name` there, or open it. Raises MissingExtra without a driver."""
        import optuna

        super().__init__(seed, warmup, direction)
        with _unwarned():
            self._again = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)
            self._storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=BEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=self._again,
            )
        self.study = self._create(self._storage, name)

    def take(self, trials: int, *, stop: Callable[[], bool], emit: Emit) -> optuna.Trial | None:
        """First one that a worker gave up. Waits while others train all that are left."""
        is_told = False
        while (left := trials - len(self.ended())) > 0:
            self._give_up_stale()
            if (trial := self._claim(trials)) is not None:
                return trial
            if stop():
                raise Stopped("Stopped while others train.")
            if not is_told:
                emit(Note(f"Other workers train the last trials: waiting for {left}"))
            is_told = True
            time.sleep(PAUSE)
        return None

    def _give_up_stale(self) -> None:
        """Let trials be taken again whose workers gave no sign of life for a while."""
        import optuna

        for trial in self.study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            if HOST not in trial.user_attrs:  # its worker may have ended before the first sign
                self._storage.record_heartbeat(trial._trial_id)
                self._storage.set_trial_user_attr(trial._trial_id, HOST, "unknown")
        with _unwarned():
            optuna.storages.fail_stale_trials(self.study)

    def _claim(self, trials: int) -> optuna.Trial | None:
        """A trial that no other worker has; None where that would be one too many."""
        from optuna.trial import TrialState

        counted = _counted(self.study.trials)
        if len(counted) >= trials and all(one.state != TrialState.WAITING for one in counted):
            return None
        with _unwarned():
            trial = self._ask()
        if len(_counted(self.study.trials[: trial.number])) >= trials:  # another was quicker
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        self._storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(HOST, socket.gethostname())
        return trial

    @contextlib.contextmanager
    def held(self, trial: optuna.Trial, *, emit: Emit) -> Iterator[None]:
        """Give signs of life. When the block raises, the trial is for another worker."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            with self._alive(trial):
                yield
        except UpdateFinishedTrialError:
            emit(Warned("Another worker has taken the trial, since nothing was heard from here."))
        except (KvggError, KeyboardInterrupt):
            with contextlib.suppress(ValueError):  # it is another worker's already
                self._again(self.study, self.study.tell(trial, state=TrialState.FAIL))
            raise

    @contextlib.contextmanager
    def _alive(self, trial: optuna.Trial) -> Iterator[None]:
        from optuna.exceptions import StorageInternalError

        ended = threading.Event()

        def beat() -> None:
            while True:
                with contextlib.suppress(StorageInternalError):  # the next may reach it
                    self._storage.record_heartbeat(trial._trial_id)
                if ended.wait(BEAT):
                    return

        beating = threading.Thread(target=beat, daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()

    def check_photos(self, trial: optuna.Trial, run: Run) -> None:
        """Their digests are compared, of images of the same size and `data.resize`."""
        ours = run.info().get("data", {})
        kept = {key: ours.get(key) for key in ("fingerprint", "left_out", "split")}
        config = run.config().data
        shape = {"image_size": config.image_size, "resize": config.resize}
        kept |= shape
        trial.set_user_attr("photos", kept)
        for other in self.study.trials:
            theirs = {"resize": "squash", **other.user_attrs.get("photos", kept)}
            if shape.items() <= theirs.items() and theirs != kept:
                raise RunError(
                    f"The photos here are not those of trial {number(other)}, on "
                    f"{other.user_attrs[HOST]}, so the two cannot be compared. "
                    f"Give all workers the same photos, or choose another --name."
                )


def _counted(trials: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    """Those that have ended or will. What was given up is taken again as another trial."""
    import optuna

    return [one for one in trials if one.state != optuna.trial.TrialState.FAIL]


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Without Optuna's warnings that signs of life are experimental, and not meant for `ask`."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage")
        yield


@contextlib.contextmanager
def answering(url: str) -> Iterator[None]:
    """For the work with the database at `url`, whose password is not shown.

    Raises UsageError for what is no URL, MissingExtra where a driver is missing, and RunError where
    the database does not answer.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    if url.startswith("postgresql:"):
        require("postgresql", by="--storage postgresql:")
    try:
        shown = make_url(url).render_as_string(hide_password=True)
        make_url(url).get_dialect().import_dbapi()
    except (ArgumentError, ValueError):
        raise UsageError(
            "--storage: expected the URL of a database, like postgresql://user@host/database."
        ) from None
    except ImportError as error:
        raise MissingExtra(
            f"--storage {shown} needs {error.name}, which is not installed. Add the driver that "
            "SQLAlchemy wants for this database, or take postgresql://."
        ) from None
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise RunError(
            f"The database {shown} does not answer: {cause}. Nothing is lost: repeat the command "
            "when it does."
        ) from None
