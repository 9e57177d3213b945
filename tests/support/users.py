"""Another user than root, as whom the tests often run and whom permissions do not stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.runs import ROOT

OWN = ("KERAS_HOME", "XDG_CACHE_HOME", "PYTHONHOME")  # of the user who runs the tests


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Within the block, the user `nobody`, who can enter `folder`.

    Not below `tmp_path`, which lies in a folder of root's. Import before it what is needed.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder.chmod(folder.stat().st_mode | 0o055)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class Nobody:
    """Starts Python as `nobody`, or as oneself if that is not root.

    `python` and `options` are for `subprocess`. Folders that only root can enter, as that of Python
    may be, are handed over open: `reach` gives their path.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._handles: list[int] = []
        prefix = Path(sys.base_prefix).resolve()
        base, program = self.reach(prefix), Path(sys.executable).resolve().relative_to(prefix)
        paths = [ROOT, *(path for path in sys.path if path.endswith("site-packages"))]
        self.python = f"{base}/{program}"
        self._env = {name: value for name, value in os.environ.items() if name not in OWN}
        self._env |= {
            "HOME": "/nonexistent",
            "LD_LIBRARY_PATH": f"{base}/lib",
            "PYTHONHOME": base,
            "PYTHONPATH": os.pathsep.join(self.reach(Path(path)) for path in paths),
        }

    def reach(self, folder: Path) -> str:
        """A path of `folder` for that process."""
        handle = os.open(folder, os.O_RDONLY)
        self._stack.callback(os.close, handle)
        self._handles.append(handle)
        return f"/proc/self/fd/{handle}"

    @property
    def options(self) -> dict[str, Any]:
        """Once all is reached."""
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if not os.getuid() else {}
        return {"pass_fds": self._handles, "env": self._env, "cwd": "/", **user}


@contextmanager
def nobody_process() -> Iterator[Nobody]:
    with ExitStack() as stack:
        yield Nobody(stack)
