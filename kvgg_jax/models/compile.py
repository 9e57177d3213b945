"""Compile a step before it is needed: one program per shape, and a second start that skips XLA.

In the process of the command, JAX keeps all that it compiles after the import of this module, also
the programs that Keras makes while it builds a network.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jaxlib

from kvgg_jax.core.devices.mesh import result_shardings
from kvgg_jax.core.events import Compiled, Emit, Progress, ignore
from kvgg_jax.core.process import cache_folder, is_own_process, processor

P = ParamSpec("P")
R = TypeVar("R")

# XLA's default order of operations on CPUs keeps scratch space of all layers at once. This one
# takes two thirds of the memory and the same time.
OPTIONS: dict[str, dict[str, str | bool]] = {
    "cpu": {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
}


def compile_step(
    what: str,
    function: Callable[P, R],
    *example: Any,
    donate: tuple[int, ...] = (),
    like: Any = None,
    emit: Emit = ignore,
) -> Callable[P, R]:
    """`function` compiled for arguments shaped and placed like `example`; it refuses any others.

    On several devices its results are placed as the arrays `like`, or are whole on each.
    """
    emit(Progress(f"compiling the {what} step", 0, 1))
    started = time.perf_counter()
    jitted = jax.jit(function, donate_argnums=donate, out_shardings=result_shardings(like))
    lowered = jitted.lower(*example)
    compiled = lowered.compile(compiler_options=OPTIONS.get(jax.default_backend()))
    emit(Compiled(what, time.perf_counter() - started))
    return compiled


def keep_compiled_programs() -> None:
    """Use JAX's persistent cache for the whole process, in a folder of this processor and jaxlib.

    The command does so by itself. A program that imports kvgg_jax may call it before anything else.
    Programs hold machine code: one from another processor could crash (openxla/xla#44565).
    A cache chosen by the user (JAX_COMPILATION_CACHE_DIR), or KVGG_COMPILE_CACHE=0, is respected.
    """
    if (
        os.environ.get("KVGG_COMPILE_CACHE") == "0"
        or jax.config.values["jax_compilation_cache_dir"]
    ):
        return
    folder = cache_folder() / "xla" / f"{jaxlib.__version__}-{processor()}"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


if is_own_process():
    keep_compiled_programs()
