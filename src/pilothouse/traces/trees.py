"""The tree form: one line a step, runs of the same call folded, within a budget."""

from __future__ import annotations

from typing import NamedTuple

from .model import Span, Trace, TraceRow
from .text import count, dollars, duration, label, quoted

_INDENT_MAX = 8
_LINE_MIN = 24
"""Characters that the shortest of lines takes."""
_GAP = 18
"""Characters that a mark for left-out steps takes."""


def headline(row: TraceRow) -> str:
    """A trace in one line of ``key=value``."""
    parts = [f"# trace {row.trace_id}", f"agent={_word(row.agent or row.root_name)}"]
    if row.agent_version:
        parts.append(f"version={_word(row.agent_version)}")
    parts += [f"status={row.status}", f"start={row.start_time}", f"dur={duration(row.duration_ms)}"]
    if row.signals:
        parts.append(f"flags={','.join(row.signals)}")
    parts += [f"steps={row.spans}", f"errors={row.errors}", f"tokens={row.tokens.total:,}"]
    lower_bound = ">=" if row.cost_unknown and row.cost_usd is not None else ""
    parts.append(f"cost={lower_bound}{dollars(row.cost_usd)}")
    if row.session_id:
        parts.append(f"session={_word(row.session_id)}")
    return " ".join(parts)


class _Group(NamedTuple):
    """What one line shows: a step, or the repeats of one to three steps. A plain tuple: there may be very many."""

    start: int
    """Place of the first step in tree order."""
    period: int
    times: int
    """1: not folded."""


class _Painter:
    """Writes lines: knows the steps in tree order, the trace's widths and which parents are missing."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.ordered = in_tree_order(trace.spans)
        self.width = max(3, len(str(max((span.step for span in trace.spans), default=0))))
        self.present = {span.span_id for span in trace.spans}

    def groups(self, *, same: bool) -> list[_Group]:
        """The lines: repeats of calls with the same arguments folded, or with any arguments."""
        keys = [_key(span, same) for span in self.ordered]
        groups: list[_Group] = []
        place = 0
        while place < len(keys):
            period, times = _run(keys, place)
            groups.append(_Group(place, period, times))
            place += period * times
        return groups

    def failed(self, group: _Group) -> bool:
        """True for the line of a step that failed; failed steps are never folded."""
        return group.times == 1 and self.ordered[group.start].failed

    def line(self, group: _Group, value_chars: int, *, same: bool) -> str:
        """The text of a line."""
        if group.times > 1:
            spans = self.ordered[group.start : group.start + group.period * group.times]
            return _folded(self.trace, spans, group, self.width, same)
        span = self.ordered[group.start]
        orphan = bool(span.parent_span_id) and span.parent_span_id not in self.present
        return _step_line(span, self.width, value_chars, orphan)


def tree(trace: Trace, budget: int, *, title: bool = True, written: str = "") -> str:
    """The tree in at most ``budget`` characters; ``written`` is a line below its head.

    What does not fit goes in this order: values, then runs of calls that differ in their arguments, then steps from
    the middle. Failed steps stay as long as anything does. The last line says what was cut and how to get it.
    """
    top = [*([headline(trace.row)] if title else []), *([written] if written else [])]
    painter = _Painter(trace)
    space = budget - sum(len(part) + 1 for part in top) - 160
    groups = whole = painter.groups(same=True)
    for value_chars, same in ((100, True), (100, False), (48, False), (0, False)):
        if not same and groups is whole:
            groups = painter.groups(same=False)
        if len(groups) * _LINE_MIN > space:
            continue
        lines = [painter.line(group, value_chars, same=same) for group in groups]
        if sum(len(text) + 1 for text in lines) <= space:
            note = _note(trace, 0, 0)
            return "\n".join([*top, *lines, *([note] if note else [])])
    shown, hidden = _thin(groups, painter, space)
    return "\n".join([*top, *shown, _note(trace, hidden, len(whole) * 220)])


def in_tree_order(spans: tuple[Span, ...]) -> list[Span]:
    """Spans depth first, siblings by step. Spans whose parent never arrived stand at the top."""
    children: dict[str, list[Span]] = {}
    present = {span.span_id for span in spans}
    for span in spans:
        parent = span.parent_span_id if span.parent_span_id in present else ""
        children.setdefault(parent if span.depth else "", []).append(span)
    ordered: list[Span] = []
    seen: set[str] = set()
    stack = list(reversed(children.get("", [])))
    while stack:
        span = stack.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        ordered.append(span)
        stack.extend(reversed(children.get(span.span_id, [])))
    # A circle of parents hangs from nothing: its spans come last rather than never.
    ordered.extend(span for span in spans if span.span_id not in seen)
    return ordered


def step_text(step: int, width: int = 3) -> str:
    """A step number as every surface writes it: ``014``."""
    return f"{step:0{width}d}"


def _key(span: Span, same: bool) -> tuple[object, ...]:
    arguments = span.input_head if same and span.kind != "model" else ""
    return (span.failed, span.depth, span.kind, span.label, arguments)


def _run(keys: list[tuple[object, ...]], place: int) -> tuple[int, int]:
    """How often the steps from here repeat: (period, times), times 1 where they do not."""
    for period in (1, 2, 3):
        # Nearly every step fails this first look, and there may be fifty thousand of them.
        if place + period >= len(keys) or keys[place + period] != keys[place]:
            continue
        pattern = keys[place : place + period]
        if any(key[0] for key in pattern):
            continue
        times = 1
        while keys[place + period * times : place + period * (times + 1)] == pattern:
            times += 1
        if times >= 3:
            return period, times
    return 1, 1


def _folded(trace: Trace, spans: list[Span], group: _Group, width: int, same: bool) -> str:
    first, last = min(span.step for span in spans), max(span.step for span in spans)
    one = spans[: group.period]
    names = " <-> ".join(label(span.label, 60) for span in one)
    kind = f"{one[0].kind} " if group.period == 1 else ""
    total = sum(span.duration_ms for span in spans)
    called = next((span for span in one if span.kind == "tool"), None)
    steps = f"{step_text(first, width)}-{step_text(last, width)}"
    indent = "  " * min(one[0].depth, _INDENT_MAX)
    what = "same call" if called is not None and same else "calls"
    text = f"{steps} {indent}{kind}{names} x{group.times} {what} {duration(total)}"
    if called is not None and same:
        text += f" {quoted(called.input_head, 60)}"
    return f"{text}  (pilothouse show {trace.row.trace_id} --step {step_text(first, width)})"


def _step_line(span: Span, width: int, value_chars: int, orphan: bool) -> str:
    status = "SOFT_ERROR" if span.tool_error and span.status != "error" else span.status
    indent = "  " * min(span.depth, _INDENT_MAX)
    parts = [f"{step_text(span.step, width)} {indent}{span.kind:<6} {label(span.label, 80)}", status]
    parts.append(duration(span.duration_ms))
    if span.tokens is not None:
        mark = "" if span.counted else "="
        parts.append(f"{mark}{count(span.tokens.input_total)}>{count(span.tokens.output_total)}")
    if span.counted and span.cost_usd is not None:
        parts.append(dollars(span.cost_usd))
    if orphan:
        parts.append("PARENT_MISSING")
    if span.duplicate_of:
        parts.append("DUPLICATE")
    text = " ".join(parts)
    if value_chars:
        message = span.error_message or span.tool_error or span.error_type
        shown = message if span.failed and message else span.output_head or span.input_head
        if shown:
            text += f" {quoted(shown, value_chars)}"
    return text


def _thin(groups: list[_Group], painter: _Painter, space: int) -> tuple[list[str], int]:
    """Head, failures and tail of lines that do not all fit, with a mark at every gap; and how many steps are hidden."""
    kept: dict[int, str] = {}
    used = 0
    everything = range(len(groups))
    failures = [place for place in everything if painter.failed(groups[place])]
    # Failures first, but no more than a third of the space: a trace that fails everywhere still shows its shape.
    for places, share in ((failures, 0.33), (everything, 0.75), (reversed(everything), 1.0)):
        for place in places:
            if place in kept:
                continue
            text = painter.line(groups[place], 48, same=False)
            length = len(text) + 1 + (0 if place - 1 in kept else _GAP)
            if used + length > space * share:
                break
            kept[place] = text
            used += length
    shown: list[str] = []
    hidden = before = 0
    for place in [*sorted(kept), len(groups)]:
        missing = sum(group.period * group.times for group in groups[before:place])
        if missing:
            shown.append(f"… {missing:,} steps")
            hidden += missing
        if place in kept:
            shown.append(kept[place])
        before = place + 1
    return shown, hidden


def _note(trace: Trace, hidden: int, whole: int) -> str:
    if hidden:
        command = f"pilothouse show {trace.row.trace_id} --as tree --budget {whole + 2_000}"
        return f"cut: {hidden:,} of {len(trace.spans):,} steps; all: {command}"
    if trace.cut:
        return f"cut: {trace.cut:,} spans beyond the first {len(trace.spans):,}; pilothouse sql reads them all"
    return ""


def _word(text: str) -> str:
    return label(text, 80) or "-"
