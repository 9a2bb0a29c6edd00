"""The rules of ``pilothouse verify``: is what happened in the record, and whole? Plain facts in, verdicts out.

What happened is known apart from the record: model calls from a pass-through in front of the models, tool calls from
what the agent handed back to the models and from the fault point in the tool wrapper.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pilothouse.records import canonical_json

from .tool_probe import FAULT_MESSAGE
from .verify_facts import RecordedSpan, ToolCall

if TYPE_CHECKING:
    # A ``pilothouse.testing.ModelTraffic``: that package is imported by whoever makes one, not by these rules.
    ModelTraffic = Any

Verdict = Literal["pass", "fail", "unknown"]

_EVIDENCE_MAX: Final = 8
_SLACK_NS: Final = 100_000_000
"""How far a span's ends may lie inside the call it records: both are taken by one clock, in two processes."""
_WRAP: Final = "put @pilothouse.tool on the tool's function, or pilothouse.wrap_tool(tool)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question and its answer."""

    name: str
    verdict: Verdict
    """``unknown`` where it could not be told."""
    says: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One run of an agent, from outside and as recorded."""

    spans: tuple[RecordedSpan, ...]
    traffic: tuple[ModelTraffic, ...]
    tools: tuple[ToolCall, ...]

    def of(self, kind: str) -> list[RecordedSpan]:
        """The recorded spans of a kind."""
        return [span for span in self.spans if span.reading.kind == kind]


def completeness(facts: Facts, uninstrumented: str) -> tuple[Check, ...]:
    """Whether every model call and tool call has its complete record, and whether the traces are whole.

    ``uninstrumented`` is the remedy where nothing at all was recorded.
    """
    if not facts.spans:
        says = "nothing was recorded"
        seen = [f"{len(facts.traffic)} model calls passed"] if facts.traffic else []
        return tuple(
            _unknown(name, says, seen, uninstrumented)
            for name in ("model calls", "model records", "tool calls", "tool records", "traces")
        )
    return (*_model_checks(facts), *_tool_checks(facts), _traces(facts))


# ------------------------------------------------------------------------------------------------- model calls


def _model_checks(facts: Facts) -> tuple[Check, Check]:
    spans = facts.of("model")
    if not facts.traffic:
        says = "no model call passed, so there is nothing to compare the record with"
        seen = [f"{len(spans)} model calls are recorded"] if spans else []
        remedy = (
            "--model-env NAME names the variable that holds your model's address; OPENAI_BASE_URL, ANTHROPIC_BASE_URL "
            "and GOOGLE_GEMINI_BASE_URL are known"
        )
        return _unknown("model calls", says, seen, remedy), _incomplete_models([(None, span) for span in spans])
    pairs, missing = _matched(facts.traffic, spans)
    answered = [(call, span) for call, span in pairs if call.ok]
    if missing:
        evidence = [f"{_called(call)} has no span" for call in missing]
        remedy = "install an instrumentor for the model library, or wrap the call with pilothouse.model_call"
        says = f"{len(missing)} of {len(facts.traffic)} model calls are not recorded"
        first = _fail("model calls", says, evidence, remedy)
    else:
        first = _pass("model calls", f"all {len(facts.traffic)} model calls that passed are recorded")
    return first, _incomplete_models(answered)


def _matched(
    calls: Sequence[ModelTraffic], spans: Sequence[RecordedSpan]
) -> tuple[list[tuple[ModelTraffic, RecordedSpan]], list[ModelTraffic]]:
    """Each call with its span: by the response's id, else the closest span around it. Failed tries may share one."""
    free = list(spans)
    pairs: list[tuple[ModelTraffic, RecordedSpan]] = []
    missing: list[ModelTraffic] = []
    for call in sorted(calls, key=lambda call: not call.response_id):
        by_id = [span for span in free if call.response_id and span.reading.response_id == call.response_id]
        around = [span for span in (free if call.ok else spans) if _around(span, call)]
        found = min(by_id or around, key=lambda span: abs(span.raw.start_ns - call.call.start_ns), default=None)
        if found is None:
            missing.append(call)
            continue
        pairs.append((call, found))
        if call.ok:
            free.remove(found)
    return pairs, missing


def _around(span: RecordedSpan, call: ModelTraffic) -> bool:
    return span.raw.start_ns <= call.call.start_ns + _SLACK_NS and span.raw.end_ns >= call.call.end_ns - _SLACK_NS


def _incomplete_models(pairs: Sequence[tuple[ModelTraffic | None, RecordedSpan]]) -> Check:
    name = "model records"
    if not pairs:
        return _unknown(name, "no model call is recorded", (), "install an instrumentor for the model library")
    evidence = [f"{span.title}: no {', no '.join(lacks)}" for call, span in pairs if (lacks := _lacking(call, span))]
    for call, span in pairs:
        usage = span.reading.usage
        if call is not None and usage is not None and call.output_tokens not in (None, usage.output_total):
            evidence.append(f"{span.title}: {usage.output_total} output tokens recorded, {call.output_tokens} answered")
    if evidence:
        remedy = "another instrumentor records more: pip install openinference-instrumentation-openai, or -anthropic"
        return _fail(name, f"{len(evidence)} of {len(pairs)} model records are incomplete", evidence, remedy)
    return _pass(name, f"all {len(pairs)} have prompt, response, model, usage and finish reason")


def _lacking(call: ModelTraffic | None, span: RecordedSpan) -> list[str]:
    reading = span.reading
    answered = not span.failed
    says_usage = call is None or call.output_tokens is not None
    says_end = call is None or bool(call.finish_reason)
    finish = reading.finish_reason or any(item.finish_reason for item in reading.output)
    parts = {
        "prompt": bool(reading.input or reading.input_value),
        "response": bool(reading.output or reading.output_value) or not answered,
        "model": bool(reading.model),
        "usage": reading.usage is not None or not answered or not says_usage,
        "finish reason": bool(finish) or not answered or not says_end,
        "end": span.ended,
    }
    return [part for part, there in parts.items() if not there]


def _called(call: ModelTraffic) -> str:
    return f"{call.call.method} {call.call.path} to {call.model or call.call.route} (status {call.call.status})"


# ------------------------------------------------------------------------------------------------- tool calls


@dataclass(frozen=True, slots=True, kw_only=True)
class _Happened:
    """One tool call that happened."""

    tool: str
    id: str = ""
    arguments: str = ""
    seen: str
    """How it is known."""
    start_ns: int = 0


def _tool_checks(facts: Facts) -> tuple[Check, Check]:
    spans = facts.of("tool")
    happened = _happened(facts)
    if not happened:
        if spans:
            says = "no tool call was seen apart from the record, so there is nothing to compare it with"
            return _unknown("tool calls", says, (f"{len(spans)} are recorded",), _WRAP), _incomplete_tools(spans)
        says = "the agent called no tool"
        remedy = "give the agent a task that needs its tools"
        return _unknown("tool calls", says, (), remedy), _unknown("tool records", says, (), remedy)
    free = list(spans)
    found: list[RecordedSpan] = []
    missing: list[_Happened] = []
    for call in happened:
        span = _span_of(call, free)
        if span is None:
            missing.append(call)
        else:
            free.remove(span)
            found.append(span)
    if missing:
        evidence = [f"{call.tool or 'a tool'} {call.id or call.arguments}: {call.seen}, no span" for call in missing]
        says = f"{len(missing)} of {len(happened)} tool calls are not recorded"
        first = _fail("tool calls", says, evidence, _WRAP)
    else:
        first = _pass("tool calls", f"all {len(happened)} tool calls that were seen are recorded")
    return first, _incomplete_tools(found)


def _happened(facts: Facts) -> list[_Happened]:
    asked = {tool.id: tool for call in facts.traffic for tool in call.asked if tool.id}
    by_name = {tool.name: tool for call in facts.traffic for tool in call.asked if not tool.id}
    found: dict[tuple[str, str, str], _Happened] = {}
    for call in facts.traffic:
        for result in call.handed:
            tool = asked.get(result.id) or by_name.get(result.name)
            name = result.name or (tool.name if tool is not None else "")
            arguments = tool.arguments if tool is not None else ""
            seen = "its result was handed to the model"
            happened = _Happened(tool=name, id=result.id, arguments=arguments, seen=seen)
            found[result.id, name, "" if result.id else result.text] = happened
    through_wrapper = [call for call in facts.tools if not call.injected]
    for name in dict.fromkeys(call.tool for call in through_wrapper):
        calls = [call for call in through_wrapper if call.tool == name]
        known = sum(happened.tool == name for happened in found.values())
        # Those beyond what the models were told of: called by the program itself, or dropped by it.
        for call in calls[known:]:
            seen = "it went through the tool wrapper"
            found[str(call.start_ns), name, "wrapper"] = _Happened(tool=name, seen=seen, start_ns=call.start_ns)
    return list(found.values())


def _span_of(call: _Happened, spans: Sequence[RecordedSpan]) -> RecordedSpan | None:
    named = [span for span in spans if not call.tool or span.reading.tool_name == call.tool]
    tests: tuple[Callable[[RecordedSpan], bool], ...] = (
        lambda span: bool(call.id) and span.reading.tool_call_id == call.id,
        lambda span: bool(call.arguments) and _canonical(span.reading.input_value) == _canonical(call.arguments),
        lambda span: bool(call.tool),
    )
    return next((span for test in tests for span in named if test(span)), None)


def _canonical(text: str) -> str:
    try:
        return canonical_json(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _incomplete_tools(spans: Sequence[RecordedSpan]) -> Check:
    name = "tool records"
    if not spans:
        return _unknown(name, "no tool call is recorded", (), _WRAP)
    evidence: list[str] = []
    for span in spans:
        reading = span.reading
        parts = {
            "name": bool(reading.tool_name),
            "arguments": bool(reading.input_value),
            "raw result": bool(reading.output_value) or span.failed,
            "end": span.ended,
        }
        lacks = [part for part, there in parts.items() if not there]
        if lacks:
            evidence.append(f"{span.title}: no {', no '.join(lacks)}")
    if evidence:
        return _fail(name, f"{len(evidence)} of {len(spans)} tool records are incomplete", evidence, _WRAP)
    return _pass(name, f"all {len(spans)} have arguments, raw result or error, duration and outcome")


# ------------------------------------------------------------------------------------------------- traces


def _traces(facts: Facts) -> Check:
    evidence: list[str] = []
    traces = {span.raw.trace_id for span in facts.spans}
    for trace in sorted(traces):
        spans = [span for span in facts.spans if span.raw.trace_id == trace]
        ids = {span.id for span in spans}
        orphans = [span for span in spans if span.raw.parent_span_id and span.raw.parent_span_id not in ids]
        evidence += [f"{span.title}: its parent {span.raw.parent_span_id} is not recorded" for span in orphans]
        if not any(not span.raw.parent_span_id for span in spans):
            evidence.append(f"trace {trace}: no root")
        evidence += [f"{span.title}: still open when the process was gone" for span in spans if not span.ended]
    if evidence:
        remedy = (
            "a process that is killed, or leaves by os._exit, keeps its last spans: pilothouse.shutdown() before it"
        )
        return _fail("traces", "the tree of spans has holes", evidence, remedy)
    return _pass(
        "traces",
        f"{len(facts.spans)} spans in {_count(len(traces), 'trace')}: each has its root, its parents and its end",
    )


# ------------------------------------------------------------------------------------------------- failure


def failure(facts: Facts) -> tuple[Check, ...]:
    """Whether the record of a run with an injected tool error tells the decision, the raw error and the recovery."""
    names = ("decision before the error", "raw error", "recovery")
    fault = next((call for call in facts.tools if call.injected), None)
    if fault is None:
        says = "no tool call could be made to fail: none went through the tool wrapper"
        return tuple(_unknown(name, says, (), _WRAP) for name in names)
    span = _failing_span(fault, facts.of("tool"))
    return _decision(fault, facts), _raw_error(fault, span), _recovery(fault, span, facts)


def _failing_span(fault: ToolCall, spans: Iterable[RecordedSpan]) -> RecordedSpan | None:
    around = [
        span
        for span in spans
        if span.reading.tool_name == fault.tool
        and span.raw.start_ns <= fault.start_ns + _SLACK_NS
        and span.raw.end_ns >= fault.end_ns - _SLACK_NS
    ]
    told = [span for span in around if FAULT_MESSAGE in span.error_text]
    return next(iter(told or sorted(around, key=lambda span: abs(span.raw.start_ns - fault.start_ns))), None)


def _decision(fault: ToolCall, facts: Facts) -> Check:
    name = "decision before the error"
    before = [span for span in facts.of("model") if span.raw.end_ns <= fault.start_ns + _SLACK_NS]
    wishes = [span for span in before if fault.tool in _wished(span)]
    if wishes:
        span = wishes[-1]
        if lacks := [part for part in _lacking(None, span) if part in ("prompt", "response")]:
            return _fail(name, "the model call that chose the tool is incomplete", [f"{span.title}: no {lacks[0]}"], "")
        return _pass(name, f"{span.title} chose {fault.tool}, with its prompt and its response")
    asked = any(tool.name == fault.tool for call in facts.traffic for tool in call.asked)
    if asked:
        says = f"a model asked for {fault.tool}, and no recorded model call says so"
        return _fail(name, says, [span.title for span in before], "install an instrumentor for the model library")
    return _unknown(name, f"no model call asked for {fault.tool}: the program called it itself", (), "--fail-tool NAME")


def _wished(span: RecordedSpan) -> set[str]:
    return {part.name for item in span.reading.output for part in item.parts if part.type == "tool_call"}


def _raw_error(fault: ToolCall, span: RecordedSpan | None) -> Check:
    name = "raw error"
    if span is None:
        return _fail(name, f"the failed call of {fault.tool} is not recorded", (), _WRAP)
    if FAULT_MESSAGE in span.error_text and span.reading.error_type:
        return _pass(name, f"{span.title} holds the exception: {span.reading.error_type}")
    if span.failed:
        return _fail(
            name, "the span says that it failed, not with what", [f"{span.title}: {span.error_text[:200]}"], _WRAP
        )
    return _fail(name, f"{fault.tool} raised, and its span says it went well", [span.title], _WRAP)


def _recovery(fault: ToolCall, failed: RecordedSpan | None, facts: Facts) -> Check:
    name = "recovery"
    after = [span for span in facts.spans if span.raw.start_ns >= fault.end_ns and span is not failed]
    tools = [span for span in after if span.reading.kind == "tool"]
    models = [span for span in after if span.reading.kind == "model"]
    if tools and (not models or tools[0].raw.start_ns < models[0].raw.start_ns):
        again = "called again" if tools[0].reading.tool_name == fault.tool else "another tool was tried"
        return _pass(name, f"{tools[0].title}: {again}")
    told = [span for span in models if _was_told(span, failed)]
    if told:
        return _pass(name, f"{told[0].title}: the model was told of the failure and answered")
    later = [call for call in facts.traffic if call.call.start_ns >= fault.end_ns]
    if len(later) > len(models):
        evidence = [_called(call) for call in later]
        return _fail(name, "what followed the error is not recorded", evidence, "install an instrumentor")
    remedy = "hand the error to the model as the tool's result, or try again: pilothouse.retry records the tries"
    if models:
        says = "the model was asked again and not told that its tool had failed"
        return _fail(name, says, [span.title for span in models], remedy)
    ended = [span for span in facts.spans if not span.raw.parent_span_id and span.raw.status_code == 2]
    says = (
        "nothing was tried: the agent ended with the error" if ended else "the error was swallowed: nothing followed it"
    )
    return _fail(name, says, [span.title for span in ended], remedy)


def _was_told(span: RecordedSpan, failed: RecordedSpan | None) -> bool:
    if FAULT_MESSAGE in span.input_text:
        return True
    id = failed.reading.tool_call_id if failed is not None else ""
    results = [part for item in span.reading.input for part in item.parts if part.type == "tool_result"]
    about = [part for part in results if part.id == id] if id else results[-1:]
    return any(part.text.strip() not in ("", "null", "None", '""', "{}", "[]") for part in about)


# ------------------------------------------------------------------------------------------------- verdicts


def _pass(name: str, says: str) -> Check:
    return Check(name=name, verdict="pass", says=says)


def _fail(name: str, says: str, evidence: Iterable[str], remedy: str) -> Check:
    return Check(name=name, verdict="fail", says=says, evidence=_few(evidence), remedy=remedy)


def _unknown(name: str, says: str, evidence: Iterable[str], remedy: str) -> Check:
    return Check(name=name, verdict="unknown", says=says, evidence=_few(evidence), remedy=remedy)


def _few(evidence: Iterable[str]) -> tuple[str, ...]:
    found = tuple(evidence)
    return found if len(found) <= _EVIDENCE_MAX else (*found[:_EVIDENCE_MAX], f"and {len(found) - _EVIDENCE_MAX} more")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
