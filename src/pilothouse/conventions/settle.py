"""The trace-level half of usage: which spans count, which repeat others, and which are reported twice.

A span alone cannot tell whether its tokens are its own. Three rules need the whole trace:

1. A span with usage that has descendants with usage is an aggregate: it repeats what they report. It is a leaf where
   no descendant reports any, whatever it claims about itself.
2. Two instrumentations of one call report it twice: they have the same response id, or the same model, overlapping
   times and equal usage, between a span and its nearest reporting ancestor or between siblings, from different
   scopes. All but one are duplicates; the one with the most detail stays, and of equals the innermost.
3. An aggregate's own total is compared with the sum of what counts below it; the gap is reported, not repaired.

A model call that merely sits below another one (lost context does that) is not an aggregate of it: response ids that
are present and different tell two calls apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pilothouse.records import Kind, RawSpan, Reading, Usage, UsageScope


@dataclass(slots=True, kw_only=True)
class SpanFacts:
    """What the trace-level rules need to know of one span."""

    span_id: str
    parent_span_id: str = ""
    """Empty at a root. A parent that is not among the facts makes the span a root."""
    kind: Kind = "other"
    start_ns: int = 0
    end_ns: int = 0
    """0 where the span has not ended."""
    has_usage: bool = False
    input_tokens: int = 0
    """All input tokens, cached ones included."""
    output_tokens: int = 0
    response_id: str = ""
    model: str = ""
    scope_name: str = ""
    declared: UsageScope = "leaf"
    """What the span's own reading says of its usage."""
    detail: int = 0
    """How many buckets beyond plain input and output it fills: of two reports of one call the fuller one counts."""


@dataclass(slots=True, kw_only=True)
class Settlement:
    """What the trace says about one span's usage. Only spans with usage have one."""

    span_id: str
    scope: UsageScope = "leaf"
    duplicate_of: str = ""
    """The span that reports the same call and is the one that counts; empty where this one does."""
    leaf_tokens: int = 0
    """For an aggregate: the sum of what counts below it."""
    gap_tokens: int = 0
    """For an aggregate: its own total less that sum; not zero means that something is missing or counted twice."""
    notes: list[str] = field(default_factory=list[str])

    @property
    def counts(self) -> bool:
        """True where the span's tokens and cost enter sums."""
        return self.scope == "leaf" and not self.duplicate_of


def span_facts(raw: RawSpan, reading: Reading) -> SpanFacts:
    """The facts of a span that was just read."""
    usage = reading.usage
    return SpanFacts(
        span_id=reading.span_id or raw.span_id,
        parent_span_id=raw.parent_span_id if reading.parent_span_id is None else reading.parent_span_id,
        kind=reading.kind,
        start_ns=raw.start_ns,
        end_ns=raw.end_ns,
        has_usage=usage is not None,
        input_tokens=usage.input_total if usage is not None else 0,
        output_tokens=usage.output_total if usage is not None else 0,
        response_id=reading.response_id,
        model=reading.model,
        scope_name=raw.emitter.scope_name,
        declared=usage.scope if usage is not None else "leaf",
        detail=_detail(usage) if usage is not None else 0,
    )


def _detail(usage: Usage) -> int:
    filled = (
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.reasoning,
        usage.audio_input,
        usage.audio_output,
    )
    return sum(1 for tokens in filled if tokens)


def settle(facts: Sequence[SpanFacts]) -> dict[str, Settlement]:
    """Settle the usage of one trace; the answer has an entry for every span with usage, by span id.

    Takes time in proportion to the number of spans. Missing parents and cycles of parents are taken as they come: a
    span in a cycle hangs from nothing. Of several facts with one span id the last counts.
    """
    spans = list({fact.span_id: fact for fact in facts}.values())
    if not any(span.has_usage for span in spans):
        return {}
    parents = _parents(spans)
    order = _bottom_up(parents)
    nearest = _nearest_reporting(spans, parents, order)
    settled = {span.span_id: Settlement(span_id=span.span_id) for span in spans if span.has_usage}

    _mark_nested_duplicates(spans, nearest, order, settled)
    own_call = _own_calls(spans, nearest)
    below = _reporting_below(spans, parents, order, settled)
    for index, span in enumerate(spans):
        if not span.has_usage or not below[index] or settled[span.span_id].duplicate_of:
            continue
        if index in own_call:
            settled[span.span_id].notes.append("a call of its own, although other calls hang below it")
        else:
            settled[span.span_id].scope = "aggregate"
    _mark_side_by_side_duplicates(spans, parents, settled)
    _point_to_what_counts(settled)
    _report_gaps(spans, parents, order, settled)
    for span in spans:
        if span.has_usage and span.declared == "aggregate" and settled[span.span_id].scope == "leaf":
            settled[span.span_id].notes.append("a total, but nothing below it reports usage: it counts")
    return settled


def _parents(spans: list[SpanFacts]) -> list[int]:
    """The index of each span's parent, -1 at roots; cycles are cut at every member."""
    place = {span.span_id: index for index, span in enumerate(spans)}
    parents = [place.get(span.parent_span_id, -1) if span.parent_span_id else -1 for span in spans]
    state = bytearray(len(spans))
    for start in range(len(spans)):
        path: list[int] = []
        at = start
        while at >= 0 and state[at] == 0:
            state[at] = 1
            path.append(at)
            at = parents[at]
        if at >= 0 and state[at] == 1:
            for member in path[path.index(at) :]:
                parents[member] = -1
        for member in path:
            state[member] = 2
    return parents


def _bottom_up(parents: list[int]) -> list[int]:
    """Every index, children before parents."""
    waiting = [0] * len(parents)
    for parent in parents:
        if parent >= 0:
            waiting[parent] += 1
    order = [index for index, count in enumerate(waiting) if count == 0]
    for index in order:
        parent = parents[index]
        if parent >= 0:
            waiting[parent] -= 1
            if waiting[parent] == 0:
                order.append(parent)
    return order


def _reporting_below(
    spans: list[SpanFacts], parents: list[int], order: list[int], settled: dict[str, Settlement]
) -> bytearray:
    """For each span 1 where something below it reports usage of its own: duplicates do not."""
    below = bytearray(len(spans))
    for index in order:
        parent = parents[index]
        if parent < 0:
            continue
        span = spans[index]
        if below[index] or (span.has_usage and not settled[span.span_id].duplicate_of):
            below[parent] = 1
    return below


def _nearest_reporting(spans: list[SpanFacts], parents: list[int], order: list[int]) -> list[int]:
    """The nearest ancestor of each span that reports usage, -1 where there is none."""
    nearest = [-1] * len(spans)
    for index in reversed(order):
        parent = parents[index]
        if parent >= 0:
            nearest[index] = parent if spans[parent].has_usage else nearest[parent]
    return nearest


def _own_calls(spans: list[SpanFacts], nearest: list[int]) -> set[int]:
    """Model calls with calls below them that are plainly others: every response id is there and differs."""
    suspects: set[int] = set()
    cleared: set[int] = set()
    sums: dict[int, int] = {}
    for index, span in enumerate(spans):
        above = nearest[index]
        if not span.has_usage or above < 0:
            continue
        owner = spans[above]
        sums[above] = sums.get(above, 0) + span.input_tokens + span.output_tokens
        different = bool(span.response_id) and bool(owner.response_id) and span.response_id != owner.response_id
        if owner.kind == "model" and owner.declared == "leaf" and span.kind == "model" and different:
            suspects.add(above)
        else:
            cleared.add(above)
    return {
        index for index in suspects - cleared if sums[index] != spans[index].input_tokens + spans[index].output_tokens
    }


def _mark_nested_duplicates(
    spans: list[SpanFacts], nearest: list[int], order: list[int], settled: dict[str, Settlement]
) -> None:
    """Layers of instrumentation around one call: a chain of reports, of which one stays."""
    outer: dict[int, int] = {}
    taken: set[int] = set()
    for index, span in enumerate(spans):
        above = nearest[index]
        if span.has_usage and above >= 0 and above not in taken and _same_call(spans[above], span):
            # One report inside each: a second call that looks the same is a call of its own.
            outer[index] = above
            taken.add(above)
    for index in order:
        if index not in outer or index in taken:
            continue
        chain = [index]
        while chain[-1] in outer:
            chain.append(outer[chain[-1]])
        kept = max(chain, key=lambda member: spans[member].detail)
        for member in chain:
            if member != kept:
                settled[spans[member].span_id].duplicate_of = spans[kept].span_id


def _mark_side_by_side_duplicates(spans: list[SpanFacts], parents: list[int], settled: dict[str, Settlement]) -> None:
    by_response: dict[str, list[int]] = {}
    by_shape: dict[tuple[int, int, int], list[int]] = {}
    for index, span in enumerate(spans):
        if not span.has_usage or not settled[span.span_id].counts:
            continue
        if span.response_id:
            by_response.setdefault(span.response_id, []).append(index)
        if span.input_tokens or span.output_tokens:
            by_shape.setdefault((parents[index], span.input_tokens, span.output_tokens), []).append(index)
    for groups in (by_response, by_shape):
        for group in groups.values():
            if len(group) > 1:
                _pair(spans, group, settled)


def _point_to_what_counts(settled: dict[str, Settlement]) -> None:
    """Three layers of instrumentation: all duplicates point to the one that counts.

    A span is only ever marked while it counts, and points to one that counted then, so the chains end.
    """
    for settlement in settled.values():
        while settlement.duplicate_of and (further := settled[settlement.duplicate_of].duplicate_of):
            settlement.duplicate_of = further


def _pair(spans: list[SpanFacts], group: list[int], settled: dict[str, Settlement]) -> None:
    """Match each call with its report by another scope: the scopes' lists, by start time, side by side."""
    by_scope: dict[str, list[int]] = {}
    for index in sorted(group, key=lambda index: (spans[index].start_ns, spans[index].span_id)):
        if settled[spans[index].span_id].counts:
            by_scope.setdefault(spans[index].scope_name, []).append(index)
    if len(by_scope) < 2:
        return
    lists = sorted(by_scope.values(), key=lambda found: spans[found[0]].start_ns)
    for others in lists[1:]:
        for kept, other in zip(lists[0], others, strict=False):
            if not (settled[spans[kept].span_id].counts and _same_call(spans[kept], spans[other])):
                continue
            if spans[other].detail > spans[kept].detail:
                settled[spans[kept].span_id].duplicate_of = spans[other].span_id
            else:
                settled[spans[other].span_id].duplicate_of = spans[kept].span_id


def _same_call(one: SpanFacts, other: SpanFacts) -> bool:
    """True where two spans of different scopes report one model call."""
    if one.scope_name == other.scope_name or not _overlap(one, other):
        return False
    if one.kind in ("agent", "chain") or other.kind in ("agent", "chain"):
        return False
    if one.response_id and other.response_id:
        return one.response_id == other.response_id
    equal = one.input_tokens == other.input_tokens and one.output_tokens == other.output_tokens
    return equal and one.input_tokens + one.output_tokens > 0 and _same_model(one.model, other.model)


def _same_model(one: str, other: str) -> bool:
    """True for one name, or one name with a date or a provider added to it."""
    one, other = one.lower().rsplit("/", 1)[-1], other.lower().rsplit("/", 1)[-1]
    return bool(one) and bool(other) and (one.startswith(other) or other.startswith(one))


def _overlap(one: SpanFacts, other: SpanFacts) -> bool:
    one_end = one.end_ns or max(one.start_ns, other.start_ns)
    other_end = other.end_ns or max(one.start_ns, other.start_ns)
    return one.start_ns <= other_end and other.start_ns <= one_end


def _report_gaps(spans: list[SpanFacts], parents: list[int], order: list[int], settled: dict[str, Settlement]) -> None:
    sums = [0] * len(spans)
    for index in order:
        span = spans[index]
        if span.has_usage:
            settlement = settled[span.span_id]
            own = span.input_tokens + span.output_tokens
            if settlement.scope == "aggregate":
                settlement.leaf_tokens = sums[index]
                settlement.gap_tokens = own - sums[index]
                if settlement.gap_tokens and not settlement.duplicate_of:
                    settlement.notes.append(f"reports {own:,} tokens, the calls below it {sums[index]:,}")
            elif settlement.counts:
                sums[index] += own
        parent = parents[index]
        if parent >= 0:
            sums[parent] += sums[index]
