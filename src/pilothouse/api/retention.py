"""How long what is kept: the rules of a project, and applying them now."""

from __future__ import annotations

import time
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.store.control_store import RetentionRule
from pilothouse.store.retention import apply_rules
from pilothouse.traces.filters import check_text

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["retention"])


class Rule(BaseModel):
    """How long and how much is kept."""

    model_config = ConfigDict(extra="forbid")

    environment: str = Field("", max_length=200, description="Empty: every environment without a rule of its own.")
    kind: Literal["traces", "logs"] = Field("traces", description="traces, or log records and metrics.")
    days: int | None = Field(None, ge=1, le=36_500, description="Days after the end of a trace; null: no bound by age.")
    budget_bytes: int | None = Field(
        None, ge=1_000_000, le=2**62, description="Bytes on disk, the oldest go first; null: no bound by size."
    )


class Apply(BaseModel):
    """Whether to delete, or only to say what would be."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(True, description="Only count.")


@router.get("/retention", response_model=Envelope[list[Rule]])
def show(caller: Caller) -> Response:
    """The project's rules; without one everything is kept."""
    caller.need("read")
    return answer([_shown(rule) for rule in caller.control.retention(caller.project_id)])


@router.post("/retention", response_model=Envelope[Rule])
def set_rule(caller: Caller, wanted: Rule) -> Response:
    """Set a rule; with neither days nor budget it is dropped. Nothing is deleted by this call. Needs admin."""
    caller.need("admin")
    check_text(wanted.environment, "environment", 200)
    rule = RetentionRule(
        project_id=caller.project_id,
        environment=wanted.environment,
        kind=wanted.kind,
        days=wanted.days,
        budget_bytes=wanted.budget_bytes,
    )
    caller.control.set_retention(rule)
    caller.audit("set retention", repr(_shown(rule)))
    return answer(_shown(rule), next=["pilothouse retention apply --dry-run"])


@router.post("/retention/apply", response_model=Envelope[list[dict[str, Any]]])
def apply(caller: Caller, wanted: Apply) -> Response:
    """Delete what the rules say is over, whole traces at a time, and say what is kept. Needs admin."""
    caller.need("admin")
    rules = caller.control.retention(caller.project_id)
    deleted = apply_rules(caller.store, rules, time.time_ns(), dry_run=wanted.dry_run)
    if not wanted.dry_run:
        caller.audit("apply retention", f"{sum(entry.traces for entry in deleted)} traces deleted")
    return answer(deleted)


def _shown(rule: RetentionRule) -> dict[str, Any]:
    return {
        "environment": rule.environment,
        "kind": rule.kind,
        "days": rule.days,
        "budget_bytes": rule.budget_bytes,
    }
