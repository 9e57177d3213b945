"""The server asked within this process: its responses, its refusals, what it tells and hides."""

from __future__ import annotations

import base64
import copy
import io
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from kvgg_jax import explain, predict, similar
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.file_types import DROP
from kvgg_jax.inference.heatmap import layer, over_photo
from kvgg_jax.web.serve.limits import MIB, Limits
from kvgg_jax.web.serve.network import Network
from support.commands import calibration_at, kvgg
from support.images import encode, noise, write
from support.runs import PATIENCE, Trained
from support.served import files, network_of, serving

pytestmark = pytest.mark.usefixtures("thin_network")
BUSY = {"error": "Too many photos are in progress. Try again in a moment."}


@pytest.fixture(scope="module")
def network(trained: Trained, thin_network: None) -> Network:
    """Compiled once for all tests."""
    return network_of(trained.run)


@pytest.fixture(scope="module")
def client(network: Network) -> Iterator[TestClient]:
    """Of a server with the usual limits."""
    with serving(network) as client:
        yield client


@pytest.fixture
def photo(trained: Trained) -> Path:
    """One that the run has learnt from."""
    return trained.photos / "red" / "red_00.png"


def predicted(trained: Trained, *paths: Path, top: int) -> list[dict]:
    """What `kvgg predict --json` says, by the name of the file."""
    said = kvgg("predict", *paths, "--run", trained.run, "--top", str(top), "--json")
    found = json.loads(said.stdout)
    return [{"name": Path(one.pop("path")).name, **one} for one in found]


def test_a_photo_gets_the_result_of_predict(
    client: TestClient, trained: Trained, photo: Path
) -> None:
    """Bit for bit: one photo is a batch of one here and there."""
    said = client.post("/api/predict?top=3", files=files((photo.name, photo.read_bytes())))
    assert said.status_code == 200
    expected = {**predicted(trained, photo, top=3)[0], "heat": None, "similar": None}
    assert said.json() == {"run": "x", "results": [expected]}


def test_good_and_bad_files_are_answered_one_by_one(
    client: TestClient, trained: Trained, photo: Path
) -> None:
    """In their order, with the reasons of `predict`; names are only repeated."""
    good = sorted(trained.photos.glob("*/*_01.png"))
    sent = [(path.name, path.read_bytes()) for path in good]
    sent.insert(1, ("../../etc/passwd.jpg", b"<!DOCTYPE html><script>alert(1)</script>"))
    said = client.post("/api/predict", files=files(*sent))
    assert said.status_code == 200
    results = said.json()["results"]
    reason = f"is an HTML page, not an image. {DROP}"
    name = "../../etc/passwd.jpg"
    assert results.pop(1) == {"name": name, "error": f"{name}: {reason}"}
    for one, expected in zip(results, predicted(trained, *good, top=1), strict=True):
        assert one["probability"] == pytest.approx(expected.pop("probability"), abs=1e-6)
        assert [each["class"] for each in one["top"]] == [expected.pop("top")[0]["class"]]
        assert {key: one[key] for key in expected} == expected


def test_the_heatmap_is_that_of_explain(client: TestClient, trained: Trained, photo: Path) -> None:
    """A PNG to be laid over the photo; its opacity grows with what speaks for the class."""
    said = client.post("/api/predict?heat=true", files=files((photo.name, photo.read_bytes())))
    uri = said.json()["results"][0]["heat"]
    drawn = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert (drawn.format, drawn.mode, drawn.size) == ("PNG", "RGBA", (32, 32))
    (expected,) = explain(photo, trained.run)
    assert expected.heat is not None
    assert expected.heat.max() > 0
    difference = np.asarray(drawn).astype(int) - layer(expected.heat)
    assert np.abs(difference).max() <= 2  # levels of 255: two ways of adding up


def test_training_photos_are_shown_where_the_server_may(
    trained: Trained, photo: Path, tmp_path: Path
) -> None:
    """As `kvgg similar` finds them, with no path of this machine; up to its number, else 422."""
    run = shutil.copytree(trained.run, tmp_path / "x")
    with serving(network_of(run), similar=2) as client:
        sent = files((photo.name, photo.read_bytes()))
        plain = client.post("/api/predict", files=sent).json()
        shown = client.post("/api/predict?similar=2", files=sent)
        more = client.post("/api/predict?similar=3", files=sent)
        assert client.get("/api/model").json()["max_similar"] == 2
    assert plain["results"][0]["similar"] is None
    (found,) = similar([photo], run, count=2)
    near = shown.json()["results"][0]["similar"]
    assert [(one["name"], one["class"]) for one in near] == [
        (Path(one.path).name, one.label) for one in found.neighbors
    ]
    assert all(one["image"].startswith("data:image/jpeg;base64,") for one in near)
    assert str(trained.photos) not in shown.text
    text = "similar: this server shows at most 2 training photos per photo."
    assert (more.status_code, more.json()) == (422, {"error": text})


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_a_photo_is_resized_as_its_run_does(
    network: Network, tmp_path: Path, resize: Resize
) -> None:
    """So is its heatmap, which is stretched over the whole photo."""
    wide = write(tmp_path / "wide.png", encode(noise(64)[:32], "PNG"))
    other, own = copy.copy(network), network.classifier
    other.members = [replace(own, config=own.config.with_data(resize=resize))]
    with serving(other) as client:
        said = client.post("/api/predict?heat=true", files=files((wide.name, wide.read_bytes())))
    (one,) = said.json()["results"]
    (expected,) = explain(wide, other.classifier)
    assert one["probability"] == pytest.approx(expected.probability, abs=1e-6)
    uri = one["heat"].removeprefix("data:image/png;base64,")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri)))).astype(int)
    assert drawn.shape == (16, 32, 4)
    assert expected.heat is not None
    assert np.abs(drawn - over_photo(layer(expected.heat), (64, 32), resize)).max() <= 2


def test_a_calibrated_run_is_unsure_as_in_predict(trained: Trained, photo: Path) -> None:
    """At the run's temperature, below the threshold that was asked for."""
    network = network_of(trained.run, unsure_below=0.9)
    network.calibrations = [calibration_at(3.0, network.classifier.state)]
    with serving(network) as client:
        said = client.post("/api/predict", files=files((photo.name, photo.read_bytes())))
        model = client.get("/api/model").json()
    (one,) = said.json()["results"]
    assert (one["calibrated"], one["unsure"], one["unsure_below"]) == (True, True, 0.9)
    assert (model["calibrated"], model["temperature"], model["unsure_below"]) == (True, 3.0, 0.9)


def test_a_photo_unlike_those_of_training_is_unknown_as_in_predict(
    trained: Trained, tmp_path: Path, photo: Path
) -> None:
    """Beside one that is known, in the same batch."""
    strange = write(tmp_path / "noise.png", encode(noise(32), "PNG"))
    network = network_of(trained.run, unknown_below=0.2)
    sent = [(path.name, path.read_bytes()) for path in (photo, strange)]
    with serving(network) as client:
        said = client.post("/api/predict", files=files(*sent))
        model = client.get("/api/model").json()
    known, unknown = said.json()["results"]
    expected = [one.typicality for one in predict([photo, strange], trained.run)]
    assert [known["typicality"], unknown["typicality"]] == expected
    assert (known["unknown"], unknown["unknown"]) == (False, True)
    assert unknown["unknown_below"] == model["unknown_below"] == 0.2


HOSTILE = {
    "page.jpg": (b"<html><script>alert(1)</script>", f"is an HTML page, not an image. {DROP}"),
    "none.png": (b"", f"is empty (0 bytes). {DROP}"),
    "drawing.svg": (b"<svg onload=alert(1)>", f"is an SVG drawing, not an image. {DROP}"),
}


def bomb(side: int) -> bytes:
    """A sound PNG, small and all of one color."""
    Image.new("1", (side, side)).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def test_hostile_files_are_named_and_nothing_else_is_sent(
    client: TestClient, trained: Trained, photo: Path
) -> None:
    """None was good: 422, in the shape of any other answer, without a path of this machine."""
    big, cut = bomb(8000), photo.read_bytes()[:1500]
    sent = {name: content for name, (content, _) in HOSTILE.items()}
    said = client.post(
        "/api/predict", files=files(*sent.items(), ("bomb.png", big), ("cut.png", cut))
    )
    assert said.status_code == 422
    errors = {one["name"]: one["error"] for one in said.json()["results"]}
    assert errors == {
        **{name: f"{name}: {reason}" for name, (_, reason) in HOSTILE.items()},
        "bomb.png": "bomb.png: has 8000 x 8000 pixels; the limit is 50000000 in total. "
        "Scale it down.",
        "cut.png": "cut.png: is a PNG file, truncated or damaged (image file is truncated). "
        f"{DROP}",
    }
    assert str(trained.run.parent) not in said.text


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        (
            {"files": files(*[("a.png", b"x")] * 4)},
            413,
            "There are more than 3 photos. Send them in parts.",
        ),
        (
            {"files": files(*[("a.png", b"x")] * 9)},
            413,
            "There are more than 3 photos. Send them in parts.",
        ),
        (
            {"files": files(("a.png", bytes(MIB)))},
            413,
            "The photos have more than 1 MiB in all. Send fewer.",
        ),
        (
            {"data": {"note": "no file"}},
            415,
            "Send photos as multipart/form-data, each in a field named files.",
        ),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            400,
            "The form is broken: it is not valid multipart/form-data.",
        ),
        (
            {"content": b"--b--", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            400,
            "The form has no photos. Send each in a field named files.",
        ),
    ],
)
def test_what_goes_beyond_the_limits_is_refused(
    network: Network, sent: dict, status: int, text: str
) -> None:
    """With the limit that it was."""
    with serving(network, Limits(upload_bytes=MIB, files=3)) as client:
        said = client.post("/api/predict", **sent)
    assert (said.status_code, said.json()) == (status, {"error": text})


def test_a_body_without_a_length_is_cut_where_it_is_too_long(network: Network) -> None:
    """Chunk by chunk: a length that was announced is refused before it is read."""

    def endless() -> Iterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(64):
            yield bytes(MIB // 4)

    with serving(network, Limits(upload_bytes=MIB)) as client:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        said = client.post("/api/predict", content=endless(), headers=headers)
    assert said.status_code == 413


def test_another_host_or_another_site_is_refused(client: TestClient, photo: Path) -> None:
    """A page on another site cannot use the server, under its own name or under a borrowed one."""
    sent = {"files": files((photo.name, photo.read_bytes()))}
    for host in ("evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "192.0.2.1"):
        said = client.get("/api/model", headers={"host": host})
        assert said.status_code == 400
        assert said.json() == {"error": "The Host header does not name this server."}
    for foreign in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:9000"},
        {"sec-fetch-site": "cross-site"},
    ):
        said = client.post("/api/predict", **sent, headers=foreign)
        assert said.status_code == 403
        assert said.json() == {"error": "Pages of other sites cannot send photos here."}
    own = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert client.post("/api/predict", **sent, headers=own).status_code == 200
    for host in ("localhost:8000", "[::1]:8000", "127.0.0.1"):
        assert client.get("/api/model", headers={"host": host}).status_code == 200


def test_a_full_server_asks_to_try_again(network: Network, photo: Path) -> None:
    """503 with Retry-After, while those before are answered."""
    entered, go = threading.Event(), threading.Event()

    def slow(images):
        entered.set()
        assert go.wait(PATIENCE)
        return network(images)

    sent = [(photo.name, photo.read_bytes())] * 2
    with serving(network, Limits(files=2, waiting=3)) as client:
        client.service._batcher._predict = slow
        first: list = []
        asking = threading.Thread(
            target=lambda: first.append(client.post("/api/predict", files=files(*sent)))
        )
        asking.start()
        assert entered.wait(PATIENCE)
        full = client.post("/api/predict", files=files(*sent))
        assert (full.status_code, full.json()) == (503, BUSY)
        assert full.headers["retry-after"] == "1"
        assert "kvgg_waiting_photos 2.0" in client.get("/metrics").text
        go.set()
        asking.join()
        assert first[0].status_code == 200
        assert client.post("/api/predict", files=files(*sent)).status_code == 200


def test_bytes_in_progress_have_a_bound(network: Network, photo: Path) -> None:
    """Of all clients; one gets no more than half of it."""
    with serving(network) as client, client.service.memory.take("x", 64 * MIB) as more:
        said = client.post("/api/predict", files=files((photo.name, photo.read_bytes())))
        assert said.status_code == 200
        client.service.memory.each = 128 * MIB
        more(64 * MIB)
        said = client.post("/api/predict", files=files((photo.name, photo.read_bytes())))
    assert (said.status_code, said.json()) == (503, BUSY)


def test_health_is_503_before_it_can_answer(network: Network, photo: Path) -> None:
    """And so is a photo."""
    with serving(network) as client:
        assert (client.get("/health").status_code, client.get("/health").json()) == (
            200,
            {"status": "ready"},
        )
        client.service.status = "starting"
        assert (client.get("/health").status_code, client.get("/health").json()) == (
            503,
            {"status": "starting"},
        )
        said = client.post("/api/predict", files=files((photo.name, photo.read_bytes())))
        assert (said.status_code, said.json()) == (503, {"error": "The server is starting."})
        assert said.headers["retry-after"] == "1"


def test_an_error_of_its_own_is_logged_and_not_sent(network: Network, photo: Path) -> None:
    """One sentence for the client; the error with its trace for the log. The next one is fine."""
    with serving(network) as client:
        right = client.service._batcher._predict

        def broken(images):
            raise RuntimeError("/secret/path")

        client.service._batcher._predict = broken
        sent = {"files": files((photo.name, photo.read_bytes()))}
        said = client.post("/api/predict", **sent)
        assert (said.status_code, said.json()) == (
            500,
            {"error": "The server failed at this request. Its log says why."},
        )
        assert "/secret/path" in repr(client.errors)
        client.service._batcher._predict = right
        assert client.post("/api/predict", **sent).status_code == 200
        assert client.service.waiting.used == 0


def test_every_answer_forbids_what_a_page_does_not_need(client: TestClient) -> None:
    """No script, style or frame from elsewhere; nothing is kept or guessed."""
    for path in ("/", "/page.js", "/api/model", "/nothing", "/../../etc/passwd", "/api/predict"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    """Its parts are there, with their types, and name no other server."""
    types = {
        "/": "text/html; charset=utf-8",
        "/page.css": "text/css; charset=utf-8",
        "/page.js": "text/javascript; charset=utf-8",
        "/icon.svg": "image/svg+xml",
    }
    for path, kind in types.items():
        said = client.get(path)
        assert (said.status_code, said.headers["content-type"]) == (200, kind)
        assert "//" not in said.text.replace("http://www.w3.org/2000/svg", "").replace(" // ", "")


def test_what_is_not_there_is_answered_in_json(client: TestClient) -> None:
    """A path, a method, a query."""
    for said, status, text in (
        (client.get("/nothing"), 404, "Not Found."),
        (client.get("/docs"), 404, "Not Found."),
        (client.get("/health/", follow_redirects=False), 404, "Not Found."),
        (client.get("/api/predict"), 405, "Method Not Allowed."),
        (
            client.post("/api/predict?top=0", files=files(("a", b"x"))),
            422,
            "top: Input should be greater than or equal to 1.",
        ),
    ):
        assert (said.status_code, said.json()) == (status, {"error": text})
    assert client.get("/api/predict").headers["allow"] == "POST"


def test_head_answers_as_get_does_without_a_body(client: TestClient) -> None:
    """With its status and headers; not where only POST is."""
    for path in ("/", "/page.js", "/health", "/api/model", "/openapi.json", "/nothing"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers == got.headers
    assert client.head("/metrics").status_code == 200
    assert client.head("/api/predict").status_code == 405


def test_the_model_is_described_without_a_path(client: TestClient, trained: Trained) -> None:
    """Classes and limits."""
    said = client.get("/api/model")
    assert said.json() == {
        "run": "x",
        "networks": 1,
        "tta": False,
        "classes": ["blue", "green", "red"],
        "arch": "vgg11",
        "image_size": 32,
        "calibrated": False,
        "temperature": None,
        "unsure_below": None,
        "max_similar": 0,
        "unknown_below": 0.05,
        "max_files": 32,
        "max_upload_bytes": 32 * MIB,
        "max_pixels": 50_000_000,
        "max_request_pixels": 200_000_000,
    }


def test_the_document_describes_what_is_answered(client: TestClient) -> None:
    """OpenAPI 3: every reference leads somewhere; the upload, its answer and refusals are in it."""
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert sorted(document["paths"]) == ["/api/model", "/api/predict", "/health", "/metrics"]
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for reference in text.split('"$ref": "')[1:]:
        assert reference.split('"')[0].removeprefix("#/components/schemas/") in schemas
    predict = document["paths"]["/api/predict"]["post"]
    body = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert body["properties"]["files"] == {
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "format": "binary"},
    }
    assert sorted(predict["responses"]) == sorted(
        ["200", "400", "403", "408", "413", "415", "422", "503"]
    )
    assert set(schemas["Found"]["properties"]) == {
        *("class", "probability", "name", "calibrated", "unsure", "unsure_below", "top", "heat"),
        "similar",
        *("unknown", "unknown_below", "typicality"),
    }


def test_metrics_count_what_was_done(network: Network, photo: Path) -> None:
    """Responses by path and status, photos by outcome, batches; paths are bounded."""
    with serving(network) as client:
        client.post(
            "/api/predict", files=files((photo.name, photo.read_bytes()), ("a.png", b"text"))
        )
        client.get("/any/thing")
        said = client.get("/metrics")
    assert said.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = said.text.splitlines()
    for line in (
        'kvgg_requests_total{path="/api/predict",status="200"} 1.0',
        'kvgg_requests_total{path="other",status="404"} 1.0',
        'kvgg_photos_total{outcome="predicted"} 1.0',
        'kvgg_photos_total{outcome="unreadable"} 1.0',
        'kvgg_request_seconds_count{path="/api/predict"} 1.0',
        'kvgg_batch_photos_bucket{le="1.0"} 1.0',
        "kvgg_batch_seconds_count 1.0",
        "kvgg_waiting_photos 0.0",
    ):
        assert line in lines


def test_nothing_is_compiled_for_any_number_of_photos(
    network: Network, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is padded to one of the sizes of the start, whatever came together."""
    import jax

    def refuse(*_, **__):
        raise AssertionError("compiled again")

    with serving(network, replace(Limits(), files=9)) as client:
        monkeypatch.setattr(jax, "jit", refuse)
        for count in range(1, 10):
            sent = [(photo.name, photo.read_bytes())] * count
            said = client.post("/api/predict", files=files(*sent))
            assert len({one["class"] for one in said.json()["results"]}) == 1
    assert sorted(network._steps) == [1, 2, 4]
