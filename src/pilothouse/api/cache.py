"""Kept answers of models: how the response cache does, and emptying it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse import traces
from pilothouse.cache import CacheOverview, ComparedHit, compared_hit, overview
from pilothouse.traces.model.prompt_cache import PromptCache
from pilothouse.traces.prompt_cache import prompt_cache

from .context import Caller, Context
from .envelope import Envelope, answer
from .params import WindowQuery

router = APIRouter(tags=["cache"])


class Emptied(BaseModel):
    """What was deleted."""

    answers: int


class What(BaseModel):
    """Which answers."""

    model_config = ConfigDict(extra="forbid")

    route: str = Field("", max_length=300, description="Only of this route, by the pattern of its models.")


@router.get("/cache", response_model=Envelope[CacheOverview])
def show_cache(
    caller: Caller,
    days: Annotated[int, Query(ge=1, le=400, description="Today and the days before it, UTC.")] = 7,
) -> Response:
    """The gateway's response cache: by route what it keeps, how often it answered, and what that saved."""
    found = overview(caller.provider.answers, caller.project_id, days=days, now_ns=time.time_ns())
    return answer(found, next=["pilothouse cost", "pilothouse docs caching"])


@router.get("/cache/comparisons", response_model=Envelope[list[ComparedHit]])
def compare_hits(
    caller: Caller,
    days: Annotated[int, Query(ge=1, le=400, description="How far back.")] = 30,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many, the newest first.")] = 20,
) -> Response:
    """Hits by meaning that were asked again, both answers beside each other: those that differ first."""
    since_ns = time.time_ns() - days * 86_400_000_000_000
    rows = caller.provider.answers.comparisons(caller.project_id, since_ns=since_ns, limit=limit)
    return answer([compared_hit(row) for row in rows], next=[f"pilothouse show {rows[0].trace_id}"] if rows else [])


_Agent = Annotated[str, Query(max_length=300, description="Only this agent's calls.")]


@router.get("/cache/prompts", response_model=Envelope[PromptCache])
def show_prompt_caches(caller: Caller, covered: WindowQuery, agent: _Agent = "") -> Response:
    """Providers' prompt caches by agent, version and model: what they served, what that saved, what was possible."""
    found = _prompt_cache(caller, covered, agent)
    return answer(replace(found, breaks=()), next=["pilothouse cache lint"] if found.breaks else [])


@router.get("/cache/lint", response_model=Envelope[PromptCache])
def lint_prompts(caller: Caller, covered: WindowQuery, agent: _Agent = "") -> Response:
    """What breaks the beginning of prompts that providers' caches need, dearest first: where, since when, what it costs."""
    found = _prompt_cache(caller, covered, agent)
    following = [f"pilothouse show {one.trace_id} --step {one.step}" for one in found.breaks[:2]]
    return answer(replace(found, rows=()), next=following)


def _prompt_cache(caller: Context, covered: traces.Range, agent: str) -> PromptCache:
    since_ns = None if covered.assumed else covered.since_ns
    return prompt_cache(caller.store, caller.project_id, since_ns=since_ns, until_ns=covered.until_ns, agent=agent)


@router.post("/cache/clear", response_model=Envelope[Emptied])
def clear_cache(caller: Caller, what: What) -> Response:
    """Delete this project's kept answers. Needs write."""
    caller.need("write")
    count = caller.provider.answers.clear(caller.project_id, route=what.route)
    caller.audit("cache.clear", f"{count} answers{f' of {what.route}' if what.route else ''}")
    return answer({"answers": count})
