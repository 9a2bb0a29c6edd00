"""Asking the API within the server's own process: the same routes, the same key, no socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import unquote, urlencode

import anyio
import anyio.from_thread
from starlette.types import ASGIApp, Message, Scope

from pilothouse.records import Broken, answered_error

from .caller import Params

_PREFIX = "/api/v1"


class InsideCaller:
    """Asks an application with the key of whoever asks us. Its methods are called from worker threads of its loop."""

    def __init__(self, app: ASGIApp, *, url: str, headers: Mapping[str, str]) -> None:
        self._app = app
        self._url = url
        self._headers = headers

    @property
    def url(self) -> str:
        """The server's address, as the client knows it."""
        return self._url

    def get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """The envelope of a GET."""
        return self._json(self._ask("GET", path, params))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The envelope of a POST."""
        return self._json(self._ask("POST", path, None, json.dumps(body).encode()))

    def delete(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """The envelope of a DELETE."""
        return self._json(self._ask("DELETE", path, params))

    def text(self, path: str, params: Params | None = None) -> str:
        """The text of a GET that answers with text."""
        return self._ask("GET", path, params).decode("utf-8", "replace")

    def _json(self, answer: bytes) -> dict[str, Any]:
        found: object = json.loads(answer)
        if not isinstance(found, dict) or "data" not in found:
            raise Broken("a defect of ours: a route answered in another shape")
        return cast("dict[str, Any]", found)

    def _ask(self, method: str, path: str, params: Params | None, body: bytes = b"") -> bytes:
        status, headers, answer = anyio.from_thread.run(self._asked, method, path, _query(params), body)
        if status >= 400:
            raise answered_error(status, answer, headers.get("retry-after"))
        return answer

    async def _asked(self, method: str, path: str, query: bytes, body: bytes) -> tuple[int, dict[str, str], bytes]:
        raw = f"{_PREFIX}{path}".encode("utf-8", "replace")
        given = {**self._headers, "host": "localhost", "accept": "*/*"}
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in given.items()]
        if body:
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(raw.decode()),
            "raw_path": raw,
            "root_path": "",
            "query_string": query,
            "headers": headers,
            "client": None,
            "server": ("localhost", 0),
        }
        sent = False
        status = 500
        answered: dict[str, str] = {}
        pieces: list[bytes] = []

        async def receive() -> Message:
            nonlocal sent
            if sent:
                await anyio.sleep_forever()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered.update({name.decode().lower(): value.decode() for name, value in message["headers"]})
            elif message["type"] == "http.response.body":
                pieces.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return status, answered, b"".join(pieces)


def _query(params: Params | None) -> bytes:
    pairs: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        elif isinstance(value, list | tuple):
            pairs += [(name, str(one)) for one in cast("list[object]", value)]
        else:
            pairs.append((name, str(value)))
    return urlencode(pairs, errors="replace").encode()
