"""What the tests of HTML pages share: their tags and their text."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = ("meta", "img", "br")
SECTIONS = ["result", "curves", "confusion", "classes", "calibration", "mistakes", "photos"]
SECTIONS += ["cost", "making"]
WROTE = r"Wrote (\S+): (.+) \(([\d,]+) kB\)\n"
HOSTILE_CLASS = "red<img src=x onerror=alert(1)>&\"'{{ 7 * 7 }}"


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
