"""An agent that calls the tools of mcp_server.py over the transport named: `mcp_agent.py stdio|http URL`."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CreateMessageResult, TextContent

import pilothouse

try:
    from mcp.client.streamable_http import streamable_http_client
except ImportError:
    from mcp.client.streamable_http import streamablehttp_client as streamable_http_client

EXPLICIT = "EXPLICIT" in os.environ
pilothouse.init(service="weather-agent", instrument=not EXPLICIT)
SERVER = Path(__file__).with_name("mcp_server.py")


@contextlib.asynccontextmanager
async def transport():
    if sys.argv[1] == "stdio":
        # The server gets what it needs, by name: MCP hands a child hardly any environment.
        known = {
            name: os.environ[name] for name in os.environ if name.startswith(("PILOTHOUSE_", "PYTHON", "EXPLICIT"))
        }
        command = StdioServerParameters(command=sys.executable, args=[str(SERVER), "stdio"], env=known)
        async with stdio_client(command) as streams:
            yield streams
    else:
        async with streamable_http_client(sys.argv[2]) as streams:
            yield streams[:2]


async def model(context, params):
    with pilothouse.span("the client's model", kind="model"):
        return CreateMessageResult(
            role="assistant", model="m", content=TextContent(type="text", text="ask again later")
        )


@pilothouse.agent(name="forecaster")
async def forecast(question: str) -> str:
    async with transport() as (read, write), ClientSession(read, write, sampling_callback=model) as session:
        if EXPLICIT:
            pilothouse.instrument_mcp(pilothouse.instrument_mcp(session))
        await session.initialize()
        await session.list_tools()
        weather = await session.call_tool("get_weather", {"city": "Oslo"})
        tide = await session.call_tool(name="get_tide", arguments={"harbour": "Bern"})
        asked = await session.call_tool("ask_back", {"question": "Will it rain?"})
        wrapped = pilothouse.wrap_tool(session, effect="read")
        again = await wrapped.call_tool("get_weather", {"city": "Rome"})
    return "; ".join(result.content[0].text for result in (weather, tide, asked, again))


print(asyncio.run(forecast("How is the weather?")))
