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
        "pilothouse mcp --tools runtime",
    ),
    keys="the protocol's messages on stdout, nothing else; with --print-config: data: file text",
    exits=(0, 2, 4, 5),
)
@click.option(
    "--print-config", "client", default="", metavar="CLIENT", help="what to paste: claude codex cursor vscode"
)
@click.option("--http", "over_http", is_flag=True, help="with --print-config: reach the server's /mcp instead")
@click.option(
    "--tools",
    default="traces",
    type=click.Choice(("traces", "runtime")),
    help="runtime: plan, finish gate and large data for the agent itself; needs no server",
)
@click.option(
    "--folder", default="", metavar="DIR", help="where pull writes and keep reads files; default: where it is started"
)
@click.option("--plan", default="", metavar="NAME", help="with --tools runtime: the plan's name; default: a new one")
@click.option("--structured", is_flag=True, help="ids, cursor and suggested calls as structured content too")
@click.pass_obj
def mcp(run: Run, client: str, over_http: bool, tools: str, folder: str, plan: str, structured: bool) -> None:
    """Serve MCP to the client that starts this: tools over the same server and key as every command, or the runtime's."""
    if client:
        _print_config(run, client, over_http, tools)
        return
    if over_http:
        raise BadRequest("the server serves MCP over HTTP itself, at /mcp", got="--http", fix="pilothouse up")
    if tools == "runtime":
        _serve_runtime(run, folder, plan)
        return
    if plan:
        raise BadRequest(
            "only the runtime's tools have a plan", got=plan, fix="pilothouse mcp --tools runtime --plan NAME"
        )
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


def _serve_runtime(run: Run, folder: str, plan: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in ("mcp", "sqlalchemy", "jq") if find_spec(name) is None]
    if missing:
        raise BadRequest("the runtime's tools are an extra", got=missing, fix="pip install 'pilothouse[mcp,runtime]'")
    from pilothouse.runtime.adapters.mcp_server import serve
    from pilothouse.runtime.data_tools import DataTools
    from pilothouse.runtime.folders import VALUES, plans_at, runtime_folder
    from pilothouse.runtime.handles import HandleStore
    from pilothouse.runtime.sources import ApiRows
    from pilothouse.runtime.toolbox import Toolbox

    serve(
        Toolbox(
            plans=plans_at(runtime_folder()),
            data=DataTools(store=HandleStore(runtime_folder() / VALUES)),
            plan=plan or f"mcp-{secrets.token_hex(4)}",
            folder=_working_folder(folder),
            rows=ApiRows(Client(_as_agent(run.settings))),
        )
    )


def _working_folder(folder: str) -> Path | None:
    """Where the agent works; None where a client started us nowhere in particular."""
    if folder:
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise BadRequest("there is no such folder", got=folder, fix="pilothouse mcp --tools runtime --folder .")
        return path.resolve()
    here = Path.cwd()
    # Nobody meant to show all of the disk or of the home folder.
    return None if here in (Path("/"), Path.home()) else here


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


def _print_config(run: Run, client: str, over_http: bool, tools: str) -> None:
    from pilothouse.mcp.configs import Connection, snippet

    settings = run.settings
    named = {"PILOTHOUSE_URL": settings.url} if settings.url else {}
    place = "/runtime/mcp" if tools == "runtime" else "/mcp"
    url = run.client.url + place if over_http else ""
    found = snippet(client, Connection(url=url, environment=named, runtime=tools == "runtime"))
    if settings.json_asked:
        run.output.answer({"file": found.file, "text": found.text}, human=lambda data: [data["text"]])
        return
    run.output.text(found.text)
    import sys

    sys.stderr.write(f"goes into {found.file}\n")
    if settings.url or over_http:
        mode = "annotate" if tools == "runtime" else "read"
        sys.stderr.write(f"the client's environment needs PILOTHOUSE_API_KEY: pilothouse keys new --mode {mode}\n")
