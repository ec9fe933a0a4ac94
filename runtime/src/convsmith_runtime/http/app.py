"""The routes."""

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from convsmith_runtime import __version__
from convsmith_runtime.decode import quiet
from convsmith_runtime.http.answers import Answers, Failure, Model, answer, describe, refusal, words
from convsmith_runtime.http.guard import Guard
from convsmith_runtime.http.head import Head
from convsmith_runtime.http.limits import Limits, Refused
from convsmith_runtime.http.metrics import Measured, Metrics
from convsmith_runtime.http.page import page
from convsmith_runtime.http.service import Service
from convsmith_runtime.http.uploads import Bodies, uploads_in
from convsmith_runtime.predict import Predictor

__all__ = ["create_app"]

SHOWN = {"image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp"}
FILE = {"type": "string", "format": "binary"}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"image": {"type": "array", "items": FILE, "minItems": 1}},
                "required": ["image"],
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "contentEncoding": "base64"},
                    }
                },
                "required": ["images"],
            }
        },
        "application/octet-stream": {"schema": FILE},
    },
}
REASONS = {
    400: "The body is not what it says it is",
    401: "The key is missing or wrong",
    403: "Asked by a page of another site",
    408: "The body did not come in time",
    413: "The body is too long, or holds too many images",
    415: "The body is of another type",
    421: "The Host is not this server's",
    422: "An image, or a parameter, cannot be used",
    429: "There is too much to do at the moment",
    503: "There was no answer in time",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return statuses as a route documents them."""
    return {each: {"model": Failure, "description": REASONS[each]} for each in statuses}


def create_app(
    predictor: Predictor,
    *,
    limits: Limits,
    batch: int = 32,
    wait: float = 0.002,
    threads: int = 2,
    key: str | None = None,
    hosts: Sequence[str] | None = None,
) -> FastAPI:
    """Return the application that serves one bundle.

    Args:
        predictor: the bundle's network.
        limits: what requests may take.
        batch: the most images that the network looks at together.
        wait: seconds that an image waits for others that are being read.
        threads: how many images are read at once.
        key: what a request must know; None lets everybody in.
        hosts: the names that a request may call the server by; None allows any.
    """
    metrics = Metrics()
    service = Service(
        predictor,
        limits,
        batch=batch,
        wait=wait,
        threads=threads,
        on_batch=metrics.batches.add,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with quiet():
            yield
            service.close()

    app = FastAPI(
        title=f"convsmith: {words(predictor.bundle.name)}",
        version=__version__,
        docs_url=None,  # the usual pages load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Guard, key=key, hosts=hosts)
    app.add_middleware(Measured, metrics=metrics)
    app.add_middleware(Head)
    add_refusals(app, metrics)
    add_predict(app, service)  # first: routes are tried in their order
    add_state(app, service, metrics)
    add_model(app, service)
    if key is not None:
        document_key(app)
    return app


def document_key(app: FastAPI) -> None:
    """Say in /openapi.json that requests need a key."""
    schema = app.openapi()  # made once
    schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"key": []}]


def add_refusals(app: FastAPI, metrics: Metrics) -> None:
    """Give everything that goes wrong the same form."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        metrics.refused[error.kind] += 1
        return refusal(error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return refusal(Refused(error.status_code, kind, f"{error.detail}", headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        message = "; ".join(f"{each['loc'][-1]}: {each['msg'].lower()}" for each in error.errors())
        return refusal(Refused(422, "parameter", message))

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        return refusal(Refused(500, "internal", "the server failed; its log says how"))


def add_state(app: FastAPI, service: Service, metrics: Metrics) -> None:
    """Add the page, and what machines ask about the server's health."""
    shown = page()

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return shown

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Say that the process is there."""
        return "ok\n"

    @app.get("/readyz", response_class=PlainTextResponse, responses=failures(503))
    async def readyz() -> str:
        """Say whether images would be looked at."""
        if not service.alive:
            raise Refused(503, "not_ready", "the network does not run")
        return "ready\n"

    @app.get("/metrics", response_class=PlainTextResponse, responses=failures(401))
    async def numbers() -> Response:
        """Return counts and times in Prometheus's text format."""
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return Response(metrics.text(service.waiting), media_type=kind)


def add_model(app: FastAPI, service: Service) -> None:
    """Add what is served, and the examples that came with it."""
    bundle = service.predictor.bundle
    about = describe(bundle, [words(each) for each in bundle.classes], service.limits)

    @app.get("/v1/model", responses=failures(401))
    async def model() -> Model:
        """Return what is served: classes, input, measured figures, limits."""
        return about

    @app.get(
        "/v1/examples/{number}",
        response_class=Response,
        responses={200: {"content": {kind: {} for kind in sorted(SHOWN)}}}
        | failures(401, 422)
        | {404: {"model": Failure, "description": "There is no such example"}},
    )
    async def example(number: int) -> Response:
        """Return a golden sample, an image of which the true class may be known."""
        if not 0 <= number < len(bundle.golden):
            raise Refused(404, "not_found", f"there are {len(bundle.golden)} examples")
        sample = bundle.golden[number]
        kind = mimetypes.guess_type(sample.name)[0]
        return Response(
            sample.data, media_type=kind if kind in SHOWN else "application/octet-stream"
        )


def add_predict(app: FastAPI, service: Service) -> None:
    """Add the route that everything is for."""
    bundle = service.predictor.bundle
    classes = [words(each) for each in bundle.classes]
    name = words(bundle.name)
    limits = service.limits
    bodies = Bodies(limits)

    @app.post(
        "/v1/predict",
        openapi_extra={"requestBody": BODY},
        responses=failures(400, 401, 403, 408, 413, 415, 421, 422, 429, 503),
    )
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, le=1000, description="how many classes")] = 5,
        maps: Annotated[bool, Query(description="also where the network looked")] = False,
    ) -> Answers:
        """Say what is in one image or several: a form, JSON with base64, or the file itself."""
        async with bodies.reading(request) as body:
            uploads = uploads_in(body, request.headers.get("content-type", ""), limits)
            found = await service.look(uploads)

        def answers() -> Answers:
            given = [
                answer(classes, upload.name, look, top, maps=maps)
                for upload, look in zip(uploads, found, strict=True)
            ]
            return Answers(model=name, predictions=given)

        return await asyncio.to_thread(answers) if maps else answers()  # maps take their time
