"""Ctrl-C, SIGTERM and a closed terminal, as a question that a run asks after each step."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from kvgg_jax.cli.watcher import dismiss
from kvgg_jax.core.devices.hosts import are_several

ECHO = 0.3  # seconds; `timeout` signals the process and then its group, which count as one
AGAIN = 0.05  # seconds of processor time, after which an interrupt that had to wait is tried again
AFTER_STEP = "Stopping after this step and saving. Ctrl-C again to stop at once."
SOON = "Stopping. Ctrl-C again to stop at once."
AT_ONCE = "Stopped at once. Earlier checkpoints are intact."
NUMBERS = [  # SIGHUP comes from a closed terminal; not every system has it
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Stop:
    """Says whether to stop, when called; use it in a `with` block of the main thread.

    A thread reports the first signal at once by `show`, even while a step or the compiler holds the
    main thread: the system writes signals to a pipe. Until the work has called it once, a signal
    raises KeyboardInterrupt, though not within an import, where C extensions crash or ignore it. A
    second signal ends the process, unless it comes within `ECHO`.
    """

    def __init__(
        self, show: Callable[[str], None], *, asked: str = AFTER_STEP, at_once: str = AT_ONCE
    ) -> None:
        """`asked` is shown at the first signal if the work asks, `at_once` at the second."""
        self._asked, self._at_once = asked, at_once
        self.signal: int | None = None
        """The first signal."""
        self._show = show
        self._is_asked = self._has_raised = False
        self._old: dict[int, Any] = {}
        self._pipe = (-1, -1)

    def __call__(self) -> bool:
        """Whether there was a signal."""
        self._is_asked = True
        return self.signal is not None

    def rest(self) -> None:
        """Until the next call, a signal interrupts again; one that came before interrupts now."""
        self._is_asked = False
        if self.signal is not None:
            self._has_raised = True
            raise KeyboardInterrupt

    @property
    def has_interrupted(self) -> bool:
        """Whether a signal has raised KeyboardInterrupt."""
        return self.signal is not None and not self._is_asked

    @property
    def exit_code(self) -> int:
        """As a shell would give it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.

        143 too where another host was stopped.
        """
        return 128 + (self.signal or (signal.SIGTERM if are_several() else signal.SIGINT))

    def __enter__(self) -> Stop:
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        self._old_fd = signal.set_wakeup_fd(self._pipe[1])
        for number in NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._old[number] = signal.signal(number, self._in_main_thread)
        self._old_again = signal.signal(signal.SIGVTALRM, self._interrupt)
        threading.Thread(target=self._listen, daemon=True, name="signals").start()
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, self._old_again)
        signal.set_wakeup_fd(self._old_fd)
        os.close(self._pipe[1])  # which ends the thread

    def _in_main_thread(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number  # the thread may have been faster
        self._interrupt(number, frame)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._has_raised or self._is_asked:
            return
        if _is_importing(frame):
            signal.setitimer(signal.ITIMER_VIRTUAL, AGAIN)
            return
        self._has_raised = True
        raise KeyboardInterrupt  # the thread answers a second one

    def _listen(self) -> None:
        answered = 0.0
        while come := os.read(self._pipe[0], 1):
            if come[0] not in self._old or time.monotonic() < answered + ECHO:
                continue
            if answered:
                self._tell(self._at_once)
                dismiss()
                os._exit(128 + come[0])
            self.signal, answered = self.signal or come[0], time.monotonic()
            self._tell(self._asked if self._is_asked else SOON)
        os.close(self._pipe[0])

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be closed
            self._show(text)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether the code at `frame` runs because a module is imported."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None
