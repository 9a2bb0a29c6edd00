"""A real server, and the SDK's own client over both transports."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.live import LiveServer


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a tool answered."""

    result: types.CallToolResult

    @property
    def text(self) -> str:
        """The text, which every answer has."""
        first = self.result.content[0]
        assert isinstance(first, types.TextContent)
        return first.text

    @property
    def links(self) -> list[types.ResourceLink]:
        """Values to be read page by page."""
        return [block for block in self.result.content if isinstance(block, types.ResourceLink)]

    @property
    def facts(self) -> dict[str, Any]:
        """The small facts for programs."""
        if self.result.structured_content is not None:
            return self.result.structured_content
        return (self.result.meta or {}).get("pilothouse/answer", {})

    @property
    def chars(self) -> int:
        """Everything a client may hand on."""
        links = sum(len(link.uri) + len(link.name) for link in self.links)
        facts = json.dumps(self.facts, ensure_ascii=False, separators=(",", ":")) if self.facts else ""
        return len(self.text) + links + len(facts)

    @property
    def error(self) -> dict[str, Any]:
        """The error in our shape."""
        assert self.result.is_error
        body = json.loads(self.text)
        assert list(body) == ["error"]
        return body["error"]


@dataclass(frozen=True, kw_only=True)
class Talk:
    """One connection of the genuine client."""

    session: ClientSession
    hello: types.InitializeResult

    async def call(self, tool: str, **arguments: Any) -> Said:
        """Call a tool. ``as_`` is ``as``."""
        given = {name.rstrip("_"): value for name, value in arguments.items()}
        return Said(result=await self.session.call_tool(tool, given))


Work = Callable[[Talk], Awaitable[None]]


@contextlib.asynccontextmanager
async def over_stdio(environment: dict[str, str], folder: Path, *flags: str) -> AsyncIterator[Talk]:
    """Start ``pilothouse mcp`` as a client would."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "pilothouse.cli", "mcp", *flags], env=environment, cwd=folder
    )
    async with stdio_client(command) as (read, write), ClientSession(read, write) as session:
        yield Talk(session=session, hello=await session.initialize())


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Our servers speak plain HTTP; a client of its own accord reads the system's certificates anew."""


@contextlib.asynccontextmanager
async def over_http(url: str, key: str) -> AsyncIterator[Talk]:
    """Reach a server's ``/mcp``."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, verify=NO_TLS) as client,
        streamable_http_client(url, http_client=client) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        yield Talk(session=session, hello=await session.initialize())


@pytest.fixture(scope="session")
def mcp_server(live_server: LiveServer) -> LiveServer:
    """A real server with the traffic of real clients."""
    return live_server


@pytest.fixture(params=["stdio", "http"])
def talk(request: pytest.FixtureRequest, mcp_server: LiveServer, tmp_path: Path) -> Callable[[Work], None]:
    """Runs some work over each transport in turn."""

    def run(work: Work) -> None:
        async def within() -> None:
            if request.param == "stdio":
                async with over_stdio(mcp_server.environment, tmp_path) as made:
                    await work(made)
            else:
                async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as made:
                    await work(made)

        anyio.run(within)

    return run


def key_of(server: LiveServer, mode: str) -> str:
    """A new key of a mode."""
    return server.post("/api/v1/keys", {"name": f"{mode} key", "mode": mode})["data"]["secret"]


def environment_of(**named: str) -> dict[str, str]:
    """An environment without ours, and with these."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")}, **named}
