"""The documents say what the program does."""

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from kvgg_jax.cli.main import app
from kvgg_jax.core.config import SETTINGS, RunConfig
from kvgg_jax.core.config_file import resolve
from kvgg_jax.core.tables import architectures
from kvgg_jax.runs.folder import Run
from support.runs import ROOT, draw_photos


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """Else run `python docs/settings_table.py`."""
    made = runpy.run_path(str(ROOT / "docs/settings_table.py"))["with_rows"]
    page = (ROOT / "docs/settings.md").read_text()
    assert page == made(page, SETTINGS.values())
    rows = re.findall(r"^\| `([\w.]+)` \|.*\| (.+) \|$", page, re.MULTILINE)
    assert [key for key, meaning in rows if meaning] == [*SETTINGS]


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.toml")), ids=lambda f: f.name)
def test_each_config_loads_and_opens_with_why_command_and_expectation(file: Path) -> None:
    """A config is legal, and says what it is for before it sets anything."""
    assert isinstance(resolve(file), RunConfig)
    lines = file.read_text().splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["# Why", "# Command", "# Expect"]
    assert f"kvgg train --recipe {file.stem} " in lines[1]


@pytest.mark.parametrize("name", ["coffee", "writeup"])
def test_the_write_ups_two_runs_differ_in_the_head_alone(name: str) -> None:
    """With the decay that it built, and at the constant rate that it ran."""
    full, slim = (resolve(ROOT / f"configs/{name}-{head}.toml") for head in ("full", "slim"))
    assert full.model.head == "full"
    assert slim == full.model_copy(update={"model": full.model.model_copy(update={"head": "slim"})})
    schedule = {"coffee": "exponential", "writeup": "constant"}[name]
    assert (full.optim.schedule, full.optim.lr) == (schedule, 1e-4)


def test_links_in_the_documents_lead_somewhere() -> None:
    """Every relative link and picture in the documents exists."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert len(files) > 4
    for file in files:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file}: {target}"


def commands_in(file: Path) -> Iterator[list[str]]:
    """The words after `kvgg` or `python cli.py` in the shell blocks of a page."""
    for block in re.findall(r"```sh\n(.*?)```", file.read_text(), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line.partition("#")[0]):
                if found := re.match(r"\s*(?:kvgg|python cli\.py) (.*)", part):
                    yield shlex.split(found[1])


def test_every_command_in_the_documents_parses() -> None:
    """With the options it really has; what it would do is not tried."""
    files, count = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], 0
    for file in files:
        for words in commands_in(file):
            parser: Any = get_command(app)
            if words[0].startswith("-"):
                continue
            while hasattr(parser, "commands"):
                parser = parser.commands[words.pop(0)]
            parser.make_context("kvgg", list(words))  # raises a usage error if it does not parse
            count += 1
    assert count > 50


@pytest.mark.usefixtures("thin")
def test_the_python_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The README's code is pasted into Python as it stands, beside a folder `photos`."""
    monkeypatch.setattr(architectures, "_registered", {})
    code = "".join(re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S))
    photos = draw_photos(tmp_path / "photos", per_class=35)  # `fast` needs 81
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert Path("runs/first/checkpoints/best").is_dir()
    assert Run(Path("runs/small")).config().model.arch == "small"
    assert capsys.readouterr().out.count("photos/") == len(list(photos.rglob("*.png")))
    assert names["model"].output_shape == (None, len(names["evaluation"].classes))


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # as Keras saves a model
def test_the_example_with_an_own_network_runs_and_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands in the page; the second time it has nothing left to do."""
    page = (ROOT / "docs/how-to/own-network.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(tmp_path)
    first, again = dict[str, Any](), dict[str, Any]()
    for names in (first, again):
        exec(compile(code, "own-network.md", "exec"), names)
    assert Path("digits.keras").is_file()
    assert first["result"].history.best.val_accuracy > 0.8
    assert again["result"] == first["result"]
