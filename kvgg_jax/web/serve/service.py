"""From uploaded files to results: decoded by a pool of threads, classified in batches, counted."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from PIL import Image
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kvgg_jax.core.errors import ImageError
from kvgg_jax.data.decode.image import Square, load_square
from kvgg_jax.inference.gradients import cell_size
from kvgg_jax.inference.heatmap import layer, over_photo, spread
from kvgg_jax.web.serve.batcher import Batcher
from kvgg_jax.web.serve.limits import Limits
from kvgg_jax.web.serve.lookup import Lookup
from kvgg_jax.web.serve.network import InputImage, Network, Seen
from kvgg_jax.web.serve.schemas import Found, Unread
from kvgg_jax.web.serve.uploads import Refused, Upload

DECODERS = 4  # at most: each may hold an image of `Limits.pixels`
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 30, 60)


class Metrics:
    """What the server counts, for Prometheus, in a registry of its own."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=SECONDS)
        self.requests = counter("kvgg_requests", "Responses by path, status.", ("path", "status"))
        self.seconds = histogram("kvgg_request_seconds", "Seconds per request.", ("path",))
        self.photos = counter("kvgg_photos", "Photos by what became of them.", ("outcome",))
        for outcome in ("predicted", "unreadable"):
            self.photos.labels(outcome)
        self.batch = histogram("kvgg_batch_photos", "Photos per batch.", buckets=sizes)
        self.batch_seconds = histogram("kvgg_batch_seconds", "Seconds per batch.")
        gauge = partial(Gauge, registry=self.registry)
        self.waiting = gauge("kvgg_waiting_photos", "Photos in progress.")
        self.connections = gauge("kvgg_connections", "Open connections.")


class Asked(NamedTuple):
    """What is asked about each photo of a request."""

    top: int = 1
    """Classes."""
    heat: bool = False
    """Whether to draw a heatmap."""
    similar: int = 0
    """Training photos to show."""


class Service:
    """A network with what is around it. It shows up to `most_similar` training photos per photo,
    once it has a `lookup`."""

    def __init__(
        self, network: Network, limits: Limits, *, wait: float, most_similar: int = 0
    ) -> None:
        self.network, self.limits, self.most_similar = network, limits, most_similar
        self.lookup: Lookup | None = None
        self.status = "starting"
        """`starting`, `ready` or `stopping`."""
        of = limits.capacity  # of all clients, and of each
        self.connections = of(limits.connections, limits.client_connections)
        self.memory = of(4 * limits.upload_bytes, 2 * limits.upload_bytes)
        self.waiting = of(limits.waiting, max(limits.waiting // 2, limits.files))
        self.pixels = of(4 * limits.request_pixels, limits.request_pixels)
        self.metrics = Metrics(network.sizes)
        self.metrics.waiting.set_function(lambda: self.waiting.used)
        self.metrics.connections.set_function(lambda: self.connections.used)
        self._decoders = ThreadPoolExecutor(min(DECODERS, os.cpu_count() or 1), "decoder")
        self._batcher = Batcher[InputImage, Seen](
            network, most=network.most, wait=wait, watch=self._count_batch
        )

    def open(self) -> None:
        """Answer from now on: the network is compiled."""
        self._batcher.most = self.network.most
        self.status = "ready"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Its threads run within the block."""
        batches = asyncio.create_task(self._batcher.run())
        try:
            yield
        finally:
            batches.cancel()
            await asyncio.gather(batches, return_exceptions=True)
            self._decoders.shutdown()

    async def answer(
        self, uploads: Sequence[Upload], asked: Asked, *, client: str
    ) -> list[Found | Unread]:
        """One per file. Raises Full if too much is in progress, Refused for too many pixels."""
        with self.waiting.take(client, len(uploads)):
            sizes = await asyncio.to_thread(lambda: [one.pixels for one in uploads])
            # one that is too large by itself is not decoded, and named
            pixels = sum(size for size in sizes if size <= self.limits.pixels)
            if pixels > self.limits.request_pixels:
                most = self.limits.request_pixels / 10**6
                text = f"The photos have more than {most:g} megapixels in all."
                raise Refused(413, f"{text} Send them in parts.")
            with self.pixels.take(client, pixels):
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._one(one, asked)) for one in uploads]
        return [task.result() for task in tasks]

    async def _one(self, upload: Upload, asked: Asked) -> Found | Unread:
        loop = asyncio.get_running_loop()
        try:
            square = await loop.run_in_executor(self._decoders, self._decode, upload)
        except ImageError as error:
            self.metrics.photos.labels("unreadable").inc()
            return Unread(name=upload.name, error=str(error))
        seen = await self._batcher.ask(square.pixels)
        self.metrics.photos.labels("predicted").inc()
        fields = self.network.prediction(upload.name, seen).to_json(top=asked.top)
        drawn = found = None
        if asked.heat:
            drawn = await loop.run_in_executor(self._decoders, self._draw, seen, square.photo)
        if asked.similar and self.lookup is not None:
            found = await loop.run_in_executor(
                self._decoders, self.lookup, seen.embedding, asked.similar
            )
        also = {"name": upload.name, "heat": drawn, "similar": found}
        return Found.model_validate({**fields, **also})

    def _decode(self, upload: Upload) -> Square:
        of, most = self.network.classifier, self.limits.pixels
        return load_square(
            upload.content, of.image_size, of.resize, name=upload.name, max_pixels=most
        )

    def _draw(self, seen: Seen, photo: tuple[int, int]) -> str:
        classifier = self.network.classifier
        cell = cell_size(classifier.config.model)
        square = layer(spread(seen.heat, classifier.image_size, cell=cell))
        pixels = over_photo(square, photo, classifier.resize)
        Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG", compress_level=1)
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def _count_batch(self, images: int, seconds: float) -> None:
        self.metrics.batch.observe(images)
        self.metrics.batch_seconds.observe(seconds)
