"""Agents: the reliability audit and the levels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from pilothouse import traces
from pilothouse.traces.model import Audit, Levels

from .context import Caller
from .envelope import Envelope, answer
from .params import Since, Until, moment

router = APIRouter(tags=["agents"])

AgentName = Annotated[
    str, Path(max_length=300, description="The agent's name, as fleet lists it.", examples=["refunds"])
]


@router.get("/agents/{agent:path}/audit", response_model=Envelope[Audit])
def show_audit(caller: Caller, agent: AgentName, since: Since = "", until: Until = "") -> Response:
    """What of an agent would fail silently, told from its telemetry: each check failing, passing, or nobody can tell."""
    made = traces.audit(
        caller.store, caller.project_id, agent, since_ns=moment(since, "since"), until_ns=moment(until, "until")
    )
    first = next((check.look for check in made.checks if check.state == "failing" and check.look), "")
    return answer(made, next=[first] if first else [])


@router.get("/agents/{agent:path}/level", response_model=Envelope[Levels])
def show_level(caller: Caller, agent: AgentName, since: Since = "", until: Until = "") -> Response:
    """One agent's level, from stateless to self-correcting, with evidence, and the controls it demands."""
    return answer(
        traces.levels(
            caller.store,
            caller.project_id,
            agent=agent,
            since_ns=moment(since, "since"),
            until_ns=moment(until, "until"),
        )
    )


@router.get("/levels", response_model=Envelope[Levels])
def show_levels(caller: Caller, since: Since = "", until: Until = "") -> Response:
    """The level of every agent, from twenty traces of each."""
    return answer(
        traces.levels(caller.store, caller.project_id, since_ns=moment(since, "since"), until_ns=moment(until, "until"))
    )
