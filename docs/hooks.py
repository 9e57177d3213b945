"""What MkDocs does beside copying pages: it makes some, and checks that all is served from here.

The home page, the contributing guide and the changelog are the files in the root of the repository;
the reference is made of `--help` and of docstrings; the notebook is shown with the outputs that it
holds. So none of them is written twice.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
FROM_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LOADS = re.compile(
    r"""<(?:script|link|img|iframe|source|video|audio|object|embed)\b[^>]*?"""
    r"""\b(?:src|href|data|srcset)\s*=\s*["']?((?:https?:)?//[^"'\s>]+)""",
    re.IGNORECASE,
)
STYLES = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    pages = {page: _from_root(ROOT / name) for name, page in FROM_ROOT.items()}
    pages |= {"reference/commands.md": _commands(), "reference/python.md": _python()}
    pages["notebook.md"] = _notebook(ROOT / "docs/notebook.ipynb")
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def _from_root(file: Path) -> str:
    """A file of the root with its links as they are seen from `docs`."""
    text = file.read_text().replace("](docs/", "](").replace('src="docs/', 'src="')
    for name, page in {**FROM_ROOT, "notebook.ipynb": "notebook.md"}.items():
        text = text.replace(f"]({name})", f"]({page})")
    return text


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to the files of the root lead to their pages."""
    up = "../" * page.file.src_uri.count("/")
    for name, home in FROM_ROOT.items():
        markdown = markdown.replace(f"](../{up}{name}", f"]({up}{home}")
    return markdown


def _notebook(file: Path) -> str:
    """Its text, code and outputs as Markdown; `docs/notebook.py` writes the outputs."""
    parts = []
    for cell in json.loads(file.read_text())["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_output(one) for one in cell.get("outputs", ())]
    return "\n\n".join(parts) + f"\n\n[The notebook itself]({file.name})\n"


def _output(output: Any) -> str:
    data = output.get("data", {})
    if picture := data.get("image/jpeg"):
        return f"![Output of the cell above](data:image/jpeg;base64,{picture.strip()})"
    return f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```"


def _commands() -> str:
    """Each command as its `--help` shows it."""
    from typer.testing import CliRunner

    from kvgg_jax.cli.main import app

    runner = CliRunner(env={"COLUMNS": "100", "FORCE_COLOR": None, "NO_COLOR": "1"})
    parts = ["# Commands", "What each command says of itself with `--help`."]
    for words in _names():
        escape_name = runner.invoke(app, [*words, "--help"], prog_name="kvgg")
        if escape_name.exit_code:
            raise PluginError(f"kvgg {' '.join(words)} --help failed:\n{escape_name.output}")
        text = "\n".join(line.rstrip() for line in escape_name.stdout.strip("\n").split("\n"))
        parts += [f"## `{' '.join(('kvgg', *words))}`", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def _names() -> Iterator[tuple[str, ...]]:
    from typer.main import get_command

    from kvgg_jax.cli.main import app

    top: Any = get_command(app)
    yield ()
    for name, command in top.commands.items():
        yield (name,)
        yield from ((name, inner) for inner in getattr(command, "commands", ()))


def _python() -> str:
    """What `kvgg_jax.api` lists, from the docstrings: functions and settings, then results."""
    home = _home()
    lazy = re.findall(r" as (\w+)$", (ROOT / "kvgg_jax/__init__.pyi").read_text(), re.MULTILINE)
    results = sorted(home.keys() - set(lazy))
    parts = ["# Python", "## Functions and settings", "All are imported from `kvgg_jax`."]
    parts += [f"::: {home[name]}.{name}" for name in sorted(set(lazy) & home.keys(), key=str.lower)]
    parts += ["## What they return", *(f"::: {home[name]}.{name}" for name in results)]
    errors = "::: kvgg_jax.core.errors\n    options: {show_root_heading: false}"
    return "\n\n".join([*parts, "## What they raise", errors]) + "\n"


def _home() -> dict[str, str]:
    """Public name -> its module, from the imports of `kvgg_jax/api.py`."""
    tree = ast.parse((ROOT / "kvgg_jax/api.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    home = {alias.name: str(node.module) for node in imports for alias in node.names}
    _check_results(home)
    return home


def _check_results(home: dict[str, str]) -> None:
    """Fail where a public function returns a class that the page would leave out."""
    for name, module in home.items():
        for node in ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == name and node.returns:
                given = set(re.findall(r"(?<![\w.])[A-Z]\w+", ast.unparse(node.returns)))
                if missing := given - home.keys() - {"Iterator"}:
                    raise PluginError(f"{name} returns {missing}: add it to kvgg_jax/api.py")


def on_post_build(config: Any) -> None:
    """Fail where a page, when opened, would load something over the network."""
    site = Path(config["site_dir"])
    loads = [
        f"{file.relative_to(site)}: {found}"
        for suffix, pattern in (
            (".html", LOADS),
            (".html", STYLES),
            (".css", STYLES),
            (".svg", STYLES),
        )
        for file in sorted(site.rglob(f"*{suffix}"))
        for found in pattern.findall(file.read_text())
    ]
    if loads:
        raise PluginError("These would be loaded from elsewhere:\n" + "\n".join(loads))
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
    pages = len([*site.rglob("*.html")])
    print(f"{pages} pages, {size / 1e6:.1f} MB, nothing loaded from elsewhere")
