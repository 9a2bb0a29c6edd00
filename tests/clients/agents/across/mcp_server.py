"""An MCP server with a few tools, on the generation of the SDK that is installed: `mcp_server.py stdio|http PORT`."""

import os
import sys

from mcp.types import SamplingMessage, TextContent

import pilothouse

try:
    from mcp.server.mcpserver import Context
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import Context
    from mcp.server.fastmcp import FastMCP as Server

EXPLICIT = "EXPLICIT" in os.environ
pilothouse.init(service="weather-server", instrument=not EXPLICIT)
server = Server("weather")
if EXPLICIT:
    pilothouse.instrument_mcp(server)


@pilothouse.tool
def look_up(city: str) -> str:
    return f"sunny, 21 degrees in {city}"


@server.tool()
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return look_up(city)


@server.tool()
async def get_tide(harbour: str) -> str:
    """Tell the tide of a harbour; there are none."""
    raise ValueError(f"no tide gauge in {harbour}")


@server.tool()
async def ask_back(question: str, ctx: Context) -> str:
    """Ask the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=question))
    answer = await ctx.session.create_message(messages=[message], max_tokens=10)
    return answer.content.text


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        import uvicorn

        uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
