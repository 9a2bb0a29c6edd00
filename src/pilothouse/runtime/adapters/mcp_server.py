"""The runtime's tools over MCP: an agent in any language plans, is held to its plan and looks into large data.

A server of its own beside the one that shows traces: its list of tools is paid for only by agents that want it, and over
standard input and output it needs no Pilothouse server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from pilothouse import __version__
from pilothouse.runtime.toolbox import INSTRUCTIONS, TOOLS, Said, Tool, Toolbox

AT_ONCE = 4
"""Calls worked on at the same time: each may hold a process that runs a query."""

Call = Callable[[Any, str, Mapping[str, Any]], Said]
"""Answers a call: the HTTP request behind it (None over stdio), the tool's name, its arguments. MUST NOT raise."""


def build(call: Call) -> Server[Any]:
    """The server, ready for any transport."""
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def list_tools(context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools())

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        work = partial(call, context.request, params.name, params.arguments or {})
        said = await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
        return types.CallToolResult(content=[types.TextContent(text=said.text)], is_error=said.failed)

    return Server(
        "pilothouse-runtime",
        version=__version__,
        title="Pilothouse: plan, finish gate, large data",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def tools() -> list[types.Tool]:
    """The list of tools, as it is sent."""
    return [_tool(tool) for tool in TOOLS]


def _tool(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=tool.reads, destructive_hint=False, idempotent_hint=tool.reads, open_world_hint=False
    )
    return types.Tool(
        name=tool.name, title=tool.title, description=tool.help, input_schema=tool.schema, annotations=hints
    )


def serve(box: Toolbox) -> None:
    """Serve one client over standard input and output until it closes our input."""
    anyio.run(_serve, box)


async def _serve(box: Toolbox) -> None:
    server = build(lambda request, name, arguments: box.call(name, arguments))
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
