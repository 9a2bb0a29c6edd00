"""OTLP over HTTP as Starlette routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from .receive import Disconnected, Intake

PATHS: dict[str, str] = {
    "/v1/traces": "traces",
    "/v1/logs": "logs",
    "/v1/metrics": "metrics",
    # Where Langfuse's SDK posts its spans.
    "/api/public/otel/v1/traces": "traces",
    # A signal of OTLP that is not taken: answered in OTLP's own form, so that the exporter can say so.
    "/v1development/profiles": "profiles",
}

_CORS_HEADERS = "authorization, content-type, content-encoding, x-api-key"


def routes(intake: Intake) -> list[Route]:
    """The routes of the receiver. With ``settings.cors_origins`` they answer browsers too."""
    methods = ["POST", "OPTIONS"] if intake.settings.cors_origins else ["POST"]
    return [
        Route(path, _endpoint(intake, signal), methods=methods, include_in_schema=False)
        for path, signal in PATHS.items()
    ]


def _endpoint(intake: Intake, signal: str) -> Callable[[Request], Awaitable[Response]]:
    async def post(request: Request) -> Response:
        allowed = _cors(intake, request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allowed)
        remote = request.client.host if request.client else ""
        # Names arrive in lower case. Of a header sent twice the first counts, as in request.headers.get.
        headers = {name: request.headers[name] for name in request.headers}
        answer = await intake.receive(signal, headers, _pieces(request), remote)
        return Response(answer.body, answer.status, {"Content-Type": answer.content_type, **answer.headers, **allowed})

    return post


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect:
        raise Disconnected("the sender left before its body was whole") from None


def _cors(intake: Intake, request: Request) -> dict[str, str]:
    origin = request.headers.get("origin", "")
    origins = intake.settings.cors_origins
    if not origin or (origin not in origins and "*" not in origins):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": _CORS_HEADERS,
        "Access-Control-Expose-Headers": "retry-after",
        "Access-Control-Max-Age": "3600",
        "Vary": "Origin",
    }
