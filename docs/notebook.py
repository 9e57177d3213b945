"""Run docs/notebook.ipynb from its first cell to its last, as `nox -s docs` does.

`python docs/notebook.py --keep` also writes the new outputs into the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_suffix(".ipynb")
SMALL, LARGE = "image/jpeg", "image/png"  # a picture comes as both


def main() -> None:
    """Raises CellExecutionError, with the traceback, where a cell fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, record_timing=False).execute()
    if "--keep" in sys.argv:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [kept(one) for one in cell.outputs if one.get("name") != "stderr"]
        nbformat.write(notebook, NOTEBOOK)


def kept(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without the larger form of a picture."""
    if SMALL in output.get("data", {}):
        output.data.pop(LARGE, None)
    return output


if __name__ == "__main__":
    main()
