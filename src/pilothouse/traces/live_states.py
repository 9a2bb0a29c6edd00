"""What an open trace is doing, from its row, its spans, its heartbeats and what is usual. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pilothouse.records import iso
from pilothouse.signals import Baseline, Liveness, Thresholds, liveness
from pilothouse.signals import Pulse as SignalPulse
from pilothouse.signals.failure_text import RATE_LIMIT
from pilothouse.signals.wording import clipped, seconds
from pilothouse.store.live_reads import Pulse, Usual

from .model import ATTENTION, WATCHED_SIGNALS, LiveRow, LiveState, LiveStep
from .rows import milliseconds, money

_LATEST_NS = 9_223_372_036_000_000_000
_USUAL_TRACES = 5
"""Traces from which a median is worth showing."""
_PARTING_NS = 3_000_000_000
"""After a goodbye the last spans may still be on their way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What the heartbeats say of one trace."""

    received_ns: int
    """When the last one arrived, of whichever process spoke last."""
    interval_s: float
    goodbye: bool
    """Every process that worked on it said goodbye."""
    open: tuple[Mapping[str, Any], ...]
    """Its open spans."""


def beats_by_trace(pulses: Sequence[Pulse]) -> dict[str, Beat]:
    """The heartbeats of each trace. Of several processes the one that lives and spoke last counts; spans are joined."""
    found: dict[str, Beat] = {}
    for pulse in sorted(pulses, key=lambda one: (not one.goodbye, one.received_ms)):
        spans: dict[str, list[Mapping[str, Any]]] = {}
        for span in pulse.open:
            spans.setdefault(str(span["trace_id"]), []).append(span)
        for trace_id, some in spans.items():
            before = found.get(trace_id)
            found[trace_id] = Beat(
                received_ns=pulse.received_ms * 1_000_000,
                interval_s=pulse.interval_s,
                goodbye=pulse.goodbye,
                # What a process that ended left open is not being worked on by one that lives.
                open=(*(before.open if before is not None and before.goodbye == pulse.goodbye else ()), *some),
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """All that is known of one trace."""

    row: Mapping[str, Any]
    """As :func:`~pilothouse.store.live_reads.open_traces` gives it."""
    activity: Mapping[str, Any] | None
    """As :func:`~pilothouse.store.live_reads.activity` gives it."""
    waits: Mapping[str, tuple[str, str]]
    """What waiting spans wait for, and why, by span id."""
    beat: Beat | None
    usual: Usual | None


def live_row(watched: Watched, now_ns: int, thresholds: Thresholds) -> LiveRow:
    """The row of one trace as it is now."""
    row, beat, usual = watched.row, watched.beat, watched.usual
    running = _running(watched)
    doing = _innermost(running)
    last = _last(watched.activity)
    open_ = bool(row["is_open"])
    verdict = _verdict(watched, doing, last, now_ns, thresholds) if open_ else _ended(row)
    heard_ns = max(_arrived_ns(watched), beat.received_ns if beat is not None else 0)
    end_ns = row["start_ns"] + row["duration_ns"]
    shown = usual is not None and usual.traces >= _USUAL_TRACES
    return LiveRow(
        trace_id=row["trace_id"],
        root_name=row["root_name"],
        agent=row["agent"],
        agent_version=row["agent_version"],
        environment=row["environment"],
        service=row["service"],
        session_id=row["session_id"],
        state=verdict.state,
        reason=verdict.reason,
        since=iso(verdict.since_ns),
        attention=verdict.state in ATTENTION or (open_ and any(name in WATCHED_SIGNALS for name in row["signals"])),
        status="running" if open_ else row["status"],
        doing=doing.as_step() if doing is not None and open_ else None,
        last=last,
        heartbeat=_heartbeat(beat, verdict.state),
        sign_of_life=iso(heard_ns),
        start_time=iso(row["start_ns"]),
        elapsed_ms=milliseconds(max((now_ns if open_ else end_ns) - row["start_ns"], 0)),
        usual_p50_ms=milliseconds(usual.p50_ns) if usual is not None and shown else None,
        usual_p95_ms=milliseconds(usual.p95_ns) if usual is not None and shown else None,
        spans=row["spans"],
        model_calls=row["model_calls"],
        tool_calls=row["tool_calls"],
        errors=row["errors"],
        total_tokens=row["tokens"],
        cost_usd=money(row["cost_usd"]),
        usual_cost_usd=round(Decimal(usual.cost_usd), 6) if usual is not None and shown and usual.cost_usd else None,
        last_error=_last_error(watched),
        signals=tuple(row["signals"]),
        input_text=row["input_text"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A span that runs."""

    span_id: str
    parent: str
    step: int
    kind: str
    name: str
    start_ns: int
    wait_for: str = ""
    wait_reason: str = ""
    state: str = ""

    def as_step(self) -> LiveStep:
        return LiveStep(
            span_id=self.span_id,
            step=self.step,
            kind=self.kind,
            name=self.name,
            status="running",
            since=iso(min(self.start_ns, _LATEST_NS)),
        )


def _running(watched: Watched) -> list[_Running]:
    """What runs, by its running copies and by heartbeats; a heartbeat is younger, so what it names again is its."""
    beat = watched.beat
    told = {str(span["span_id"]): span for span in beat.open} if beat is not None else {}
    found: list[_Running] = []
    for span_id, parent, step, kind, name, start_ns in (watched.activity or {}).get("running", ()):
        span = told.pop(span_id, {})
        wait_for, reason = watched.waits.get(span_id, ("", ""))
        found.append(
            _Running(
                span_id=span_id,
                parent=parent,
                step=step,
                kind=kind,
                name=name,
                start_ns=start_ns,
                wait_for=str(span.get("wait_for") or wait_for),
                wait_reason=reason,
                state=str(span.get("state") or ""),
            )
        )
    ended = (watched.activity or {}).get("last", ("",))[0]
    for span in told.values():
        # Too young for a running copy. One that has ended since the heartbeat is not looked for among all spans.
        if span["span_id"] != ended:
            found.append(
                _Running(
                    span_id=str(span["span_id"]),
                    parent="",
                    step=0,
                    kind=str(span["kind"]) or "other",
                    name=str(span["name"]),
                    start_ns=int(span["since_ns"]),
                    wait_for=str(span["wait_for"]),
                    state=str(span["state"]),
                )
            )
    return found


def _innermost(running: Sequence[_Running]) -> _Running | None:
    """The span that nothing else runs below; of several the one that began last."""
    parents = {span.parent for span in running}
    leaves = [span for span in running if span.span_id not in parents]
    return max(leaves or running, key=lambda span: (span.start_ns, span.step), default=None)


def _last(activity: Mapping[str, Any] | None) -> LiveStep | None:
    if activity is None or not activity["last"][0]:
        return None
    span_id, step, kind, name, status, end_ns = activity["last"]
    return LiveStep(span_id=span_id, step=step, kind=kind, name=name, status=status, since=iso(end_ns))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    state: LiveState
    reason: str
    since_ns: int


def _ended(row: Mapping[str, Any]) -> _Verdict:
    reason = f"it failed: {clipped(row['first_error'])}" if row["status"] == "error" else "it ended"
    return _Verdict(state="ended", reason=reason, since_ns=row["start_ns"] + row["duration_ns"])


def _verdict(
    watched: Watched, doing: _Running | None, last: LiveStep | None, now_ns: int, thresholds: Thresholds
) -> _Verdict:
    beat, heard_ns = watched.beat, _arrived_ns(watched)
    if beat is not None and beat.goodbye and now_ns - beat.received_ns > _PARTING_NS:
        at = f" while {doing.name} was open" if doing is not None else ""
        return _Verdict(state="stalled", reason=f"its process ended in order{at}", since_ns=beat.received_ns)
    live = _judged(watched, doing, now_ns, thresholds)
    if live.state == "died" and beat is not None:
        return _Verdict(state="died", reason=live.reason, since_ns=beat.received_ns)
    if live.state in ("waiting_human", "rate_limited", "queued", "retrying") and doing is not None:
        why = f": {clipped(doing.wait_reason)}" if doing.wait_reason else ""
        return _Verdict(state=live.state, reason=_WAITS[live.state] + why, since_ns=doing.start_ns)
    if (refused := _refused(watched, doing)) is not None and live.state != "stalled":
        return refused
    if doing is not None and doing.state == "retrying" and live.state == "running":
        return _Verdict(state="retrying", reason=f"tries {doing.name} again", since_ns=doing.start_ns)
    if live.state in ("stalled", "quiet"):
        where = f"in {doing.kind} {doing.name}" if doing is not None else f"after {last.name}" if last else ""
        none = "; its SDK sends no heartbeats" if beat is None else ""
        reason = f"{live.reason} {where}".rstrip() + (f", {seconds(live.limit_s)} is the limit" + none)
        return _Verdict(state=live.state, reason=reason, since_ns=heard_ns)
    if doing is not None:
        return _Verdict(state="running", reason=f"{doing.kind} {doing.name} runs", since_ns=doing.start_ns)
    return _Verdict(state="running", reason="between two steps", since_ns=heard_ns)


_WAITS: Mapping[str, str] = {
    "waiting_human": "waits for a person",
    "rate_limited": "waits for a rate limit",
    "queued": "waits in a queue",
    "retrying": "waits before it tries again",
}


def _judged(watched: Watched, doing: _Running | None, now_ns: int, thresholds: Thresholds) -> Liveness:
    beat, usual = watched.beat, watched.usual
    waiting = doing.wait_for if doing is not None else ""
    return liveness(
        now_ns=now_ns,
        last_span_ns=_arrived_ns(watched),
        thresholds=thresholds,
        baseline=Baseline(traces=usual.traces, gap_s=usual.gap_ns / 1e9) if usual is not None else Baseline(),
        pulse=None
        if beat is None
        else SignalPulse(last_ns=beat.received_ns, interval_s=beat.interval_s, said_goodbye=beat.goodbye),
        # A span of waiting that does not say for what holds the agent up like a queue does.
        waiting_for="queue" if doing is not None and doing.kind == "waiting" and waiting in ("", "other") else waiting,
        longest_span_s=(watched.activity or {}).get("longest_ns", 0) / 1e9,
    )


def _refused(watched: Watched, doing: _Running | None) -> _Verdict | None:
    """Held up, or trying again, after the last call of a model failed."""
    if watched.activity is None:
        return None
    status, error_type, message, end_ns = watched.activity["call"]
    if status != "error":
        return None
    error = clipped(message or error_type)
    limited = RATE_LIMIT.search(f"{error_type} {message}")
    if doing is not None and doing.kind == "model" and doing.start_ns >= end_ns:
        return _Verdict(state="retrying", reason=f"tries again after {error or 'an error'}", since_ns=end_ns)
    moved_on = doing is not None and doing.kind not in ("agent", "chain", "other") and doing.start_ns >= end_ns
    if moved_on or watched.activity["last"][5] > end_ns or not limited:
        return None
    return _Verdict(state="rate_limited", reason=f"the provider refused: {error}", since_ns=end_ns)


def _arrived_ns(watched: Watched) -> int:
    """When its last span arrived. Its row is no measure: that is written again when a signal is found."""
    arrived_ms = (watched.activity or watched.row).get("arrived_ms") or watched.row["received_ms"]
    return int(arrived_ms) * 1_000_000


def _heartbeat(beat: Beat | None, state: LiveState) -> Literal["alive", "stopped", "none"]:
    if beat is None:
        return "none"
    return "stopped" if beat.goodbye or state in ("died", "ended") else "alive"


def _last_error(watched: Watched) -> str:
    status, error_type, message, _ = (watched.activity or {"call": ("", "", "", 0)})["call"]
    if status == "error":
        return clipped(message or error_type)
    return clipped(watched.row["first_error"]) if watched.row["errors"] else ""
