"""`kvgg data ...`: folders of photos."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from kvgg_jax.cli.app import app, command
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.flags import Given
from kvgg_jax.cli.options import Json, Photos, takes_settings
from kvgg_jax.cli.output import print_json, print_line, print_note
from kvgg_jax.core.text import counted, escape_name, program

data_app = typer.Typer(
    no_args_is_help=True, help="Check photos, preview or pack them, or draw the demo set."
)
app.add_typer(data_app, name="data")


@command(group=data_app)
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to write it; must not exist yet.")],
    per_class: Annotated[int, typer.Option(min=2, help="Photos per class.")] = 100,
) -> None:
    """Draw the built-in demo set, four classes of coffee beans, as a folder of PNG files.

    Example: `kvgg data demo beans`
    """
    from kvgg_jax.data.demo import write_demo

    with Screen() as screen:
        write_demo(folder, per_class=per_class, emit=screen)
    print_note(f"Wrote the demo set to {folder}. Train on it:")
    print_note(f"  {program()} train --data {quote(str(folder))} --image-size 48")


@command(cls=takes_settings({"photos"}, without={"data.dir", "data.skip_bad"}), group=data_app)
def check(
    ctx: typer.Context,
    folder: Photos,
    against: Annotated[
        Path | None, typer.Option(help="Another folder, such as a test set, to find shared photos.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write an HTML page with the photos to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """Find damaged and odd files, duplicates, leaks across the split, and uneven classes.

    The split is the one that `train` would make with these options.

    Example: `kvgg data check photos --against test_photos --html check.html`
    """
    given: Given = ctx.obj
    settings = given.resolve()
    from kvgg_jax.cli.text.check import check_text
    from kvgg_jax.data.audit.audit import check_data
    from kvgg_jax.web.html.check_page import write_check
    from kvgg_jax.web.html.page import check_writable

    if html:
        check_writable(html, option="--html")
    with Screen() as screen:
        result = check_data(folder, against=against, config=settings, emit=screen)
        if html:
            write_check(result, html, emit=screen)
            print_note(f"Wrote {html}")
    print_json(result.to_json()) if json else check_text(result)


@command(cls=takes_settings({"images"}), group=data_app)
def preview(
    ctx: typer.Context,
    folder: Photos,
    output: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("preview.png"),
    count: Annotated[int, typer.Option(min=1, max=100, help="Photos shown.")] = 8,
) -> None:
    """Draw photos as the network sees them, and as augmentation changes them.

    Example: `kvgg data preview photos --augment strong --output preview.png`
    """
    given: Given = ctx.obj
    settings = given.resolve()
    from kvgg_jax.training.preview import preview as draw

    with Screen() as screen:
        draw(folder, output, config=settings, count=count, emit=screen)
    print_note(f"Wrote {output}")


PACKED = {"data.val", "data.test", "data.root", "data.resize", "data.skip_bad"}


@command(cls=takes_settings((), also=PACKED), group=data_app)
def pack(
    ctx: typer.Context,
    folder: Photos,
    output: Annotated[Path, typer.Argument(help="Folder to write; continued if it was stopped.")],
    size: Annotated[
        int | None,
        typer.Option(min=32, max=4096, help="Pixels per side. Default: files as they are."),
    ] = None,
    shard_mib: Annotated[int, typer.Option(min=1, help="Size of a shard in MiB.")] = 256,
    json: Json = False,
) -> None:
    """Pack photos into tar shards with an index, for `train --data OUTPUT`.

    Example: `kvgg data pack photos packed --size 224`
    """
    given: Given = ctx.obj
    settings = given.resolve()
    from kvgg_jax.data.shards.pack import pack_data

    with Screen() as screen:
        found = pack_data(
            folder,
            output,
            size=size,
            shard_bytes=shard_mib * 2**20,
            config=settings,
            emit=screen,
        )
    if json:
        print_json(found.to_json())
    else:
        packed = f"{counted(found.photos, 'photo')} into {counted(found.shards, 'shard')}"
        print_line(f"Packed {packed} in {output}")


@command(group=data_app)
def verify(
    folder: Annotated[Path, typer.Argument(help="What `kvgg data pack` wrote, or its address.")],
    json: Json = False,
) -> None:
    """Compare packed photos, byte by byte, with the digests in their index.

    Example: `kvgg data verify packed`
    """
    from kvgg_jax.data.shards.verify import verify_data

    with Screen() as screen:
        found = verify_data(folder, emit=screen)
    if json:
        print_json(found.to_json())
    else:
        for change in found.changes:
            what = "its tar headers or labels" if change.photo is None else change.photo
            print_line(f"{change.shard}: {escape_name(what)} changed since it was packed")
        result = f"{len(found.changes):,} changed" if found.changes else "unchanged"
        packed = f"{counted(found.photos, 'photo')} in {counted(found.shards, 'shard')}"
        print_line(f"{packed}: {result}")
    if found.changes:
        raise typer.Exit(1)
