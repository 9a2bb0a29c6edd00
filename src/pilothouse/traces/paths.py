"""Where the time of a trace went: the critical path, and each moment's owner. Pure functions over spans."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from .model import PathPart, Share, Span, Trace, TraceBreakdown

_LABELS_MAX = 30


class Stretch(NamedTuple):
    """A part of the critical path: which span (its place in the list), from when to when."""

    place: int
    """-1: nothing was running."""
    start: float
    end: float


def critical_stretches(parents: Sequence[int], starts: Sequence[float], ends: Sequence[float]) -> list[Stretch]:
    """The critical path, in order of time: from the end backwards, always the child that ended last.

    ``parents`` are places in the lists, -1 for a root. Time of a span during which no child held things up is its own.
    """
    if not starts:
        return []
    children: dict[int, list[int]] = {}
    for place, parent in enumerate(parents):
        children.setdefault(parent, []).append(place)
    found: list[Stretch] = []
    work: list[Stretch] = [Stretch(-1, min(starts), max(ends))]
    while work:
        owner, lower, upper = work.pop()
        now = upper
        for child in sorted(children.get(owner, ()), key=lambda place: ends[place], reverse=True):
            start, end = max(starts[child], lower), min(ends[child], now)
            if end <= start:
                continue
            if end < now:
                found.append(Stretch(owner, end, now))
            work.append(Stretch(child, start, end))
            now = start
            if now <= lower:
                break
        if now > lower:
            found.append(Stretch(owner, lower, now))
    found.sort(key=lambda stretch: stretch.start)
    return found


def critical_path(trace: Trace) -> tuple[PathPart, ...]:
    """The stretches that decided how long the trace took, in order; step 0 where nothing was running."""
    spans = trace.spans
    places = {span.span_id: place for place, span in enumerate(spans)}
    parents = [places.get(span.parent_span_id, -1) for span in spans]
    starts = [span.offset_ms for span in spans]
    ends = [span.offset_ms + span.duration_ms for span in spans]
    parts: list[PathPart] = []
    for place, start, end in critical_stretches(parents, starts, ends):
        if end - start < 0.0005:
            continue
        owner = spans[place] if place >= 0 else None
        parts.append(
            PathPart(
                step=owner.step if owner else 0,
                span_id=owner.span_id if owner else "",
                kind=owner.kind if owner else "waiting",
                label=owner.label if owner else "",
                start_ms=round(start, 3),
                duration_ms=round(end - start, 3),
            )
        )
    return tuple(parts)


def own_times(spans: Sequence[Span]) -> tuple[list[float], float]:
    """Milliseconds that belong to each span, and those in which nothing was running.

    A moment belongs to the spans running then that have no running child, in equal parts.
    """
    places = {span.span_id: place for place, span in enumerate(spans)}
    parents = [places.get(span.parent_span_id, -1) for span in spans]
    moments: list[tuple[float, int, int]] = []
    for place, span in enumerate(spans):
        if span.duration_ms > 0:
            moments.append((span.offset_ms, 1, place))
            moments.append((span.offset_ms + span.duration_ms, 0, place))
    moments.sort()
    own = [0.0] * len(spans)
    entered: dict[int, float] = {}
    running_children = [0] * len(spans)
    running: set[int] = set()
    # ``shared`` grows by each moment divided by its owners: a span's own time is its growth while the span is an owner.
    shared, idle, before = 0.0, 0.0, moments[0][0] if moments else 0.0
    for at, begins, place in moments:
        if entered:
            shared += (at - before) / len(entered)
        else:
            idle += at - before
        before = at
        parent = parents[place]
        if begins:
            running.add(place)
            if running_children[place] == 0:
                entered[place] = shared
            if parent >= 0:
                running_children[parent] += 1
                if parent in entered:
                    own[parent] += shared - entered.pop(parent)
        else:
            running.discard(place)
            if place in entered:
                own[place] += shared - entered.pop(place)
            if parent >= 0:
                running_children[parent] -= 1
                if running_children[parent] == 0 and parent in running:
                    entered[parent] = shared
    return own, idle


class _Sum:
    def __init__(self) -> None:
        self.calls = 0
        self.self_ms = 0.0
        self.total_ms = 0.0
        self.cost: Decimal | None = None
        self.tokens = 0
        self.errors = 0

    def add(self, span: Span, own_ms: float) -> None:
        self.self_ms += own_ms
        if span.duplicate_of:
            return
        self.calls += 1
        self.total_ms += span.duration_ms
        self.errors += span.failed
        if span.counted:
            if span.cost_usd is not None:
                self.cost = (self.cost or Decimal(0)) + span.cost_usd
            self.tokens += span.tokens.total if span.tokens else 0

    def share(self, what: str, label: str) -> Share:
        return Share(
            what=what,
            label=label,
            calls=self.calls,
            self_ms=round(self.self_ms, 3),
            total_ms=round(self.total_ms, 3),
            cost_usd=self.cost,
            total_tokens=self.tokens,
            errors=self.errors,
        )


def breakdown(trace: Trace) -> TraceBreakdown:
    """Where the time and the money of a trace went, by kind and by model, tool and agent."""
    own, idle = own_times(trace.spans)
    kinds: dict[str, _Sum] = {}
    labels: dict[tuple[str, str], _Sum] = {}
    for span, own_ms in zip(trace.spans, own, strict=True):
        kinds.setdefault(span.kind, _Sum()).add(span, own_ms)
        labels.setdefault((span.kind, span.label), _Sum()).add(span, own_ms)
    if idle > 0.0005:
        # Nothing ran: beside what is recorded as waiting (for a person, a limit, a queue), it is waiting too.
        kinds.setdefault("waiting", _Sum()).self_ms += idle
    by_kind = [total.share(kind, "") for kind, total in kinds.items()]
    by_label = [total.share(kind, label) for (kind, label), total in labels.items()]
    return TraceBreakdown(
        duration_ms=trace.row.duration_ms,
        by_kind=tuple(sorted(by_kind, key=lambda share: -share.self_ms)),
        by_label=tuple(sorted(by_label, key=lambda share: -share.self_ms)[:_LABELS_MAX]),
    )
