"""`kvgg similar` and `kvgg embed`: photos as a network sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvgg_jax.cli.app import command, end_with
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.options import RUNS, BatchSize, Images, Json, Out, RunOption
from kvgg_jax.cli.output import print_json, print_line
from kvgg_jax.core.text import escape_name


@command()
def similar(
    images: Images,
    run: RunOption = None,
    count: Annotated[int, typer.Option(min=1, help="Training photos to show per photo.")] = 5,
    batch_size: BatchSize = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Show the training photos that are most like a photo, as the network sees them.

    Example: `kvgg similar bean.jpg --count 3`
    """
    from kvgg_jax.cli.given_photos import given_photos
    from kvgg_jax.cli.text.similar import similar_text
    from kvgg_jax.inference.neighbors import similar as find

    photos = given_photos(images)
    with Screen() as screen:
        found = list(find(photos, run, count=count, batch_size=batch_size, out=out, emit=screen))
    if json:
        print_json([one.to_json() for one in found])
    else:
        print_line("\n".join(similar_text(one) for one in found if not one.prediction.error))
    end_with([one.prediction.error for one in found if one.prediction.error])


@command()
def embed(
    images: Images,
    output: Annotated[Path, typer.Option(help="File to write: .npz or .parquet.")],
    run: RunOption = None,
    batch_size: BatchSize = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Write a vector of each photo to a file: what the last layer of the network gets.

    Example: `kvgg embed photos --output vectors.npz`
    """
    from kvgg_jax.cli.embedding_file import writer_of
    from kvgg_jax.cli.given_photos import given_photos
    from kvgg_jax.inference.embedding import embed as each

    write, photos = writer_of(output), given_photos(images)
    with Screen() as screen:
        found = list(each(photos, run, batch_size=batch_size, out=out, emit=screen))
    vectors = [one.vector for one in found if one.vector is not None]
    if vectors:
        write([one for one in found if one.vector is not None])
        count, width = len(vectors), len(vectors[0])
        if json:
            print_json({"file": str(output), "photos": count, "width": width})
        else:
            print_line(f"{count:,} vectors of {width:,} values: {escape_name(output)}")
    end_with([one.prediction.error for one in found if one.prediction.error])
