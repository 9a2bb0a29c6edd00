"""``api``: any address of the HTTP API, read with the command line's key and within its budget."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import quote

import click

from pilothouse.records import BadRequest

from .help import command
from .root import Run

_BESIDE = ("/openapi.json", "/healthz", "/readyz", "/metrics", "/llms.txt", "/llms-full.txt")
_STREAMS = {
    "/api/v1/live/events": "pilothouse tail --follow --for 30s",
    "/api/v1/export": "pilothouse pull last",
}


@command(
    "api",
    examples=(
        "pilothouse api",
        "pilothouse api '/traces?filter=status:error&limit=5'",
        "pilothouse api /api/v1/resolve/last --fields kind,trace_id",
    ),
    keys="what the address answers: its data, page, next; without PATH: data[]: method path summary",
)
@click.argument("path", default="")
@click.pass_obj
def api(run: Run, path: str) -> None:
    """GET an address of the HTTP API; without one, list them. It only reads."""
    if not path:
        run.output.answer(_addresses(run.client.document()), human=_listed, next=["pilothouse api /stats"])
        return
    full = _full(path)
    place = full.partition("?")[0]
    if place in _STREAMS:
        raise BadRequest("this address is a stream", got=path, allowed="addresses that end", fix=_STREAMS[place])
    media, body = run.client.raw(full)
    text = body.decode("utf-8", "replace")
    if media != "application/json":
        run.output.text(text, rows=True)
        return
    found: Any = json.loads(text)
    if isinstance(found, dict) and "data" in found:
        run.output.envelope(cast("dict[str, Any]", found), human=_json)
    else:
        run.output.answer(found, human=_json)


def _full(path: str) -> str:
    """The address on this server; what would leave it, or its API, is refused."""
    if not path.startswith("/") or path.startswith("//") or "\\" in path or ".." in path.partition("?")[0]:
        raise BadRequest("a path of the API begins with one /", got=path, fix="pilothouse api /traces")
    if path.partition("?")[0] not in _BESIDE and not path.startswith("/api/"):
        path = "/api/v1" + path
    return quote(path, safe="/?&=%:,+~*'()!@$-._;")


def _addresses(document: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"method": method.upper(), "path": path, "summary": _sentence(operation)}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method == "get"
    ]


def _sentence(operation: dict[str, Any]) -> str:
    return " ".join(str(operation.get("description") or operation.get("summary") or "").split())


def _listed(rows: list[dict[str, str]]) -> list[str]:
    return [f"{row['path']}  {row['summary']}" for row in rows]


def _json(data: Any) -> list[str]:
    return json.dumps(data, ensure_ascii=False, indent=1).split("\n")
