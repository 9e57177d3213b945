"""The application: its routes, and how they answer. FastAPI makes the OpenAPI document of them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import ASGIApp

from kvgg_jax.web.serve import metrics
from kvgg_jax.web.serve.batcher import Full
from kvgg_jax.web.serve.middleware import FAILED, Guard, Hosts
from kvgg_jax.web.serve.schemas import Answers, Failure, Found, Health, Model
from kvgg_jax.web.serve.service import Service
from kvgg_jax.web.serve.uploads import Refused, announced, read_uploads

PAGE = Path(__file__).with_name("page")
FILES = {
    "/": "text/html",
    "/page.css": "text/css",
    "/page.js": "text/javascript",
    "/icon.svg": "image/svg+xml",
}
PATHS = (*FILES, "/api/predict", "/api/model", "/health", "/metrics", "/openapi.json")
RETRY_SECONDS = 1
BUSY = "Too many pictures are waiting. Try again in a moment."
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                },
                "encoding": {"files": {"contentType": "image/*"}},
            }
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "No form with pictures, or a foreign Host."},
    403: {"model": Failure, "description": "Sent by a page of another site."},
    408: {"model": Failure, "description": "It took too long to arrive."},
    413: {"model": Failure, "description": "Too many bytes or pictures."},
    415: {"model": Failure, "description": "Not multipart/form-data."},
    422: {"model": Answers | Failure, "description": "No picture could be read; a bad query."},
    503: {"model": Failure, "description": "Starting, stopping or full; see Retry-After."},
}


def create_app(
    service: Service,
    *,
    hosts: Hosts,
    report: Callable[[Exception], None],
    start: Callable[[], None] = lambda: None,
) -> ASGIApp:
    """The whole server as ASGI. `start` is called when it listens; what fails goes to `report`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        start()
        yield
        service.close()

    app = FastAPI(
        title="kvgg serve",
        version=importlib.metadata.version("kvgg_jax"),
        description="Classes of pictures, with probabilities and heat maps.",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    _add_routes(app)
    for error in (HTTPException, RequestValidationError, Refused, Full, Exception):
        app.add_exception_handler(error, _failure)
    return Guard(app, hosts=hosts, watch=service.metrics.request, report=report)


def _add_routes(app: FastAPI) -> None:
    for path in FILES:
        app.add_api_route(path, _file, include_in_schema=False)
    app.add_api_route(
        "/api/predict",
        _predict,
        methods=["POST"],
        response_model=Answers,
        responses=REFUSALS,
        openapi_extra=UPLOAD,
        operation_id="predict",
        summary="Classify pictures",
    )
    model = {"response_model": Model, "operation_id": "model", "summary": "What is served"}
    app.add_api_route("/api/model", _model, **model)
    app.add_api_route(
        "/health",
        _health,
        response_model=Health,
        responses={503: {"model": Health}},
        operation_id="health",
        summary="Whether it can answer",
    )
    app.add_api_route(
        "/metrics",
        _metrics,
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        operation_id="metrics",
        summary="Figures for Prometheus",
    )


async def _predict(
    request: Request,
    top: Annotated[int, Query(ge=1, description="Classes told a picture.")] = 1,
    heat: Annotated[bool, Query(description="Whether to draw heat maps.")] = False,
) -> Response:
    """Say what is on pictures. One that cannot be read has an `error`; the others are answered."""
    service: Service = request.app.state.service
    if service.status != "ready":
        return _say(503, f"The server is {service.status}.")
    with service.memory.take(announced(request, service.limits)):
        uploads = await read_uploads(request, service.limits)
        results = await service.answer(uploads, top=top, heat=heat)
    run = service.network.classifier.run.path.resolve().name
    answers = Answers(run=run, results=results)
    status = 200 if any(isinstance(one, Found) for one in results) else 422
    return JSONResponse(answers.model_dump(mode="json", by_alias=True), status)


async def _model(request: Request) -> Model:
    """The classes, and the limits of uploads."""
    service: Service = request.app.state.service
    network, limits = service.network, service.limits
    classifier, calibration = network.classifier, network.calibration
    return Model(
        run=classifier.run.path.resolve().name,
        classes=list(classifier.classes),
        arch=classifier.config.model.arch,
        image_size=classifier.image_size,
        calibrated=calibration is not None,
        temperature=calibration.temperature if calibration else None,
        unsure_below=network.unsure_below,
        max_files=limits.files,
        max_upload_bytes=limits.upload_bytes,
        max_pixels=limits.pixels,
    )


async def _health(request: Request) -> Response:
    """200 once every program is compiled."""
    status = request.app.state.service.status
    return JSONResponse({"status": status}, 200 if status == "ready" else 503)


async def _metrics(request: Request) -> Response:
    """Counters and histograms; nothing of what the pictures show."""
    return Response(request.app.state.service.metrics.text(), media_type=metrics.TEXT)


async def _file(request: Request) -> Response:
    path = request.url.path
    name = path.removeprefix("/") or "index.html"
    return FileResponse(PAGE / name, media_type=FILES[path])


async def _failure(_: Request, error: Exception) -> Response:
    match error:
        case Full():
            return _say(503, BUSY)
        case Refused():
            return _say(error.status, error.text)
        case RequestValidationError():
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"][1:]))
            return _say(422, f"{where}: {first['msg']}.")
        case HTTPException():
            return _say(error.status_code, f"{error.detail}.", error.headers)
    return _say(500, FAILED)  # Starlette raises it again, for the guard to report


def _say(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    if status == 503:
        headers = {"retry-after": str(RETRY_SECONDS)}
    return JSONResponse({"error": text}, status, headers)
