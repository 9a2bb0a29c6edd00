"""Guards for agents in any language: ask a gate, hold the drill."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse import traces
from pilothouse.gateway import read_labels, request_of_check
from pilothouse.guards import About, Verdict, data_text, drill, read_guards
from pilothouse.policies import Offence, PolicyVersion, Proposal, Switch, switch, switches
from pilothouse.policies.switching import NAME_MAX, REASON_MAX
from pilothouse.records import BadRequest, PilothouseError, command
from pilothouse.traces.guards import EVENTS_MAX
from pilothouse.traces.locate import locate
from pilothouse.traces.model.guards import GuardActivity

from .context import Caller, Context
from .envelope import Envelope, answer
from .params import Until, moment, window

router = APIRouter(tags=["guard"])
log = logging.getLogger(__name__)

TEXT_MAX = 1_000_000
_Gate = Literal["", "input", "output", "tool_arguments", "tool_results"]


class GuardQuestion(BaseModel):
    """What is to be checked, and what is known beside it. Give text or data."""

    model_config = ConfigDict(extra="forbid")

    gate: Literal["input", "output", "tool_arguments", "tool_results"] = "input"
    text: str | None = Field(None, max_length=TEXT_MAX, description="What a user wrote, a model answers, a tool said.")
    data: Any = Field(None, description="Instead of text: JSON, such as a tool's arguments. All of its texts are read.")
    before: str = Field("", max_length=20_000, description="What the same side said last: split phrases are found.")
    sources: list[str] = Field([], max_length=500, description="What an answer must rest on.")
    agent: str = Field("", max_length=200)
    user: str = Field("", max_length=200)
    session: str = Field("", max_length=200)
    tool: str = Field("", max_length=200, description="At the gates of tools: which.")


class FoundInfo(BaseModel):
    """One thing that a check found."""

    check: str
    rule: str
    action: str
    start: int = Field(description="In the text, in characters; of data: in its texts joined by an empty line.")
    end: int
    message: str
    disguise: str = Field(description="How it was hidden; empty where it was not.")


class RanInfo(BaseModel):
    """How one check went."""

    check: str
    outcome: Literal["ok", "found", "failed", "late", "skipped"]
    took_us: float
    error: str
    instead: str = Field(description="The check that decided in its place.")


class VerdictInfo(BaseModel):
    """What a gate decided."""

    gate: str
    action: Literal["allow", "flag", "rewrite", "ask", "block"]
    text: str = Field(description="To go on with: as given, or rewritten. Empty where it is blocked.")
    data: Any = Field(None, description="To go on with, where data was given; null where it is blocked.")
    reason: str = Field(description="In one line why it is not simply allowed.")
    findings: list[FoundInfo]
    ran: list[RanInfo]
    policy_version: str
    took_us: float


class ExerciseInfo(BaseModel):
    """One check, taken down in one way."""

    gate: str
    check: str
    fault: str
    action: str
    decided_by: str = Field(description="The stand-in that decided; empty where it was refused.")
    got_through: bool = Field(description="Whether an unchecked text went on.")
    reason: str


class DrillInfo(BaseModel):
    """What the drill showed."""

    policy_version: str
    exercises: list[ExerciseInfo]
    got_through: int = Field(description="Must be 0.")


@router.post("/guard/check", response_model=Envelope[VerdictInfo])
def check_guard(request: Request, caller: Caller, asked: GuardQuestion) -> Response:
    """Ask a gate. The text is not kept. Needs annotate: what is capped is counted.

    The verdict is told as a step of the trace that the header ``traceparent`` names; without one only where it is not
    simply allowed, as a trace of its own.
    """
    caller.need("annotate")
    begun_ns = time.time_ns()
    if (asked.text is None) == (asked.data is None):
        raise BadRequest(
            "give text or data", got="both" if asked.text is not None else "neither", allowed="one of them"
        )
    data = asked.data
    about = About(
        before=asked.before,
        sources=tuple(asked.sources),
        agent=asked.agent,
        user=asked.user,
        session=asked.session,
        tool=asked.tool,
        arguments=cast("dict[str, Any]", data) if isinstance(data, dict) else {},
        tenant=caller.project_id,
    )
    if asked.text is not None:
        verdict = caller.provider.guards.check(asked.gate, asked.text, about)
        _tell(caller, request.headers, asked, verdict, begun_ns)
        return answer({**verdict.as_dict(), "data": None})
    verdict, onward = caller.provider.guards.check_data(asked.gate, data, about)
    _tell(caller, request.headers, asked, verdict, begun_ns)
    return answer({**verdict.as_dict(), "text": "", "data": onward})


def _tell(caller: Context, headers: Mapping[str, str], asked: GuardQuestion, verdict: Verdict, begun_ns: int) -> None:
    """Write the verdict into a trace. One that cannot be written is logged: the answer counts, not its record."""
    found = read_labels(headers)
    if verdict.action == "allow" and not found.parent_span_id:
        return
    said = {"gen_ai.agent.name": asked.agent, "user.id": asked.user, "session.id": asked.session}
    own = replace(found, attributes={**found.attributes, **{name: text for name, text in said.items() if text}})
    body = request_of_check(verdict, own, tool=asked.tool, started_ns=begun_ns, ended_ns=time.time_ns())
    try:
        caller.provider.keep_spans(caller.project_id, body, 1)
    except PilothouseError as error:
        log.warning("a verdict could not be told in a trace: %s", error.message)


@router.post("/guard/drill", response_model=Envelope[DrillInfo])
def drill_guards(caller: Caller) -> Response:
    """Take down each check of the policy in force, in every way, on the side: does anything get through unchecked?"""
    caller.need("read")
    policy = caller.provider.policy.policy
    exercises = drill(read_guards(policy.section("guards")))
    return answer(
        {
            "policy_version": policy.version,
            "exercises": [one.as_dict() for one in exercises],
            "got_through": sum(one.got_through for one in exercises),
        }
    )


@router.get("/guard/activity", response_model=Envelope[GuardActivity])
def guard_activity(
    caller: Caller,
    since: Annotated[
        str, Query(max_length=40, description="From: 15m, 24h, 7d (ago) or ISO 8601. Default: 24h.")
    ] = "24h",
    until: Until = "",
    gate: Annotated[_Gate, Query(description="Events of this gate; empty: of all.")] = "",
    check: Annotated[
        str, Query(max_length=200, description="Events in which this check found something, or was down.")
    ] = "",
    action: Annotated[
        Literal["", "flag", "rewrite", "ask", "block"], Query(description="Events with this verdict; empty: all.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=EVENTS_MAX, description="At most so many events, the newest first.")] = 50,
) -> Response:
    """What the guards did: texts by gate, check and time, and the newest verdicts that were not simply yes.

    Told by the traces of gateway and runtime, and of ``/guard/check``. Which rule spoke is said, never what it found.
    """
    covered = window(since, until)
    found = traces.guard_activity(
        caller.store, caller.project_id, covered, gate=gate, check=check, action=action, limit=limit
    )
    following = [f"pilothouse show {one.trace_id[:12]} --step {one.step}" for one in found.events[:1] if one.step]
    return answer(found, next=[*following, "pilothouse docs guards"])


class NewSwitch(BaseModel):
    """An agent or a tool that is to be stopped, or to go on."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["agent", "tool"] = Field(description="What is switched.")
    name: str = Field(max_length=NAME_MAX, description="Which one, as calls name it.")
    off: bool = Field(description="True stops it; false lets it go on.")
    reason: str = Field(max_length=REASON_MAX, description="Why; kept in the history of the policy.")


class SwitchedInfo(BaseModel):
    """A switch that was thrown."""

    written: PolicyVersion
    switches: list[Switch] = Field(description="What is switched off now.")
    undo: str = Field(description="The command that takes it back.")


@router.get("/guard/switches", response_model=Envelope[list[Switch]])
def list_switches(caller: Caller) -> Response:
    """Agents and tools that are switched off: who did it, when and why."""
    policies = caller.provider.policies
    return answer(switches(policies.keeper, caller.provider.policy.refresh()))


@router.post("/guard/switches", response_model=Envelope[SwitchedInfo])
def throw_switch(caller: Caller, wanted: NewSwitch) -> Response:
    """Stop an agent or a tool, or let it go on. In force at once here, within a second in agents. Needs admin, and a person."""
    caller.need("admin")
    policies = caller.provider.policies
    written = switch(
        policies.keeper, wanted.kind, wanted.name, off=wanted.off, reason=wanted.reason, actor=caller.decider
    )
    caller.audit(f"guard {'off' if wanted.off else 'on'}", f"{written.note}: policy version {written.number}"[:500])
    back = f"{command('guard', 'on' if wanted.off else 'off', f'--{wanted.kind}', wanted.name)} --reason WHY"
    found = switches(policies.keeper, policies.in_force())
    return answer({"written": written, "switches": found, "undo": back})


class NewProposal(BaseModel):
    """What a rule is to be made from: steps, or a rejected approval."""

    model_config = ConfigDict(extra="forbid")

    steps: list[str] = Field([], max_length=50, description="Steps as TRACE:STEP, or whole traces.")
    from_rejection: str = Field("", max_length=120, description="An approval that was rejected.")
    gate: _Gate = Field("", description="Where they passed; empty: the first gate they came by.")
    kind: Literal["auto", "terms", "cap"] = Field("auto", description="terms: by words. cap: by how often.")
    action: Literal["flag", "rewrite", "ask", "block"] = "block"
    since: str = Field("7d", max_length=40, description="The traffic that it is replayed on, from.")


class AcceptedProposal(BaseModel):
    """A proposal that is in force."""

    proposal: Proposal
    written: PolicyVersion
    undo: str = Field(description="The command that takes it back.")


_ProposalId = Annotated[str, Path(max_length=60, description="A proposal, as the list names it.")]


@router.post("/guard/proposals", response_model=Envelope[Proposal])
def propose_rule(caller: Caller, wanted: NewProposal) -> Response:
    """Make a rule of what should not have passed, replay it, and keep it for a person. It is not in force. Needs write."""
    caller.need("write")
    if bool(wanted.steps) == bool(wanted.from_rejection):
        raise BadRequest("name steps, or a rejected approval", got="both" if wanted.steps else "neither")
    policies = caller.provider.policies
    if wanted.from_rejection:
        offences, why = _rejected(caller, wanted.from_rejection)
    else:
        gate = "tool_arguments" if wanted.kind == "cap" else wanted.gate or None
        targets = [_target(caller, step) for step in wanted.steps]
        offences = policies.proposals.offences(caller.project_id, targets, gate)
        why = f"made from {', '.join(wanted.steps)}"[:500]
    found = policies.proposals.propose(
        caller.project_id,
        policies.in_force(),
        offences,
        why=why,
        actor=caller.actor,
        since_ns=moment(wanted.since, "since") or 0,
        kind=wanted.kind,
        action=wanted.action,
    )
    return answer(found, next=["pilothouse guard proposals"])


@router.get("/guard/proposals", response_model=Envelope[list[Proposal]])
def list_proposals(
    caller: Caller,
    state: Annotated[
        Literal["", "pending", "accepted", "dismissed"], Query(description="Only of this state; empty: all.")
    ] = "",
) -> Response:
    """Rules that were proposed, the newest first. Needs write: they say what is watched for."""
    caller.need("write")
    return answer(caller.provider.policies.proposals.list(caller.project_id, state=state))


@router.post("/guard/proposals/{proposal_id}/accept", response_model=Envelope[AcceptedProposal])
def accept_proposal(caller: Caller, proposal_id: _ProposalId) -> Response:
    """Write a proposed rule into the policy, as a version of its own. Needs admin, and a person."""
    caller.need("admin")
    proposal, written = caller.provider.policies.proposals.accept(caller.project_id, proposal_id, caller.decider)
    caller.audit("guard accept", f"{proposal_id}: policy version {written.number}")
    return answer({"proposal": proposal, "written": written, "undo": "pilothouse policy undo"})


@router.post("/guard/proposals/{proposal_id}/dismiss", response_model=Envelope[Proposal])
def dismiss_proposal(caller: Caller, proposal_id: _ProposalId) -> Response:
    """Say no to a proposed rule. Needs admin."""
    caller.need("admin")
    found = caller.provider.policies.proposals.dismiss(caller.project_id, proposal_id, caller.decider)
    caller.audit("guard dismiss", proposal_id)
    return answer(found)


def _target(caller: Context, step: str) -> tuple[str, str]:
    trace, _, number = step.partition(":")
    target = locate(caller.store, caller.project_id, trace, number)
    if not target.trace_id:
        raise BadRequest("a rule is made from traces and their steps", got=step[:100], fix="TRACE:STEP")
    return target.trace_id, target.span_id


def _rejected(caller: Context, approval_id: str) -> tuple[list[Offence], str]:
    found = caller.provider.approvals.find(caller.project_id, approval_id)
    if found.state != "rejected":
        raise BadRequest("this approval was not rejected", got=f"{approval_id[:60]} ({found.state})")
    offence = Offence(
        text=data_text(dict(found.action.arguments)),
        gate="tool_arguments",
        tool=found.action.tool,
        trace_id=found.evidence.trace_id,
        span_id=found.evidence.span_id,
    )
    return [offence], f"{found.decided_by} rejected {found.approval_id}: {found.feedback}"[:500]
