"""``mcp``: the tools for agents without a shell, over standard input and output."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

import click

from pilothouse.records import BadRequest

from .client import Client
from .help import command
from .root import Run
from .settings import CliSettings


@command(
    "mcp",
    examples=(
        "pilothouse mcp",
        "pilothouse mcp --print-config claude",
        "pilothouse mcp --print-config codex --http",
    ),
    keys="the protocol's messages on stdout, nothing else; with --print-config: data: file text",
    exits=(0, 2, 4, 5),
)
@click.option(
    "--print-config", "client", default="", metavar="CLIENT", help="what to paste: claude codex cursor vscode"
)
@click.option("--http", "over_http", is_flag=True, help="with --print-config: reach the server's /mcp instead")
@click.option("--folder", default="", metavar="DIR", help="where the tool pull writes; default: where it is started")
@click.option("--structured", is_flag=True, help="ids, cursor and suggested calls as structured content too")
@click.pass_obj
def mcp(run: Run, client: str, over_http: bool, folder: str, structured: bool) -> None:
    """Serve MCP to the client that starts this: eight tools over the same server and key as every command."""
    if client:
        _print_config(run, client, over_http)
        return
    if over_http:
        raise BadRequest("the server serves MCP over HTTP itself, at /mcp", got="--http", fix="pilothouse up")
    try:
        from pilothouse.mcp.stdio import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pilothouse"):
            raise
        raise BadRequest("MCP is an extra", got=error.name, fix="pip install 'pilothouse[mcp]'") from error
    from pilothouse.mcp.caller import Desk

    serve(
        Desk(
            caller=Client(_as_agent(run.settings)),
            folder=_folder(run, folder),
            environment=_environment(run),
            run=run.settings.run or f"mcp-{secrets.token_hex(4)}",
            structured=structured,
        )
    )


def _as_agent(settings: CliSettings) -> CliSettings:
    """Whoever calls tools is an agent: on the server's own machine it reads, unless PILOTHOUSE_MODE says more."""
    mode = settings.mode or ("" if settings.key else "read")
    actor = settings.actor if settings.actor.startswith("agent ") else "agent mcp"
    return replace(settings, mode=mode, actor=actor)


def _folder(run: Run, folder: str) -> Path:
    if folder:
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise BadRequest("there is no such folder", got=folder, fix="pilothouse mcp --folder .")
        return path.resolve()
    here = Path.cwd()
    # Clients with a window start their servers in the root of the disk or the home folder.
    if here in (Path("/"), Path.home()) or not os.access(here, os.W_OK):
        here = run.settings.data / "exports"
        here.mkdir(parents=True, exist_ok=True)
    return here


def _environment(run: Run) -> dict[str, str]:
    """What the process of ``pull`` is told: the same server, the same key."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PILOTHOUSE_URL", "PILOTHOUSE_API_KEY")}
    settings = run.settings
    named = {"PILOTHOUSE_URL": settings.url, "PILOTHOUSE_API_KEY": settings.key, "PILOTHOUSE_DATA": str(settings.data)}
    return {**kept, **{name: value for name, value in named.items() if value}}


def _print_config(run: Run, client: str, over_http: bool) -> None:
    from pilothouse.mcp.configs import Connection, snippet

    settings = run.settings
    named = {"PILOTHOUSE_URL": settings.url} if settings.url else {}
    found = snippet(client, Connection(url=f"{run.client.url}/mcp" if over_http else "", environment=named))
    if settings.json_asked:
        run.output.answer({"file": found.file, "text": found.text}, human=lambda data: [data["text"]])
        return
    run.output.text(found.text)
    import sys

    sys.stderr.write(f"goes into {found.file}\n")
    if settings.url or over_http:
        sys.stderr.write("the client's environment needs PILOTHOUSE_API_KEY: pilothouse keys new --mode read\n")
