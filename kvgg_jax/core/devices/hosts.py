"""Several processes that train one network, each on its own host or devices: JAX's own runtime.

All take the same path through the code and meet in each step. The main process, number 0, alone
prints, writes and decides what depends on files; the others learn it by `from_main`.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from kvgg_jax.core.errors import KvggError, RunError

T = TypeVar("T")
START = 300  # seconds until all processes must be there
HEARTBEAT, SHUTDOWN = 30, 10  # seconds after which one that is silent counts as dead


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join the other processes; None is for what Slurm, Open MPI or Kubernetes say.

    Call it before JAX computes anything. Raises KvggError where they do not find each other.
    """
    import jax

    # it would replace the handlers of SIGTERM; `agreed` does what it does
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=START,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=SHUTDOWN,
        )
    except (ValueError, RuntimeError) as error:
        raise KvggError(
            f"Cannot join {processes or 'the'} processes at {coordinator or 'their coordinator'}: "
            f"{str(error).splitlines()[0].rstrip('.')}. Start one for each number from 0 on, with "
            "the same coordinator, which is the host and a free port of number 0."
        ) from None


def are_several() -> bool:
    """Whether this process trains together with others; without JAX it does not."""
    jax: Any = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1


def is_main() -> bool:
    """Whether this process prints, writes and decides."""
    if not are_several():
        return True
    import jax

    return jax.process_index() == 0


def host_name() -> str:
    """Number and name of this process among several, such as `host 1 (node17)`."""
    import jax

    return f"host {jax.process_index()} ({platform.node()})"


def from_main(compute: Callable[[], T]) -> T:
    """What `compute` gives in the main process, in all of them: a value that JSON can hold.

    All raise what it raises there, as far as it is a KvggError. It must not ask for `from_main`.
    """
    if not are_several():
        return compute()
    answer: dict[str, Any] = {}
    if is_main():
        try:
            answer = {"value": compute()}
        except KvggError as error:
            _sent(json.dumps({"error": str(error)}))
            raise
    answer = json.loads(_sent(json.dumps(answer)))
    if "error" in answer:
        raise RunError(answer["error"])
    return answer["value"]


def check_all(fault: str | None) -> None:
    """Raises RunError in all processes where one of them has a fault; it says which one."""
    if not are_several():
        if fault:
            raise RunError(fault)
        return
    from jax.experimental.multihost_utils import process_allgather

    texts = _gathered(f"{host_name()}: {fault}" if fault else "", process_allgather)
    if faults := [text for text in texts if text]:
        raise RunError("\n".join(faults))


def _sent(text: str) -> str:
    """The text of the main process."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return _gathered(text, broadcast_one_to_all)


def _gathered(text: str, collect: Callable[..., Any]) -> Any:
    """A text of each process, or of one, as `collect` moves arrays: UTF-8, padded to one length."""
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    own = np.frombuffer(text.encode(), np.uint8)
    padded = np.zeros(np.max(process_allgather(np.array(len(own)))), np.uint8)
    padded[: len(own)] = own
    found = collect(padded)
    if found.ndim == 1:
        return bytes(found).rstrip(b"\0").decode()
    return [bytes(row).rstrip(b"\0").decode() for row in found]
