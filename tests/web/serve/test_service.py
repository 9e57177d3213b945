"""Uploads become results, counted by what became of them."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
from kvgg_jax.web.serve.limits import Full, Limits
from kvgg_jax.web.serve.network import Network, Seen
from kvgg_jax.web.serve.service import Asked, Metrics, Service
from kvgg_jax.web.serve.uploads import Refused, Upload
from support.served import uncompiled

pytestmark = pytest.mark.usefixtures("thin_network")


def photo(color: str, size: int = 32) -> bytes:
    Image.new("RGB", (size, size), color).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


@pytest.fixture
def network(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    """One that takes the brightest channel for the class, without computing."""

    def brightest(_: Network, images: list[np.ndarray]) -> list[Seen]:
        classes = np.eye(3, dtype=np.float32)[[2, 1, 0]]  # red, green, blue -> blue, green, red
        shares = [classes[image.mean((0, 1)).argmax()] for image in images]
        return [
            Seen(share, np.zeros((2, 2), np.float32), np.zeros(1, np.float32)) for share in shares
        ]

    monkeypatch.setattr(Network, "__call__", brightest)
    return uncompiled(finished)


def answer(service: Service, *uploads: Upload, heat: bool = False) -> list[dict]:
    async def test() -> list[dict]:
        async with service.running():
            results = await service.answer(uploads, Asked(heat=heat), client="a")
            return [one.model_dump(by_alias=True) for one in results]

    return asyncio.run(test())


def test_results_are_in_the_order_of_the_files(network: Network) -> None:
    """With the reason for one that cannot be read; both are counted, and batches."""
    service = Service(network, Limits(), wait=0)
    sent = [Upload("a", photo("lime")), Upload("b", b""), Upload("c", photo("blue"))]
    first, second, third = answer(service, *sent)
    assert (first["name"], first["class"], third["name"], third["class"]) == (
        *("a", "green"),
        *("c", "blue"),
    )
    assert second == {"name": "b", "error": "b: is empty (0 bytes). Replace or remove it."}
    value = service.metrics.registry.get_sample_value
    assert value("kvgg_photos_total", {"outcome": "predicted"}) == 2
    assert value("kvgg_photos_total", {"outcome": "unreadable"}) == 1
    assert value("kvgg_batch_photos_sum") == 2
    assert service.waiting.used == 0


def test_a_heatmap_is_drawn_when_it_is_asked_for(network: Network) -> None:
    """As a PNG inside the JSON."""
    (plain,) = answer(Service(network, Limits(), wait=0), Upload("a", photo("red")))
    (drawn,) = answer(Service(network, Limits(), wait=0), Upload("a", photo("red")), heat=True)
    assert plain["heat"] is None
    assert drawn["heat"].startswith("data:image/png;base64,")


def test_more_photos_than_may_be_in_progress_are_refused(network: Network) -> None:
    """Before any is decoded."""
    service = Service(network, Limits(files=1, waiting=1), wait=0)
    with pytest.raises(Full):
        answer(service, Upload("a", b""), Upload("b", b""))


def test_too_many_pixels_in_a_request_are_refused(network: Network) -> None:
    """Before any is decoded. A photo that is too large by itself is named, as ever."""
    limits = Limits(pixels=1500, request_pixels=2000)
    sent = [Upload(name, photo("red")) for name in "ab"]
    with pytest.raises(Refused) as caught:
        answer(Service(network, limits, wait=0), *sent)
    assert (caught.value.status, caught.value.text) == (
        413,
        "The photos have more than 0.002 megapixels in all. Send them in parts.",
    )
    service = Service(network, limits, wait=0)
    large, small = answer(service, Upload("large", photo("red", 64)), sent[0])
    assert large["error"].startswith("large: has 64 x 64 pixels; the limit is 1500")
    assert small["class"] == "red"
    assert service.pixels.used == 0


def test_a_client_waits_until_its_pixels_are_decoded(network: Network) -> None:
    """Other clients do not wait for it."""
    service = Service(network, Limits(pixels=1024, request_pixels=2048), wait=0)
    with service.pixels.take("b", 2048):
        (one,) = answer(service, Upload("x", photo("red")))
        assert one["class"] == "red"
    with service.pixels.take("a", 1025), pytest.raises(Full):
        answer(service, Upload("x", photo("red")))


def test_every_outcome_is_there_from_the_start() -> None:
    """So a rate is 0 and not missing."""
    value = Metrics((1, 2)).registry.get_sample_value
    assert value("kvgg_photos_total", {"outcome": "predicted"}) == 0
    assert value("kvgg_photos_total", {"outcome": "unreadable"}) == 0
