"""What the page of `kvgg report` has on it, in words and in a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from kvgg_jax.evaluation.files import read_evaluation
from kvgg_jax.runs.folder import Run
from support.browser import Tab, browser
from support.commands import kvgg
from support.images import encode, noise, write
from support.pages import HOSTILE_CLASS as HOSTILE
from support.pages import SECTIONS, Page
from support.runs import Trained


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(page: Page) -> None:
    """Pictures are data URLs, links stay in the page, there is no script, and names are text."""
    assert page.open == []
    assert {name for name, _ in page.tags} & {"script", "link", "iframe", "object", "form"} == set()
    sources = [str(image["src"]) for image in page.all("img")]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert [a["href"] for a in page.all("a")] == [f"#{part}" for part in SECTIONS]
    assert [section["id"] for section in page.all("section")] == SECTIONS
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
        f"{m.path}, a photo of class {m.true} predicted as {m.predicted} with {m.probability:.1%}"
        for m in evaluated.mistakes
    ]
    assert {str(image["alt"]).split(":")[0] for image in heats} == {
        f"The same with the heatmap of class {m.predicted}" for m in evaluated.mistakes
    }
    command = re.search(r"kvgg train (--set .*)", page.text)[1]
    assert command.startswith(f"--set 'data.dir=\"{reported}/photos\"' --set data.image_size=32 ")
    assert "9,222" not in page.text  # of a whole VGG11, which this one is not
    assert f"{run.info()['versions']['jax']}" in page.text


def test_the_page_says_how_well_unknown_photos_are_told(
    trained: Trained, tmp_path: Path, thin: None
) -> None:
    """Where `evaluate --unknown` has measured it, as it was printed."""
    run = Path(shutil.copytree(trained.run, tmp_path / "x"))
    photos = tmp_path / "unknown"
    photos.mkdir()
    write(photos / "noise.png", encode(noise(32), "PNG"))
    assert kvgg("evaluate", "--run", run, "--unknown", photos).exit_code == 0
    assert kvgg("report", "--run", run, "--no-check", "--mistakes", "0").exit_code == 0
    page = Page((run / "report.html").read_text())
    assert f"Unknown photos: predict calls 0.0% of the 1 in {photos} unknown" in page.text
    assert "How well unknown photos are told" in page.text


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
