"""Checks of an audit: failures that reach users, or repeat, without being seen."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from statistics import median

from .agent_runs import AgentRuns, AgentTrace, Row
from .audit_checks import Around, Check, Outcome, none_or_some
from .level_controls import RUNAWAY_CALLS, hidden_failure, limit_stops, longest_run
from .model import TraceStep

_ADMITS = re.compile(
    r"\b(?:error|fail\w*|unable|can(?:no|')t|could ?n[o']t|was not able|went wrong|unavailable|try again|sorry|apolog\w*"
    r"|problem|issue|not possible|unfortunately|timed? ?out|exception|incomplete|partial\w*|fehler|leider|erreur|désolé"
    r"|lo siento|erro)\b",
    re.IGNORECASE,
)
_WRITES = re.compile(
    r"(?:^|[_.\-/ ])(?:create|update|delete|remove|send|refund|pay|write|post|put|insert|cancel|book|transfer|charge|set"
    r"|submit|publish|deploy|approve|order|purchase|buy|move|rename|drop|merge|push|commit|execute)(?:$|[_.\-/ A-Z])",
    re.IGNORECASE,
)
_READS = re.compile(r"^(?:get|list|read|search|find|fetch|look|lookup|show|describe|count|check|query)", re.IGNORECASE)
_TIMEOUT = re.compile(r"time[sd]?[ -]?out|deadline", re.IGNORECASE)
_LONG_NS = 300_000_000_000
"""Five minutes: a call that takes longer has no timeout that anybody would notice."""
_LENGTH = ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens")
_USUAL_MIN = 20
"""Traces a day below which a drop says nothing."""
_DROP = 0.5
_ONE_MODEL = 0.95


def _hidden_soft_errors(runs: AgentRuns, _: Around) -> Outcome:
    tools = list(runs.spans("tool"))
    found = [
        trace.at(span, span["tool_error"] or hidden_failure(span))
        for trace, span in tools
        if span["status"] != "error" and (span["tool_error"] or hidden_failure(span))
    ]
    return none_or_some(
        found, len(tools), "{count} of {of} tool calls failed by their own words while their spans say ok",
        fine="no result of {of} tool calls reads like a failure while its span says ok", empty="it calls no tool",
    )  # fmt: skip


def _swallowed(runs: AgentRuns, _: Around) -> Outcome:
    found: list[TraceStep] = []
    looked = 0
    for trace in runs.traces:
        failed = [
            span
            for span in trace.kind("tool", "model", "retrieval", "agent")
            if span["status"] == "error" or span["tool_error"]
        ]
        ended_well = trace.row["status"] == "ok" and (trace.top is None or trace.top["status"] == "ok")
        if not failed or not ended_well:
            continue
        looked += 1
        unmended = [span for span in failed if not _mended(trace, span)]
        if unmended and trace.row["answer"] and not _ADMITS.search(trace.row["answer"]):
            what = unmended[0]
            found.append(trace.at(what, what["error"] or what["tool_error"] or what["error_type"]))
    if not looked:
        return Outcome(
            state="cannot_tell", found="no trace ended well after a failure inside it, so none could be hidden"
        )
    return none_or_some(
        found, looked, "{count} of {of} traces with a failure inside ended as ok with an answer that does not mention it",
        fine="in all {of} traces that ended well after a failure, it was made good or the answer mentions it",
    )  # fmt: skip


def _mended(trace: AgentTrace, failed: Row) -> bool:
    """True where the same thing worked later."""
    same = (failed["kind"], failed["tool_name"] or failed["name"]) if failed["kind"] != "model" else ("model", "")
    for span in trace.kind(failed["kind"]):
        key = (span["kind"], span["tool_name"] or span["name"]) if span["kind"] != "model" else ("model", "")
        if key == same and span["start_ns"] > failed["start_ns"] and span["status"] == "ok" and not span["tool_error"]:
            return True
    return False


def _answers(runs: AgentRuns, _: Around) -> Outcome:
    asked = [trace for trace in runs.traces if trace.is_root and trace.row["status"] == "ok" and not trace.row["open"]]
    if not asked:
        return Outcome(
            state="cannot_tell", found="no trace of it alone ended well: it works for other agents, or fails"
        )
    if not any(trace.row["answer"] for trace in asked):
        return Outcome(state="cannot_tell", found="no answer is recorded: content is switched off", of=len(asked))
    found: list[TraceStep] = []
    for trace in asked:
        models = trace.kind("model")
        last = max(models, key=lambda span: span["start_ns"] + span["duration_ns"], default=None)
        if not trace.row["answer"].strip():
            found.append(trace.at(last or trace.top, "the answer is empty"))
        elif last is not None and last["finish_reason"] in _LENGTH:
            found.append(trace.at(last, f"cut off: finish reason {last['finish_reason']}"))
    return none_or_some(
        found, len(asked), "{count} of {of} answers are empty or cut off, and count as ok",
        fine="none of {of} answers is empty or cut off",
    )  # fmt: skip


def _unbounded(runs: AgentRuns, _: Around) -> Outcome:
    most, where = longest_run(runs)
    stopped = limit_stops(runs)
    if stopped:
        return Outcome(
            state="passing", found=f"a limit stopped {len(stopped)} traces; the longest made {most} model calls"
        )
    examples = [where] if where else []
    if most >= RUNAWAY_CALLS:
        found = f"one trace made {most} model calls, and no limit stopped it"
        return Outcome(state="failing", found=found, count=most, of=RUNAWAY_CALLS, examples=examples)
    return Outcome(
        state="cannot_tell",
        found=f"no limit was seen at work: the longest trace made {most} model calls",
        examples=examples,
    )


def _is_write(span: Row) -> bool:
    if span["effect"]:
        return span["effect"] in ("write", "external")
    name = span["tool_name"] or span["name"]
    return bool(_WRITES.search(name)) and not _READS.match(name)


def _unmarked_writes(runs: AgentRuns, _: Around) -> Outcome:
    writes = [(trace, span) for trace, span in runs.spans("tool") if not span["effect"] and _is_write(span)]
    names = Counter(span["tool_name"] or span["name"] for _, span in writes)
    tools = sum(1 for _ in runs.spans("tool"))
    shown = ", ".join(name for name, _ in names.most_common(5))
    return none_or_some(
        [trace.at(span, span["tool_name"] or span["name"]) for trace, span in writes], tools,
        f"{{count}} of {{of}} calls are of tools that seem to write by their name and do not say so: {shown}",
        fine="no tool that seems to write leaves open what it does", empty="it calls no tool",
    )  # fmt: skip


def _repeatable_writes(runs: AgentRuns, _: Around) -> Outcome:
    writes = [(trace, span) for trace, span in runs.spans("tool") if _is_write(span)]
    bare = [(trace, span) for trace, span in writes if not span["idempotency_key"]]
    names = Counter(span["tool_name"] or span["name"] for _, span in bare)
    return none_or_some(
        [trace.at(span, span["tool_name"] or span["name"]) for trace, span in bare], len(writes),
        f"{{count}} of {{of}} writes carry no idempotency key: a retry does them twice ({', '.join(name for name, _ in names.most_common(5))})",
        fine="all {of} writes carry an idempotency key", empty="no tool that writes was called",
    )  # fmt: skip


def _unapproved_writes(runs: AgentRuns, _: Around) -> Outcome:
    looked = 0
    found: list[TraceStep] = []
    for trace in runs.traces:
        gates = [
            span["start_ns"]
            for span in trace.kind("guard", "waiting")
            if span["kind"] == "guard" or span["wait_for"] == "human"
        ]
        for span in trace.kind("tool"):
            if _is_write(span):
                looked += 1
                if not any(start <= span["start_ns"] for start in gates):
                    found.append(trace.at(span, span["tool_name"] or span["name"]))
    return none_or_some(
        found, looked, "{count} of {of} writes were made without a guard or a person before them in their trace",
        fine="a guard or a person stands before each of {of} writes", empty="no tool that writes was called",
    )  # fmt: skip


def _retries(runs: AgentRuns, _: Around) -> Outcome:
    found: list[TraceStep] = []
    repeats = 0
    for trace in runs.traces:
        before: dict[tuple[str, str], Row] = {}
        for span in trace.kind("tool", "model"):
            key = (span["kind"], span["tool_name"] or span["model"] or span["name"])
            last = before.get(key)
            before[key] = span
            if (
                last is None
                or last["status"] != "error"
                or not span["input_head"]
                or last["input_hash"] != span["input_hash"]
            ):
                continue
            repeats += 1
            if not (span["attempt"] or last["attempt"] or span["resend"]):
                found.append(trace.at(span, f"{key[1]} again, after {last['error'] or last['error_type']}"))
    if not repeats:
        return Outcome(state="cannot_tell", found="no failed call was made again with the same input")
    return none_or_some(
        found, repeats, "{count} of {of} repetitions of a failed call have no attempt number: retries look like calls",
        fine="all {of} repetitions of a failed call say which attempt they are",
    )  # fmt: skip


def _timeouts(runs: AgentRuns, _: Around) -> Outcome:
    calls = [(trace, span) for trace, span in runs.spans("tool", "model", "retrieval") if span["status"] != "running"]
    if not calls:
        return Outcome(state="cannot_tell", found="no call of a model or a tool is recorded")
    trace, span = max(calls, key=lambda call: call[1]["duration_ns"])
    longest = f"{(span['tool_name'] or span['model'] or span['name'])} took {span['duration_ns'] / 1e9:,.1f} s"
    where = [trace.at(span, longest)]
    timed_out = sum(
        bool(_TIMEOUT.search(f"{one['error_type']} {one['error']} {one['tool_error']}")) for _, one in calls
    )
    slow = [(at, one) for at, one in calls if one["duration_ns"] > _LONG_NS]
    if slow:
        return Outcome(state="failing", found=f"{len(slow):,} of {len(calls):,} calls took more than five minutes; {longest}",
                       count=len(slow), of=len(calls), examples=[at.at(one, "no timeout") for at, one in slow] or where)  # fmt: skip
    if timed_out:
        return Outcome(state="passing", found=f"{timed_out:,} calls were stopped by a timeout; the longest: {longest}")
    return Outcome(state="cannot_tell", found=f"no call ran into a timeout; the longest: {longest}", examples=where)


def _fallback(runs: AgentRuns, _: Around) -> Outcome:
    failed: list[tuple[AgentTrace, Row]] = [
        (trace, span) for trace, span in runs.spans("model") if span["status"] == "error"
    ]
    if not failed:
        return Outcome(state="cannot_tell", found="no model call failed, so no fallback was needed")
    lost = [trace.at(span, f"{span['model'] or span['name']}: {span['error'] or span['error_type']}")
            for trace, span in failed if not _mended(trace, span)]  # fmt: skip
    return none_or_some(
        lost, len(failed), "after {count} of {of} failed model calls no other call answered in the same trace",
        fine="another call answered after each of {of} failed model calls",
    )  # fmt: skip


def _one_model(runs: AgentRuns, _: Around) -> Outcome:
    models = Counter(span["model"] or span["name"] for _, span in runs.spans("model"))
    calls = sum(models.values())
    if calls < _USUAL_MIN:
        return Outcome(state="cannot_tell", found=f"{calls} model calls are too few to tell")
    name, most = models.most_common(1)[0]
    if most < _ONE_MODEL * calls:
        return Outcome(state="passing", found=f"{len(models)} models share {calls:,} calls")
    return Outcome(
        state="failing", found=f"{most:,} of {calls:,} model calls go to {name}: where it is down, so is the agent",
        count=most, of=calls, look=f"pilothouse map --agent {shlex.quote(runs.agent)}",
    )  # fmt: skip


def _volume(runs: AgentRuns, around: Around) -> Outcome:
    today, *before = around.traces_by_day
    days = [count for count in before if count]
    if len(days) < 3:
        return Outcome(
            state="cannot_tell", found=f"there are traces of {len(days)} earlier days: too few to compare with"
        )
    usual = median(before)
    if usual < _USUAL_MIN:
        return Outcome(state="cannot_tell", found=f"{usual:g} traces a day are too few to tell a drop from chance")
    words = f"{today:,} traces in the last day, {usual:g} on a usual one of the week before"
    asked = f'agent:"{runs.agent}"'
    look = f"pilothouse ls {shlex.quote(asked)} --since 8d"
    if today < _DROP * usual:
        return Outcome(state="failing", found=words, count=int(usual - today), of=int(usual), look=look)
    return Outcome(state="passing", found=words)


_TOOL = """@pilothouse.tool(effect="write", idempotency_key=lambda order: order, reversible_by="undo_refund")
def refund(order: str) -> dict: ..."""

FAILING = (
    Check(name="soft_errors_hidden", title="Do tools that fail say so?", harm="high", look_at=_hidden_soft_errors,
          remedy="raise from the tool, or return isError; wrapped with @pilothouse.tool both are recorded as failures"),
    Check(name="errors_swallowed", title="Does a failure inside show in the answer?", harm="high", look_at=_swallowed,
          remedy="let the agent say what it could not do, or fail the run: the answer given is what users act on"),
    Check(name="answers_empty_or_cut", title="Do users get whole answers?", harm="high", look_at=_answers,
          remedy="raise the limit of output tokens, and treat finish reason length and empty answers as failures"),
    Check(name="no_limit_seen", title="Is a run that does not end ended?", harm="high", look_at=_unbounded,
          remedy="give the agent a limit of steps and of money that fails the run with an error that says so"),
    Check(name="writes_repeatable", title="Can a write be repeated safely?", harm="high", look_at=_repeatable_writes, remedy=_TOOL),
    Check(name="volume_dropped", title="Does it run as often as usual?", harm="high", look_at=_volume,
          remedy="look upstream: nobody reports an agent that is not called"),
    Check(name="writes_unmarked", title="Do tools say whether they write?", harm="medium", look_at=_unmarked_writes, remedy=_TOOL),
    Check(name="writes_ungated", title="Does anything stand before a write?", harm="medium", look_at=_unapproved_writes,
          remedy='ask first:\nwith pilothouse.waiting("human"):\n    approved = ask(order)'),
    Check(name="retries_hidden", title="Can retries be told from calls?", harm="medium", look_at=_retries,
          remedy="@pilothouse.retry(attempts=3) numbers the attempts and records the pauses between them"),
    Check(name="timeouts_unseen", title="Does a call that hangs end?", harm="medium", look_at=_timeouts,
          remedy="give every client a timeout: OpenAI(timeout=60), httpx.Client(timeout=30)"),
    Check(name="fallback_unseen", title="Does something answer when a model fails?", harm="medium", look_at=_fallback,
          remedy="retry with a pause, then ask another model or provider"),
    Check(name="single_model", title="Is there more than one model?", harm="low", look_at=_one_model,
          remedy="keep a second model ready and use it now and then, so that it is known to work"),
)  # fmt: skip
