"""The application: its routes and responses. FastAPI makes the OpenAPI document of them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import ASGIApp

from kvgg_jax.web.serve.limits import Full, client_of
from kvgg_jax.web.serve.middleware import FAILED, Guard, Hosts, failure
from kvgg_jax.web.serve.schemas import Answers, Failure, Found, Health, Model
from kvgg_jax.web.serve.service import Asked, Service
from kvgg_jax.web.serve.uploads import Refused, read_uploads

PAGE = Path(__file__).with_name("page")
FILES = {
    "/": "text/html",
    "/page.css": "text/css",
    "/page.js": "text/javascript",
    "/icon.svg": "image/svg+xml",
}
PATHS = frozenset((*FILES, "/api/predict", "/api/model", "/health", "/metrics", "/openapi.json"))
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
RETRY = {"retry-after": "1"}  # seconds
BUSY = "Too many photos are in progress. Try again in a moment."
FORM = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "format": "binary"},
        },
    },
}
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": FORM,
                "encoding": {"files": {"contentType": "image/*"}},
            }
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "No form with photos, or a foreign Host."},
    403: {"model": Failure, "description": "Sent by a page of another site."},
    408: {"model": Failure, "description": "It arrived too slowly."},
    413: {"model": Failure, "description": "Too many bytes, photos or pixels."},
    415: {"model": Failure, "description": "Not multipart/form-data."},
    422: {"model": Answers | Failure, "description": "No photo could be read; a bad query."},
    503: {"model": Failure, "description": "Starting, stopping or full; see Retry-After."},
}
router = APIRouter()


def create_app(
    service: Service,
    *,
    hosts: Hosts,
    report: Callable[[Exception], None],
    start: Callable[[], None] = lambda: None,
) -> ASGIApp:
    """The whole server as ASGI. `start` is called when it listens; errors go to `report`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            start()
            yield

    def watch(path: str, status: int, seconds: float) -> None:
        known = path if path in PATHS else "other"  # an attacker could name endless ones
        service.metrics.requests.labels(known, str(status)).inc()
        service.metrics.seconds.labels(known).observe(seconds)

    app = FastAPI(
        title="kvgg serve",
        version=importlib.metadata.version("kvgg_jax"),
        description="Classes of photos, with probabilities and heatmaps.",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # there is one name for each
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(router)
    for error in (HTTPException, RequestValidationError, Refused, Full, Exception):
        app.add_exception_handler(error, _failure)
    return Guard(app, hosts=hosts, watch=watch, report=report)


@router.post(
    "/api/predict",
    response_model=Answers,
    responses=REFUSALS,
    openapi_extra=UPLOAD,
    summary="Classify photos",
)
async def predict(
    request: Request,
    top: Annotated[int, Query(ge=1, description="Classes per photo.")] = 1,
    heat: Annotated[bool, Query(description="Whether to draw heatmaps.")] = False,
    similar: Annotated[
        int, Query(ge=0, description="Training photos per photo, up to max_similar.")
    ] = 0,
) -> Response:
    """The classes of photos. One that cannot be read has an `error`; the others have results."""
    service: Service = request.app.state.service
    if service.status != "ready":
        return failure(503, f"The server is {service.status}.", RETRY)
    if similar > service.most_similar:
        most = service.most_similar
        return failure(422, f"similar: this server shows at most {most} training photos per photo.")
    client = client_of(request.client.host if request.client else "")
    with service.memory.take(client) as count:
        uploads = await read_uploads(request, service.limits, count)
        asked = Asked(top=top, heat=heat, similar=similar)
        results = await service.answer(uploads, asked, client=client)
    answers = Answers(run=service.network.name, results=results)
    status = 200 if any(isinstance(one, Found) for one in results) else 422
    return JSONResponse(answers.model_dump(mode="json", by_alias=True), status)


@router.get("/api/model", summary="What is served")
async def model(request: Request) -> Model:
    """The classes, and the limits of uploads."""
    service: Service = request.app.state.service
    network, limits = service.network, service.limits
    classifier, temperatures = network.classifier, network.temperatures
    return Model(
        run=network.name,
        networks=len(network.members),
        tta=network.tta,
        classes=list(classifier.classes),
        arch=classifier.config.model.arch,
        image_size=classifier.image_size,
        calibrated=bool(temperatures),
        temperature=temperatures[0] if len(temperatures) == 1 else None,
        unsure_below=network.unsure_below,
        max_similar=service.most_similar,
        unknown_below=network.typicality.unknown_below if network.typicality else None,
        max_files=limits.files,
        max_upload_bytes=limits.upload_bytes,
        max_pixels=limits.pixels,
        max_request_pixels=limits.request_pixels,
    )


@router.get(
    "/health",
    response_model=Health,
    responses={503: {"model": Health}},
    summary="Whether it is ready",
)
async def health(request: Request) -> Response:
    """200 once every program is compiled."""
    status = request.app.state.service.status
    return JSONResponse({"status": status}, 200 if status == "ready" else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Metrics for Prometheus",
)
async def metrics(request: Request) -> Response:
    """Counters and histograms; nothing of what the photos show."""
    text = generate_latest(request.app.state.service.metrics.registry)
    return Response(text, media_type=PROMETHEUS)


async def page(request: Request) -> Response:
    """A file of the page."""
    path = request.url.path
    name = path.removeprefix("/") or "index.html"
    return FileResponse(PAGE / name, media_type=FILES[path])


for _path in FILES:
    router.add_api_route(_path, page, include_in_schema=False)


async def _failure(_: Request, error: Exception) -> Response:
    match error:
        case Full():
            return failure(503, BUSY, RETRY)
        case Refused():
            return failure(error.status, error.text)
        case RequestValidationError():
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"][1:]))
            return failure(422, f"{where}: {first['msg']}.")
        case HTTPException():
            return failure(error.status_code, f"{error.detail}.", error.headers)
    return failure(500, FAILED)  # Starlette raises it again, for the guard to report
