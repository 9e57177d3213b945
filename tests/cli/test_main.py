"""The commands as typed: what they print where, what they leave on disk, how they end."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command

import kvgg_jax
from kvgg_jax.cli import main
from kvgg_jax.cli.main import app
from kvgg_jax.core.config import SETTINGS
from support.commands import ENVIRONMENT, THIN_PROGRAM, TINY, kvgg, python
from support.runs import ROOT, draw_photos

COMMANDS = (
    *(("train",), ("crossval",), ("evaluate",), ("calibrate",), ("predict",), ("runs",)),
    *(("lr-find",), ("tune",), ("summary",), ("bench",), ("explain",), ("export",)),
    *(("similar",), ("embed",)),
    *(("report",), ("serve",), ("audit",), ("recipes",)),
    *(("data", "demo"), ("data", "check"), ("data", "preview"), ("data", "pack")),
    ("data", "verify"),
)
HEAVY = ("jax", "keras", "matplotlib", "numpy", "pydantic", "tensorflow")


pytestmark = pytest.mark.usefixtures("thin_network", "blank")


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example_that_can_be_pasted(command: tuple[str, ...]) -> None:
    """One unbroken line, which the command's own parser accepts."""
    result = kvgg(*command, "--help")
    assert result.exit_code == 0
    (example,) = re.findall(r"Example: kvgg (.*\S)", result.stdout)
    words = shlex.split(example)
    parser: Any = get_command(app)
    for name in command:
        assert words.pop(0) == name
        parser = parser.commands[name]
    parser.make_context(" ".join(command), words)  # raises a usage error if it does not parse


def test_the_help_of_train_has_the_default_of_every_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As they stand in config.py; the help of an option without one describes what then applies."""
    monkeypatch.setitem(ENVIRONMENT, "COLUMNS", "200")
    shown = kvgg("train", "--help").stdout
    found = dict(re.findall(r"│ (--\S+) .*\n(?:│  .*\n)*?│ +\[default: (\S+)\]", shown))
    expected = {
        str(setting.flag): str(setting.default)
        for setting in SETTINGS.values()
        if setting.flag and setting.default not in (None, ())
    }
    negated = {flag: f"no-{flag[2:]}" for flag, value in expected.items() if value == "False"}
    assert found == {**expected, **negated, "--out": "runs"}


def test_every_command_is_tested_here_for_its_example() -> None:
    """A new command comes with an example."""
    top: Any = get_command(app)
    names = {(name,) for name in top.commands if name != "data"}
    names |= {("data", name) for name in top.commands["data"].commands}
    assert names == set(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    """So that `python cli.py --help` answers at once."""
    code = (
        "import runpy, sys; sys.argv = ['cli.py', '--help']\n"
        "try: runpy.run_path('cli.py', run_name='__main__')\n"
        f"finally: print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
    )
    done = python("-c", code, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "Train, evaluate and use image classifiers" in done.stdout


def test_the_program_says_its_version() -> None:
    """As the package has it."""
    result = kvgg("--version")
    assert (result.exit_code, result.stdout) == (0, f"kvgg_jax {kvgg_jax.__version__}\n")
    assert importlib.metadata.version("kvgg_jax") == kvgg_jax.__version__


# How the process starts and ends


def test_an_opened_file_does_not_take_the_place_of_a_closed_stream() -> None:
    """Or a library that writes to descriptor 2 would write into it."""
    code = (
        "import os, sys; from kvgg_jax.cli.main import _open_streams; _open_streams()\n"
        "null = os.stat(os.devnull)\n"
        "assert [os.path.samestat(os.fstat(n), null) for n in (0, 1, 2)] == [True] * 3\n"
        "assert [os.get_inheritable(n) for n in (0, 1, 2)] == [True] * 3\n"
        "print('x'); print('y', file=sys.stderr); sys.stdin.read(); sys.exit(7)"
    )
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 7


@pytest.mark.faults  # two processes that load everything
def test_with_all_streams_closed_the_work_is_done(tmp_path: Path) -> None:
    """Train, then evaluate; their files are the proof."""
    photos = draw_photos(tmp_path / "photos", per_class=6)
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", THIN_PROGRAM]
    for words in (
        ["train", "--data", photos, *TINY, "--epochs", "1", "--name", "x"],
        ["evaluate", "--run", "x"],
    ):
        done = subprocess.run(
            [*closed, *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert done.returncode == 0, words
    assert (tmp_path / "runs/x/evaluation-val.json").exists()


def test_a_terminal_without_columns_has_eighty() -> None:
    """Rich would print nothing, and the exit code would be 0."""
    env = {**os.environ, "COLUMNS": "0"}
    command = [sys.executable, ROOT / "cli.py", "summary", "--head", "gap"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "VGG16, head gap, 4 classes, 224 x 224 pixels",
    )


def test_a_cache_that_cannot_be_written_is_reported_once_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JAX warns at each program, with the path of its module; a damaged entry is made again."""
    entry = "Error writing persistent compilation cache entry for 'jit_{}': {}"
    full = "OSError: [Errno 28] No space left on device"
    other: list[Any] = []
    monkeypatch.setattr(main, "_show_any_warning", lambda message, *_: other.append(message))
    config = SimpleNamespace(values={"jax_compilation_cache_dir": "/caches/xla"})
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=config))
    main._report_cache.cache_clear()
    for text in (entry.format("a", full), entry.format("b", full), entry.format("c", "zlib: no")):
        main._show_warning(UserWarning(text), UserWarning, "compiler.py", 833)
    main._show_warning(UserWarning("x"), UserWarning, "other.py", 1)
    assert [str(message) for message in other] == ["x"]
    assert capsys.readouterr().err == (
        "Cannot keep compiled programs in /caches/xla: No space left on device. "
        "They are compiled each time.\n"
    )


def test_late_writes_of_a_failed_save_are_no_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failed save is reported; any other late error is still shown."""
    shown: list[Any] = []
    monkeypatch.setattr(sys, "__unraisablehook__", shown.append)
    late, another = (
        SimpleNamespace(exc_value=RuntimeError(text)) for text in ("Event loop is closed", "x")
    )
    main._ignore_late(late)
    main._ignore_late(another)
    assert shown == [another]
