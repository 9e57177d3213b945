"""The page of `kvgg audit`: whole in itself, safe with any name, with the photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.core.events import Event, Progress
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.evaluation.label_audit.findings import Audit, LabelIssue, Labelled, StandOut
from kvgg_jax.web.html import audit_page
from kvgg_jax.web.html.audit_page import write_audit
from support.images import scene
from support.pages import HOSTILE_CLASS, Page


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    """Four photos of two classes, one of a hostile name, and one that cannot be read."""
    for number in range(4):
        folder = tmp_path / "photos" / ("a", HOSTILE_CLASS)[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        scene(number, 64).save(folder / f"{number}.png")
    (tmp_path / "photos" / "a" / "bad.png").write_text("no image")
    return scan(tmp_path / "photos")


def found(samples: Samples, *, outliers: tuple[StandOut, ...] | None) -> Audit:
    """Something of each kind."""
    hostile = f"{HOSTILE_CLASS}/1.png"
    return Audit(
        folder=samples.root,
        samples=samples,
        how="5 folds on features of vgg16 at 96 px",
        issues=(
            LabelIssue(hostile, HOSTILE_CLASS, "a", 0.987, 0.9, 0.01),
            LabelIssue("a/bad.png", "a", HOSTILE_CLASS, 0.93, 0.9, 0.07),
        ),
        contradictory=((Labelled("a/0.png", "a"), Labelled(hostile, HOSTILE_CLASS)),),
        outliers=outliers,
        blurred=(),
        dark=(StandOut("a/2.png", "a", 0.0123, 0.5),),
    )


def made(result: Audit, tmp_path: Path) -> Page:
    write_audit(result, tmp_path / "audit.html")
    return Page((tmp_path / "audit.html").read_text())


def test_each_list_has_its_photos_and_says_why(samples: Samples, tmp_path: Path) -> None:
    """A photo that cannot be read has its name alone."""
    odd = (StandOut("a/0.png", "a", 0.7, 0.3),)
    page = made(found(samples, outliers=odd), tmp_path)
    assert page.open == []
    for text in (
        f"in {HOSTILE_CLASS}, looks like a (score 0.99)",
        "a/bad.png",
        "a, 0.7 (median 0.3)",
        "a, 0.0123 (median 0.5)",
        "groups of duplicates in several classes: 1",
        "then kvgg audit --apply moves.csv.",
    ):
        assert text in page.text
    assert len(page.all("img")) == 1 + 1 + 1 + 2
    assert len(page.all("li")) == 2 + 1 + 1 + 2


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(
    samples: Samples, tmp_path: Path
) -> None:
    """Names are text, photos are data URIs, and its own policy forbids the rest."""
    page = made(found(samples, outliers=None), tmp_path)
    assert {name for name, _ in page.tags} == {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2"),
        *("dl", "dt", "dd", "section", "p", "ul", "li", "img", "br"),
    }
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert "<img src=x" not in (tmp_path / "audit.html").read_text()
    policies = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_without_features_there_is_no_list_of_outliers(samples: Samples, tmp_path: Path) -> None:
    """The figures say why."""
    page = made(found(samples, outliers=None), tmp_path)
    assert "Unlike all other photos" not in page.text
    assert "not looked for: they need features of a backbone" in page.text


def test_a_long_list_is_cut_and_says_how_many_more(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With progress for each photo that is drawn."""
    monkeypatch.setattr(audit_page, "MOST", 1)
    heard: list[Event] = []
    write_audit(found(samples, outliers=()), tmp_path / "audit.html", emit=heard.append)
    text = Page((tmp_path / "audit.html").read_text()).text
    assert "and 1 more: --json has all" in text
    assert heard == [Progress("drawing", 1, 2), Progress("drawing", 2, 2)]
