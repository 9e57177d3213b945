"""What the HTML pages share: one file that needs no network and runs nothing, for every screen."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.files import write_text
from kvgg_jax.core.text import escape_name

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --paper: #fdfcfa; --card: #fff; --ink: #1f1b17; --soft: #645c53;
  --line: #d9d2c7; --first: #8c5a2b; --second: #1f6f78; --mark: #b3261e; --shade: 31 111 120; }
@media (prefers-color-scheme: dark) { :root { --paper: #171512; --card: #211e1a; --ink: #eee9e2;
  --soft: #b5aca1; --line: #453f37; --first: #e0a973; --second: #66bdc8; --mark: #ff8a80;
  --shade: 102 189 200; } }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 60rem;
  overflow-wrap: anywhere; background: var(--paper); color: var(--ink); }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; } strong { color: var(--mark); }
dl { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: .3rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; }
img { display: block; max-width: 100%; height: auto; border-radius: .3rem; }
a { color: var(--second); } :focus-visible { outline: 2px solid var(--second); }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: start; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); text-align: end;
  vertical-align: baseline; }
th:last-child, td:last-child { padding-right: 0; } td { white-space: nowrap; }
th { font-weight: 600; } tbody th { font-weight: 400; } th:first-child { text-align: start; }
.words th, .words td { text-align: start; white-space: normal; }
.words td:nth-child(2) { overflow-wrap: anywhere; }
@media (max-width: 30rem) { table { font-size: .85rem; } th, td { padding-right: .55rem; } }
"""
"""Text has a contrast of 4.5 or more on `--paper` and `--card`, which a browser test computes."""


def document(title: str, body: Iterable[str], *, style: str = "") -> Iterator[str]:
    """The parts of a whole page; `title` is text, `body` HTML, `style` CSS after `STYLE`."""
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield f"<title>{escaped(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>"
    yield from body
    yield "</body>\n</html>"


def write_page(file: Path, parts: Iterable[str]) -> int:
    """Write a page in one move; its size in bytes. Raises RunError when it cannot be written."""
    text = "\n".join(parts) + "\n"
    try:
        write_text(file, text)
    except OSError as error:
        raise RunError(f"Cannot write {escape_name(file)}: {error.strerror}.") from None
    return len(text.encode())


def escaped(value: object) -> str:
    """Names of files and classes are text, whatever they hold: in HTML and in its attributes."""
    return html.escape(escape_name(value))


def data_url(picture: Image.Image, *, quality: int = 80) -> str:
    """`picture`, RGB, as a JPEG inside the page."""
    picture.save(buffer := io.BytesIO(), "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they stand for, both text."""
    pairs = (f"<dt>{escaped(name)}</dt><dd>{escaped(text)}</dd>" for name, text in rows)
    return "\n".join(["<dl>", *pairs, "</dl>"])


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = ""
) -> str:
    """`columns` and `rows` of text; the first cell of a row names it. `kind` is a CSS class.

    A table that is wider than the screen scrolls by itself, by keyboard too.
    """
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in columns)
    body = (
        f'<tr><th scope="row">{escaped(first)}</th>'
        f"{''.join(f'<td>{escaped(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    lines = [f"<thead><tr>{head}</tr></thead>", "<tbody>", *body]
    return scrolling(caption, "\n".join(lines), kind=kind)


def scrolling(caption: str, inside: str, *, kind: str) -> str:
    """A table of HTML rows, up to the end of its last body, with its caption as text."""
    name = escaped(caption)
    return (
        f'<div class="wide {kind}" role="region" tabindex="0" aria-label="{name}">\n'
        f"<table>\n<caption>{name}</caption>\n{inside}\n</tbody>\n</table>\n</div>"
    )
