"""How hard requests are: learn it from a project's own calls, show what was learned, rate a text."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.routing import Replay, ReplayReport, Scored, Trained, Wanted

from .context import Caller
from .envelope import Envelope, answer
from .params import moment

router = APIRouter(tags=["routing"])


class Learning(BaseModel):
    """What is to be learned."""

    model_config = ConfigDict(extra="forbid")

    since: str = Field("30d", max_length=40, description="From when on calls are read: 24h, 30d or ISO 8601.")
    until: str = Field("", max_length=40, description="Until when; empty: now.")
    cheap: str = Field("", max_length=300, description="The cheap model, as it is called; empty: the cheapest known.")
    score: str = Field("", max_length=300, description="Only scores of this name count; empty: all.")
    quiet: bool = Field(True, description="Calls that nobody scored and nothing is wrong with count as gone well.")
    dry_run: bool = Field(False, description="Learn and say how good it is, and keep nothing.")


class Models(BaseModel):
    """What was learned."""

    models: list[Trained] = Field(description="The newest first; one at most is in force.")


@router.post("/routing/train", response_model=Envelope[Trained])
def train_routing(caller: Caller, wanted: Learning) -> Response:
    """Learn from stored calls which requests a cheap model does badly. In force where it tells them apart. Needs write."""
    caller.need("write")
    since = moment(wanted.since, "since")
    until = moment(wanted.until, "until")
    found = caller.provider.routing.train(
        caller.project_id,
        Wanted(
            since_ns=since if since is not None else 0,
            until_ns=time.time_ns() if until is None else until,
            cheap=wanted.cheap,
            score=wanted.score,
            quiet=wanted.quiet,
            made_by=caller.actor.name,
        ),
        keep=not wanted.dry_run,
    )
    if not wanted.dry_run:
        caller.audit("routing.train", f"model {found.version} of {found.cheap}, in force: {found.in_force}")
    return answer(found, next=["pilothouse routing show", "pilothouse docs gateway"])


@router.get("/routing", response_model=Envelope[Models])
def show_routing(caller: Caller) -> Response:
    """Models of difficulty: what taught them, how they did on calls that they had not seen, and their thresholds."""
    found = caller.provider.routing.models(caller.project_id)
    body: dict[str, Any] = {"models": [asdict(one) for one in found]}
    return answer(body, next=["pilothouse docs gateway"])


@router.get("/routing/difficulty", response_model=Envelope[Scored])
def rate_text(
    caller: Caller,
    text: Annotated[str, Query(max_length=20_000, description="What a user asks.")],
    tools: Annotated[int, Query(ge=0, le=1_000, description="How many tools the request offers.")] = 0,
    task: Annotated[str, Query(max_length=200, description="Its task, else feature, else agent.")] = "",
) -> Response:
    """How hard a request of this text would be, by the model in force."""
    return answer(caller.provider.routing.score(caller.project_id, text, tools=tools, task=task))


class Trying(BaseModel):
    """What is to be asked again, and of whom."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=300, description="Who is asked, as callers of the gateway name it.")
    wire: Literal["openai", "anthropic"] = Field("openai", description="In which wire format.")
    since: str = Field("7d", max_length=40, description="From when on calls are taken: 24h, 30d or ISO 8601.")
    until: str = Field("", max_length=40, description="Until when; empty: now.")
    calls: int = Field(50, description="At most so many, 500 at most.")
    usd: str = Field("1", max_length=20, description="The most that it may cost, in US dollars.")
    floor: float = Field(0.9, description="Share of the same answers from which on the other model will do.")
    from_model: str = Field("", max_length=300, description="Only calls of this model; empty: of all.")
    agent: str = Field("", max_length=300, description="Only calls of this agent.")
    seed: int = Field(7, ge=0, le=2**31, description="Which calls, of too many.")
    free: bool = Field(False, description="Only say what the calls would cost there; nobody is asked.")


class Tries(BaseModel):
    """Replays."""

    replays: list[ReplayReport] = Field(description="The newest first.")


_Id = Annotated[str, Path(max_length=60, description="The id of a replay.")]


@router.post("/routing/try", response_model=Envelope[ReplayReport])
def try_model(caller: Caller, wanted: Trying) -> Response:
    """Ask stored calls of another model, within a cap on money, and compare the answers. Needs write; spends money."""
    caller.need("write")
    since = moment(wanted.since, "since")
    until = moment(wanted.until, "until")
    found = caller.provider.replays.start(
        caller.project_id,
        Replay(
            model=wanted.model,
            wire=wanted.wire,
            since_ns=since if since is not None else 0,
            until_ns=time.time_ns() if until is None else until,
            calls=wanted.calls,
            usd=wanted.usd,
            floor=wanted.floor,
            from_model=wanted.from_model,
            agent=wanted.agent,
            seed=wanted.seed,
            made_by=caller.actor.name,
        ),
        free=wanted.free,
    )
    if not wanted.free:
        caller.audit("routing.try", f"{found.calls} calls asked of {wanted.model}, for {wanted.usd} USD at most")
    return answer(found, next=[f"pilothouse routing report {found.replay_id}"] if found.replay_id else [])


@router.get("/routing/replays", response_model=Envelope[Tries])
def list_replays(caller: Caller) -> Response:
    """Replays, the newest first: how they stand and what they have found."""
    found = caller.provider.replays.list(caller.project_id)
    return answer({"replays": [asdict(one) for one in found]}, next=["pilothouse docs gateway"])


@router.get("/routing/replays/{replay_id}", response_model=Envelope[ReplayReport])
def show_replay(caller: Caller, replay_id: _Id) -> Response:
    """One replay: agreement by task class with its interval, cost, latency, verdict, examples."""
    return answer(caller.provider.replays.report(caller.project_id, replay_id))


@router.post("/routing/replays/{replay_id}/resume", response_model=Envelope[ReplayReport])
def resume_replay(caller: Caller, replay_id: _Id) -> Response:
    """Go on with a replay that stopped; what was answered is not asked again. Needs write."""
    caller.need("write")
    found = caller.provider.replays.resume(caller.project_id, replay_id)
    caller.audit("routing.resume", replay_id)
    return answer(found, next=[f"pilothouse routing report {replay_id}"])


@router.post("/routing/replays/{replay_id}/stop", response_model=Envelope[ReplayReport])
def stop_replay(caller: Caller, replay_id: _Id) -> Response:
    """Let the call under way end, and make no more. Needs write."""
    caller.need("write")
    found = caller.provider.replays.stop(caller.project_id, replay_id)
    caller.audit("routing.stop", replay_id)
    return answer(found, next=[f"pilothouse routing resume {replay_id}"])
