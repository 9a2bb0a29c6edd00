"""Guards for agents in any language: ask a gate, hold the drill."""

from __future__ import annotations

from typing import Any, Literal, cast

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.guards import About, drill, read_guards
from pilothouse.records import BadRequest

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["guard"])

TEXT_MAX = 1_000_000


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
def check_guard(caller: Caller, asked: GuardQuestion) -> Response:
    """Ask a gate. The text is not kept. Needs annotate: what is capped is counted."""
    caller.need("annotate")
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
        return answer({**caller.provider.guards.check(asked.gate, asked.text, about).as_dict(), "data": None})
    verdict, onward = caller.provider.guards.check_data(asked.gate, data, about)
    return answer({**verdict.as_dict(), "text": "", "data": onward})


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
