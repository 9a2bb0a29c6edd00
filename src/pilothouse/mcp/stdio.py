"""MCP over standard input and output: one client, which started us."""

from __future__ import annotations

import anyio
from mcp.server.stdio import stdio_server

from .caller import Desk
from .server import build


def serve(desk: Desk) -> None:
    """Serve until the client closes our input."""
    anyio.run(_serve, desk)


async def _serve(desk: Desk) -> None:
    server = build(lambda request: desk)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
