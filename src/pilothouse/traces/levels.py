"""Agent levels: what an agent shows in its traces, from stateless to self-correcting, and the controls it then needs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

from pilothouse.store import TraceStore
from pilothouse.store import audit_reads as reads

from .agent_runs import AgentRuns, AgentTrace, Row, runs_of, runs_of_all
from .charts import share
from .graph_roles import names_critic
from .level_controls import Beside, controls
from .model import AgentLevel, Levels, TraceStep, Trait
from .system_map import handoff_target
from .windows import time_range

NAMES: Mapping[int, str] = {
    0: "unknown",
    1: "stateless",
    2: "tool-augmented",
    3: "autonomous",
    4: "multi-agent",
    5: "self-correcting",
}
AGENTS_MAX = 200
_TRACES_EACH = 20
"""Traces of each agent where all are classified at once."""
_SHARE = 0.1
_FEW = 5
_EXAMPLES = 3
_ROUNDS = 3
_PLAN = re.compile(r"plan|todo|think", re.IGNORECASE)

Shows = Callable[[AgentTrace], TraceStep | None]


class _Rule(NamedTuple):
    level: int
    name: str
    meaning: str
    shows: Shows


def levels(
    store: TraceStore, project: str, *, agent: str = "", since_ns: int | None = None, until_ns: int | None = None
) -> Levels:
    """The level of one agent from its newest 200 traces, or of every agent from twenty traces each.

    Raises:
        NotFound: no trace of the window has the agent.
    """
    covered = time_range(since_ns, until_ns)
    if agent:
        found = [runs_of(store, project, agent, covered)]
    else:
        found = runs_of_all(store, project, covered, agents_max=AGENTS_MAX, traces_max=_TRACES_EACH)
    made = [level_of(runs, _beside(store, project, runs) if agent else Beside()) for runs in found]
    made.sort(key=lambda one: (-one.level, -one.looked.of_traces, one.agent))
    return Levels(window=covered.as_window(), agents=tuple(made))


def _beside(store: TraceStore, project: str, runs: AgentRuns) -> Beside:
    return Beside(judged=reads.judged(store, project, runs.trace_ids))


def level_of(runs: AgentRuns, beside: Beside) -> AgentLevel:
    """The highest level whose trait is shown often enough: in one trace of ten, and twice unless they are few."""
    traits = tuple(_trait(rule, runs) for rule in _RULES)
    level = max((trait.level for trait in traits if trait.counts), default=0)
    demanded = controls(runs, level, beside)
    return AgentLevel(
        agent=runs.agent,
        level=level,
        name=NAMES[level],
        looked=runs.looked,
        traits=traits,
        controls=tuple(sorted(demanded, key=lambda one: (_STATES.index(one.state), one.level))),
        present=sum(one.state == "present" for one in demanded),
        missing=sum(one.state == "missing" for one in demanded),
        unknown=sum(one.state == "unknown" for one in demanded),
    )


_STATES = ("missing", "unknown", "present")


def _trait(rule: _Rule, runs: AgentRuns) -> Trait:
    shown = [step for trace in runs.traces if (step := rule.shows(trace)) is not None]
    part = share(len(shown), len(runs.traces))
    enough = 1 if len(runs.traces) < _FEW else 2
    return Trait(
        level=rule.level,
        name=rule.name,
        meaning=rule.meaning,
        traces=len(shown),
        share=part,
        counts=len(shown) >= enough and part >= _SHARE,
        examples=tuple(shown[:_EXAMPLES]),
    )


def _stateless(trace: AgentTrace) -> TraceStep | None:
    models = trace.kind("model")
    first = models[0] if models else trace.top
    return None if first is None else trace.at(first, f"{len(models)} model calls")


def _tools(trace: AgentTrace) -> TraceStep | None:
    used = trace.kind("tool", "retrieval")
    return trace.at(used[0], f"{len(used)} calls of tools or retrievers") if used else None


def _autonomous(trace: AgentTrace) -> TraceStep | None:
    planned = next((state for state in trace.states if state["after"] == "planning"), None)
    if planned is not None:
        span = next((span for span in trace.spans if span["span_id"] == planned["span_id"]), None)
        return trace.at(span, "it reports that it plans")
    for span in trace.kind("tool"):
        if _PLAN.search(span["tool_name"] or span["name"]):
            return trace.at(span, f"it plans with {span['tool_name'] or span['name']}")
    rounds: dict[str, list[Row]] = defaultdict(list)
    for span in trace.kind("model", "tool"):
        rounds[span["agent"]].append(span)
    for spans in rounds.values():
        turns = [span for before, span in pairwise(spans)
                 if before["kind"] == "tool" and span["kind"] == "model"]  # fmt: skip
        if len(turns) >= _ROUNDS:
            return trace.at(turns[-1], f"{len(turns)} rounds of tools and model, decided by the model")
    return None


def _multi_agent(trace: AgentTrace) -> TraceStep | None:
    if trace.top is None:
        return None
    own = trace.top["agent"] or trace.top["name"]
    for span in trace.kind("agent", "tool"):
        if span["kind"] == "agent" and (span["agent"] or span["name"]) != own:
            return trace.at(span, f"it works with {span['agent'] or span['name']}")
        handed = handoff_target(span["tool_name"] or span["name"]) if span["kind"] == "tool" else ""
        if handed:
            return trace.at(span, f"it hands over to {handed}")
    return None


def _self_correcting(trace: AgentTrace) -> TraceStep | None:
    reflected = next((state for state in trace.states if state["after"] == "reflecting"), None)
    if reflected is not None:
        again = [state for state in trace.states
                 if state["time_ns"] > reflected["time_ns"] and state["after"] in ("executing", "planning")]  # fmt: skip
        if again:
            span = next((span for span in trace.spans if span["span_id"] == reflected["span_id"]), None)
            return trace.at(span, f"after reflecting it goes back to {again[0]['after']}")
    for judge in trace.kind("agent", "evaluator"):
        name = judge["agent"] or judge["name"]
        if judge["kind"] == "agent" and not names_critic(name):
            continue
        ended = judge["start_ns"] + judge["duration_ns"]
        ran_before = {
            span["agent"] or span["name"] for span in trace.kind("agent") if span["start_ns"] < judge["start_ns"]
        }
        for span in trace.kind("agent"):
            other = span["agent"] or span["name"]
            if span["start_ns"] >= ended and other in ran_before and other != name:
                return trace.at(judge, f"{name} judged, and {other} ran again")
        worked = [span for span in trace.kind("tool") if span["start_ns"] >= ended]
        if judge["kind"] == "evaluator" and worked:
            return trace.at(judge, f"{name} judged, and the work went on")
    return None


_RULES = (
    _Rule(1, "stateless", "it calls a model and answers", _stateless),
    _Rule(2, "tools", "it uses tools or retrieves documents", _tools),
    _Rule(3, "autonomous", "it goes on by itself: three rounds of tools and model or more, or it plans", _autonomous),
    _Rule(4, "multi_agent", "it works with other agents, or hands work over", _multi_agent),
    _Rule(5, "self_correcting", "its work is judged, and then done again", _self_correcting),
)
