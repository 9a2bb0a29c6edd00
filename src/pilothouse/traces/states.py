"""The states of a trace: what agents say they are doing, what they wait for, and the retries nobody tells of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pilothouse.records import iso, names
from pilothouse.store import TraceStore
from pilothouse.store.decision_reads import state_events, waits_and_tries

from .load import SPANS_MAX, head, load
from .model import Span, StateShare, Trace, TraceStates, Transition
from .paths import own_times

_TRANSITIONS_MAX = 1_000
_EVENTS_MAX = 10_000
_WAITING = "waiting"
_RETRYING = "retrying"
_RETRIED = ("model", "tool", "embedding", "retrieval")
_REPEATS_WITHIN = 20
"""The same failing call again counts as a retry where so few siblings lie between the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """A state that an agent told of."""

    span_id: str
    at_ms: float
    from_state: str
    to_state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A state that a span shows: it waits, or it is a call made again."""

    state: str
    reason: str


def states(store: TraceStore, project: str, trace_id: str) -> TraceStates:
    """The changes of state of a trace, and the time and money spent in each state."""
    top = head(store, project, trace_id)
    trace = load(store, project, trace_id)
    said = [
        _Said(
            span_id=event["span_id"],
            at_ms=round((event["time_ns"] - top.start_ns) / 1e6, 3),
            from_state=event["attributes"].get(names.STATE_FROM, ""),
            to_state=event["attributes"].get(names.STATE_TO, ""),
            reason=event["attributes"].get(names.STATE_REASON, ""),
        )
        for event in state_events(store, project, trace_id, limit=_EVENTS_MAX)
    ]
    marked = waits_and_tries(store, project, trace_id, top.stretch, limit=SPANS_MAX)
    return states_of(trace, said, _shown(trace.spans, marked), top.start_ns)


def states_of(trace: Trace, said: Sequence[_Said], shown: Mapping[str, _Shown], start_ns: int) -> TraceStates:
    """The states from what was said and what spans show. Pure."""
    by_id = {span.span_id: span for span in trace.spans}
    told: dict[str, list[_Said]] = {}
    for change in said:
        told.setdefault(change.span_id, []).append(change)
    transitions = [_as_said(change, by_id.get(change.span_id), start_ns) for change in said]
    transitions += [
        _as_shown(by_id[span_id], item, _state_at(by_id[span_id], by_id, told, shown={}), start_ns)
        for span_id, item in shown.items()
        if span_id in by_id
    ]
    transitions.sort(key=lambda change: change.offset_ms)
    own, _ = own_times(trace.spans)
    sums: dict[str, _Sum] = {}
    for span, own_ms in zip(trace.spans, own, strict=True):
        for state, share in _split(span, own_ms, by_id, told, shown):
            sums.setdefault(state, _Sum()).ms += share
        state = _state_at(span, by_id, told, shown)
        sums.setdefault(state, _Sum()).add(span)
    for change in transitions:
        sums.setdefault(change.to_state, _Sum()).times += 1
    shares = [total.share(state) for state, total in sums.items() if total.ms > 0 or total.times or total.calls]
    return TraceStates(
        trace_id=trace.row.trace_id,
        transitions=tuple(transitions[:_TRANSITIONS_MAX]),
        by_state=tuple(sorted(shares, key=lambda share: -share.ms)) if transitions else (),
        hidden_retries=sum(item.state == _RETRYING for item in shown.values()),
    )


class _Sum:
    def __init__(self) -> None:
        self.ms = 0.0
        self.times = 0
        self.cost: Decimal | None = None
        self.model_calls = 0
        self.tool_calls = 0

    @property
    def calls(self) -> int:
        return self.model_calls + self.tool_calls

    def add(self, span: Span) -> None:
        if span.duplicate_of:
            return
        self.model_calls += span.kind == "model"
        self.tool_calls += span.kind == "tool"
        if span.counted and span.cost_usd is not None:
            self.cost = (self.cost or Decimal(0)) + span.cost_usd

    def share(self, state: str) -> StateShare:
        return StateShare(
            state=state,
            times=self.times,
            ms=round(self.ms, 3),
            cost_usd=self.cost,
            model_calls=self.model_calls,
            tool_calls=self.tool_calls,
        )


def _shown(spans: Sequence[Span], marked: Mapping[str, tuple[str, str, int]]) -> dict[str, _Shown]:
    """What spans show by themselves: waits, marked tries, and calls made again after the same one failed."""
    found: dict[str, _Shown] = {}
    failed: dict[str, list[tuple[int, Span]]] = {}
    """By parent: the calls that failed, with their place among its children."""
    places: dict[str, int] = {}
    for span in spans:
        place = places[span.parent_span_id] = places.get(span.parent_span_id, 0) + 1
        waits_for, reason, attempt = marked.get(span.span_id, ("", "", 0))
        if span.kind == "waiting":
            # A pause before another try is part of retrying: that is what it costs.
            state = _RETRYING if waits_for == "retry" else _WAITING
            found[span.span_id] = _Shown(state=state, reason=reason or f"for {waits_for or 'other'}")
            continue
        if span.kind not in _RETRIED:
            continue
        if attempt > 1:
            found[span.span_id] = _Shown(state=_RETRYING, reason=f"try {attempt}")
        elif attempt == 0 and (before := _same_failed(span, place, failed.get(span.parent_span_id, []))) is not None:
            reason = before.error_message or before.tool_error or before.error_type
            found[span.span_id] = _Shown(state=_RETRYING, reason=f"as step {before.step:03d} failed: {reason}"[:300])
        if span.failed and attempt == 0:
            failed.setdefault(span.parent_span_id, []).append((place, span))
    return found


def _same_failed(span: Span, place: int, failed: Sequence[tuple[int, Span]]) -> Span | None:
    """The last failed sibling that was the same call: same kind, same name, same input."""
    for earlier, before in reversed(failed):
        if place - earlier > _REPEATS_WITHIN:
            return None
        same = (before.kind, before.label, before.input_head) == (span.kind, span.label, span.input_head)
        # A failed model call has no answer's model name yet: what was asked decides.
        asked = span.kind == "model" == before.kind and bool(span.input_head) and before.input_head == span.input_head
        if same or asked:
            return before
    return None


def _as_said(change: _Said, span: Span | None, start_ns: int) -> Transition:
    return Transition(
        agent=(span.agent or span.label) if span is not None else "",
        step=span.step if span is not None else 0,
        time=iso(start_ns + round(change.at_ms * 1e6)),
        offset_ms=change.at_ms,
        from_state=change.from_state,
        to_state=change.to_state,
        reason=change.reason,
        said=True,
    )


def _as_shown(span: Span, item: _Shown, before: str, start_ns: int) -> Transition:
    return Transition(
        agent=span.agent,
        step=span.step,
        time=iso(start_ns + round(span.offset_ms * 1e6)),
        offset_ms=span.offset_ms,
        from_state=before,
        to_state=item.state,
        reason=item.reason,
        said=False,
    )


def _owner(span: Span, by_id: Mapping[str, Span], told: Mapping[str, Sequence[_Said]]) -> tuple[Span, ...]:
    """The span and its ancestors, up to the first that tells of states."""
    path: list[Span] = []
    current: Span | None = span
    while current is not None and len(path) < 1_000:
        path.append(current)
        if current.span_id in told:
            break
        current = by_id.get(current.parent_span_id)
    return tuple(path)


def _state_at(
    span: Span, by_id: Mapping[str, Span], told: Mapping[str, Sequence[_Said]], shown: Mapping[str, _Shown]
) -> str:
    """The state in which a span begins."""
    path = _owner(span, by_id, told)
    for one in path:
        if one.span_id in shown:
            return shown[one.span_id].state
    state = ""
    for change in told.get(path[-1].span_id, ()):
        if change.at_ms > span.offset_ms:
            break
        state = change.to_state
    return state


def _split(
    span: Span,
    own_ms: float,
    by_id: Mapping[str, Span],
    told: Mapping[str, Sequence[_Said]],
    shown: Mapping[str, _Shown],
) -> list[tuple[str, float]]:
    """A span's own time by state: where the state changes meanwhile, in the share of the time that each took."""
    if own_ms <= 0:
        return []
    state = _state_at(span, by_id, told, shown)
    path = _owner(span, by_id, told)
    changes = () if any(one.span_id in shown for one in path) else told.get(path[-1].span_id, ())
    end = span.offset_ms + span.duration_ms
    inside = [change for change in changes if span.offset_ms < change.at_ms < end]
    if not inside or span.duration_ms <= 0:
        return [(state, own_ms)]
    pieces: list[tuple[str, float]] = []
    at = span.offset_ms
    for change in inside:
        pieces.append((state, own_ms * (change.at_ms - at) / span.duration_ms))
        state, at = change.to_state, change.at_ms
    pieces.append((state, own_ms * (end - at) / span.duration_ms))
    return pieces
