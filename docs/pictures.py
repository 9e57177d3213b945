"""Draw the terminal pictures of the README: `nox -s pictures`, some minutes on two cores.

Runs `kvgg train` on the demo set and `kvgg evaluate` of that run, in color, and writes as SVG what
a terminal would show: of the training while its sixth epoch is under way, of the evaluation when it
is done.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).parent / "pictures"
KVGG = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'kvgg'; import kvgg_jax.cli.main as k; k.main()",
]
COLUMNS = 92
DEMO = "data demo beans"
TRAIN = "train --data beans --arch vgg11 --image-size 48 --epochs 10 --name beans"
EVALUATE = "evaluate --run beans"
CONTROL = re.compile(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)")
UNDER_WAY = re.compile(r"epoch 6 training.* [6-9]/10\b")


def main() -> None:
    """Write `docs/pictures/train.svg` and `evaluate.svg`."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run(DEMO, folder)
        _, said = run(
            TRAIN, folder, until=lambda line: bool(UNDER_WAY.search(CONTROL.sub("", line)))
        )
        said = [line.replace(folder, "/home/me") for line in said]
        draw(TRAIN, said, PICTURES / "train.svg")
        escape_name, _ = run(EVALUATE, folder)
        draw(EVALUATE, escape_name, PICTURES / "evaluate.svg")


def run(
    command: str, folder: str, *, until: Callable[[str], bool] = lambda _: False
) -> tuple[list[str], list[str]]:
    """The lines that `kvgg COMMAND` leaves on a terminal by stdout, and by stderr.

    The latter are those of the moment when the last of them is first `until`, else of the end.
    """
    env = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    command_line = [*KVGG, *command.split()]
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(
            command_line, cwd=folder, env=env, stdout=out, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stderr is not None
        stream, caught = b"", b""
        while chunk := os.read(process.stderr.fileno(), 2**16):
            stream += chunk
            if not caught and until(on_screen(stream[-2000:])[-1]):
                caught = stream
        if process.wait():
            raise SystemExit(f"kvgg {command} failed:\n{stream.decode(errors='replace')}")
        out.seek(0)
        return on_screen(out.read()), on_screen(caught or stream)


def on_screen(stream: bytes) -> list[str]:
    """What a terminal shows of a stream, line by line, with its colors."""
    lines, row, anew = [""], 0, False
    for part in CONTROL.split(stream.decode(errors="ignore")):
        if part == "\n":
            row, anew = row + 1, False
            lines += [""] * (row == len(lines))
        elif part == "\r":
            anew = True
        elif part.startswith("\x1b[") and part.endswith("A"):
            row -= int(part[2:-1] or 1)
        elif part.startswith("\x1b[") and part.endswith("K"):
            lines[row] = ""
        elif part and not (part.startswith("\x1b[") and part[-1] in "hl"):
            lines[row] = part if anew else lines[row] + part
            anew = False
    return lines


def draw(command: str, lines: list[str], file: Path) -> None:
    """Write lines in color as a picture of a terminal, which loads no font from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ kvgg {command}", "bold"))
    console.print(Text.from_ansi("\n".join(lines).rstrip()))
    svg = console.export_svg(title="kvgg", unique_id=file.stem)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    file.write_text(svg)
    print(f"Wrote {file} ({len(svg) / 1000:.0f} KB)")


if __name__ == "__main__":
    main()
