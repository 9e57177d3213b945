"""From uploaded files to answers: decoded by a pool of threads, judged in batches."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from kvgg_jax.core.errors import ImageError
from kvgg_jax.data.decode.image import load_bytes
from kvgg_jax.inference.gradients import cell_size
from kvgg_jax.inference.heatmap import layer, spread
from kvgg_jax.web.serve.batcher import Batcher, CapacityLimit
from kvgg_jax.web.serve.limits import Limits
from kvgg_jax.web.serve.metrics import Gauges
from kvgg_jax.web.serve.network import InputImage, Network, Seen
from kvgg_jax.web.serve.schemas import Found, Unread
from kvgg_jax.web.serve.uploads import Upload

DECODERS = 4  # at most: each may hold a picture of `Limits.pixels`


class Service:
    """A network with what stands around it; `close` it in the end."""

    def __init__(self, network: Network, limits: Limits, metrics: Gauges, *, wait: float) -> None:
        self.network, self.limits, self.metrics = network, limits, metrics
        self.status = "starting"
        """`starting`, `ready` or `stopping`."""
        self.waiting, self.memory = CapacityLimit(limits.waiting), CapacityLimit(limits.memory)
        self._pool = ThreadPoolExecutor(min(DECODERS, os.cpu_count() or 1), "decoder")
        self._batcher = Batcher[InputImage, Seen](
            network, most=network.most, wait=wait, watch=metrics.batch
        )
        metrics.gauge("waiting_pictures", "Of all clients.", lambda: self.waiting.used)

    def open(self) -> None:
        """Answer from now on: the network is compiled."""
        self._batcher.most = self.network.most
        self.status = "ready"

    async def answer(
        self, uploads: Sequence[Upload], *, top: int, heat: bool
    ) -> list[Found | Unread]:
        """One a file. Raises Full where too many pictures are waiting."""
        with self.waiting.take(len(uploads)):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(one, top, heat)) for one in uploads]
        return [task.result() for task in tasks]

    async def _one(self, upload: Upload, top: int, heat: bool) -> Found | Unread:
        loop = asyncio.get_running_loop()
        try:
            picture = await loop.run_in_executor(self._pool, self._decode, upload)
        except ImageError as error:
            self.metrics.images("unreadable")
            return Unread(name=upload.name, error=str(error))
        seen = await asyncio.wrap_future(self._batcher.ask(picture))
        self.metrics.images("judged")
        said = self.network.prediction(upload.name, seen).to_json(top=top)
        drawn = await loop.run_in_executor(self._pool, self._draw, seen) if heat else None
        return Found.model_validate({**said, "name": upload.name, "heat": drawn})

    def _decode(self, upload: Upload) -> InputImage:
        size = self.network.classifier.image_size
        return load_bytes(upload.content, size, name=upload.name, max_pixels=self.limits.pixels)

    def _draw(self, seen: Seen) -> str:
        classifier = self.network.classifier
        cell = cell_size(classifier.config.model)
        pixels = layer(spread(seen.heat, classifier.image_size, cell=cell))
        Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG", compress_level=1)
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def close(self) -> None:
        """Answer what was asked, then let the threads go."""
        self._batcher.close()
        self._pool.shutdown()
