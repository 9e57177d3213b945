"""The page of `kvgg data check`: whole in itself, safe with any name, readable by everyone."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit import audit
from kvgg_jax.web.html import check_page
from support.commands import kvgg, message
from support.images import scene
from support.pages import Page

HOSTILE = "<b onload=alert(1)>&\"'x{{ 7 * 7 }}{% raw %}"
FORGED = "\x1b]0;title\x07\n\u202e--><script>"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos of two classes, one of a hostile name, with a copy, a near copy and a broken file."""
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        folder = Path("photos", ("a", HOSTILE)[number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        scene(number, 64).resize((96, 64)).save(folder / f"{number:02}.png")
    shutil.copy("photos/a/00.png", f"photos/{HOSTILE}/zero.png")
    Image.open("photos/a/02.png").save("photos/a/near.jpg", quality=70)
    Path("photos/a/broken.jpg").write_text("no picture")
    return tmp_path


def page() -> Page:
    result = kvgg("data", "check", "photos", "--html", "check.html", "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1] == "Wrote check.html"
    return Page(Path("check.html").read_text())


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(place: Path) -> None:
    """Photos are data URIs, there is no script, and its own policy forbids the rest."""
    made = page()
    assert made.open == []
    assert {name for name, _ in made.tags} == {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3"),
        *("dl", "dt", "dd", "section", "p", "strong", "ul", "li", "img", "br"),
    }
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in made.all("img"))
    assert "<b onload" not in Path("check.html").read_text()
    assert HOSTILE in made.text
    policies = [meta["content"] for meta in made.all("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_no_control_character_of_a_name_reaches_the_page(place: Path) -> None:
    """Of a class or a file: they are shown as their escapes, and what looks like a tag as text."""
    shutil.copytree("photos/a", f"photos/{FORGED}")
    Path("photos", FORGED, "00.png").rename(Path("photos", FORGED, f"{FORGED}.png"))
    made = page()
    assert made.all("script") == []
    text = Path("check.html").read_text()
    assert text.replace("\n", "").isprintable()
    assert f"{escape_name(FORGED)}: " in made.text
    assert f"{escape_name(FORGED)}.png" in made.text


def test_every_photo_has_a_text_and_its_own_shape(place: Path) -> None:
    """File, class and part, for who cannot see it; 128 pixels on the longer side at most."""
    images = page().all("img")
    texts = [image["alt"] for image in images]
    assert texts.count("photos/a/00.png, a, training") == 1
    assert any(str(text).startswith(f"photos/{HOSTILE}/zero.png, {HOSTILE}, ") for text in texts)
    assert all(texts)
    assert not any("broken" in str(text) for text in texts)
    raw = base64.b64decode(str(images[0]["src"]).split(",")[1])
    assert Image.open(io.BytesIO(raw)).size == (96, 64)


def test_groups_say_what_is_wrong_with_them(place: Path) -> None:
    """Exact or near, in several classes, on both sides."""
    text = page().text
    assert "Exactly the same, in several classes" in text
    assert "Nearly the same" in text
    assert "is text, not an image" in text


def test_the_page_is_for_phones_and_for_the_dark(place: Path) -> None:
    """It follows the width of the screen and the colors that the reader chose."""
    made = page()
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in made.all(
        "meta"
    )
    assert made.all("html") == [{"lang": "en"}]
    assert "color-scheme: light dark" in made.text
    assert "prefers-color-scheme: dark" in made.text


def test_a_page_of_many_photos_is_cut(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says how many more there are."""
    monkeypatch.setattr(check_page, "GROUPS", 1)
    monkeypatch.setattr(check_page, "EXAMPLES", 2)
    made = page()
    assert made.text.count("the same") == 1
    assert "and 1 more: --json has all" in made.text
    assert len(made.all("img")) == 2 + 2 * 2


def test_a_page_that_cannot_be_written_is_known_before_the_check(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may take long."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("checked")

    monkeypatch.setattr(audit, "check_data", refuse)
    assert message(kvgg("data", "check", "photos", "--html", "no/check.html")) == (
        "Error: Cannot write no/check.html: No such file or directory. Choose another --html.\n"
    )
