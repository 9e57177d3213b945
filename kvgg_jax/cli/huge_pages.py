"""Huge pages for the scratch memory of a step, on Linux.

XLA allocates it again at each step, gigabytes at 224 px, and each 4 KiB page of it costs
a page fault; with 2 MiB pages that time is gone. glibc only takes the wish before it starts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

TUNABLE = "glibc.malloc.hugetlb"
MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Restart this process with huge pages; return where that has no effect.

    That is outside Linux with glibc 2.35 or later, where the system gives them unasked or not at
    all, and where GLIBC_TUNABLES sets them already (`glibc.malloc.hugetlb=0` to
    do without). The process keeps its number, its folder and its streams.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if TUNABLE in tunables or not _useful():
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _useful() -> bool:
    if sys.platform != "linux" or not MODE.exists():
        return False
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    numbers = tuple(int(part) for part in version.split(".") if part.isdecimal())
    return name == "glibc" and numbers >= (2, 35) and "[madvise]" in MODE.read_text()
