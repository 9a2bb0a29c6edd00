"""What agents are to each other in one trace: manager, router, worker, critic. Rules, no model; said to be inferred."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from .model import Role

_CRITIC = re.compile(r"critic|judge|review|evaluat|verif|grader|reflect|\bqa\b", re.IGNORECASE)
_ROUTER = re.compile(r"router|triage|dispatch|classifier", re.IGNORECASE)
_MANAGER = re.compile(r"manager|orchestrat|supervisor|coordinator|planner|\blead\b", re.IGNORECASE)


def names_critic(name: str) -> bool:
    """True where an agent's name says that it judges."""
    return _CRITIC.search(name) is not None


class AgentRun(NamedTuple):
    """One run of an agent. A plain tuple: a trace may have tens of thousands."""

    span_id: str
    node: str
    label: str
    caller: str
    """The agent run that called it; empty at the top."""
    start_ms: float
    end_ms: float
    last_model_ms: float
    """When its own last model call began; -1 where it made none."""
    tools: int
    """Tools it called itself."""


class Found(NamedTuple):
    """A role and the rule that told."""

    role: Role
    why: str


def roles(runs: Sequence[AgentRun], handed: Collection[tuple[str, str]]) -> dict[str, Found]:
    """The role of each node, the first rule that fits:

    1. critic: it is named so and calls no agent, or it runs between two runs of another agent of the same
       caller and uses no tool (who uses tools works);
    2. router: it hands work over, or it is named so and calls agents, or each of its runs calls one agent and says
       nothing afterwards while its runs call different ones;
    3. manager: it calls other agents;
    4. worker: another agent calls it, or hands work to it.
    An agent alone in its trace has no role.
    """
    below: dict[str, list[AgentRun]] = defaultdict(list)
    by_id = {run.span_id: run for run in runs}
    for run in runs:
        if run.caller:
            below[run.caller].append(run)
    callees: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    callers: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        above = by_id.get(run.caller)
        if above is not None and above.node != run.node:
            callees[above.node][run.node] += 1
            callers[run.node].add(above.label)
    between = _between(below)
    found: dict[str, Found] = {}
    for node in dict.fromkeys(run.node for run in runs):
        name = node.partition(":")[2]
        gives = [target.partition(":")[2] for source, target in handed if source == node]
        takes = [source.partition(":")[2] for source, target in handed if target == node]
        if not callees[node] and not gives and callers[node] and _CRITIC.search(name):
            found[node] = Found("critic", "its name says so, and it calls no other agent")
        elif node in between and not callees[node]:
            found[node] = Found("critic", f"it runs between two runs of {between[node]}")
        elif gives:
            found[node] = Found("router", f"it hands over to {_list(gives)}")
        elif callees[node] and _ROUTER.search(name) and not _MANAGER.search(name):
            found[node] = Found("router", f"its name says so, and it calls {_list(_labels(callees[node]))}")
        elif callees[node] and _only_routes(node, runs, below):
            found[node] = Found("router", "each of its runs calls one agent and says nothing afterwards")
        elif callees[node]:
            calls = sum(callees[node].values())
            found[node] = Found("manager", f"it calls {_list(_labels(callees[node]))}, {calls:,} times in all")
        elif callers[node]:
            found[node] = Found("worker", f"{_list(sorted(callers[node]))} calls it, and it calls no other agent")
        elif takes:
            found[node] = Found("worker", f"{_list(takes)} hands work to it")
    return found


def _labels(nodes: Collection[str]) -> list[str]:
    return [node.partition(":")[2] for node in nodes]


def _list(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3:,} more" if len(shown) > 3 else "")


def _between(below: dict[str, list[AgentRun]]) -> dict[str, str]:
    """Nodes that run after one run of a sibling and before its next, with that sibling's label."""
    found: dict[str, str] = {}
    for siblings in below.values():
        ordered = sorted(siblings, key=lambda run: run.start_ms)
        for first, middle, last in zip(ordered, ordered[1:], ordered[2:], strict=False):
            again = first.node == last.node != middle.node
            if again and first.end_ms <= middle.start_ms and middle.end_ms <= last.start_ms:
                found.setdefault(middle.node, first.label)
    for run in (run for siblings in below.values() for run in siblings if run.tools):
        found.pop(run.node, None)
    # Two agents that take turns would each stand between the other's runs: who began is no critic.
    for siblings in below.values():
        first = min(siblings, key=lambda run: run.start_ms)
        found.pop(first.node, None)
    return found


def _only_routes(node: str, runs: Sequence[AgentRun], below: dict[str, list[AgentRun]]) -> bool:
    own = [run for run in runs if run.node == node]
    if any(len(below[run.span_id]) != 1 or run.last_model_ms < 0 for run in own):
        return False
    if any(run.last_model_ms > below[run.span_id][0].start_ms for run in own):
        return False
    return len({below[run.span_id][0].node for run in own}) > 1


def side_by_side(runs: Sequence[AgentRun]) -> dict[str, int]:
    """For each node the most runs of one caller that were open at once while one of the node's was; at least 1."""
    below: dict[str, list[AgentRun]] = defaultdict(list)
    for run in runs:
        below[run.caller].append(run)
    most: dict[str, int] = {}
    for siblings in below.values():
        # An end before a start at the same moment: one after the other is not side by side.
        moments = sorted(
            [(run.start_ms, 1, run.node) for run in siblings]
            + [(max(run.end_ms, run.start_ms + 0.001), 0, run.node) for run in siblings],
            key=lambda moment: (moment[0], moment[1]),
        )
        running: dict[str, int] = defaultdict(int)
        total = 0
        for _, starts, node in moments:
            total += 1 if starts else -1
            running[node] += 1 if starts else -1
            if not running[node]:
                del running[node]
            if starts:
                for other in running:
                    most[other] = max(most.get(other, 1), total)
    return most
