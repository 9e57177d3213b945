"""`kvgg report`: one page on a run, with what can be had and the reason for what cannot."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from kvgg_jax.evaluation.files import read_evaluation
from kvgg_jax.runs.folder import Run
from kvgg_jax.web.html import report
from support.browser import Tab, browser
from support.commands import kvgg, message
from support.pages import Page
from support.runs import THIN_VGG11, Trained

pytestmark = pytest.mark.usefixtures("thin_network", "blank")

HOSTILE = "red<img src=x onerror=alert(1)>&\"'{{ 7 * 7 }}"
PARTS = ["result", "curves", "confusion", "classes", "calibration", "mistakes", "photos", "cost"]
PARTS += ["making"]
FIGURES = ("result", "confusion", "classes", "calibration")
LINE = r"Wrote (\S+): (.+) \(([\d,]+) kB\)\n"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Path:
    """A folder with a run `runs/x`, its photos, a class of a hostile name, and the report."""
    place = tmp_path_factory.mktemp("report")
    run = Run(shutil.copytree(trained.run, place / "runs" / "x"))
    shutil.copytree(trained.photos, place / "photos")
    (place / "photos" / "red").rename(place / "photos" / HOSTILE)
    run.write("classes.json", json.dumps(["blue", "green", HOSTILE]))
    quoted = HOSTILE.replace('"', '""')
    split = re.sub('"?red/(.*?)"?,"?red"?,', rf'"{quoted}/\1","{quoted}",', run.read("split.csv"))
    run.write("split.csv", split)
    config = run.read("config.toml").replace(str(trained.photos), str(place / "photos"))
    run.write("config.toml", config)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = kvgg("report")
    assert result.exit_code == 0, result.output
    path, contents, _ = re.fullmatch(LINE, result.stdout).groups()
    assert (path, contents.split(", ")) == ("runs/x/report.html", PARTS)
    assert result.stderr.splitlines()[:2] == [
        "Using runs/x, the newest finished run",
        "Evaluating runs/x",
    ]
    return place


@pytest.fixture
def at(reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to be changed: the photos are where the run says, and the current folder has it."""
    shutil.copytree(reported / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def page(reported: Path) -> Page:
    return Page((reported / "runs" / "x" / "report.html").read_text())


def without_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(report, "evaluate", refuse)


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(page: Page) -> None:
    """Pictures are data URLs, links stay in the page, there is no script, and names are text."""
    assert page.open == []
    assert {name for name, _ in page.tags} & {"script", "link", "iframe", "object", "form"} == set()
    sources = [str(image["src"]) for image in page.all("img")]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert [a["href"] for a in page.all("a")] == [f"#{part}" for part in PARTS]
    assert [section["id"] for section in page.all("section")] == PARTS
    attributes = [value or "" for _, found in page.tags for value in found.values()]
    assert not any(re.search(r"https?://", text) for text in [*attributes, page.text])
    assert not any(name.startswith("on") for _, found in page.tags for name in found)
    policies = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert page.text.count(HOSTILE) > 5


def test_the_page_can_be_heard_as_well_as_seen(page: Page) -> None:
    """Headings in order, texts for pictures and charts, captions, and scopes in every table."""
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch(r"h[1-6]", name)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(image["alt"] for image in page.all("img"))
    assert all((svg["role"], bool(svg["aria-label"])) == ("img", True) for svg in page.all("svg"))
    assert len(page.all("svg")) == 4
    assert all(head["scope"] in ("row", "col") for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    figures, captions = page.all("figure"), page.all("figcaption")
    assert len(figures) == len(captions) == len(page.all("svg")) + len(page.all("img")) // 2
    assert page.all("html") == [{"lang": "en"}]


def test_the_page_has_the_figures_of_the_evaluation(reported: Path, page: Page) -> None:
    """Accuracy, each mistake twice, with and without heat, and what repeats the run."""
    run = Run(reported / "runs" / "x")
    evaluated = read_evaluation(run, split="val")
    assert f"{evaluated.accuracy:.1%} right: {evaluated.right} of 7 validation photos." in page.text
    assert evaluated.wrong == len(evaluated.mistakes) > 0
    photos, heats = (page.all("img")[k::2] for k in (0, 1))
    assert [image["alt"] for image in photos] == [
        f"{m.path}, a photo of class {m.true} called {m.predicted} with {m.probability:.1%}"
        for m in evaluated.mistakes
    ]
    assert {str(image["alt"]).split(":")[0] for image in heats} == {
        f"The same with the heat of class {m.predicted}" for m in evaluated.mistakes
    }
    command = re.search(r"kvgg train (--set .*)", page.text)[1]
    assert command.startswith(f"--set 'data.dir=\"{reported}/photos\"' --set data.image_size=32 ")
    assert "9,222" not in page.text  # of a whole VGG11, which this one is not
    assert f"{run.info()['versions']['jax']}" in page.text


def test_a_report_made_again_evaluates_nothing(
    at: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept figures are of the same weights, photos and calibration; the page is the same."""
    without_evaluation(monkeypatch)
    result = kvgg("report", "--output", "new.html", "--json")
    assert json.loads(result.stdout) == {
        "run": "runs/x",
        "path": "new.html",
        "bytes": Path("new.html").stat().st_size,
        "split": "val",
        "contents": PARTS,
        "left_out": {},
    }
    again = Page(Path("new.html").read_text())
    assert again.tags == page.tags
    assert again.text.split("Made by")[0] == page.text.split("Made by")[0]


def test_figures_of_other_weights_are_not_taken(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run has gone on since: it is evaluated again."""
    without_evaluation(monkeypatch)
    file = Path("runs/x/evaluation-val.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "state": "1-0123456789abcdef"}))
    with pytest.raises(AssertionError, match="evaluated again"):
        report.report("x")


def test_without_the_photos_the_kept_figures_remain(
    at: Path, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistakes are named in words, and the page says what is missing and why."""
    without_evaluation(monkeypatch)
    hidden = (reported / "photos").rename(reported / "elsewhere")
    try:
        result = kvgg("report", "--json")
    finally:
        hidden.rename(reported / "photos")
    reason = f"The photos are not in {reported}/photos. Say where they are: --data DIR --split val"
    made = json.loads(result.stdout)
    assert made["left_out"] == {"mistakes": reason, "photos": reason}
    assert made["contents"] == [part for part in PARTS if part not in ("mistakes", "photos")]
    assert f"Left out: mistakes. {reason}" in result.stderr.splitlines()
    page = Page(Path(made["path"]).read_text())
    assert page.all("img") == []
    assert page.text.count(f"Left out: {reason}") == 2
    assert "The most confident mistakes" in page.text


def test_without_photos_and_figures_the_training_remains(at: Path, reported: Path) -> None:
    """The run was never evaluated, and cannot be now."""
    Path("runs/x/evaluation-val.json").unlink()
    file = Path("runs/x/config.toml")
    file.write_text(file.read_text().replace(str(reported / "photos"), "/nowhere"))
    made = report.report("x")
    assert made.contents == ("curves", "cost", "making")
    reason = "The photos are not in /nowhere. Say where they are: --data DIR --split val"
    unnamed = "There are no figures that would name them."
    assert made.left_out == {
        **dict.fromkeys(FIGURES, reason),
        "mistakes": unnamed,
        "photos": reason,
    }


def test_parts_can_be_left_out(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And then TensorFlow, Keras and the network are not loaded either."""
    look = "print(sorted({'tensorflow', 'keras'} & {*sys.modules}))"
    code = f"import atexit, sys; atexit.register(lambda: {look})\n"
    code += THIN_VGG11 + "from kvgg_jax.cli.main import main\nmain()"
    command = [sys.executable, "-c", code, "report", "--mistakes", "0", "--no-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line, imported = done.stdout.splitlines()
    assert re.fullmatch(LINE, f"{line}\n")[2].split(", ") == [
        part for part in PARTS if part not in ("mistakes", "photos")
    ]
    assert (imported, done.stderr) == ("[]", "Using runs/x, the newest finished run\n")
    assert "Left out: not asked for" in Page(Path("runs/x/report.html").read_text()).text


def test_a_report_that_cannot_be_made_is_said_at_once(at: Path) -> None:
    """Before the long work, with the next move; nothing is written."""
    before = sorted(at.rglob("*"))
    for place in ("runs", "no/report.html"):
        assert message(kvgg("report", "--output", place)) == (
            f"Error: Cannot write {place}: it is a folder, or its folder is missing. "
            "Choose another --output.\n"
        )
    assert message(kvgg("report", "--split", "test")) == "Error: --split test: use val or all.\n"
    with pytest.raises(ValueError, match="mistakes 25: use val or all, and 0 to 24"):
        report.report("x", mistakes=25)
    assert sorted(at.rglob("*")) == before
    Path("runs/x/history.csv").unlink()
    assert message(kvgg("report", "--run", "x")) == (
        "Error: runs/x has no finished epoch yet, so there is nothing to report. "
        "Let it go on: kvgg train --resume runs/x\n"
    )


# In a browser

CONTRAST = """(() => {
  const parse = text => [...text.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const over = ([r, g, b, share], below) =>
    [r, g, b].map((value, k) => value * share + below[k] * (1 - share)).concat(1);
  const behind = node => {
    if (!node) return [255, 255, 255, 1];
    const own = parse(getComputedStyle(node).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(node.parentElement));
  };
  const light = color => color.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const contrast = (node, color) => {
    const ground = behind(node), both = [light(over(parse(color), ground)), light(ground)];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  };
  document.querySelectorAll('details').forEach(one => { one.open = true });
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, style = getComputedStyle(node);
    if (walk.currentNode.textContent.trim())
      found.push([contrast(node, node.closest('svg') ? style.fill : style.color), node.outerHTML]);
  }
  const low = found.filter(([c]) => c < 4.5);
  for (const [kinds, name] of [['polyline, .whisker', 'stroke'], ['.mark, .bar, .other', 'fill']])
    for (const node of document.querySelectorAll(kinds)) {
      const c = contrast(node, getComputedStyle(node)[name]);
      found.push([c, '']); if (c < 3) low.push([c, node.outerHTML]);
    }
  return { seen: found.length, low };
})()"""
OUTSIDE = """[...document.querySelectorAll('body *')]
  .filter(one => !one.parentElement.closest('.wide'))
  .filter(one => one.getBoundingClientRect().right > innerWidth + 0.5).map(one => one.outerHTML)"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium")) as one:
        yield one


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_it_whole_and_clearly(tab: Tab, reported: Path, dark: bool) -> None:
    """Nothing is wider than 390 pixels but tables that scroll by themselves; text has a contrast
    of 4.5 and more, lines and marks one of 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    tab.screen(width=390, dark=dark)
    tab.open((reported / "runs" / "x" / "report.html").as_uri())
    contrast = tab.run(CONTRAST)
    assert contrast["low"] == []
    assert contrast["seen"] > 100
    assert tab.run("document.documentElement.scrollWidth") == 390
    assert tab.run(OUTSIDE) == []
    ground = tab.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(23, 21, 18)" if dark else "rgb(253, 252, 250)")
    assert (
        tab.run(
            "Math.min(...[...document.querySelectorAll('nav a')]"
            ".map(one => one.getBoundingClientRect().height))"
        )
        >= 24
    )


def test_a_browser_asks_for_nothing_else(tab: Tab, reported: Path) -> None:
    """Every picture is there, the hostile name has made none, and the policy had no work."""
    tab.requested.clear()
    file = reported / "runs" / "x" / "report.html"
    tab.screen(width=1200)
    tab.open(file.as_uri())
    loaded = tab.run("[...document.images].filter(one => one.naturalWidth === 192).length")
    assert loaded == len(Page(file.read_text()).all("img")) > 0
    assert tab.run("document.querySelectorAll('[onerror], img[src=x]').length") == 0
    assert [url for url in tab.requested if not url.startswith("data:image/")] == [file.as_uri()]
    assert tab.complaints == []
