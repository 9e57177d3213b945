"""Optional libraries: their table, and the message if one is missing."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest

from kvgg_jax.core import extras
from kvgg_jax.core.errors import MissingExtra
from kvgg_jax.core.extras import EXTRAS, require
from support.runs import ROOT


def test_the_table_is_that_of_the_package() -> None:
    """Else a missing library would be answered with a command that does not add it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        extra: tuple(re.split(r"[><=\[]", requirement)[0] for requirement in requirements)
        for extra, requirements in project["optional-dependencies"].items()
        if not extra.startswith("cuda")
    }
    assert declared == EXTRAS


def test_a_missing_library_is_answered_with_the_command_that_adds_it(monkeypatch) -> None:
    """One line, to be pasted."""
    monkeypatch.setitem(extras.EXTRAS, "wandb", ("pip-of-no-kind",))
    with pytest.raises(MissingExtra) as caught:
        require("wandb", by="--track wandb")
    assert str(caught.value) == (
        "--track wandb needs pip-of-no-kind, which is not installed. "
        'Add it: pip install "kvgg_jax[wandb]"'
    )


def test_a_library_that_is_installed_is_not_imported(monkeypatch, tmp_path) -> None:
    """It would cost seconds before it is needed."""
    monkeypatch.setitem(extras.EXTRAS, "wandb", ("nox-of-no-kind",))
    (tmp_path / "nox_of_no_kind.py").write_text("raise AssertionError")
    (tmp_path / "nox_of_no_kind-1.dist-info").mkdir()
    (tmp_path / "nox_of_no_kind-1.dist-info" / "METADATA").write_text(
        "Name: nox-of-no-kind\nVersion: 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    require("wandb", by="--track wandb")
    assert "nox_of_no_kind" not in sys.modules
