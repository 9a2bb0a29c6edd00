"""From the spans of a trace, as far as they have arrived, to its row in the list of traces."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pilothouse.records import iso
from pilothouse.signals import to_json as signals_json
from pilothouse.store.schema import TOKEN_BUCKETS

from .judge import Judge
from .moments import stored_milliseconds, stored_time
from .trace_state import Fact, TraceState


def trace_row(state: TraceState, judge: Judge, *, now_ns: int, version: int) -> list[Any]:
    """The values of ``schema.TRACE`` in order; what is wrong with the trace is judged on the way."""
    facts = sorted(state.facts.values(), key=lambda fact: (fact.start_ns, fact.step))
    roots = [fact for fact in facts if not fact.parent_span_id]
    tops = roots or [fact for fact in facts if fact.parent_span_id not in state.facts]
    root = _main_root(tops) if tops else facts[0]
    counted = [fact for fact in facts if fact.usage_scope != "aggregate" and not fact.duplicate_of]
    models = [fact for fact in facts if fact.kind == "model" and not fact.duplicate_of]
    failed = [fact for fact in facts if fact.status == "error" or fact.tool_error]
    running = sum(fact.status == "running" for fact in facts)
    costs = [fact.cost_usd for fact in counted if fact.cost_usd is not None]
    unknown = sum(fact.cost_usd is None and any(fact.tokens) for fact in counted)
    start_ns = facts[0].start_ns
    end_ns = max(fact.end_ns for fact in facts)
    orphans = sum(bool(fact.parent_span_id) and fact.parent_span_id not in state.facts for fact in facts)
    duplicates = sum(bool(fact.duplicate_of) for fact in facts)
    agent = _agent(root, facts)
    signals = judge.judge(state, facts, agent=agent, open_=not roots or running > 0, now_ns=now_ns)
    return [
        state.project_id,
        state.trace_id,
        roots[0].span_id if roots else "",
        root.name,
        agent,
        root.agent_version or _first(facts, "agent_version"),
        _distinct(fact.agent for fact in facts if fact.kind == "agent"),
        _distinct(fact.model for fact in models),
        _distinct(fact.tool_name for fact in facts if fact.kind == "tool"),
        _distinct(fact.dialect for fact in facts),
        "error" if root.status == "error" or (not roots and failed) else "ok",
        int(not roots or root.status == "running"),
        running,
        stored_time(start_ns),
        end_ns - start_ns,
        len(facts),
        len(models),
        sum(fact.kind == "tool" and not fact.duplicate_of for fact in facts),
        len(failed),
        duplicates,
        orphans,
        *(sum(fact.tokens[place] for fact in counted) for place in range(len(TOKEN_BUCKETS))),
        str(sum(costs, Decimal(0))) if costs else None,
        unknown,
        sum(fact.usage_ambiguous for fact in counted),
        _usage_gap(facts, counted),
        root.session_id or _first(facts, "session_id"),
        root.user_id or _first(facts, "user_id"),
        root.environment or _first(facts, "environment"),
        root.service or _first(facts, "service"),
        root.feature or _first(facts, "feature"),
        sorted({tag for fact in facts for tag in fact.tags})[:50],
        root.input_text or _request(models),
        root.output_text or _answer(models),
        _first_error(failed),
        [signal.name for signal in signals],
        signals_json(signals),
        stored_milliseconds(state.received_ns),
        state.received_day,
        version,
    ]


def _main_root(tops: list[Fact]) -> Fact:
    # Several spans without a parent: the trace is named after the agent among them, else after the longest.
    return max(tops, key=lambda fact: (fact.kind == "agent", fact.duration_ns, -fact.start_ns))


def _agent(root: Fact, facts: list[Fact]) -> str:
    if root.agent:
        return root.agent
    return next((fact.agent for fact in facts if fact.agent), "")


def _first(facts: list[Fact], field: str) -> str:
    return next((value for fact in facts if (value := getattr(fact, field))), "")


def _distinct(values: Any) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))[:100]


def _request(models: list[Fact]) -> str:
    return models[0].input_text if models else ""


def _answer(models: list[Fact]) -> str:
    spoken = [fact for fact in models if fact.output_text]
    return max(spoken, key=lambda fact: fact.end_ns).output_text if spoken else ""


def _first_error(failed: list[Fact]) -> str:
    if not failed:
        return ""
    # The innermost failure tells more than the parents that repeat it: of those at the front, the last to start.
    first = min(failed, key=lambda fact: (fact.end_ns, -fact.start_ns))
    return (first.error_message or first.tool_error or f"{first.name} failed at {iso(first.end_ns)}")[:1000]


def _usage_gap(facts: list[Fact], counted: list[Fact]) -> int:
    """Tokens that the outermost aggregate says beyond what its leaves add up to; 0 without aggregates."""
    aggregates = [fact for fact in facts if fact.usage_scope == "aggregate" and not fact.duplicate_of]
    if not aggregates:
        return 0
    outermost = max(aggregates, key=lambda fact: fact.duration_ns)
    return sum(outermost.tokens) - sum(sum(fact.tokens) for fact in counted)
