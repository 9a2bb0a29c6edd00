"""The system map, audits and levels of the sample project: made from its traces, just enough to be shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal

from pilothouse.records import NotFound
from pilothouse.traces.graph import graph
from pilothouse.traces.model import (
    AgentLevel,
    Audit,
    AuditCheck,
    Component,
    Control,
    Examined,
    Levels,
    MapEdge,
    PromptUse,
    ServiceUse,
    SystemMap,
    Trace,
    TraceStep,
    Trait,
    Window,
)


def sample_map(traces: Sequence[Trace], window: Window, filters: str) -> SystemMap:
    """A map over the agent graphs of some traces."""
    calls, errors = Counter[str](), Counter[str]()
    slowest: dict[str, float] = defaultdict(float)
    edges: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    homes: dict[str, str] = {}
    for trace in traces:
        made = graph(trace)
        for node in made.nodes:
            calls[node.id] += node.calls
            errors[node.id] += node.errors
            slowest[node.id] = max(slowest[node.id], node.total_ms / max(node.calls, 1))
            homes.setdefault(node.id, trace.row.service)
        for edge in made.edges:
            edges[edge.source, edge.target][0] += edge.calls
            edges[edge.source, edge.target][1] += edge.errors
    components = tuple(
        Component(
            id=id, kind=id.partition(":")[0], label=id.partition(":")[2], services=(homes[id],), calls=number,
            errors=errors[id], error_share=errors[id] / max(number, 1), p95_ms=slowest[id], cost_usd=None,
            spent_usd=Decimal("0.42") if id.startswith("agent:") else None, versions=("1",), provider="",
            last_seen=traces[0].row.start_time, prompts=1 if id.startswith("agent:") else 0,
        )
        for id, number in calls.most_common()
    )  # fmt: skip
    return SystemMap(
        window=window, filter=filters, spans=sum(trace.row.spans for trace in traces), components=components,
        components_cut=0, edges_cut=0, edges_share=1.0, prompts_cut=0, prompts_share=1.0,
        edges=tuple(
            MapEdge(source=a, target=b, kind="calls", calls=n, errors=bad, error_share=bad / n, p95_ms=120.0)
            for (a, b), (n, bad) in edges.items()
        ),
        prompts=tuple(
            PromptUse(
                id="9f2c11d04be2", agent=one.label, name="", version="", hash="9f2c11d04be2aa01", calls=one.calls,
                head="You are a patient agent. <b>Never</b> promise\u202e a refund.", errors=0, cost_usd=Decimal("0.1"),
                models=("gpt-x",), last_seen=one.last_seen,
            )
            for one in components if one.kind == "agent"
        ),
        services=tuple(
            ServiceUse(service=name, hosts=("node-1",), spans=number, errors=0, components=number)
            for name, number in Counter(homes.values()).items() if name
        ),
    )  # fmt: skip


def sample_audit(agent: str, traces: Sequence[Trace], window: Window) -> Audit:
    """An audit with a check in each state."""
    mine = _of(agent, traces)
    step = TraceStep(trace_id=mine[0].row.trace_id, step=1, note="here")
    base = {
        "title": "Do tools that fail say so?",
        "count": 3,
        "of": 9,
        "examples": (step,),
        "look": "pilothouse show last",
    }
    checks = (
        AuditCheck(
            check="soft_errors_hidden", harm="high", state="failing", found="3 of 9 <failed>", remedy="raise", **base
        ),
        AuditCheck(
            check="logs_not_joined", harm="medium", state="cannot_tell", found="no log line", remedy="log", **base
        ),
        AuditCheck(check="orphans", harm="medium", state="passing", found="none", remedy="", **base),
    )
    looked = Examined(traces=len(mine), of_traces=len(mine), spans=9)
    return Audit(agent=agent, window=window, looked=looked, checks=checks, failing=1, cannot_tell=1, passing=1)


def sample_levels(agent: str, traces: Sequence[Trace], window: Window) -> Levels:
    """A level with a control in each state."""
    mine = _of(agent, traces)
    step = TraceStep(trace_id=mine[0].row.trace_id, step=1, note="here")
    level = AgentLevel(
        agent=agent, level=2, name="tool-augmented", looked=Examined(traces=len(mine), of_traces=len(mine), spans=9),
        traits=(Trait(level=2, name="tools", meaning="it uses tools", traces=1, share=1.0, counts=True, examples=(step,)),),
        controls=tuple(
            Control(level=2, name=state, meaning="effects", state=state, why="seen", examples=(step,), remedy="do")
            for state in ("missing", "unknown", "present")
        ),
        present=1, missing=1, unknown=1,
    )  # fmt: skip
    return Levels(window=window, agents=(level,))


def _of(agent: str, traces: Sequence[Trace]) -> list[Trace]:
    mine = [trace for trace in traces if agent in (trace.row.agent, *trace.row.agents)]
    if not mine:
        raise NotFound("no trace of this window has that agent", got=agent, fix="pilothouse fleet --since 7d")
    return mine
