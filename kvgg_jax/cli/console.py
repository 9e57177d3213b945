"""The progress of a command on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from kvgg_jax.cli.flags import as_flags
from kvgg_jax.cli.output import print_line
from kvgg_jax.core import events
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.core.history import EXTRA, Epoch, Monitor, title
from kvgg_jax.core.text import duration, figure

PLAIN_EVERY = 30.0  # seconds between progress lines without a terminal


def header_line(monitor: Monitor) -> str:
    """What stands above the rows of `epoch_line`."""
    own = f"  val {title(monitor)}" if f"val_{monitor}" in EXTRA else ""
    return f"  epoch     loss  accuracy  val loss  val accuracy{own}      rate     time   img/s"


def epoch_line(row: Epoch, epochs: int, *, is_best: bool, monitor: Monitor = "accuracy") -> str:
    """One row under `header_line`."""
    own = ""
    if f"val_{monitor}" in EXTRA:
        own = f"  {row.monitored(monitor):>{len(f'val {title(monitor)}')}.4f}"
    return (
        f"{row.epoch:>3}/{epochs:<3} {row.loss:>8.4f}  {row.accuracy:>8.4f}  {row.val_loss:>8.4f}"
        f"  {row.val_accuracy:>12.4f}{own}  {figure(row.learning_rate, '.2e'):>8}"
        f"  {duration(row.seconds or 0):>7}  {figure(row.images_per_second, '.1f'):>6}"
        f"{'  best' if is_best else ''}"
    )


class Screen:
    """A listener that shows events. Use it in a `with` block, which removes the bar at its end."""

    def __init__(
        self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console, self._clock = console or Console(stderr=True), clock
        self.run: Path | None = None
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._stage: tuple[str, int] | None = None
        self._since = self._printed = clock()
        self._first = self._images = 0
        self._has_header = False

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *exc: object) -> None:
        self._take_down()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Progress():
                self._progress(event)
            case events.Note(text):
                self._line(as_flags(text))
            case events.Warned(text):
                self._line(as_flags(text), "yellow")
            case events.Started(run):
                self.run, self._has_header = run, False
                self._line(f"Writing to {run}")
            case events.Compiled(what, seconds):
                self._line(f"Compiled the {what} step in {seconds:.1f} s", "dim")
            case events.EpochEnded():
                self._epoch(event)
            case events.Finished(_, _, reason):
                self._line(f"Done: {reason}.")

    def interject(self, text: str) -> None:
        """Print a line from another thread, above a bar; the process may end right after."""
        print_line(text, "yellow", console=self.console)
        self.console.show_cursor(True)

    def _line(self, text: str, style: str = "") -> None:
        self._take_down()
        print_line(text, style, console=self.console)

    def _epoch(self, event: events.EpochEnded) -> None:
        if not self._has_header:
            self._line(header_line(event.monitor), "bold")
            self._has_header = True
        text = epoch_line(event.row, event.epochs, is_best=event.is_best, monitor=event.monitor)
        self._line(text, "green" if event.is_best else "")

    def _progress(self, event: Progress) -> None:
        now = self._clock()
        if self._stage != (event.stage, event.epoch):
            self._take_down()
            self._stage, self._since, self._printed = (event.stage, event.epoch), now, now
            self._first = event.done  # what an earlier start did has no part in the speed
        done = event.done - self._first
        self._images = done * event.images if event.images else done
        speed = self._images / max(now - self._since, 1e-9)
        if self.console.is_terminal:
            self._show_bar(event, speed)
        elif now - self._printed > PLAIN_EVERY and done:
            text = f"{self._name(event)}: {event.done}"
            if event.total is None:
                text += f" {event.unit}, {speed:.1f} {event.unit}/s"
            else:
                left = (event.total - event.done) * (now - self._since) / done
                text += f" of {event.total}, {speed:.1f} {event.unit}/s, {duration(left)} left"
            print_line(text, console=self.console)
            self._printed = now

    def _show_bar(self, event: Progress, speed: float) -> None:
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(
                self._name(event), total=event.total, completed=event.done, speed=""
            )
        assert self._task is not None
        self._bars.update(self._task, completed=event.done, speed=f"{speed:.1f} {event.unit}/s")

    def _name(self, event: Progress) -> str:
        return f"epoch {event.epoch} {event.stage}" if event.epoch else event.stage

    def _take_down(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = self._stage = None
