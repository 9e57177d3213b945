"""The page in a real browser: photos chosen, dropped and taken, answers read, nothing foreign."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.browser import Tab, browser
from support.runs import Trained
from support.served import listening, network_of

pytestmark = pytest.mark.usefixtures("thin_network")
VERDICTS = "[...document.querySelectorAll('.verdict')].map(one => one.textContent)"
DROP = """
(() => {{
  const files = new DataTransfer();
  for (const [name, text] of {files}) {{
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    files.items.add(new File([bytes], name));
  }}
  const at = document.querySelector("#drop");
  at.dispatchEvent(new DragEvent("dragover", {{bubbles: true, cancelable: true}}));
  const over = at.classList.contains("over");
  at.dispatchEvent(new DragEvent("drop", {{bubbles: true, cancelable: true, dataTransfer: files}}));
  return over && !at.classList.contains("over");
}})()
"""


@pytest.fixture(scope="module")
def url(trained: Trained, thin_network: None) -> Iterator[str]:
    """Where a server in this process listens."""
    with listening(network_of(trained.run), similar=2) as url:
        yield url


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, url: str) -> Iterator[Tab]:
    """One browser for all tests; it may have seen other pages."""
    with browser(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


def test_photos_are_answered_however_they_come(tab: Tab, url: str, trained: Trained) -> None:
    """Chosen, dropped, by the camera: class and probability appear, the heat over the photo.

    Nothing is asked of another server, and the page's own policy has nothing to complain of.
    """
    tab.open(url)
    tab.until("document.querySelector('#about').textContent.includes('blue, green, red')")

    chosen = [trained.photos / "red" / "red_00.png", trained.photos / "blue" / "blue_00.png"]
    tab.choose("#files", *chosen)
    tab.until("document.querySelectorAll('.top').length == 2")
    tab.until(f"{VERDICTS}.every(text => text.includes('%'))")
    assert all(text.split(" · ")[0] in ("blue", "green", "red") for text in tab.run(VERDICTS))
    assert tab.run(
        "[...document.querySelectorAll('.layer')].every(one => !one.hidden && one.naturalWidth)"
    )
    assert tab.run("document.querySelector('.layer').getBoundingClientRect().width") == tab.run(
        "document.querySelector('.photo').getBoundingClientRect().width"
    )

    assert tab.run("document.querySelectorAll('.near img').length") == 4
    assert tab.run("[...document.querySelectorAll('.near img')].every(one => one.naturalWidth)")
    text = tab.run("document.querySelector('.near li').textContent")
    assert text.split(" · ")[0] in ("blue", "green", "red")

    encoded = base64.b64encode(chosen[0].read_bytes()).decode()
    page = base64.b64encode(b"<html><script>alert(1)</script>").decode()
    dropped = [["dropped.png", encoded], ["<b>page</b>.jpg", page]]
    assert tab.run(DROP.format(files=json.dumps(dropped)))
    tab.until(f"{VERDICTS}.length == 4 && {VERDICTS}.every(text => text != 'Looking…')")
    good, bad = tab.run(VERDICTS)[:2]
    assert "%" in good
    assert bad == "This file is an HTML page, not an image. Replace or remove it."

    tab.run("document.querySelector('#camera').click()")
    tab.until("document.querySelector('#video').videoWidth > 0")
    tab.run("document.querySelector('#take').click()")
    tab.until(f"{VERDICTS}.length == 5 && {VERDICTS}[0].includes('%')")
    assert tab.run("document.querySelector('#video').srcObject === null")  # the light is off

    own = (url, f"blob:{url.rstrip('/')}", "data:")
    assert [asked for asked in tab.requested if not asked.startswith((*own, "about:"))] == []
    refused = "Failed to load resource: the server responded with a status of 422"
    assert [text for text in tab.complaints if refused not in text] == []


def test_the_page_is_for_keyboards_and_readers(tab: Tab, url: str) -> None:
    """Each control has a name and is reached with Tab; what changes is said in a live region."""
    tab.open(url)
    nameless = """[...document.querySelectorAll("button, input, img, dialog, section")]
        .filter(one => !one.closest("template") && !one.textContent.trim() && !one.labels?.length
            && !one.getAttribute("aria-label") && !one.getAttribute("alt")).length"""
    assert tab.run(nameless) == 0
    reached = []
    for _ in range(2):
        tab.press("Tab", 9)
        reached.append(tab.run("document.activeElement.id"))
    assert reached == ["choose", "camera"]
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert tab.run("document.querySelector('#status').getAttribute('aria-live')") == "polite"
    assert tab.run("document.documentElement.lang") == "en"


def test_each_answer_is_announced(tab: Tab, url: str, trained: Trained) -> None:
    """To screen readers; how many are left is said with it, and does not replace it."""
    tab.open(url)
    tab.run(
        "(said = [], new MutationObserver(() => said.push(document.querySelector('#status')"
        ".textContent)).observe(document.querySelector('#status'), {childList: true}), 0)"
    )
    chosen = sorted(trained.photos.glob("*/*_03.png"))
    tab.choose("#files", *chosen)
    tab.until(f"{VERDICTS}.length == 3 && {VERDICTS}.every(text => text.includes('%'))")
    said = tab.run("said")
    assert said[0] == "Looking at 3 photos…"
    assert all(any(text.startswith(f"{file.name}: ") for text in said) for file in chosen)


def test_the_camera_takes_one_photo_and_only_when_it_sees(tab: Tab, url: str) -> None:
    """However often its button is pressed, from the first moment on."""
    tab.open(url)
    press = "document.querySelector('#{}').click()"
    tab.run(f"({press.format('camera')}, {press.format('camera')}, 0)")
    tab.until("document.querySelector('#viewer').open")
    tab.run(press.format("take"))
    tab.until(f"{VERDICTS}.length > 0 || !document.querySelector('#take').disabled")
    tab.run(f"({press.format('take')}, {press.format('take')}, 0)")
    tab.until(f"{VERDICTS}.length > 0 && {VERDICTS}.every(text => text.includes('%'))")
    assert tab.run(f"{VERDICTS}.length") == 1
    assert tab.run("document.querySelector('#video').srcObject === null")


def test_a_file_that_cannot_be_read_is_named(tab: Tab, url: str) -> None:
    """As a folder that was dropped: the server is not to blame."""
    tab.open(url)
    tab.run(
        "(one = new File(['x'], 'folder'), one.slice = () => ({arrayBuffer: () => "
        "Promise.reject(new DOMException('', 'NotReadableError'))}), add([one]), 0)"
    )
    tab.until(f"{VERDICTS}[0] == 'This file cannot be read. Is it a folder, or was it moved?'")


def test_a_phone_shows_the_whole_width(tab: Tab, url: str, trained: Trained) -> None:
    """Nothing sticks out at 360 pixels, light or dark; controls are large enough for fingers."""
    tab.open(url)
    tab.choose("#files", *sorted(trained.photos.glob("*/*_02.png")))
    tab.until(f"{VERDICTS}.length == 3 && {VERDICTS}.every(text => text.includes('%'))")
    papers = []
    for dark in (False, True):
        tab.screen(width=360, height=740, dark=dark)
        assert tab.run("document.documentElement.scrollWidth") == 360
        papers.append(tab.run("getComputedStyle(document.body).backgroundColor"))
    assert papers == ["rgb(246, 248, 247)", "rgb(17, 22, 20)"]
    assert tab.run(
        "[...document.querySelectorAll('button')].filter(one => one.offsetHeight)"
        ".every(one => one.offsetHeight >= 44)"
    )


def test_a_server_that_is_gone_is_named_and_asked_again(
    tab: Tab, trained: Trained, url: str, tmp_path: Path
) -> None:
    """The page says so beside the photo, with a button to try again."""
    tab.open(url)
    tab.call("Network.emulateNetworkConditions", offline=True, latency=0, **_FREE)
    tab.choose("#files", trained.photos / "red" / "red_00.png")
    tab.until(f"{VERDICTS}[0] == 'The server did not answer. Is it still running?'")
    tab.call("Network.emulateNetworkConditions", offline=False, latency=0, **_FREE)
    tab.run("document.querySelector('.again').click()")
    tab.until(f"{VERDICTS}[0].includes('%')")


_FREE = {"downloadThroughput": -1, "uploadThroughput": -1}
