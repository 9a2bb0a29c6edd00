"""Every error in the one shape: ``{"error": {"kind", "message", "got", "allowed", "fix"}}``."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pilothouse.records import BadRequest, Broken, PilothouseError
from pilothouse.traces.jsons import dumps

from .envelope import ErrorAnswer

LOG = logging.getLogger("pilothouse.api")

_TEXT_CHARS = 1_000

RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The call is wrong: it names the value and the remedy."},
    401: {"model": ErrorAnswer, "description": "The key or session is missing or wrong."},
    403: {"model": ErrorAnswer, "description": "The key's mode does not allow this."},
    404: {"model": ErrorAnswer, "description": "Nothing has that id or name."},
    413: {"model": ErrorAnswer, "description": "The body or the result passes its bound."},
    429: {"model": ErrorAnswer, "description": "Too many at once; Retry-After says when to come back."},
    503: {"model": ErrorAnswer, "description": "The store does not answer, or the server protects itself."},
}
"""What any route may answer besides success."""


def error_response(error: PilothouseError) -> Response:
    """An error as a response."""
    detail = {name: _shown(value) if isinstance(value, str) else value for name, value in error.as_dict().items()}
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        dumps({"error": detail}), status_code=error.http_status, headers=headers, media_type="application/json"
    )


def install(app: FastAPI) -> None:
    """Make the application answer every error in the one shape."""
    app.add_exception_handler(PilothouseError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


def _known(_: Request, error: Exception) -> Response:
    assert isinstance(error, PilothouseError)
    if error.http_status >= 500 and error.http_status != 503:
        LOG.error("a request failed: %s", error, exc_info=error)
    return error_response(error)


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first.get("loc", ()))
    given = first.get("input")
    return error_response(
        BadRequest(
            f"{place}: {str(first.get('msg', 'not valid')).lower()}",
            got=_shown(given if isinstance(given, str) else repr(given)) if given is not None else None,
            fix="GET /openapi.json describes every parameter",
        )
    )


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kinds = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    shown = PilothouseError(str(error.detail).lower(), fix="GET /openapi.json lists every address")
    shown.kind = kinds.get(error.status_code, "bad_request" if error.status_code < 500 else "error")
    shown.http_status = error.status_code
    response = error_response(shown)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def _unknown(_: Request, error: Exception) -> Response:
    LOG.error("a request met a defect", exc_info=error)
    return error_response(Broken("a defect of ours: the server's log has the details"))


def _shown(text: str) -> str:
    # Half characters cannot be written as UTF-8, and a long value helps nobody.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _TEXT_CHARS else text[:_TEXT_CHARS] + "…"
