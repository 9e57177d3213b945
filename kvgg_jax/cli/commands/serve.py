"""`kvgg serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from kvgg_jax.cli.app import command, stoppable
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.options import RUNS, Out, Raw, RunOrFolds, Tta, UnknownBelow, UnsureBelow
from kvgg_jax.cli.output import print_line, print_note
from kvgg_jax.core.extras import require
from kvgg_jax.web.serve.limits import MIB, Limits

LIMITS = Limits()
MESSAGES = {
    "asked": "Stopping: requests in progress are answered. Ctrl-C again to stop at once.",
    "at_once": "Stopped at once.",
}


@command()
def serve(
    run: RunOrFolds = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for the whole network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Further host name of this server, as behind a proxy."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    unsure_below: UnsureBelow = None,
    unknown_below: UnknownBelow = None,
    raw: Raw = False,
    tta: Tta = False,
    similar: Annotated[
        int,
        typer.Option(
            min=0,
            max=12,
            help="Training photos to show per photo: small copies, to all who use the page.",
        ),
    ] = 0,
    max_batch: Annotated[int, typer.Option(min=1, max=256, help="Photos per batch.")] = 8,
    wait_ms: Annotated[
        float,
        typer.Option(min=0, max=1000, help="Milliseconds to wait for a fuller batch."),
    ] = 5,
    queue: Annotated[
        int, typer.Option(min=1, max=10_000, help="Photos of all clients in progress.")
    ] = LIMITS.waiting,
    max_files: Annotated[
        int, typer.Option(min=1, max=1000, help="Photos per request.")
    ] = LIMITS.files,
    max_upload_mb: Annotated[int, typer.Option(min=1, max=1024, help="MiB per request.")] = (
        LIMITS.upload_bytes // MIB
    ),
    max_megapixels: Annotated[int, typer.Option(min=1, max=200, help="Megapixels per photo.")] = (
        LIMITS.pixels // 10**6
    ),
    max_request_megapixels: Annotated[
        int, typer.Option(min=1, max=10_000, help="Megapixels per request.")
    ] = LIMITS.request_pixels // 10**6,
    max_connections: Annotated[
        int, typer.Option(min=1, max=100_000, help="Connections of all clients.")
    ] = LIMITS.connections,
    max_client_connections: Annotated[
        int, typer.Option(min=1, max=100_000, help="Connections per client address.")
    ] = LIMITS.client_connections,
    header_seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds for headers, and for a pause in an upload.")
    ] = LIMITS.header_seconds,
    upload_seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a request to arrive.")
    ] = LIMITS.read_seconds,
    min_kb_per_second: Annotated[
        int, typer.Option(min=1, max=1024, help="KiB per second that an upload must reach.")
    ] = LIMITS.read_rate // 1024,
    behind_proxy: Annotated[
        bool, typer.Option(help="All clients come through a proxy: no limits per client.")
    ] = LIMITS.shared,
    out: Out = RUNS,
) -> None:
    """Serve a local page that classifies photos, with heatmaps and a JSON endpoint.

    Example: `kvgg serve --run runs/coffee --port 8000`
    """
    require("serve", by="kvgg serve")
    from kvgg_jax.web.serve.server import serve as listen

    limits = Limits(
        upload_bytes=max_upload_mb * MIB,
        files=max_files,
        pixels=max_megapixels * 10**6,
        request_pixels=max_request_megapixels * 10**6,
        waiting=queue,
        connections=max_connections,
        client_connections=max_client_connections,
        header_seconds=header_seconds,
        read_seconds=upload_seconds,
        read_rate=min_kb_per_second * 1024,
        shared=behind_proxy,
    )

    def ready(address: str) -> None:
        print_line(f"Ready at {address}", "bold")
        print_note("Stop it with Ctrl-C.")
        if open_:
            typer.launch(address)

    def report(*_: object) -> None:
        print_note("Stopped.")

    with Screen() as screen, stoppable(screen, report, **MESSAGES) as stop:
        listen(
            run,
            host=host,
            port=port,
            hosts=tuple(allow_host or ()),
            limits=limits,
            most=max_batch,
            wait=wait_ms / 1000,
            raw=raw,
            tta=tta,
            unsure_below=unsure_below,
            similar=similar,
            unknown_below=unknown_below,
            out=out,
            stop=stop,
            ready=ready,
            emit=screen,
        )
    raise typer.Exit(stop.exit_code)
