"""What to paste where, so that a client starts or reaches this server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pilothouse.records import BadRequest

_KEY = "PILOTHOUSE_API_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How a client should connect."""

    url: str = ""
    """The server's ``/mcp``; empty: the client starts ``pilothouse mcp`` itself."""
    environment: Mapping[str, str]
    """What ``pilothouse mcp`` needs to know; empty on the machine of the server."""
    runtime: bool = False
    """True: the tools that keep the agent to its task, instead of those that show traces."""

    @property
    def name(self) -> str:
        """What the client calls it."""
        return "pilothouse-runtime" if self.runtime else "pilothouse"

    @property
    def arguments(self) -> list[str]:
        """What follows ``pilothouse``."""
        return ["mcp", "--tools", "runtime"] if self.runtime else ["mcp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A piece of configuration."""

    file: str
    """Where it goes."""
    text: str


def snippet(client: str, connection: Connection) -> Snippet:
    """The configuration of one client.

    Raises:
        BadRequest: no such client is known.
    """
    made = CLIENTS.get(client)
    if made is None:
        fix = "pilothouse mcp --print-config claude"
        raise BadRequest("no such client is known", got=client, allowed=list(CLIENTS), fix=fix)
    return made(connection)


def _started(connection: Connection) -> dict[str, object]:
    entry: dict[str, object] = {"command": "pilothouse", "args": connection.arguments}
    return {**entry, "env": dict(connection.environment)} if connection.environment else entry


def _reached(connection: Connection, key: str) -> dict[str, object]:
    return {"type": "http", "url": connection.url, "headers": {"Authorization": f"Bearer {key}"}}


def _as_json(name: str, connection: Connection, entry: Mapping[str, object]) -> str:
    return json.dumps({name: {connection.name: entry}}, indent=2)


def _claude(connection: Connection) -> Snippet:
    entry = _reached(connection, f"${{{_KEY}}}") if connection.url else _started(connection)
    return Snippet(file=".mcp.json in the project", text=_as_json("mcpServers", connection, entry))


def _cursor(connection: Connection) -> Snippet:
    entry = _reached(connection, f"${{env:{_KEY}}}") if connection.url else _started(connection)
    return Snippet(
        file="~/.cursor/mcp.json, or .cursor/mcp.json in the project", text=_as_json("mcpServers", connection, entry)
    )


def _vscode(connection: Connection) -> Snippet:
    if connection.url:
        entry = _reached(connection, f"${{env:{_KEY}}}")
    else:
        entry = {"type": "stdio", **_started(connection)}
    return Snippet(file=".vscode/mcp.json in the project", text=_as_json("servers", connection, entry))


def _codex(connection: Connection) -> Snippet:
    lines = [f"[mcp_servers.{connection.name}]"]
    if connection.url:
        lines += [f"url = {json.dumps(connection.url)}", f'bearer_token_env_var = "{_KEY}"']
    else:
        lines += ['command = "pilothouse"', f"args = {json.dumps(connection.arguments)}"]
        if connection.environment:
            pairs = ", ".join(f"{name} = {json.dumps(value)}" for name, value in connection.environment.items())
            lines.append(f"env = {{ {pairs} }}")
    return Snippet(file="~/.codex/config.toml", text="\n".join(lines))


CLIENTS: Mapping[str, Callable[[Connection], Snippet]] = {
    "claude": _claude,
    "codex": _codex,
    "cursor": _cursor,
    "vscode": _vscode,
}
