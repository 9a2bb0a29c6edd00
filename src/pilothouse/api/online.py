"""Online evals: how scorers of production traces stand, one tried on a trace, one stopped or started."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.online import DAYS_MAX, RETRIED, OnlineOverview, Retried, ScorerReport, Switched, Tried

from .context import Caller
from .envelope import Envelope, answer
from .params import moment

router = APIRouter(tags=["evals"])

_Name = Annotated[str, Path(max_length=60, description="A scorer of the policy's section online.")]
_Days = Annotated[int, Query(description=f"How many days (UTC), today included; {DAYS_MAX} at most.")]


@router.get("/evals/online", response_model=Envelope[OnlineOverview])
def list_scorers(caller: Caller, days: _Days = 14) -> Response:
    """Scorers of production traces: what they scored, rates with intervals, what is unscored and why, money, worst traces."""
    found = caller.provider.online.overview(caller.project_id, days=days)
    return answer(found, next=[f"pilothouse eval online show {one.name}" for one in found.scorers[:3]])


@router.get("/evals/online/{name}", response_model=Envelope[ScorerReport])
def show_scorer(caller: Caller, name: _Name, days: _Days = 14) -> Response:
    """One scorer of production traces."""
    found = caller.provider.online.report(caller.project_id, name, days=days)
    return answer(
        found, next=[f"pilothouse ls has:score score.{name}:fail"] if found.figures.passed is not None else []
    )


class Trying(BaseModel):
    """What a scorer is tried on."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=300, description="A trace or a session; last for the newest trace.")


@router.post("/evals/online/{name}/try", response_model=Envelope[Tried])
def try_scorer(caller: Caller, name: _Name, wanted: Trying) -> Response:
    """Run a scorer once on a trace or session and write nothing. Needs write; a judge spends money, which counts for the day."""
    caller.need("write")
    found = caller.provider.online.try_on(caller.project_id, name, wanted.id)
    caller.audit("online.try", f"{name} on {wanted.id}")
    return answer(found, next=[f"pilothouse eval online show {name}"])


class Retrying(BaseModel):
    """What is asked about again."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("judge_failed", max_length=40, description=f"Why it is unscored: {', '.join(RETRIED)}.")
    since: str = Field("", max_length=40, description="15m, 24h, 7d (ago) or ISO 8601; all of it unless said.")


@router.post("/evals/online/{name}/retry", response_model=Envelope[Retried])
def retry_scorer(caller: Caller, name: _Name, wanted: Retrying) -> Response:
    """Ask again about what the scorer left unscored, within its money of the day. Needs write."""
    caller.need("write")
    since_ns = moment(wanted.since, "since") or 0
    found = caller.provider.online.retry(caller.project_id, name, reason=wanted.reason, since_ns=since_ns)
    caller.audit("online.retry", f"{name}: {found.count} of {wanted.reason}")
    return answer(found, next=[f"pilothouse eval online show {name}"])


@router.post("/evals/online/{name}/stop", response_model=Envelope[Switched])
def stop_scorer(caller: Caller, name: _Name) -> Response:
    """Stop a scorer in this project until it is started. Needs write."""
    caller.need("write")
    found = caller.provider.online.stop(caller.project_id, name, caller.actor.name)
    caller.audit("online.stop", name)
    return answer(found, next=[f"pilothouse eval online start {name}"])


@router.post("/evals/online/{name}/start", response_model=Envelope[Switched])
def start_scorer(caller: Caller, name: _Name) -> Response:
    """Let a scorer go on. Needs write."""
    caller.need("write")
    found = caller.provider.online.start(caller.project_id, name)
    caller.audit("online.start", name)
    return answer(found, next=[f"pilothouse eval online show {name}"])
