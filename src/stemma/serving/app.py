"""The application: all routes of one server behind its guard."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from stemma.config import VERSION
from stemma.errors import StemmaError
from stemma.serving import inference, openai, v1
from stemma.serving.desk import Desk
from stemma.serving.guard import Guard
from stemma.serving.page import PLAYGROUND, ROUTES, playground, routes_page
from stemma.serving.replies import Json, Refusal, fault, fault_of

ASKED = ["GET", "HEAD"]  # as those ask who only want to know whether there is somebody
SHAPES = {"inputs": "a text, or a list of texts, each with its parts in a list where it has several"}


def application(desk: Desk, keys: Sequence[str] = (), say: Callable[[str], None] = print) -> Guard:
    """The ASGI application of the desk; with keys, for those who have one. `say` takes what the one who runs it should know."""
    page = playground()
    app = FastAPI(title="Stemma", version=VERSION, docs_url=None, redoc_url=None)
    for routes in (v1.routes, openai.routes, inference.routes):
        app.include_router(routes(desk))

    @app.api_route("/health", methods=ASKED, include_in_schema=False)
    async def health() -> Response:
        """The process is up."""
        return Json({"status": "ok"})

    @app.api_route("/ready", methods=ASKED, include_in_schema=False)
    async def ready() -> Response:
        """All models are loaded and warm, and the server is not about to leave."""
        if desk.ready:
            return Json({"status": "ready"})
        return fault(503, "shutting down. Expected: a running server." if desk.leaving else "warming up. Expected: a moment's patience.")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """What is counted, for Prometheus."""
        page, kind = desk.measured.page()
        return Response(page, media_type=kind)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        """The routes, to read."""
        return HTMLResponse(routes_page(app.openapi()), headers=ROUTES)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        """The page to try models on."""
        return await part("index.html")

    @app.get("/playground/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        """A file of that page."""
        if name not in page:
            raise HTTPException(404)
        return Response(page[name].content, media_type=page[name].kind, headers=PLAYGROUND)

    app.add_exception_handler(StemmaError, _answered)
    app.add_exception_handler(TimeoutError, _answered)
    app.add_exception_handler(Exception, _answered)
    app.add_exception_handler(RequestValidationError, _unread)
    app.add_exception_handler(HTTPException, _refused)
    return Guard(app, desk.limits, desk.measured, keys, say)


async def _answered(request: Request, error: Exception) -> Response:
    return fault_of(error).on(request.url.path)


async def _refused(request: Request, error: Any) -> Response:
    told = {404: f"there is no route {request.url.path}. Expected: one that /docs lists."}
    told |= {405: f"{request.method} {request.url.path} is no route. Expected: a method that /docs lists."}
    told |= {400: "the body cannot be read. Expected: JSON in UTF-8."}
    refusal = fault(error.status_code, told.get(error.status_code, str(error.detail)), dict(error.headers or {}))
    return refusal.on(request.url.path)


async def _unread(request: Request, error: Any) -> Response:
    return _misread(request, error).on(request.url.path)


def _misread(request: Request, error: Any) -> Refusal:
    """What is wrong where in the body; what stood there is not repeated."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.endswith(("/json", "+json")):
        return fault(415, "the body is not said to be JSON. Expected: JSON. Send the header Content-Type: application/json.")
    faults = []
    for one in error.errors():
        key = str(one["loc"][1]) if len(one["loc"]) > 1 else ""
        if one["type"] == "json_invalid":
            return fault(400, "the body cannot be read. Expected: JSON in UTF-8. Mend it.")
        told = SHAPES.get(key) or one["msg"].removeprefix("Value error, ")
        if not key and one["type"] != "value_error":
            told = "the body is not one JSON object"
        faults.append(f"{key}: {told}" if key else told)
    return fault(422, f"{'; '.join(dict.fromkeys(faults))}. Expected: a body as /docs shows it.")
