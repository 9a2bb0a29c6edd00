"""The plan of a trace as it stood last, how it came to be, and what else the runtime did: told by span events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.records import iso, names
from pilothouse.store import TraceStore
from pilothouse.store.decision_reads import runtime_events
from pilothouse.store.gateway_reads import gateway_steps

from .load import head, load
from .model import AgentPlan, PlanTask, RuntimeEvent, Span, TracePlan

_EVENTS_MAX = 1_000
_SAID_MAX = 500
_TASKS_MAX = 200
_GATEWAY = "pilothouse.gateway"

Attributes = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """A span event of the runtime."""

    span_id: str
    time_ns: int
    name: str
    attributes: Attributes


def plan(store: TraceStore, project: str, trace_id: str) -> TracePlan:
    """What agents of a trace planned, what the runtime did to keep them to it, and what guards and gateway did.

    Raises:
        NotFound: there is no such trace.
    """
    top = head(store, project, trace_id)
    told = [
        _Told(span_id=row["span_id"], time_ns=row["time_ns"], name=row["name"], attributes=row["attributes"])
        for row in runtime_events(store, project, trace_id, limit=_EVENTS_MAX)
    ]
    told += [
        _Told(span_id=row["span_id"], time_ns=int(row["time_ns"]), name=_GATEWAY, attributes={"said": _passed_on(row)})
        for row in gateway_steps(store, project, trace_id, limit=_EVENTS_MAX)
    ]
    told.sort(key=lambda one: one.time_ns)
    spans = {span.span_id: span for span in load(store, project, trace_id).spans} if told else {}
    return plan_of(trace_id, told, spans, top.start_ns)


def plan_of(trace_id: str, told: Sequence[_Told], spans: Mapping[str, Span], start_ns: int) -> TracePlan:
    """The plans from what was told. Pure."""
    events: list[RuntimeEvent] = []
    versions: dict[str, list[_Told]] = {}
    for one in told:
        span = spans.get(one.span_id)
        events.append(
            RuntimeEvent(
                agent=span.agent if span is not None else "",
                step=span.step if span is not None else 0,
                time=iso(one.time_ns),
                offset_ms=round((one.time_ns - start_ns) / 1e6, 3),
                what=one.name.removeprefix("pilothouse."),
                said=_said(one.name, one.attributes)[:_SAID_MAX],
            )
        )
        if one.name == names.PLAN_EVENT:
            versions.setdefault(one.attributes.get(names.PLAN_KEY, ""), []).append(one)
    plans: list[AgentPlan] = []
    for key, changes in versions.items():
        # By number, not by time: two processes that change a plan have two clocks.
        newest = max(changes, key=lambda one: _number(one.attributes, names.PLAN_VERSION))
        span = spans.get(newest.span_id)
        plans.append(
            AgentPlan(
                key=key,
                agent=span.agent if span is not None else "",
                version=_number(newest.attributes, names.PLAN_VERSION),
                changes=len(changes),
                done=_number(newest.attributes, names.PLAN_DONE),
                open=_number(newest.attributes, names.PLAN_OPEN),
                tasks=_tasks(newest.attributes.get(names.PLAN_TASKS, "")),
            )
        )
    return TracePlan(trace_id=trace_id, plans=tuple(plans), events=tuple(events))


def _said(name: str, attributes: Attributes) -> str:
    def get(key: str) -> str:
        return " ".join(attributes.get(key, "").split())

    if name == names.PLAN_EVENT:
        return get(names.PLAN_CHANGE)
    if name == _GATEWAY:
        return get("said")
    if name == names.GUARD_EVENT:
        tool = f" of {get(names.GUARD_TOOL)}" if get(names.GUARD_TOOL) else ""
        found = get(names.GUARD_RULES) or "a check was down"
        return f"{get(names.GUARD_ACTION)} at {get(names.GUARD_GATE).replace('_', ' ')}{tool}: {found}"
    if name == names.GATE_EVENT:
        return f"{get(names.GATE_ACTION)}, {get(names.GATE_OPEN)} open. {get(names.GATE_MESSAGE)}".removesuffix(" ")
    if name == names.DATA_EVENT:
        size = f"{_number(attributes, names.DATA_BYTES):,} bytes, {get(names.DATA_SHOWN)} characters shown"
        return f"{get(names.DATA_LABEL)} as {get(names.DATA_ID)} ({get(names.DATA_KIND)}, {size})"
    if name == names.DRIFT_EVENT:
        return f"{get(names.DRIFT_KIND)}, {get(names.DRIFT_TO)} told. {get(names.DRIFT_TEXT)}".removesuffix(" ")
    if name == names.CATALOGUE_EVENT:
        asked = get(names.CATALOGUE_ASKED)
        return get(names.CATALOGUE_TOOL) + (f", called {asked}" if asked else "")
    return " ".join(filter(None, (get(names.MEMORY_ACTION), get(names.MEMORY_IDS), get(names.MEMORY_TEXT))))


def _passed_on(row: Mapping[str, Any]) -> str:
    """What the gateway did with a call beside passing it on, in a line."""
    said: list[str] = []
    if row["chosen_by"]:
        said.append(f"sent as {row['sent']}: {row['chosen_by']}")
    try:
        tried: Any = json.loads(row["tried"]) if row["tried"] else []
    except (ValueError, RecursionError):
        tried = []
    if isinstance(tried, list) and tried:
        said.append("tried before: " + "; ".join(str(one) for one in cast("list[Any]", tried)))
    if row["fell_back"]:
        said.append(f"fell back to {row['sent']}" + (f" from {row['asked']}" if row["asked"] else ""))
    if row["stood_in"]:
        said.append(f"a {row['stood_in']} reply stood in")
    if row["cache"] in ("hit", "meaning"):
        by = " by meaning" if row["cache"] == "meaning" else ""
        said.append(f"answered from the cache{by}" + (f", saved ${row['saved_usd']}" if row["saved_usd"] else ""))
    if row["error_type"] in ("over_budget", "rate_limited", "overloaded"):
        said.append(f"refused: {row['error_type'].replace('_', ' ')}")
    return "; ".join(said)


def _tasks(text: str) -> tuple[PlanTask, ...]:
    """The tasks as they were sent; anything else that stands there is none."""
    try:
        found: Any = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return ()
    listed = cast("list[Any]", found) if isinstance(found, list) else []
    tasks = [cast("dict[str, Any]", one) for one in listed[:_TASKS_MAX] if isinstance(one, dict)]
    return tuple(
        PlanTask(
            id=str(one.get("id", "")),
            text=str(one.get("text", "")),
            state=str(one.get("state", "pending")),
            note=str(one.get("note", "")),
        )
        for one in tasks
    )


def _number(attributes: Attributes, key: str) -> int:
    text = attributes.get(key, "")
    return int(text) if text.isdecimal() and len(text) < 19 else 0
