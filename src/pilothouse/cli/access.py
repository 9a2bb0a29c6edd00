"""``keys``, ``projects``, ``sign-in`` and ``open``: who may do what, and how people get in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import click

from pilothouse.records import BadRequest

from .client import segment
from .help import PlainGroup, command
from .root import Run
from .terminal import table


@click.group("keys", cls=PlainGroup, help="API keys of a project.")
def keys() -> None:
    """API keys of a project."""


@command(
    "ls",
    group=keys,
    examples=("pilothouse keys ls", "pilothouse keys ls --json", "pilothouse keys ls --fields key_id,mode,revoked"),
    keys="data[]: key_id name mode actor_kind hint created revoked",
)
@click.pass_obj
def ls_keys(run: Run) -> None:
    """List keys, oldest first; their secrets are not stored."""
    run.output.envelope(run.client.get("/keys"), human=_keys)


def _keys(rows: list[dict[str, Any]]) -> list[str]:
    names = ("key_id", "name", "mode", "actor_kind", "hint", "created", "revoked")
    return table(names, ([row[name] for name in names] for row in rows))


@command(
    "new",
    group=keys,
    examples=(
        "pilothouse keys new --mode write --name ci",
        "pilothouse keys new --for agent --name triage",
        "pilothouse keys new --mode write --project prj_…",
    ),
    keys="data: key_id project_id mode secret actor_kind",
)
@click.option("--mode", default="", metavar="MODE", help="read annotate write admin; default write, for an agent read")
@click.option("--for", "actor_kind", default="", metavar="WHO", help="person, agent or evaluator: stamped on writes")
@click.option("--name", default="", metavar="NAME", help="for this list; default: the mode")
@click.option("--project", default="", metavar="ID", help="another project than this key's own")
@click.pass_obj
def new_key(run: Run, mode: str, actor_kind: str, name: str, project: str) -> None:
    """Make a key. Its secret is shown this once."""
    mode = mode or ("" if actor_kind else "write")
    body = {"mode": mode, "actor_kind": actor_kind, "name": name or f"{actor_kind or mode} key", "project_id": project}
    run.output.envelope(run.client.post("/keys", body), human=_made)


def _made(key: dict[str, Any]) -> Iterable[str]:
    yield f"{key['secret']}"
    yield f"key {key['key_id']} of project {key['project_id']}, mode {key['mode']}; the secret is shown this once"


@command(
    "revoke",
    group=keys,
    examples=("pilothouse keys revoke key_…", "pilothouse keys ls", "pilothouse keys revoke key_… --json"),
    keys="data: key_id revoked",
)
@click.argument("key_id")
@click.pass_obj
def revoke_key(run: Run, key_id: str) -> None:
    """Revoke a key: it stops working at once; what it recorded stays."""
    answer = run.client.delete(f"/keys/{segment(key_id)}")
    run.output.envelope(answer, human=lambda data: [f"{data['key_id']} no longer works"])


@click.group("projects", cls=PlainGroup, help="Projects: each has its own traces and keys.")
def projects() -> None:
    """Projects: each has its own traces and keys."""


@command(
    "ls",
    group=projects,
    examples=(
        "pilothouse projects ls",
        "pilothouse projects ls --json",
        "pilothouse projects ls --fields project_id,name",
    ),
    keys="data[]: project_id name created current",
)
@click.pass_obj
def ls_projects(run: Run) -> None:
    """List the projects this key may see."""
    run.output.envelope(run.client.get("/projects"), human=_projects)


def _projects(rows: list[dict[str, Any]]) -> list[str]:
    return table(
        ("project", "name", "created", ""),
        ((row["project_id"], row["name"], row["created"], "this key's" if row["current"] else "") for row in rows),
    )


@command(
    "new",
    group=projects,
    examples=(
        "pilothouse projects new shop",
        "pilothouse projects new 'shop staging' --json",
        "pilothouse projects ls",
    ),
    keys="data: project_id name created",
)
@click.argument("name")
@click.pass_obj
def new_project(run: Run, name: str) -> None:
    """Make a project; make a key for it next."""
    answer = run.client.post("/projects", {"name": name})
    run.output.envelope(answer, human=lambda data: [f"{data['project_id']}  {data['name']}"])


@command(
    "sign-in",
    examples=("pilothouse sign-in", "pilothouse sign-in --json", "pilothouse sign-in --fields url"),
    keys="data: url",
)
@click.pass_obj
def sign_in(run: Run) -> None:
    """Print a link that signs a browser in: it works once, for an hour."""
    run.output.answer({"url": run.client.url + _link(run)}, human=lambda data: [data["url"]])


@command(
    "open",
    examples=("pilothouse open", "pilothouse open /traces", "pilothouse open /traces/4bf92f35 --json"),
    keys="data: url opened",
)
@click.argument("path", default="/")
@click.pass_obj
def open_page(run: Run, path: str) -> None:
    """Print the address of a page, signed in; open it where a person sits at a terminal."""
    if not path.startswith("/") or path.startswith("//"):
        raise BadRequest("a page's path begins with one /", got=path, fix="pilothouse open /traces")
    url = f"{run.client.url}{_link(run)}&next={quote(path, safe='/')}"
    opened = False
    if run.settings.terminal and not run.settings.json:
        import webbrowser

        opened = webbrowser.open(url)
    run.output.answer({"url": url, "opened": opened}, human=lambda data: [data["url"]])


def _link(run: Run) -> str:
    return str(run.client.post("/sign-in-links", {})["data"]["path"])
