"""The runtime's tools over MCP at a server's ``/runtime/mcp``: each call asks the server's own API with the client's key.

Stateless: a plan is named in each call, or once in the address (``/runtime/mcp?plan=NAME``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, quote

from pilothouse.records import PilothouseError
from pilothouse.runtime.toolbox import Said

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server


class _Caller(Protocol):
    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]: ...


def runtime_server(caller_of: Callable[[Any], _Caller]) -> Server[Any]:
    """The server; ``caller_of`` gives who asks the API for a request."""
    from .mcp_server import build

    def call(request: Any, name: str, arguments: Mapping[str, Any]) -> Said:
        plan = parse_qs(request.url.query).get("plan", [""])[0][:100]
        try:
            asked = {"plan": plan, "arguments": dict(arguments)}
            found = caller_of(request).post(f"/runtime/tools/{quote(name[:100], safe='')}", asked)["data"]
        except PilothouseError as error:
            detail = error.as_dict()
            return Said(text=json.dumps({"error": detail}, ensure_ascii=False, default=str)[:10_000], failed=True)
        return Said(text=found["text"], failed=found["failed"], error=found["error"], id=found["id"])

    return build(call)
