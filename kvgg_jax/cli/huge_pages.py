"""Huge pages for the scratch memory of a step, on Linux.

XLA allocates that memory at each step, gigabytes at 224 px, and each 4 KiB page costs a page fault;
2 MiB pages save that time. glibc reads the setting only when a process starts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

TUNABLE = "glibc.malloc.hugetlb"
MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Restart this process with huge pages; return where that has no effect.

    It needs Linux with glibc 2.35 and huge pages on request ("madvise"). GLIBC_TUNABLES wins where
    it sets them (`glibc.malloc.hugetlb=0` for none). Process id, folder and streams stay.
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
