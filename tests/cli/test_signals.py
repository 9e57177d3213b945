"""Signals become an answer to `stop()`, or an end at once; in real processes."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from kvgg_jax.cli import signals
from kvgg_jax.cli.signals import AFTER_STEP, ECHO, NUMBERS, SOON, Stop
from support.runs import PATIENCE, ROOT

# A main thread that never comes back to Python, as in a long step: it waits for a C mutex that it
# holds itself. The alarm ends it should the test fail.
BUSY = """
import ctypes, signal
from kvgg_jax.cli.signals import Stop
signal.alarm({PATIENCE})
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run under nohup ignores them
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with Stop(lambda text: print(text, flush=True)) as stop:
    {before}
    print("ready", flush=True)
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)
"""


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """A test run in the background of a script ignores Ctrl-C, and `Stop` would too."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def told(heard: list[str]) -> Iterator[Stop]:
    """A `Stop`; after the block all that came is answered, however long its thread waits."""
    before = set(threading.enumerate())
    with Stop(heard.append) as stop:
        (thread,) = set(threading.enumerate()) - before
        yield stop
    thread.join(PATIENCE)
    assert not thread.is_alive()


def busy(*, asked: bool) -> subprocess.Popen[str]:
    code = BUSY.format(before="stop()" if asked else "pass", PATIENCE=PATIENCE)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (signal.SIGINT, signal.SIGINT, 130),
        (signal.SIGINT, signal.SIGTERM, 143),
        (signal.SIGHUP, signal.SIGHUP, 129),
    ],
)
def test_the_first_signal_is_answered_at_once_and_the_second_ends_the_process(first, second, code):
    """While the main thread is in the middle of something long."""
    with busy(asked=True) as process:
        assert process.stdout is not None
        process.send_signal(first)
        assert process.stdout.readline() == (
            "Stopping after this step and saving. Ctrl-C again to stop at once.\n"
        )
        time.sleep(ECHO)
        process.send_signal(second)
        assert process.stdout.readline() == "Stopped at once. Earlier checkpoints are intact.\n"
        assert process.wait(PATIENCE) == code


@pytest.mark.parametrize("asked", [True, False])
def test_two_signals_within_milliseconds_are_one_request(monkeypatch, asked):
    """`timeout -s INT` signals the process and then its group; nothing ends at once for it."""
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: 100.0))
    monkeypatch.setattr(os, "_exit", sys.exit)  # which ends the thread alone
    heard: list[str] = []
    with told(heard) as stop:
        asked and stop()
        with contextlib.nullcontext() if asked else pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
    assert heard == [AFTER_STEP if asked else SOON]


def test_a_signal_sets_the_answer_and_its_exit_code():
    """The handlers of before are back afterwards."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    heard: list[str] = []
    with Stop(heard.append) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        assert (stop.signal, stop.exit_code) == (signal.SIGTERM, 143)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_before_anyone_asks_a_signal_interrupts():
    """Photos are read and programs compiled without asking."""
    with Stop(lambda text: None) as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert stop.exit_code == 143


def test_within_an_import_a_signal_waits(tmp_path, monkeypatch):
    """A C extension that is interrupted while it is loaded crashes, or ignores it."""
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhole = sum(range(1000))\n"
    (tmp_path / "interrupted_import.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> None:
        importlib.import_module("interrupted_import")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            pass

    with told([]) as stop, pytest.raises(KeyboardInterrupt):
        work()
    assert sys.modules.pop("interrupted_import").whole == 499500
    assert (stop.signal, stop.has_interrupted) == (signal.SIGINT, True)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_signal_that_is_ignored_stays_so():
    """As under nohup."""
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop(lambda text: None) as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)


def test_a_signal_during_a_long_call_interrupts_once_it_returns():
    """The thread has answered by then, and nobody has asked: the work must stop."""
    heard: list[str] = []

    def work(stop: Stop) -> None:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        while not stop.signal:  # one call that holds the main thread, without Python's lock
            hashlib.pbkdf2_hmac("sha256", b"a", b"b", 3_000_000)

    with told(heard) as stop, pytest.raises(KeyboardInterrupt):
        work(stop)
    assert heard == [SOON]


def test_between_two_runs_a_signal_interrupts_again():
    """The second one reads photos and compiles, and nobody asks meanwhile."""
    heard: list[str] = []
    with told(heard) as stop:
        assert not stop()
        stop.rest()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.has_interrupted
    assert heard == [SOON]


def test_a_signal_that_came_as_a_run_ended_stops_before_the_next():
    """Nobody asked after it."""
    with Stop(lambda text: None) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            stop.rest()
        assert (stop.has_interrupted, stop.exit_code) == (True, 143)
