"""How hard requests are: learn it from a project's own calls, show what was learned, rate a text."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.routing import Scored, Trained, Wanted

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
    return answer(body, next=["pilothouse docs gateway"] if found else ["pilothouse routing train --since 30d"])


@router.get("/routing/difficulty", response_model=Envelope[Scored])
def rate_text(
    caller: Caller,
    text: Annotated[str, Query(max_length=20_000, description="What a user asks.")],
    tools: Annotated[int, Query(ge=0, le=1_000, description="How many tools the request offers.")] = 0,
    task: Annotated[str, Query(max_length=200, description="Its task, else feature, else agent.")] = "",
) -> Response:
    """How hard a request of this text would be, by the model in force."""
    return answer(caller.provider.routing.score(caller.project_id, text, tools=tools, task=task))
