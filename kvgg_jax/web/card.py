"""`report --card`: a run as a model card, the README.md that a hub such as Hugging Face shows.

Its figures are those of the run's evaluation. Where something is not known, it says so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from kvgg_jax.core.config import SETTINGS, RunConfig, settings
from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Emit, Warned, ignore
from kvgg_jax.core.process import __version__
from kvgg_jax.core.text import duration, escape_name
from kvgg_jax.evaluation.record import EvaluationRecord, figure_rows
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import write_file
from kvgg_jax.runs.listing import RunSummary
from kvgg_jax.web.html.page import check_writable, environment
from kvgg_jax.web.html.report import Report, Sources
from kvgg_jax.web.html.report_page import caveat, verdict

FILE = "README.md"  # in the run folder, if no other file is named
SECTIONS = ("result", "limits", "training", "use")
PRIVATE = {key for key, one in SETTINGS.items() if one.type is Path}  # on this machine
SPECIAL = re.compile(r"([\\`*_\[\]<>|&$~#])")  # to Markdown
PARTS = {"val": "validation photos", "test": "test photos", "all": "photos"}


def model_card(
    run: str | Path | None = None,
    *,
    output: str | Path | None = None,
    data: str | Path | None = None,
    split: str | None = None,
    skip_bad: bool | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Report:
    """Write a model card of a run: by default `README.md` in its folder.

    It is Markdown under the metadata that the Hugging Face hub reads (tags, metrics, results). The
    license is left out, since a run does not know it, and so are paths on this machine. The figures
    come as in `report`, from photos given as there. Where they cannot be made, the card says why.

    Raises RunError for a run that cannot be used and for a card that is there already or cannot be
    written, ValueError for another `split`.
    """
    sources = Sources.of(run, data=data, split=split, out=out, emit=emit)
    found = sources.run.path
    file = Path(output) if output else found / FILE
    if os.path.lexists(file):
        text = f"{escape_name(file)} exists, perhaps with what you have added."
        raise RunError(f"{text} Remove it, or choose another --output.")
    check_writable(file, option="--output")
    catalog.tell_newest(run, found, emit)
    result, left_out = None, {}
    try:
        result = sources.evaluation(data, skip_bad)
    except DataError as error:
        left_out["result"] = str(error)
        emit(Warned(f"Left out: the figures. {error}"))
    text = card_text(sources, result)
    write_file(file, text)
    contents = tuple(section for section in SECTIONS if section not in left_out)
    return Report(found, file, len(text.encode()), sources.part, contents, left_out)


def card_text(sources: Sources, result: EvaluationRecord | None) -> str:
    """The card; without a `result`, it says that nothing was measured."""
    summary = sources.summary
    context: dict[str, Any] = {}
    if result:
        context = {
            "where": PARTS[result.split],
            "photos": Path(result.data).name,
            "verdict": verdict(result),
            "caveat": caveat(result, None),
            "figures": figure_rows(result, ("loss (cross-entropy)", result.loss)),
        }
    return (
        _environment()
        .get_template("card.md.j2")
        .render(
            name=summary.path.resolve().name,
            classes=summary.classes,
            config=summary.config,
            cost=summary.cost,
            split=sources.run.split(),
            history=summary.history,
            begun=_begun(summary.config),
            time=duration(summary.history.seconds),
            device=summary.device,
            settings=_changed(summary.config),
            result=result,
            reason="its photos are not at hand.",
            **_versions(summary),
            **context,
        )
    )


def _environment() -> Environment:
    """The templates of the pages, with values as Markdown text in place of HTML."""
    made = environment().overlay(
        autoescape=False,
        finalize=lambda value: value if hasattr(value, "__html__") else _as_markdown(value),
    )
    made.filters["yaml"] = _as_yaml
    return made


def _as_markdown(value: object) -> str:
    return SPECIAL.sub(r"\\\1", escape_name(value))


def _as_yaml(value: object) -> Markup:
    """A JSON value, which is one of YAML too."""
    known = value if isinstance(value, float | int) else escape_name(value)
    return Markup(json.dumps(known, ensure_ascii=False))  # for YAML, not for HTML


def _versions(summary: RunSummary) -> dict[str, Any]:
    """The version that trained it, and those of the libraries."""
    given = summary.info.get("versions")
    versions = {**given} if isinstance(given, dict) else {}
    return {"version": versions.pop("kvgg_jax", __version__), "versions": versions}


def _begun(config: RunConfig) -> str:
    weights = config.model.weights
    if weights is None:
        return "random weights"
    if weights == "imagenet":
        return "weights that Keras offers, trained on ImageNet"
    return "the weights of another run or file"


def _changed(config: RunConfig) -> Iterator[tuple[str, str]]:
    default = settings(RunConfig())
    for key, value in settings(config).items():
        if value != default[key] and key not in PRIVATE:
            private = key == "model.weights" and value != "imagenet"
            yield key, "a file of its own" if private else json.dumps(value, ensure_ascii=False)
