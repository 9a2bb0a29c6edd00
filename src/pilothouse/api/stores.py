"""What is stored, whether it is the whole truth, and having it normalised and priced again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse import traces
from pilothouse.traces.filters import check_text
from pilothouse.traces.model import Doctor, Stats, StoreStats
from pilothouse.traces.windows import parse_moment, time_range

from .context import Caller
from .envelope import Envelope, answer
from .params import WindowQuery

router = APIRouter(tags=["store"])


@router.get("/stats", response_model=Envelope[Stats])
def show_stats(caller: Caller, covered: WindowQuery) -> Response:
    """What was recorded in a window, in numbers."""
    since_ns = None if covered.assumed else covered.since_ns
    return answer(traces.stats(caller.store, caller.project_id, since_ns=since_ns, until_ns=covered.until_ns))


@router.get("/store/stats", response_model=Envelope[StoreStats])
def show_store_stats(caller: Caller) -> Response:
    """Bytes a span, rows and bytes by table, and what storing messages once has saved."""
    return answer(traces.store_stats(caller.store, caller.project_id))


@router.get("/doctor", response_model=Envelope[Doctor])
def examine(caller: Caller, covered: WindowQuery) -> Response:
    """What keeps the recorded picture from being the whole truth: refused, orphaned, skewed, unpriced, seen twice."""
    facts = caller.provider.server_facts(caller.project_id, covered.since_ns)
    since_ns = None if covered.assumed else covered.since_ns
    return answer(
        traces.doctor(caller.store, caller.project_id, since_ns=since_ns, until_ns=covered.until_ns, server=facts)
    )


class Reprocess(BaseModel):
    """Which stretch of history."""

    model_config = ConfigDict(extra="forbid")

    since: str = Field("7d", max_length=40, description="From: 15m, 24h, 7d (ago) or ISO 8601.")
    until: str = Field("", max_length=40, description="Before: the same forms; empty: now.")
    dry_run: bool = Field(False, description="Only count what would change.")


@router.post("/reprocess", response_model=Envelope[dict[str, Any]])
def reprocess(caller: Caller, wanted: Reprocess) -> Response:
    """Normalise and price the spans of a time range again, after a rule or a price changed. Needs admin."""
    caller.need("admin")
    for name, text in (("since", wanted.since), ("until", wanted.until)):
        check_text(text, name, 40)
    covered = time_range(
        parse_moment(wanted.since, name="since"),
        parse_moment(wanted.until, name="until") if wanted.until else None,
    )
    changed = caller.provider.reprocess(caller.project_id, covered.since_ns, covered.until_ns, dry_run=wanted.dry_run)
    if not wanted.dry_run:
        caller.audit("reprocess", f"since {wanted.since} until {wanted.until or 'now'}")
    return answer(changed, next=["pilothouse doctor"])
