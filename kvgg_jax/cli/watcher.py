"""A last message for a process that ends without one: killed, or aborted by a library.

The system kills what needs too much memory, and XLA aborts (`LLVM ERROR: out of memory`); neither
is an exception. So a shell waits beside the process, and prints the message when its pipe is closed
before it was dismissed.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

TEXT = (
    "The process was killed or aborted; most likely, memory ran out. Use a smaller --batch-size or "
    "--image-size, or more memory. What was saved is intact, and the run can be resumed."
)
TEXT_OF_SEVERAL = (
    "The process was killed or aborted: another host ended, or memory ran out. What was saved is "
    "intact: start all again with --resume."
)
SCRIPT = r"""read -r line || printf '\nError: %s\n' "$1" >&2"""

_watchers: list[subprocess.Popen[bytes]] = []


@contextlib.contextmanager
def watched(text: str = TEXT) -> Iterator[None]:
    """Report `text` on stderr if the process ends within the block other than by Python."""
    with contextlib.suppress(OSError):  # no shell, or no more processes: then without
        shell = subprocess.Popen(
            ["sh", "-c", SCRIPT, "sh", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,  # which Ctrl-C does not reach
        )
        _watchers.append(shell)
    try:
        yield
    finally:
        dismiss()


def dismiss() -> None:
    """Report nothing from here on, since the process ends as it should."""
    while _watchers:
        _watchers.pop().communicate(b"\n")
