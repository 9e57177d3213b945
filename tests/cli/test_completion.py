"""What TAB offers, asked as the shells ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvgg_jax.cli.main import app
from kvgg_jax.core.config import SETTINGS
from kvgg_jax.export.exporter import FORMATS
from support.commands import ENVIRONMENT
from support.runs import PATIENCE, ROOT

HEAVY = ("jax", "keras", "matplotlib", "numpy", "orbax", "tensorflow")


def offered(typed: str, shell: str = "bash") -> list[str]:
    """What the shell gets for a command line, of which the last word is being typed."""
    words = typed.split(" ")
    asking = {
        "_KVGG_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    result = CliRunner(env={**ENVIRONMENT, **asking}).invoke(app, [], prog_name="kvgg")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return [line for line in result.stdout.splitlines() if line]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with two runs and one that is damaged, configs, and an ONNX file."""
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("runs/coffee", '{"status": "finished"}'),
        ("runs/cut", '{"status": "unfinished"}'),
        ("runs/worse", "[]"),
        ("other/far", '{"status": "finished"}'),
    ):
        Path(name).mkdir(parents=True)
        Path(name, "run.json").write_text(text)
    for name in ("runs/notes", "runs/x.folds", "runs/x.folds/fold-1"):
        Path(name).mkdir()
    Path("runs/x.folds/crossval.json").write_text('{"status": "finished"}')
    for file in ("mine.toml", "configs/quick.toml", "configs/deep/er.toml", "c.onnx"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("kvgg tr", ["train"]),
        ("kvgg data ", ["demo", "check", "preview", "pack", "verify"]),
        ("kvgg train --aug", ["--augment", "--augment-color"]),
        ("kvgg train --arch vgg", ["vgg11", "vgg13", "vgg16", "vgg19"]),
        ("kvgg train --arch mobilenetv3", ["mobilenetv3-small", "mobilenetv3-large"]),
        ("kvgg train --head s", ["slim"]),
        ("kvgg train --augment ", ["none", "light", "strong", "randaugment"]),
        ("kvgg data preview photos --augment l", ["light"]),
        ("kvgg data check photos --split g", ["grouped"]),
        ("kvgg evaluate --split ", ["val", "test", "all"]),
        ("kvgg explain x.png --method i", ["integrated-gradients"]),
        ("kvgg export --quantize ", ["int8"]),
        ("kvgg train --track ", ["tensorboard", "mlflow", "wandb", "none"]),
        ("kvgg train --track mlflow,", ["mlflow,tensorboard", "mlflow,wandb"]),
        ("kvgg evaluate --run ", ["coffee", "cut", "worse", "x.folds"]),
        ("kvgg explain --run ", ["coffee", "cut", "worse"]),
        ("kvgg serve --run ./runs/x", ["./runs/x.folds"]),
        ("kvgg train --resume c", ["coffee", "cut"]),
        ("kvgg train --resume ./runs/cu", ["./runs/cut"]),
        ("kvgg train --out other --resume ", ["far"]),
        ("kvgg runs coffee ", ["coffee", "cut", "worse"]),
        ("kvgg predict x.png --run c", ["coffee", "cut", "c.onnx"]),
        ("kvgg train --weights ", ["imagenet", "coffee", "cut", "worse"]),
        ("kvgg train --config ", ["mine.toml", "configs/quick.toml"]),
        ("kvgg tune --space configs/", ["configs/quick.toml", "configs/deep/er.toml"]),
        ("kvgg train --config [", []),
    ],
)
@pytest.mark.usefixtures("place")
def test_tab_offers_what_may_stand_there(typed: str, expected: list[str]) -> None:
    """Commands, options, the words of a setting, runs, config files; the shell adds files."""
    assert offered(typed) == expected


@pytest.mark.usefixtures("place")
def test_shells_that_show_help_show_the_status_of_a_run() -> None:
    """So that the user sees which can be resumed."""
    expected = ["coffee\tfinished", "cut\tunfinished", "worse\tdamaged"]
    assert offered("kvgg train --resume ", "fish") == expected


def test_every_setting_of_a_few_words_offers_them() -> None:
    """Those that `config.py` allows, and no others; so a setting that is new does too."""
    few = {
        setting.flag: setting.choices
        for key, setting in SETTINGS.items()
        if setting.choices and setting.flag and key not in ("model.weights", "train.track")
    }
    assert len(few) == 17
    for flag, words in few.items():
        assert offered(f"kvgg train {flag} ") == [*words], flag


def test_the_formats_offered_are_those_of_export() -> None:
    """The list stands beside the option, so that nothing heavy is imported."""
    assert offered("kvgg export --format ") == list(FORMATS)


def test_completing_imports_nothing_heavy() -> None:
    """Or TAB would take seconds."""
    code = (
        "import atexit, sys; sys.argv = ['kvgg']\n"
        f"look = lambda: print(sorted({{*{HEAVY}}} & {{*sys.modules}}), file=sys.stderr)\n"
        "atexit.register(look)\n"
        "from kvgg_jax.cli.main import main; main()"
    )
    asking = {"_KVGG_COMPLETE": "complete_bash", "COMP_WORDS": "kvgg train --head s"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asking, "COMP_CWORD": "3"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "slim\n", "[]\n")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_a_real_bash_completes_by_the_script_that_is_shown(place: Path) -> None:
    """`kvgg --show-completion bash` is sourced, and its function asked as TAB does."""
    program = place / "kvgg"
    start = "import sys; sys.argv[0] = 'kvgg'; from kvgg_jax.cli.main import main; main()"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start}" "$@"\n')
    program.chmod(0o755)
    typing = (
        "source <(kvgg --show-completion bash); COMP_WORDS=(kvgg train --resume c); COMP_CWORD=3\n"
        '_kvgg_completion kvgg; printf "%s\\n" "${COMPREPLY[@]}"; complete -p kvgg'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", typing],
        env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        *("coffee", "cut", "complete -o default -F _kvgg_completion kvgg")
    ]


def test_installing_writes_the_script_and_one_line_for_bash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into the home of the user, beside what stands there already."""
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'\n")
    runner = CliRunner(env={**ENVIRONMENT, "HOME": str(tmp_path)})
    result = runner.invoke(app, ["--install-completion", "bash"], prog_name="kvgg")
    script = tmp_path / ".bash_completions" / "kvgg.sh"
    assert result.exit_code == 0, result.output
    assert str(script) in result.stdout.replace("\n", "")
    assert "_KVGG_COMPLETE=complete_bash" in script.read_text()
    assert f"source '{script}'" in (tmp_path / ".bashrc").read_text().splitlines()
