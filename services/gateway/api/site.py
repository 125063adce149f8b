"""The FastAPI application behind the hot path: routes, pages for people, probes, and problems for all that goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from services.common.metrics import CONTENT_TYPE as METRICS_TYPE
from services.gateway import openapi
from services.gateway.api import market, records, state, stream
from services.gateway.api.context import Gateway, Refused
from services.gateway.problems import KIND, STATUS_CODES, Problem, help_page

WEB = Path(__file__).parent.parent / "web"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/static/page.css": ("page.css", "text/css; charset=utf-8"),
    "/static/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/static/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/static/mark.svg": ("mark.svg", "image/svg+xml"),
}
"""Path -> file of web/ and its type: everything a browser gets, nothing from elsewhere."""
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def build(gateway: Gateway) -> FastAPI:
    """The application; every route of the API exists under /api/v1 and, for ever, under /api."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.gateway = gateway
    for feature in (market, records, state, stream):
        app.include_router(feature.router, prefix="/api/v1")
        app.include_router(feature.router, prefix="/api", include_in_schema=False)
    _add_pages(app)
    _add_probes(app, gateway)
    _add_documents(app)
    _add_problems(app, gateway)
    return app


def _add_pages(app: FastAPI) -> None:
    for path, (name, media_type) in FILES.items():
        route = _file_route((WEB / name).read_bytes(), media_type)
        app.add_api_route(path, route, include_in_schema=False, response_model=None)

    async def problem_page(code: str) -> Response:
        kind = KIND.get(code)
        if kind is None:
            raise Problem("not-found", f"no problem is called {code}")
        return HTMLResponse(help_page(kind), headers=PAGE_HEADERS)

    app.add_api_route("/problems/{code}", problem_page, include_in_schema=False, response_model=None)


def _file_route(content: bytes, media_type: str) -> Any:
    async def page() -> Response:
        return Response(content, media_type=media_type, headers=PAGE_HEADERS)

    return page


def _add_probes(app: FastAPI, gateway: Gateway) -> None:
    async def livez() -> Response:
        return PlainTextResponse("ok\n")

    async def readyz() -> Response:
        if reason := gateway.loading() or gateway.behind():
            raise Problem("not-ready", reason, headers={"Retry-After": "1"})
        return PlainTextResponse("ok\n")

    async def metrics() -> Response:
        return Response(gateway.metrics_text(), media_type=METRICS_TYPE)

    for path, route in (("/livez", livez), ("/readyz", readyz), ("/health", readyz), ("/metrics", metrics)):
        app.add_api_route(path, route, include_in_schema=False, response_model=None)


def _add_documents(app: FastAPI) -> None:
    kept: dict[str, dict[str, Any]] = {}

    async def openapi_json() -> Response:
        if "openapi" not in kept:
            kept["openapi"] = openapi.openapi(app)
        return JSONResponse(kept["openapi"])

    async def asyncapi_json() -> Response:
        return JSONResponse(openapi.asyncapi())

    app.add_api_route("/openapi.json", openapi_json, include_in_schema=False, response_model=None)
    app.add_api_route("/asyncapi.json", asyncapi_json, include_in_schema=False, response_model=None)

    async def needs_upgrade(rest: str = "") -> Response:
        raise Problem("upgrade-required", "connect with a WebSocket client", headers={"Upgrade": "websocket"})

    app.add_api_route("/ws", needs_upgrade, include_in_schema=False, response_model=None)
    app.add_api_route("/ws/{rest:path}", needs_upgrade, include_in_schema=False, response_model=None)


def _add_problems(app: FastAPI, gateway: Gateway) -> None:
    async def on_problem(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, Problem)
        return Refused(fault, gateway.quota)

    async def on_status(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        headers = dict(fault.headers or {})
        if allow := headers.get("Allow") or headers.get("allow"):
            headers = {"Allow": f"{allow}, HEAD, OPTIONS"}
        code = STATUS_CODES.get(fault.status_code, "internal-error")
        detail = f"{request.method} {request.url.path}: {fault.detail}"
        return Refused(Problem(code, detail, headers=headers), gateway.quota)

    async def on_invalid(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, RequestValidationError)
        errors = [
            {"pointer": "#/" + "/".join(map(str, error["loc"])), "message": error["msg"]} for error in fault.errors()
        ]
        detail = "; ".join(f"{error['pointer'].rsplit('/', 1)[-1]}: {error['message']}" for error in errors)
        return Refused(Problem("invalid-parameter", detail, {"errors": errors}), gateway.quota)

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_status)
    app.add_exception_handler(RequestValidationError, on_invalid)
