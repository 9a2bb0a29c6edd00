"""Deleting a trace or a session: asked for by whoever may write, done once a person confirms."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse import deletions
from pilothouse.records import BadRequest, NeedsApproval, iso
from pilothouse.store.deletion_log import DeletionRecord
from pilothouse.traces.filters import check_text
from pilothouse.traces.locate import locate

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["deletions"])

DeletionId = Annotated[str, Path(max_length=60, description="The id that asking for it answered.")]


class Taken(BaseModel):
    """What a deletion takes."""

    traces: int
    spans: int
    messages: int = Field(description="Messages and long values that no other trace refers to.")
    logs: int
    scores: int
    notes: int = Field(description="Notes and labels.")
    bytes: int = Field(description="By the average size of a row.")


class DeletionInfo(BaseModel):
    """A deletion."""

    deletion_id: str = Field(description="Empty for a dry run.")
    kind: Literal["trace", "session"]
    target_id: str
    state: Literal["planned", "pending", "approved", "refused", "expired", "done"]
    takes: Taken
    keeps: list[str] = Field(description="What stays although it is related, and why.")
    asked_by: str
    asked: str
    expires: str
    decided_by: str
    page: str = Field(description="Where a signed-in person confirms; empty once it is decided.")


class NewDeletion(BaseModel):
    """What is to be deleted."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(max_length=500, description="A trace or a session: its id or its unique beginning.")
    confirm: str = Field("", max_length=500, description="A person: the whole id once more, to delete it now.")
    dry_run: bool = Field(False, description="Only say what would go.")


@router.post("/deletions", response_model=Envelope[DeletionInfo])
def delete(caller: Caller, request: Request, wanted: NewDeletion) -> Response:
    """Delete a trace or a session, where a person says its id again; else have it wait for one. Needs write."""
    caller.need("write")
    check_text(wanted.confirm, "an id", 500)
    target = locate(caller.store, caller.project_id, wanted.id)
    planned = deletions.plan(caller.store, caller.project_id, target, caller.actor, time.time_ns())
    if wanted.dry_run:
        return answer(_info(planned, state="planned"))
    if caller.actor.kind != "person" or not wanted.confirm:
        waiting = deletions.ask(caller.control, planned)
        address = str(request.base_url).rstrip("/") + f"/deletions/{waiting.deletion_id}"
        raise NeedsApproval(
            f"a person must confirm that this {waiting.kind} is deleted",
            got=waiting.deletion_id,
            allowed=f"until {iso(waiting.expires_ns)}",
            fix=address,
        )
    if wanted.confirm != planned.target_id:
        raise BadRequest(f"this is not the {planned.kind}'s id", got=wanted.confirm, allowed=planned.target_id)
    asked = deletions.ask(caller.control, planned)
    done = deletions.confirm(
        caller.store, caller.control, caller.project_id, asked.deletion_id, caller.actor, time.time_ns()
    )
    caller.provider.online.forget(done)
    return answer(_info(done))


@router.get("/deletions/{deletion_id}", response_model=Envelope[DeletionInfo])
def show_deletion(caller: Caller, deletion_id: DeletionId) -> Response:
    """A deletion that was asked for: what it takes, and what became of it."""
    caller.need("read")
    check_text(deletion_id, "an id", 60)
    return answer(_info(deletions.find(caller.control, caller.project_id, deletion_id)))


def _info(record: DeletionRecord, *, state: str = "") -> dict[str, Any]:
    state = state or record.state
    if state == "pending" and record.expires_ns <= time.time_ns():
        state = "expired"
    weighed = record.weighed
    return {
        "deletion_id": "" if state == "planned" else record.deletion_id,
        "kind": record.kind,
        "target_id": record.target_id,
        "state": state,
        "takes": {
            "traces": weighed.traces,
            "spans": weighed.spans,
            "messages": weighed.messages,
            "logs": weighed.logs,
            "scores": weighed.scores,
            "notes": weighed.notes,
            "bytes": weighed.bytes,
        },
        "keeps": list(deletions.KEPT),
        "asked_by": record.asked_by,
        "asked": iso(record.asked_ns),
        "expires": iso(record.expires_ns),
        "decided_by": record.decided_by,
        "page": f"/deletions/{record.deletion_id}" if state == "pending" else "",
    }
