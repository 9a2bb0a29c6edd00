"""The tree form: one line a step, runs of the same call folded, within a budget."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Span, Trace, TraceRow
from .text import count, dollars, duration, line, quoted

_INDENT_MAX = 8


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of the tree: one step, or several folded."""

    steps: tuple[int, ...]
    text: str
    failed: bool


def tree(trace: Trace, budget: int, *, title: bool = True) -> str:
    """The tree in at most ``budget`` characters.

    What does not fit goes in this order: values, then runs of calls that differ in their arguments, then steps from
    the middle. Failed steps stay as long as anything does. The last line says what was cut and how to get it.
    """
    top = [headline(trace.row)] if title else []
    width = max(3, len(str(max((span.step for span in trace.spans), default=0))))
    ordered = in_tree_order(trace.spans)
    space = budget - sum(len(part) + 1 for part in top) - 160
    lines: list[_Line] = []
    for value_chars, same_arguments in ((100, True), (100, False), (48, False), (0, False)):
        # A quick bound: so many lines cannot fit, whatever is left out of each.
        lines = _lines(trace, ordered, width, value_chars, same_arguments)
        if sum(len(item.text) + 1 for item in lines) <= space:
            note = _note(trace, 0, 0)
            return "\n".join([*top, *(item.text for item in lines), *([note] if note else [])])
    shown, hidden = _thin(lines, space)
    return "\n".join([*top, *shown, _note(trace, hidden, sum(len(item.text) + 1 for item in lines))])


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


def _lines(trace: Trace, ordered: list[Span], width: int, value_chars: int, same_arguments: bool) -> list[_Line]:
    keys = [_key(span, same_arguments) for span in ordered]
    present = {span.span_id for span in trace.spans}
    lines: list[_Line] = []
    place = 0
    while place < len(ordered):
        period, times = _run(keys, place)
        if times > 1:
            group = ordered[place : place + period * times]
            lines.append(_folded(trace, group, period, times, width, same_arguments))
            place += period * times
            continue
        span = ordered[place]
        orphan = bool(span.parent_span_id) and span.parent_span_id not in present
        lines.append(_Line(steps=(span.step,), text=_step_line(span, width, value_chars, orphan), failed=span.failed))
        place += 1
    return lines


def _key(span: Span, same_arguments: bool) -> tuple[object, ...]:
    arguments = span.input_head if same_arguments and span.kind != "model" else ""
    return (span.depth, span.kind, span.label, span.failed, arguments)


def _run(keys: list[tuple[object, ...]], place: int) -> tuple[int, int]:
    """How often the steps from here repeat: (period, times), times 1 where they do not."""
    for period in (1, 2, 3):
        pattern = keys[place : place + period]
        if len(pattern) < period or any(key[3] for key in pattern):
            continue
        times = 1
        while keys[place + period * times : place + period * (times + 1)] == pattern:
            times += 1
        if times >= 3:
            return period, times
    return 1, 1


def _folded(trace: Trace, group: list[Span], period: int, times: int, width: int, same: bool) -> _Line:
    first, last = min(span.step for span in group), max(span.step for span in group)
    names = " <-> ".join(line(span.label, 60) for span in group[:period])
    kind = group[0].kind if period == 1 else ""
    total = sum(span.duration_ms for span in group)
    calls = [span for span in group[:period] if span.kind == "tool"]
    what = "same call" if calls and same else "calls"
    steps = f"{step_text(first, width)}-{step_text(last, width)}"
    indent = "  " * min(group[0].depth, _INDENT_MAX)
    text = f"{steps} {indent}{kind + ' ' if kind else ''}{names} x{times} {what} {duration(total)}"
    if calls and same:
        text += f" {quoted(calls[0].input_head, 60)}"
    text += f"  (pilothouse show {trace.row.trace_id[:12]} --step {step_text(first, width)})"
    return _Line(steps=tuple(span.step for span in group), text=text, failed=False)


def _step_line(span: Span, width: int, value_chars: int, orphan: bool) -> str:
    status = "SOFT_ERROR" if span.tool_error and span.status != "error" else span.status
    indent = "  " * min(span.depth, _INDENT_MAX)
    parts = [f"{step_text(span.step, width)} {indent}{span.kind:<6} {line(span.label, 80)}", status]
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


def _thin(lines: list[_Line], space: int) -> tuple[list[str], int]:
    """Head, failures and tail of lines that do not all fit, with a mark at every gap; and how many steps are hidden."""
    gap = 40
    keep: set[int] = set()
    used = 0
    head = list(range(len(lines)))
    failures = [place for place in head if lines[place].failed]
    # Failures first, but no more than a third of the space: a trace that fails everywhere still shows its shape.
    for places, share in ((failures, 0.33), (head, 0.75), (head[::-1], 1.0)):
        for place in places:
            length = len(lines[place].text) + 1
            if place in keep:
                continue
            if used + length + gap > space * share:
                break
            keep.add(place)
            used += length + (gap if place - 1 not in keep else 0)
    shown: list[str] = []
    hidden = 0
    missing = 0
    for place, item in enumerate(lines):
        if place in keep:
            if missing:
                shown.append(f"… {missing:,} steps")
            shown.append(item.text)
            missing = 0
        else:
            missing += len(item.steps)
            hidden += len(item.steps)
    if missing:
        shown.append(f"… {missing:,} steps")
    return shown, hidden


def _note(trace: Trace, hidden: int, whole: int) -> str:
    if hidden:
        command = f"pilothouse show {trace.row.trace_id[:12]} --as tree --budget {whole + 2_000}"
        return f"cut: {hidden:,} of {len(trace.spans):,} steps; all: {command}"
    if trace.cut:
        return f"cut: {trace.cut:,} spans beyond the first {len(trace.spans):,}; pilothouse sql reads them all"
    return ""


def _word(text: str) -> str:
    return line(text, 80).replace(" ", "_") or "-"
