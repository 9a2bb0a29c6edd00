"""The controls each level demands, and whether telemetry shows them: present, missing, or nobody can tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pilothouse.signals.failure_text import said_failure

from .agent_runs import AgentRuns, AgentTrace, Row
from .model import Control, ControlState, TraceStep
from .system_map import handoff_target

LIMIT_WORDS = re.compile(
    r"(?:max(?:imum)?|too many|step|turn|iteration|recursion|budget|cost|token|time)[\s_-]*(?:number of )?"
    r"(?:steps?|turns?|iterations?|limit|exceeded|reached|budget)|limit (?:reached|exceeded)|MaxTurnsExceeded|RecursionError",
    re.IGNORECASE,
)
"""Words of an error that says: a limit of the agent's own stopped it."""
RUNAWAY_CALLS = 50
"""Model calls of one run from which a missing limit is no longer a guess."""
_ARGUMENTS = re.compile(
    r"invalid (?:argument|input|parameter)|validation ?error|missing required|schema", re.IGNORECASE
)
_MOST = 0.95
_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What is known of the traces beside their spans."""

    judged: int | None = None
    """Traces with a score; None where nobody looked."""


class Seen(NamedTuple):
    """Whether a control is there, why, and where to look."""

    state: ControlState
    why: str
    examples: Sequence[TraceStep] = ()


class _Demand(NamedTuple):
    level: int
    name: str
    meaning: str
    see: Callable[[AgentRuns, Beside], Seen]
    remedy: str


def controls(runs: AgentRuns, level: int, beside: Beside) -> list[Control]:
    """What a level and those below it demand, each as it is seen."""
    made: list[Control] = []
    for demand in _DEMANDS:
        if demand.level > level:
            continue
        seen = demand.see(runs, beside)
        made.append(
            Control(
                level=demand.level,
                name=demand.name,
                meaning=demand.meaning,
                state=seen.state,
                why=seen.why,
                examples=tuple(seen.examples[:_EXAMPLES]),
                remedy="" if seen.state == "present" else demand.remedy,
            )
        )
    return made


def limit_stops(runs: AgentRuns) -> list[TraceStep]:
    """Runs that a limit of their own stopped, by what their errors say."""
    found: list[TraceStep] = []
    for trace in runs.traces:
        for span in trace.spans:
            said = span["error"] or span["error_type"]
            if span["status"] == "error" and span["kind"] in ("agent", "chain", "other") and LIMIT_WORDS.search(said):
                found.append(trace.at(span, said))
                break
    return found


def longest_run(runs: AgentRuns) -> tuple[int, TraceStep | None]:
    """The most model calls of one trace, and where."""
    most, where = 0, None
    for trace in runs.traces:
        models = trace.kind("model")
        if len(models) > most:
            most, where = len(models), trace.at(models[-1], f"{len(models)} model calls")
    return most, where


def _versioned(runs: AgentRuns, _: Beside) -> Seen:
    bare = [trace.at(trace.top, "no version") for trace in runs.traces if not _version(trace)]
    if not bare:
        return Seen("present", f"every one of {len(runs.traces)} traces names a version")
    return Seen("missing", f"{len(bare)} of {len(runs.traces)} traces name no version", bare)


def _version(trace: AgentTrace) -> str:
    return str(
        trace.row["agent_version"] or next((span["agent_version"] for span in trace.spans if span["agent_version"]), "")
    )


def _tool_errors(runs: AgentRuns, _: Beside) -> Seen:
    tools = list(runs.spans("tool"))
    failed = [
        trace.at(span, span["error"] or span["tool_error"])
        for trace, span in tools
        if span["status"] == "error" or span["tool_error"]
    ]
    hidden = [trace.at(span, span["output_head"]) for trace, span in tools if hidden_failure(span)]
    if hidden:
        return Seen("missing", f"{len(hidden)} results of tools say that they failed, and their spans say ok", hidden)
    if failed:
        return Seen("present", f"{len(failed)} of {len(tools)} tool calls are recorded as failed", failed)
    return Seen("unknown", f"none of {len(tools)} tool calls failed, so nobody can tell what a failure would look like")


def hidden_failure(span: Row) -> str:
    """Why a tool call failed though its span says ok and nothing else; empty where it did not."""
    if span["kind"] != "tool" or span["status"] == "error" or span["tool_error"]:
        return ""
    return said_failure(span["output_head"], span["tool_name"] or span["name"])


def _arguments(runs: AgentRuns, _: Beside) -> Seen:
    decided = [
        trace.at(span, "recorded as valid or not") for trace, span in runs.spans("model") if span["decision_valid"]
    ]
    refused = [trace.at(span, span["error"] or span["tool_error"]) for trace, span in runs.spans("tool")
               if _ARGUMENTS.search(f"{span['error_type']} {span['error']} {span['tool_error']}")]  # fmt: skip
    if refused or decided:
        what = (
            f"{len(refused)} calls were refused for their arguments"
            if refused
            else f"{len(decided)} decisions were checked"
        )
        return Seen("present", what, refused or decided)
    return Seen("unknown", "no call was refused for its arguments; whether any would be is not to be seen")


def _effects(runs: AgentRuns, _: Beside) -> Seen:
    # Handing over does nothing to the world by itself.
    tools = [call for call in runs.spans("tool") if not handoff_target(call[1]["tool_name"] or call[1]["name"])]
    bare = [trace.at(span, span["tool_name"] or span["name"]) for trace, span in tools if not span["effect"]]
    if not bare:
        return Seen("present", f"all {len(tools)} tool calls say whether they read or write")
    names = sorted({span["tool_name"] or span["name"] for _, span in tools if not span["effect"]})
    return Seen("missing", f"{len(bare)} of {len(tools)} tool calls do not: {', '.join(names[:5])}", bare)


def _limit(runs: AgentRuns, _: Beside) -> Seen:
    stopped = limit_stops(runs)
    if stopped:
        return Seen("present", f"{len(stopped)} traces were stopped by a limit", stopped)
    most, where = longest_run(runs)
    if most >= RUNAWAY_CALLS:
        return Seen("missing", f"one run made {most} model calls and nothing stopped it", [where] if where else ())
    return Seen("unknown", f"no run came near one: the longest made {most} model calls", [where] if where else ())


def _loops(runs: AgentRuns, _: Beside) -> Seen:
    looped = [trace for trace in runs.traces if {"loop", "ping_pong"} & set(trace.row["signals"])]
    if not looped:
        return Seen("unknown", "no trace went round in a circle, so nobody can tell whether it would be stopped")
    stopped = [trace for trace in looped if any(LIMIT_WORDS.search(span["error"]) for span in trace.spans)]
    examples = [trace.at(trace.top, "it repeats itself") for trace in looped]
    if len(stopped) == len(looped):
        return Seen("present", f"{len(looped)} traces repeated themselves and all were stopped", examples)
    return Seen(
        "missing", f"{len(looped) - len(stopped)} of {len(looped)} traces that repeated themselves went on", examples
    )


def _gate(runs: AgentRuns, _: Beside) -> Seen:
    gated = 0
    bare: list[TraceStep] = []
    for trace in runs.traces:
        models = trace.kind("model")
        checks = trace.kind("guard", "evaluator")
        if models and any(check["start_ns"] > models[-1]["start_ns"] for check in checks):
            gated += 1
        elif "premature_finish" in trace.row["signals"]:
            bare.append(trace.at(models[-1] if models else None, "finished too early"))
    if bare:
        return Seen("missing", f"{len(bare)} traces finished too early and nothing checked them", bare)
    if gated >= _MOST * len(runs.traces):
        return Seen("present", f"a guard or an evaluator looks at the answer in {gated} of {len(runs.traces)} traces")
    return Seen("unknown", f"a check of the answer is recorded in {gated} of {len(runs.traces)} traces")


def _states(runs: AgentRuns, _: Beside) -> Seen:
    told = sum(bool(trace.states) for trace in runs.traces)
    if told:
        return Seen("present", f"{told} of {len(runs.traces)} traces report planning, executing, waiting and so on")
    return Seen("missing", f"none of {len(runs.traces)} traces reports a state: a pause looks like work")


def _context(runs: AgentRuns, _: Beside) -> Seen:
    torn = [
        trace.at(trace.top, f"{trace.row['orphans']} spans without their parent")
        for trace in runs.traces
        if trace.row["orphans"]
    ]
    if torn:
        return Seen("missing", f"{len(torn)} of {len(runs.traces)} traces have spans whose parent never arrived", torn)
    crossed = sum(len({span["service"] for span in trace.spans if span["service"]}) > 1 for trace in runs.traces)
    return Seen("present", f"no trace is torn; {crossed} of {len(runs.traces)} cross from service to service")


def _contracts(runs: AgentRuns, _: Beside) -> Seen:
    given = [
        (trace, span)
        for trace, span in runs.spans("agent")
        if trace.top is not None and span["span_id"] != trace.top["span_id"]
    ]
    told = [(trace, span) for trace, span in given if span["input_head"]]
    if not told:
        return Seen("unknown", f"what the other agents were given is not recorded in any of {len(given)} runs")
    loose = [
        trace.at(span, span["input_head"]) for trace, span in told if span["input_head"].lstrip()[:1] not in ("{", "[")
    ]
    if loose:
        return Seen(
            "missing", f"{len(loose)} of {len(told)} tasks are handed over as prose, not as named fields", loose
        )
    return Seen("present", f"all {len(told)} tasks are handed over as named fields")


def _attributed(runs: AgentRuns, _: Beside) -> Seen:
    calls = [(trace, span) for trace, span in runs.spans("model") if span["usage_scope"] != "aggregate"]
    bare = [trace.at(span, span["model"]) for trace, span in calls if not span["agent"]]
    if len(bare) > (1 - _MOST) * len(calls):
        return Seen("missing", f"{len(bare)} of {len(calls)} model calls name no agent: their cost is nobody's", bare)
    return Seen("present", f"{len(calls) - len(bare)} of {len(calls)} model calls name their agent")


def _judged(runs: AgentRuns, beside: Beside) -> Seen:
    judges = sum(bool(trace.kind("evaluator")) for trace in runs.traces)
    if judges or beside.judged:
        return Seen("present", f"{max(judges, beside.judged or 0)} of {len(runs.traces)} traces carry a judgement")
    if beside.judged is None:
        return Seen("unknown", "scores are looked up where one agent is asked for")
    return Seen(
        "missing", f"none of {len(runs.traces)} traces carries a score: whether a correction helped is not known"
    )


def _changes(runs: AgentRuns, beside: Beside) -> Seen:
    seen = _versioned(runs, beside)
    kinds = {_version(trace) for trace in runs.traces} - {""}
    return Seen(seen.state, f"{seen.why}; {len(kinds)} versions", seen.examples)


def _human(runs: AgentRuns, _: Beside) -> Seen:
    asked = [
        trace.at(span, "a person was asked") for trace, span in runs.spans("waiting") if span["wait_for"] == "human"
    ]
    if asked:
        return Seen("present", f"a person was asked {len(asked)} times", asked)
    return Seen("unknown", "nobody was asked in these traces; whether anybody would be is not to be seen")


_WRAP = 'record tools through the recorder:\n@pilothouse.tool(effect="write", idempotency_key=lambda order: order)\ndef refund(order: str) -> dict: ...'

_DEMANDS = (
    _Demand(1, "versions_recorded", "every trace says which version of the agent ran", _versioned,
            'pilothouse.init(version="1.4.2"), or the resource attribute service.version'),
    _Demand(2, "tool_errors_recorded", "a failing tool is recorded as failed", _tool_errors,
            "raise from the tool, or return isError: pilothouse.tool records both as failures"),
    _Demand(2, "arguments_validated", "arguments of tools are checked before they are used", _arguments,
            "refuse arguments that do not fit the tool's schema, with an error the model can read"),
    _Demand(2, "effects_annotated", "every tool says whether it reads, writes or reaches outside", _effects, _WRAP),
    _Demand(3, "step_or_cost_limit", "a run that does not end is ended", _limit,
            "give the agent a limit of steps and of money, and let it fail with an error that says so"),
    _Demand(3, "loop_detection", "a run that goes round in a circle is stopped", _loops,
            "stop after the same call with the same result three times; pilothouse ls signal:loop shows where"),
    _Demand(3, "finish_gate", "an answer is checked before it is given", _gate,
            "check the answer against the plan before it is sent, and record the check as a guard or evaluator span"),
    _Demand(3, "state_recorded", "what the agent is doing is recorded while it does it", _states,
            'pilothouse.state("planning"), pilothouse.state("executing"), pilothouse.waiting("human")'),
    _Demand(4, "context_crosses_agents", "one trace holds the work of all agents", _context,
            "pass pilothouse.inject() along with each call to another agent, and pilothouse.extract() there"),
    _Demand(4, "handoff_contracts", "work is handed over as named fields, not as prose", _contracts,
            "give the other agent a JSON object with the task, its inputs and what counts as done"),
    _Demand(4, "cost_attributed", "every call's cost belongs to an agent", _attributed,
            "wrap each agent: @pilothouse.agent(name=\"researcher\")"),
    _Demand(5, "corrections_evaluated", "whether a correction made it better is measured", _judged,
            "score traces before and after the correction, and send the scores along"),
    _Demand(5, "change_log", "what the agent changed about itself can be looked up", _changes,
            "give every change of prompt or tools a version, and record it with pilothouse.init(version=…)"),
    _Demand(5, "human_gate", "a person agrees before a correction takes effect", _human,
            'with pilothouse.waiting("human"): wait_for_approval()'),
)  # fmt: skip
