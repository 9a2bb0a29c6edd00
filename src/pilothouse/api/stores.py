"""What is stored, and having it normalised and priced again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.traces.filters import check_text
from pilothouse.traces.windows import parse_moment, time_range

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["store"])


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
    return answer(changed, next=["pilothouse doctor"])
