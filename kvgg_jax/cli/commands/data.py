"""`kvgg data ...`: folders of photos."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from kvgg_jax.cli.app import app, handle_errors, print_json, stderr_console, with_options_of
from kvgg_jax.cli.commands.train import train
from kvgg_jax.cli.console import Screen, print_line
from kvgg_jax.core.text import program

data_app = typer.Typer(no_args_is_help=True, help="Folders of photos.")
app.add_typer(data_app, name="data")


@data_app.command()
@handle_errors
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to write it; must not exist yet.")],
    per_class: Annotated[int, typer.Option(min=2, help="Photos per class.")] = 100,
) -> None:
    """Draw the built-in demo set, coffee-like beans in four roasts, as a folder of PNG files.

    Example: `kvgg data demo beans`
    """
    from kvgg_jax.core.events import Progress
    from kvgg_jax.data.demo import write_demo

    with Screen(stderr_console()) as screen:
        write_demo(
            folder,
            per_class=per_class,
            on_progress=lambda done, total: screen(Progress("drawing", done, total)),
        )
    print_line(stderr_console(), f"Wrote the demo set to {folder}. Train on it:")
    print_line(stderr_console(), f"  {program()} train --data {quote(str(folder))} --image-size 48")


CONFIG = {"config", "set_"}
DEAL = {"val_split", "split", "seed", "json", *CONFIG}
LOOK = {"augment", "augment_color", "mix", "mix_alpha", "image_size", "seed", "skip_bad", *CONFIG}


@data_app.command()
@handle_errors
@with_options_of(train, taking=lambda name: name in DEAL)
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with one sub-folder per class.")],
    against: Annotated[
        Path | None, typer.Option(help="Another folder, such as a test set, to find shared photos.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write an HTML page with the photos to this file.")
    ] = None,
    **given: Any,
) -> None:
    """Find damaged and odd files, duplicates, leaks across the split, and uneven classes.

    The split is the one that `train` would make with these options.

    Example: `kvgg data check photos --against test_photos --html check.html`
    """
    from kvgg_jax.cli.flags import all_typed
    from kvgg_jax.core.config_file import resolve

    settings = resolve(given["config"], all_typed(given))
    from kvgg_jax.cli.text.check import check_text
    from kvgg_jax.data.audit.audit import check_data
    from kvgg_jax.data.audit.sentences import check_json
    from kvgg_jax.web.html.check_page import write_check

    with Screen(stderr_console()) as screen:
        result = check_data(folder, against=against, config=settings, emit=screen)
        if html:
            write_check(result, html, emit=screen)
            print_line(stderr_console(), f"Wrote {html}")
    print_json(check_json(result)) if given["json"] else check_text(result)


@data_app.command()
@handle_errors
@with_options_of(train, taking=lambda name: name in LOOK)
def preview(
    folder: Annotated[Path, typer.Argument(help="Folder with one sub-folder per class.")],
    output: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("preview.png"),
    count: Annotated[int, typer.Option(min=1, max=100, help="Number of photos.")] = 8,
    **given: Any,
) -> None:
    """Draw photos as the network sees them, and as augmentation changes them.

    Example: `kvgg data preview photos --augment strong --output preview.png`
    """
    from kvgg_jax.cli.flags import all_typed
    from kvgg_jax.core.config_file import resolve

    settings = resolve(given["config"], all_typed(given))
    from kvgg_jax.training.preview import preview as draw

    with Screen(stderr_console()) as screen:
        draw(folder, output, config=settings, count=count, emit=screen)
    print_line(stderr_console(), f"Wrote {output}")
