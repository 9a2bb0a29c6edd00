"""Projects and API keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse import access
from pilothouse.access import MODES
from pilothouse.records import BadRequest, iso
from pilothouse.traces.filters import check_text

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["access"])


class KeyInfo(BaseModel):
    """A key, without its secret."""

    key_id: str
    name: str
    mode: str
    hint: str = Field(description="How the secret begins and ends.")
    actor_kind: str = Field(description="person, agent or evaluator; empty: whoever uses it says so.")
    created: str
    revoked: str = Field(description="Empty while it works.")


class MadeKey(BaseModel):
    """A key that was just made."""

    key_id: str
    project_id: str
    mode: str
    secret: str = Field(description="Shown this once; only its hash is stored.")
    actor_kind: str


class NewKey(BaseModel):
    """What a new key should be."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("API key", min_length=1, max_length=200, description="For the list of keys and the audit log.")
    mode: str = Field("", max_length=20, description=f"One of {', '.join(MODES)}; each includes those before it.")
    actor_kind: str = Field(
        "", max_length=20, description="person, agent (mode read unless one is named) or evaluator (annotate)."
    )
    project_id: str = Field("", max_length=60, description="Another project than this key's own.")


class Revoked(BaseModel):
    """A key that was just revoked."""

    key_id: str
    revoked: bool


class ProjectInfo(BaseModel):
    """A project: its own traces, its own keys."""

    project_id: str
    name: str
    created: str
    current: bool = Field(description="True for the project of the key that asks.")


class NewProject(BaseModel):
    """What a new project is called."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)


@router.get("/keys", response_model=Envelope[list[KeyInfo]])
def list_keys(caller: Caller) -> Response:
    """The keys of this project, oldest first, revoked ones included. Needs admin."""
    caller.need("admin")
    return answer([_key(row) for row in caller.control.keys(caller.project_id)])


@router.post("/keys", response_model=Envelope[MadeKey])
def make_key(caller: Caller, wanted: NewKey) -> Response:
    """Make a key; the answer is the only place its secret is ever shown. Needs admin."""
    caller.need("admin")
    check_text(wanted.name, "a name", 200)
    project_id = wanted.project_id or caller.project_id
    if project_id not in {row["project_id"] for row in caller.control.projects()}:
        raise BadRequest("no such project", got=project_id, fix="pilothouse projects ls")
    # Over HTTP a key that nothing is said of can only read.
    mode = wanted.mode or ("" if wanted.actor_kind else "read")
    made = access.create_key(caller.control, project_id, name=wanted.name, mode=mode, actor_kind=wanted.actor_kind)
    caller.provider.keys_changed()
    caller.audit("make key", f"{made.key_id} of mode {made.mode} for project {project_id}")
    return answer(made)


@router.delete("/keys/{key_id}", response_model=Envelope[Revoked])
def drop_key(
    caller: Caller, key_id: Annotated[str, Path(max_length=60, description="The key's id, as the list shows it.")]
) -> Response:
    """Revoke a key: it stops working at once, what it recorded stays. Needs admin."""
    caller.need("admin")
    check_text(key_id, "a key's id", 60)
    access.revoke_key(caller.control, caller.project_id, key_id)
    caller.provider.keys_changed()
    caller.audit("revoke key", key_id)
    return answer({"key_id": key_id, "revoked": True})


@router.get("/projects", response_model=Envelope[list[ProjectInfo]])
def list_projects(caller: Caller) -> Response:
    """All projects for an admin, else this key's own."""
    rows = caller.control.projects()
    if not caller.grant.allows("admin"):
        rows = [row for row in rows if row["project_id"] == caller.project_id]
    return answer([_project(row, caller.project_id) for row in rows])


@router.post("/projects", response_model=Envelope[ProjectInfo])
def make_project(caller: Caller, wanted: NewProject) -> Response:
    """Make a project. Needs admin; make a key for it next."""
    caller.need("admin")
    check_text(wanted.name, "a name", 200)
    project_id = access.create_project(caller.control, wanted.name)
    caller.audit("make project", project_id)
    row = next(row for row in caller.control.projects() if row["project_id"] == project_id)
    return answer(_project(row, caller.project_id), next=[f"pilothouse keys new --mode write --project {project_id}"])


def _key(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key_id": row["key_id"],
        "name": row["name"],
        "mode": row["mode"],
        "hint": row["hint"],
        "actor_kind": row["actor_kind"],
        "created": iso(row["created_ns"]),
        "revoked": iso(row["revoked_ns"] or 0),
    }


def _project(row: Mapping[str, Any], current: str) -> dict[str, Any]:
    return {
        "project_id": row["project_id"],
        "name": row["name"],
        "created": iso(row["created_ns"]),
        "current": row["project_id"] == current,
    }
