"""The files around the package: its version, the pins, the workflow of the public forge."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvgg_jax.core.process import __version__
from support.runs import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())


def names(requirements: list[str]) -> set[str]:
    """The packages of requirements, as PEP 503 spells them."""
    found = (re.match(r"[\w.-]+", one)[0] for one in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found}


def test_one_version_stands_everywhere() -> None:
    """In the package, its metadata, the citation, and at the top of the changelog."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    latest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert [PROJECT["project"]["version"], citation["version"], latest] == [__version__] * 3


def test_the_citation_has_the_fields_that_its_format_asks_for() -> None:
    """And says of the license and of the words what the metadata say."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    project = PROJECT["project"]
    assert (citation["title"], citation["license"]) == (project["name"], project["license"])
    assert citation["abstract"] == project["description"]
    assert citation["authors"] == project["authors"]


def test_each_library_that_the_project_names_is_pinned_once() -> None:
    """By its version alone: `constraints.txt` names no place to load it from."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = names(lines)
    assert len(pinned) == len(lines)
    tables = {**PROJECT["project"]["optional-dependencies"], **PROJECT["dependency-groups"]}
    del tables["peers"], tables["rivals"]  # which no test needs
    wanted = [one for table in tables.values() for one in table]
    assert names([*PROJECT["project"]["dependencies"], *wanted]) - pinned == set()


def sessions() -> set[str]:
    """The sessions of the noxfile."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {one.name for one in defined if "nox.session" in map(ast.unparse, one.decorator_list)}


def asked(script: str) -> set[str]:
    """The sessions that the `nox -s ...` of a script run."""
    return {name for found in re.findall(r"nox -s ([\w -]+)", script) for name in found.split()}


def steps(job: str) -> list[dict[str, Any]]:
    return WORKFLOW["jobs"][job]["steps"]


def test_the_workflow_runs_on_linux_what_the_local_check_runs() -> None:
    """Each session of `.ci/run`, from the oldest Python that the package takes on."""
    matrix = WORKFLOW["jobs"]["linux"]["strategy"]["matrix"]
    ran = {name for words in matrix["sessions"] for name in words.split()}
    local = asked((ROOT / ".ci/run").read_text())
    assert ran == local
    assert ran <= sessions()
    assert steps("linux")[-1]["run"] == "pip install nox && nox -s ${{ matrix.sessions }}"
    assert f">={matrix['python'][0]}" == PROJECT["project"]["requires-python"]
    assert steps("linux")[1]["with"]["python-version"] == "${{ matrix.python }}"


def test_the_workflow_trains_and_predicts_on_macos() -> None:
    """By a session that does both."""
    (session,) = asked(steps("macos")[-1]["run"])
    assert session in sessions()
    body = (ROOT / "noxfile.py").read_text().partition(f"def {session}(")[2]
    assert '"kvgg", "train"' in body
    assert '"kvgg", "predict"' in body


def test_on_windows_the_package_says_in_a_sentence_what_to_do(tmp_path: Path) -> None:
    """The one that the job for Windows looks for."""
    sentence = re.search(r'grep "(.*)"', steps("windows")[-1]["run"])[1]
    code = "import sys; sys.platform = 'win32'; import kvgg_jax"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ImportError: {sentence}"


@pytest.mark.parametrize("name", ["Containerfile", "Containerfile.cuda"])
def test_a_container_is_made_of_files_and_extras_that_are_there(name: str) -> None:
    """It is described only: no test builds it."""
    text = (ROOT / "deploy" / name).read_text().replace("\\\n", " ")
    copied = [shlex.split(line)[1:-1] for line in re.findall(r"^COPY .*", text, re.MULTILINE)]
    needed = {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "configs", "kvgg_jax"}
    assert {file for files in copied for file in files} == needed
    assert all((ROOT / file).exists() for file in needed)
    (extras,) = re.findall(r'"\.\[(.*)\]"', text)
    assert {*extras.split(",")} <= PROJECT["project"]["optional-dependencies"].keys()
    assert ("cuda13" in extras) == name.endswith(".cuda")
    assert "Nobody has built it yet." in text


def test_the_code_of_the_notebook_is_python_and_its_outputs_are_no_errors() -> None:
    """`nox -s docs` runs it."""
    notebook = yaml.safe_load((ROOT / "docs/notebook.ipynb").read_text())  # JSON is YAML too
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        ast.parse("".join(cell["source"]))
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert kinds == {"stream", "execute_result"}
    assert 'session.run("python", "docs/notebook.py")' in (ROOT / "noxfile.py").read_text()
