"""Answers: HTML, JSON and Markdown with the headers every page carries, packed where the browser takes it."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}
"""On every answer of the pages and their static files. Text of traces is hostile: this is the second wall behind it."""

PACK_FROM = 600
"""Bytes below which packing gains nothing."""


def respond(request: Request, body: str | bytes, type: str, *, status: int = 200, etag: bool = False) -> Response:
    """An answer of the pages: packed, never cached by others, with the security headers.

    With ``etag`` a poll that finds nothing new costs a 304 without a body.
    """
    data = body.encode("utf-8", "replace") if isinstance(body, str) else body
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-cache, private", "Vary": "Accept-Encoding, Cookie, HX-Request"}
    if etag and status == 200:
        tag = f'W/"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
        headers["ETag"] = tag
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
    if len(data) >= PACK_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        data = gzip.compress(data, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(data, status_code=status, media_type=type, headers=headers)


def respond_json(request: Request, value: Any, *, status: int = 200) -> Response:
    """Plain data as JSON."""
    try:
        body = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair, or a whole number beyond 64 bits
        body = json.dumps(value, default=str).encode()
    return respond(request, body, "application/json", status=status)
