"""Approvals: ask a person, decide, and run once what was approved."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from pilothouse.approvals import (
    LEASE_S_DEFAULT,
    STATES,
    Action,
    Approval,
    ApprovalInfo,
    Approvals,
    Ask,
    EventInfo,
    Evidence,
    NoticeInfo,
    Right,
    State,
    event_info,
    info,
    notice_info,
)
from pilothouse.records import BadRequest, command, iso
from pilothouse.traces.model import Page, Window

from .approval_waits import Waits
from .context import Caller, Context
from .envelope import Envelope, answer

router = APIRouter(tags=["approvals"])

WAIT_S_MAX = 60
_Id = Annotated[str, Path(max_length=120, description="An approval, or the unique beginning of its id.")]
Name = Annotated[str, Field(max_length=200)]
Said = Annotated[str, Field(max_length=4_000)]
_DIGEST = "The digest of the action as it was looked at: a change in between is noticed."


class NewApproval(BaseModel):
    """An action that an agent wants to do."""

    model_config = ConfigDict(extra="forbid")

    tool: str = Field(min_length=1, max_length=200)
    arguments: dict[str, Any] = Field({}, description="Exactly what the tool will be called with.")
    rows: int | None = Field(None, ge=0, description="How many rows it changes, where somebody has counted.")
    people: int | None = Field(None, ge=0, description="How many people it reaches.")
    money_usd: float | None = Field(None, description="What it moves, in US dollars.")
    environment: Name = ""
    agent: Name = ""
    agent_version: Name = ""
    user: Name = Field("", description="For whom the agent works.")
    cost_so_far_usd: float = Field(0, ge=0, description="What the run has spent on models.")
    reason: Said = Field("", description="Why the agent wants it.")
    expected: Said = Field("", description="What it expects to come of it.")
    counted: Said = Field("", description="How rows and people were counted.")
    rollback: Said = Field("", description="How it is taken back.")
    say: Said = Field("", description="What it will do in one sentence, where the rule has none.")
    trace_id: str = Field("", max_length=32)
    span_id: str = Field("", max_length=16)
    step: int | None = Field(None, ge=0)
    links: list[str] = Field([], max_length=20)
    run: Name = Field("", description="The run that waits.")
    ask_key: Name = Field("", description="An id of your own: the same question sent twice is one.")
    if_needed: bool = Field(False, description="Ask only where the policy wants it.")


class Asked(BaseModel):
    """What the policy wants of an action."""

    needed: bool = Field(description="false: it may be done, and nobody was asked.")
    rule: str = Field(description="The rule that decided.")
    approval: ApprovalInfo | None = None
    page: str = Field("", description="Where a person decides.")
    command: str = Field("", description="How a person decides from a shell.")


class Shown(BaseModel):
    """An approval and all that happened to it."""

    approval: ApprovalInfo
    history: list[EventInfo] = Field(description="Oldest first.")
    notices: list[NoticeInfo] = Field(description="Who was told of it, and how that went.")


class Yes(BaseModel):
    """A person agrees."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(max_length=64, description=_DIGEST)
    note: Said = ""


class Edited(BaseModel):
    """A person agrees to something else."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(max_length=64, description=_DIGEST)
    arguments: dict[str, Any]
    note: Said = ""


class Words(BaseModel):
    """What somebody says."""

    model_config = ConfigDict(extra="forbid")

    text: Said


class CalledOff(BaseModel):
    """Why it is called off."""

    model_config = ConfigDict(extra="forbid")

    text: Said = ""


class HandedTo(BaseModel):
    """Who decides instead."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(min_length=1, max_length=200)


class Reserving(BaseModel):
    """The action that is about to run."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(max_length=64, description="Of the action that was approved.")
    holder: Name = Field("", description="An id of who runs it, kept over restarts: it may say later that it was lost.")
    lease_s: int = Field(LEASE_S_DEFAULT, ge=1, le=86_400, description="From then on nobody knows whether it ran.")


class RightInfo(BaseModel):
    """Leave to run exactly this, once."""

    approval_id: str
    reservation_id: str = Field(description="Say with it how it went.")
    tool: str
    arguments: dict[str, Any]
    digest: str
    until: str


class Done(BaseModel):
    """How it went."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal["executed", "failed", "not_executed", "unknown"] = Field(
        description="not_executed and unknown: by the holder, or by a person, where the process that ran it has died."
    )
    reservation_id: str = Field("", max_length=100)
    holder: Name = ""
    text: Said = ""


@router.post("/approvals", response_model=Envelope[Asked])
def ask_approval(caller: Caller, request: Request, wanted: NewApproval) -> Response:
    """Have an action wait for a person. Needs write."""
    caller.need("write")
    action = Action(
        tool=wanted.tool,
        arguments=wanted.arguments,
        rows=wanted.rows,
        people=wanted.people,
        money_usd=wanted.money_usd,
        environment=wanted.environment,
        agent=wanted.agent,
        agent_version=wanted.agent_version,
        user=wanted.user,
        cost_so_far_usd=wanted.cost_so_far_usd,
    )
    demand = caller.provider.approvals.demand(action)
    if wanted.if_needed and demand.do == "allow":
        return answer({"needed": False, "rule": demand.rule.name, "approval": None, "page": "", "command": ""})
    evidence = Evidence(trace_id=wanted.trace_id, span_id=wanted.span_id, step=wanted.step, links=tuple(wanted.links))
    asked = Ask(
        action=action,
        reason=wanted.reason,
        expected=wanted.expected,
        counted=wanted.counted,
        rollback=wanted.rollback,
        evidence=evidence,
        run=wanted.run,
        ask_key=wanted.ask_key,
        say=wanted.say,
    )
    made = caller.provider.approvals.ask(caller.project_id, asked, caller.decider)
    decide = command("approvals", "approve", made.approval_id)
    return answer(
        {
            "needed": True,
            "rule": made.rule,
            "approval": info(made),
            "page": f"{str(request.base_url).rstrip('/')}/approvals/{made.approval_id}",
            "command": decide,
        },
        next=[command("approvals", "show", made.approval_id), decide],
    )


@router.get("/approvals", response_model=Envelope[list[ApprovalInfo]])
def list_approvals(
    caller: Caller,
    state: Annotated[str, Query(max_length=200, description=f"One or more of {', '.join(STATES)}.")] = "",
    run: Annotated[str, Query(max_length=200, description="Only of this run.")] = "",
    agent: Annotated[str, Query(max_length=200, description="Only of this agent.")] = "",
    limit: Annotated[int, Query(ge=1, le=500, description="Rows a page.")] = 50,
    cursor: Annotated[str, Query(max_length=200, description="next of the page before.")] = "",
) -> Response:
    """Approvals as they stand at this moment, newest first."""
    found = caller.provider.approvals.list(
        caller.project_id, states=_states(state), run=run, agent=agent, cursor=cursor, limit=limit
    )
    rows = [info(one) for one in found.items]
    page = Page(
        items=tuple(rows),
        next=found.next,
        more=bool(found.next),
        total=len(rows),
        window=Window(since="", until=""),
    )
    first = next((row for row in rows if row.state == "pending"), None)
    following = [command("approvals", "show", first.approval_id)] if first is not None else []
    return answer(rows, page=page, next=following)


@router.get("/approvals/{approval_id}", response_model=Envelope[Shown])
async def show_approval(
    caller: Caller,
    request: Request,
    approval_id: _Id,
    wait: Annotated[
        int,
        Query(ge=0, le=WAIT_S_MAX, description="Answer when it is decided or somebody asks; at most so many seconds."),
    ] = 0,
) -> Response:
    """One approval and all that happened to it."""
    waits: Waits = request.app.state.approval_waits
    approvals, project_id = caller.provider.approvals, caller.project_id
    found = await run_in_threadpool(approvals.find, project_id, approval_id)
    until = time.monotonic() + wait
    # While it waits no thread is held: only this coroutine, which the change of the record wakes.
    with waits.waiting(project_id, found.approval_id) as changed:
        while _waits(found) and (left := until - time.monotonic()) > 0 and not await request.is_disconnected():
            await changed(left)
            found = await run_in_threadpool(approvals.find, project_id, found.approval_id)
    return await run_in_threadpool(_shown, approvals, found, caller)


@router.post("/approvals/{approval_id}/approve", response_model=Envelope[ApprovalInfo])
def approve(caller: Caller, approval_id: _Id, said: Yes) -> Response:
    """A person's yes to the action with this digest. Needs write, and a person."""
    return _decided(
        caller,
        "approve",
        lambda approvals: approvals.approve(
            caller.project_id, approval_id, caller.decider, digest=said.digest, note=said.note
        ),
    )


@router.post("/approvals/{approval_id}/edit", response_model=Envelope[ApprovalInfo])
def edit_approval(caller: Caller, approval_id: _Id, said: Edited) -> Response:
    """A person's yes to other arguments, which policy and guards check again. Needs write, and a person."""
    return _decided(
        caller,
        "edit",
        lambda approvals: approvals.edit(
            caller.project_id,
            approval_id,
            caller.decider,
            digest=said.digest,
            arguments=said.arguments,
            note=said.note,
        ),
    )


@router.post("/approvals/{approval_id}/reject", response_model=Envelope[ApprovalInfo])
def reject_approval(caller: Caller, approval_id: _Id, said: Words) -> Response:
    """A person's no; the agent is told why. Needs write, and a person."""
    return _decided(
        caller,
        "reject",
        lambda approvals: approvals.reject(caller.project_id, approval_id, caller.decider, why=said.text),
    )


@router.post("/approvals/{approval_id}/ask", response_model=Envelope[ApprovalInfo])
def ask_back(caller: Caller, approval_id: _Id, said: Words) -> Response:
    """A reviewer's question to whoever asked; it stays pending. Needs write, and a person."""
    return _decided(
        caller,
        "ask",
        lambda approvals: approvals.question(caller.project_id, approval_id, caller.decider, text=said.text),
    )


@router.post("/approvals/{approval_id}/answer", response_model=Envelope[ApprovalInfo])
def answer_question(caller: Caller, approval_id: _Id, said: Words) -> Response:
    """What the asker says to the question. Needs write."""
    return _decided(
        caller,
        "answer",
        lambda approvals: approvals.answer(caller.project_id, approval_id, caller.decider, text=said.text),
    )


@router.post("/approvals/{approval_id}/delegate", response_model=Envelope[ApprovalInfo])
def delegate(caller: Caller, approval_id: _Id, said: HandedTo) -> Response:
    """Hand it to somebody else, who decides in one's place. Needs write, and a person."""
    return _decided(
        caller,
        "delegate",
        lambda approvals: approvals.delegate(caller.project_id, approval_id, caller.decider, to=said.to),
    )


@router.post("/approvals/{approval_id}/cancel", response_model=Envelope[ApprovalInfo])
def cancel_approval(caller: Caller, approval_id: _Id, said: CalledOff) -> Response:
    """It is no longer wanted: by whoever asked, or may decide. Needs write."""
    return _decided(
        caller,
        "cancel",
        lambda approvals: approvals.cancel(caller.project_id, approval_id, caller.decider, why=said.text),
    )


@router.post("/approvals/{approval_id}/reserve", response_model=Envelope[RightInfo])
def reserve_approval(caller: Caller, approval_id: _Id, wanted: Reserving) -> Response:
    """Leave to run what was approved, once; everything that is not a yes to this digest, in time, is a no. Needs write."""
    caller.need("write")
    right = caller.provider.approvals.reserve(
        caller.project_id,
        approval_id,
        caller.decider,
        digest=wanted.digest,
        holder=wanted.holder,
        lease_s=wanted.lease_s,
    )
    return answer(_right(right))


@router.post("/approvals/{approval_id}/done", response_model=Envelope[ApprovalInfo])
def approval_done(caller: Caller, approval_id: _Id, said: Done) -> Response:
    """How it went; it is used up. Where nobody knows, its holder or a person says whether it happened. Needs write."""
    caller.need("write")
    approvals, who = caller.provider.approvals, caller.decider
    if said.reservation_id:
        if said.outcome not in ("executed", "failed"):
            raise BadRequest(
                "whoever holds the reservation knows how it went", got=said.outcome, allowed=["executed", "failed"]
            )
        done = approvals.done(
            caller.project_id,
            approval_id,
            who,
            reservation_id=said.reservation_id,
            outcome=said.outcome,
            text=said.text,
        )
    elif said.outcome == "unknown":
        done = approvals.lost(caller.project_id, approval_id, who, holder=said.holder)
    elif said.outcome == "failed":
        raise BadRequest("only whoever holds the reservation says that it failed", fix="executed or not_executed")
    else:
        done = approvals.settle(
            caller.project_id,
            approval_id,
            who,
            happened=said.outcome == "executed",
            text=said.text,
            holder=said.holder,
        )
    return answer(info(done))


def _decided(caller: Context, verb: str, act: Callable[[Approvals], Approval]) -> Response:
    caller.need("write")
    found = act(caller.provider.approvals)
    caller.audit(f"approval {verb}", f"{found.approval_id} {found.state} {found.digest[:12]}", found.run)
    return answer(info(found), next=[command("approvals", "show", found.approval_id)])


def _shown(approvals: Approvals, found: Approval, caller: Context) -> Response:
    if caller.decider.kind == "person" and found.state == "pending":
        found = approvals.see(caller.project_id, found.approval_id, caller.decider)
    data = {
        "approval": info(found),
        "history": [event_info(event) for event in approvals.history(caller.project_id, found.approval_id)],
        "notices": [notice_info(row) for row in approvals.notices(caller.project_id, found.approval_id)],
    }
    following = [command("approvals", "approve", found.approval_id)] if found.state == "pending" else []
    return answer(data, next=following)


def _waits(found: Approval) -> bool:
    return found.state == "pending" and not found.question


def _right(right: Right) -> dict[str, Any]:
    return {
        "approval_id": right.approval_id,
        "reservation_id": right.reservation_id,
        "tool": right.tool,
        "arguments": right.arguments,
        "digest": right.digest,
        "until": iso(right.until_ns),
    }


def _states(text: str) -> list[State]:
    words = [word for word in text.replace(",", " ").split() if word]
    for word in words:
        if word not in STATES:
            raise BadRequest("no such state of an approval", got=word, allowed=list(STATES))
    return [state for state in STATES if state in words]
