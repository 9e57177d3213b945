"""Write the table of docs/settings.md from the settings: `python docs/settings_table.py`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from kvgg_jax.core.config import SETTINGS
from kvgg_jax.core.settings import Setting

PAGE = Path(__file__).with_name("settings.md")
ROWS = re.compile(r"(?<=\|---\|---\|---\|---\|\n)(?:\|.*\n)*")


def main() -> None:
    """Rewrite the page where its table is not that of the settings."""
    PAGE.write_text(with_rows(PAGE.read_text(), SETTINGS.values()))


def with_rows(page: str, settings: Iterable[Setting]) -> str:
    """`page` with a row for each of `settings` in its table, and no others."""
    rows = "".join(map(row, settings))
    return ROWS.sub(lambda _: rows, page, count=1)


def row(setting: Setting) -> str:
    """`| key | default | flag | meaning |`."""
    value = setting.default
    default = value if isinstance(value, str) else json.dumps(value)
    shown = "none" if value is None else f"`{default}`"
    flag = f" `{setting.flag}`" if setting.flag else ""
    meaning = setting.description.replace("|", "\\|")
    return f"| `{setting.key}` | {shown} |{flag} | {meaning} |\n"


if __name__ == "__main__":
    main()
