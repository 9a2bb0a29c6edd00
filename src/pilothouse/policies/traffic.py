"""Stored traffic as the gates would have met it: who wrote what, through which gate, in the order of time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.guards import About, Gate
from pilothouse.records import decode_message
from pilothouse.store import TraceStore
from pilothouse.store.traffic_reads import (
    PassedContent,
    PassedSpan,
    Sample,
    content_sizes,
    named_traces,
    passed_contents,
    passed_spans,
    sample_traces,
)

from .model import Bounds, Progress, no_progress

_TRACES_A_READ = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """One text, or the data of one tool call, at one gate."""

    gate: Gate
    value: Any
    """A text, or plain data."""
    about: About
    trace_id: str
    span_id: str
    at_ns: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What was read of a window."""

    passed: tuple[Passed, ...]
    """By time."""
    traces: int
    traces_total: int
    bytes: int
    too_long: int
    whole: bool


def read_traffic(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    *,
    seed: int,
    bounds: Bounds,
    until_s: float,
    progress: Progress = no_progress,
) -> Traffic:
    """Read a window, or a random part of it where it is larger than the bounds.

    Traces are taken whole and in an order that depends on the seed alone, so a part is a fair sample at whatever bound
    it ends. ``until_s``: the moment of ``time.monotonic`` at which reading stops.
    """
    sample: Sample = sample_traces(store, project, since_ns, until_ns, seed=seed, limit=bounds.traces_max)
    found: list[Passed] = []
    taken = size = too_long = 0
    full = False
    for first in range(0, len(sample.traces), _TRACES_A_READ):
        progress("reading traces", first, len(sample.traces))
        part = sample.traces[first : first + _TRACES_A_READ]
        spans = passed_spans(store, project, part)
        sizes = _sizes(store, project, spans)
        wanted = [hash for hash, length in sizes.items() if length <= bounds.text_bytes_max]
        too_long += len(sizes) - len(wanted)
        by_trace: dict[str, list[PassedSpan]] = {one.trace_id: [] for one in part}
        for span in spans:
            by_trace[span.trace_id].append(span)
        contents = passed_contents(store, project, sorted({span.scope for span in spans}), wanted)
        for trace_id in by_trace:
            passed = list(_of_trace(by_trace[trace_id], contents))
            if len(found) + len(passed) > bounds.texts_max or size > bounds.bytes_max or time.monotonic() > until_s:
                full = True
                break
            found += passed
            size += sum(one.size for one in passed)
            taken += 1
        if full:
            break
    return Traffic(
        passed=tuple(sorted(found, key=lambda one: one.at_ns)),
        traces=taken,
        traces_total=sample.total,
        bytes=size,
        too_long=too_long,
        whole=taken == sample.total,
    )


def read_named(
    store: TraceStore, project: str, trace_ids: Sequence[str], *, text_bytes_max: int = 200_000
) -> list[Passed]:
    """What passed in these traces, whenever that was."""
    traces = named_traces(store, project, list(dict.fromkeys(trace_ids)))
    if not traces:
        return []
    spans = passed_spans(store, project, traces)
    wanted = [hash for hash, length in _sizes(store, project, spans).items() if length <= text_bytes_max]
    contents = passed_contents(store, project, sorted({span.scope for span in spans}), wanted)
    return [
        one
        for trace in traces
        for one in _of_trace([span for span in spans if span.trace_id == trace.trace_id], contents)
    ]


def _sizes(store: TraceStore, project: str, spans: Sequence[PassedSpan]) -> dict[str, int]:
    hashes = dict.fromkeys(hash for span in spans for hash in (*span.input_refs, *span.output_refs))
    return content_sizes(store, project, sorted({span.scope for span in spans}), list(hashes))


def _of_trace(spans: Sequence[PassedSpan], contents: dict[str, PassedContent]) -> Iterator[Passed]:
    """Everything of one trace once, at the step where it was new."""
    tools = any(span.kind in ("tool", "mcp") and (span.input_text or span.input_refs) for span in spans)
    models = any(span.kind == "model" and (span.input_refs or span.output_refs) for span in spans)
    seen: set[str] = set()
    before = ""
    for span in spans:
        if span.kind in ("tool", "mcp"):
            yield from _tool(span, contents)
        elif span.kind == "agent":
            if not models and span.input_text and span.input_text not in seen:
                seen.update((span.input_text, span.output_text))
                yield _passed("input", span.input_text, span)
                if span.output_text:
                    yield _passed("output", span.output_text, span)
        else:
            for hash in (*span.input_refs, *span.output_refs):
                stored = contents.get(hash)
                if stored is None or hash in seen or stored.kind != "message":
                    continue
                seen.add(hash)
                for one in _message(stored, span, tools=tools, before=before):
                    if one.gate == "input":
                        before = str(one.value)
                    yield one


def _tool(span: PassedSpan, contents: dict[str, PassedContent]) -> Iterator[Passed]:
    given = _value(span.input_refs[:1], span.input_text, contents)
    if given is not None:
        data = _data(given)
        yield _passed("tool_arguments", data, span, arguments=data)
    brought = _value(span.output_refs[-1:], span.output_text, contents)
    if brought:
        yield _passed("tool_results", _data(brought), span)


def _value(refs: Sequence[str], text: str, contents: dict[str, PassedContent]) -> str | None:
    """What a tool was given or gave; None where its content was left out for its length."""
    if not refs:
        return text
    stored = contents.get(refs[0])
    return None if stored is None else stored.content


def _message(stored: PassedContent, span: PassedSpan, *, tools: bool, before: str) -> Iterator[Passed]:
    try:
        message = decode_message(stored.role, stored.content, stored.envelope)
    except (ValueError, KeyError, TypeError):
        return
    for part in message.parts:
        if part.type == "tool_result" or (part.type == "text" and stored.role in ("tool", "function")):
            # What tools said is told by their own steps, where those are recorded.
            if not tools and part.text:
                yield _passed("tool_results", _data(part.text), span, tool=part.name)
        elif part.type == "tool_call":
            if not tools:
                data = _data(part.arguments) if isinstance(part.arguments, str) else part.arguments
                yield _passed("tool_arguments", data if data is not None else {}, span, tool=part.name, arguments=data)
        elif part.type == "text" and part.text:
            if stored.role == "user":
                yield _passed("input", part.text, span, before=before)
            elif stored.role in ("assistant", "model", "ai"):
                yield _passed("output", part.text, span)


def _passed(
    gate: Gate, value: Any, span: PassedSpan, *, tool: str = "", arguments: Any = None, before: str = ""
) -> Passed:
    about = About(
        before=before,
        agent=span.agent,
        user=span.user,
        session=span.session,
        tool=tool or span.tool,
        arguments=cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {},
    )
    size = len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False, default=str))
    return Passed(
        gate=gate,
        value=value,
        about=about,
        trace_id=span.trace_id,
        span_id=span.span_id,
        at_ns=span.start_ns,
        size=size,
    )


def _data(text: str) -> Any:
    """JSON as data, anything else as the text it is."""
    if text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
