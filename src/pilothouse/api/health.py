"""Is it alive, is it ready, how is it doing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from pilothouse.traces.jsons import dumps

from .context import Metric, Provider

router = APIRouter(tags=["health"])

_OPEN: dict[str, Any] = {"security": []}


class Ready(BaseModel):
    """Whether every part works."""

    ready: bool
    parts: dict[str, str]
    """Each part by name: ok, or what is wrong with it."""


@router.get("/healthz", openapi_extra=_OPEN, responses={200: {"content": {"text/plain": {}}}})
def healthz() -> Response:
    """The process answers."""
    return Response("ok\n", media_type="text/plain")


@router.get("/readyz", response_model=Ready, openapi_extra=_OPEN, responses={503: {"model": Ready}})
def readyz(request: Request) -> Response:
    """Every part works: what is sent is stored, what is stored is shown."""
    provider: Provider = request.app.state.provider
    parts = dict(provider.ready())
    good = all(state == "ok" for state in parts.values())
    return Response(dumps({"ready": good, "parts": parts}), 200 if good else 503, media_type="application/json")


@router.get("/metrics", openapi_extra=_OPEN, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """The server's own figures in Prometheus' text form."""
    provider: Provider = request.app.state.provider
    return Response(prometheus(provider.metrics()), media_type="text/plain; version=0.0.4; charset=utf-8")


def prometheus(metrics: Iterable[Metric]) -> str:
    """Metrics in Prometheus' text form."""
    lines: list[str] = []
    for metric in metrics:
        name = f"pilothouse_{metric.name}"
        lines.append(f"# HELP {name} {_escape(metric.help)}")
        lines.append(f"# TYPE {name} {metric.type}")
        for labels, value in metric.samples:
            pairs = ",".join(f'{key}="{_escape(text, quotes=True)}"' for key, text in sorted(labels.items()))
            lines.append(f"{name}{{{pairs}}} {value:.17g}" if pairs else f"{name} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escape(text: str, *, quotes: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped
