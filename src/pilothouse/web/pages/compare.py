"""Two traces side by side; with one or none of them named, which to compare."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pilothouse.traces.diff import fold
from pilothouse.traces.model import DiffDetail, DiffRow, DiffRun, Total, TraceDiff, TraceQuery, TraceRow
from pilothouse.web.compare_text import Piece, pieces
from pilothouse.web.context import told
from pilothouse.web.filters import term
from pilothouse.web.format import count, duration, moment_ns, money, tokens
from pilothouse.web.visit import PageContext, PageSpec, Visit, link, trace_url

from .trace import find_trace

ROWS = 70
"""Rows and folded stretches on one page."""
_OFFERED = 6
_LOOKED_AT = 40
_DAY_NS = 86_400_000_000_000
WORDS = {
    "tool": "tool",
    "arguments": "arguments",
    "decision": "decision",
    "input": "input",
    "prompt": "prompt",
    "tools": "tools offered",
    "result": "result",
    "model": "model",
    "parameters": "parameters",
    "status": "status",
}
"""What can differ, as people say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A trace to compare with, and why."""

    why: str
    row: TraceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePage(PageContext):
    """Two traces aligned step by step."""

    a: str = field(metadata=told("the trace compared with; empty where it is still to be chosen"))
    b: str = field(metadata=told("the trace looked at; empty where it is still to be chosen"))
    diff: TraceDiff | None = field(
        metadata=told("totals, where they part, one row in full; nothing while one is to be chosen")
    )
    items: tuple[DiffRow | DiffRun, ...] = field(metadata=told("one page of rows, equal stretches folded"))
    step: str = field(metadata=told("the step shown in full: 12 of a, b12 of b; empty: where they part"))
    after: int = field(metadata=told("the row after which this page begins"))
    next_after: int | None = field(metadata=told("the same of the next page; nothing at the end"))
    whole: bool = field(metadata=told("true where equal stretches are not folded"))
    known: TraceRow | None = field(metadata=told("the one trace named, where the other is to be chosen"))
    offers: tuple[Offer, ...] = field(metadata=told("traces to choose from, with the reason"))

    def here(self, **changed: Any) -> str:
        """The same page with something changed."""
        values: dict[str, Any] = {"a": self.a, "b": self.b, "step": self.step, "whole": int(self.whole) or ""}
        return link("/compare", **(values | changed))

    def with_(self, row: TraceRow) -> str:
        """The comparison with an offered trace, or the next choice."""
        if self.known is None:
            return link("/compare", b=row.trace_id)
        return link("/compare", a=self.a or row.trace_id, b=self.b or row.trace_id)

    def step_url(self, side: str, step: int) -> str:
        """The page of a step of one of the two."""
        return f"{trace_url(self.a if side == 'a' else self.b)}/spans/{step}"

    def row_url(self, row: DiffRow) -> str:
        """This page with a row in full."""
        step = str(row.a.step) if row.a else f"b{row.b.step}" if row.b else ""
        return f"{self.here(step=step, after=self.after or '')}#detail"

    @property
    def words(self) -> dict[str, str]:
        """What can differ, as people say it."""
        return WORDS

    @property
    def detail(self) -> DiffDetail | None:
        """The row in full."""
        return self.diff.detail if self.diff else None

    @property
    def texts(self) -> tuple[tuple[str, tuple[Piece, ...]], ...]:
        """What was decided, given and returned in that row, where it differs."""
        detail = self.detail
        if detail is None:
            return ()
        named = (("decision", detail.decision), ("arguments", detail.arguments), ("result", detail.result))
        return tuple((name, pieces(text)) for name, text in named if any(s.op != "same" for s in text))

    @property
    def prompt(self) -> tuple[tuple[Any, tuple[Piece, ...]], ...]:
        """The prompt's messages, each with its text in pieces."""
        return tuple((entry, pieces(entry.text)) for entry in self.detail.prompt) if self.detail else ()

    def figure(self, total: Total, side: str) -> str:
        """A total in words."""
        return _write(total.unit, getattr(total, side))

    def delta(self, total: Total) -> str:
        """How much more or less b has."""
        if not total.delta:
            return "" if total.delta is None else "="
        return ("+" if total.delta > 0 else "−") + _write(total.unit, abs(total.delta))

    def deltas(self, row: DiffRow) -> tuple[str, ...]:
        """What a row costs more or less in b: tokens, money, time; only what differs noticeably."""
        a, b = row.a, row.b
        if a is None or b is None:
            return ()
        said: list[str] = []
        if a.tokens != b.tokens:
            said.append(_signed(b.tokens - a.tokens, "tokens") + " tokens")
        if a.cost_usd is not None and b.cost_usd is not None and a.cost_usd != b.cost_usd:
            said.append(_signed(float(b.cost_usd - a.cost_usd), "usd"))
        took = b.duration_ms - a.duration_ms
        if abs(took) > max(100.0, 0.25 * max(a.duration_ms, b.duration_ms)):
            said.append(_signed(took, "ms"))
        return tuple(said)


def _signed(value: float, unit: str) -> str:
    return ("+" if value > 0 else "−") + _write(unit, abs(value))


def _write(unit: str, value: float | None) -> str:
    if unit == "ms":
        return duration(value)
    if unit == "usd":
        return money(value)
    return tokens(value) if unit == "tokens" else count(value)


def gather(visit: Visit) -> ComparePage:
    """Compare, or offer what to compare with."""
    asked = {side: visit.text(side, 500).strip() for side in ("a", "b")}
    found = {side: find_trace(visit, id) if id else "" for side, id in asked.items()}
    if not (found["a"] and found["b"]):
        return _choosing(visit, found["a"], found["b"])
    step = visit.text("step", 20)
    whole = visit.number("whole", 0, at_most=1) == 1
    after = visit.number("after", 0)
    diff = visit.reader.diff(found["a"], found["b"], step)
    keep = [diff.divergence.row] if diff.divergence else []
    items = diff.rows if whole else fold(diff.rows, keep=[*keep, *diff.before])
    later = [item for item in items if _last(item) > after]
    shown = tuple(later[:ROWS])
    return ComparePage(
        title="Compare two traces",
        command=f"pilothouse diff {found['a'][:12]} {found['b'][:12]}" + (f" --step {step}" if step else ""),
        a=found["a"],
        b=found["b"],
        diff=replace(diff, rows=()),
        items=shown,
        step=step,
        after=after,
        next_after=_last(shown[-1]) if len(later) > ROWS else None,
        whole=whole,
        known=None,
        offers=(),
    )


def _last(item: DiffRow | DiffRun) -> int:
    return item.row if isinstance(item, DiffRow) else item.last_row


def _choosing(visit: Visit, a: str, b: str) -> ComparePage:
    known = visit.reader.row(a or b) if a or b else None
    short = known.trace_id[:12] if known else "ID"
    return ComparePage(
        title="Compare two traces",
        command=f"pilothouse diff last {short}",
        a=a,
        b=b,
        diff=None,
        items=(),
        step="",
        after=0,
        next_after=None,
        whole=False,
        known=known,
        offers=_offers(visit, known),
    )


def _offers(visit: Visit, known: TraceRow | None) -> tuple[Offer, ...]:
    """What is worth comparing with: the turn before, the last good run of the agent, and what came just before."""
    if known is None:
        newest = visit.reader.search(TraceQuery(limit=_OFFERED * 2, until_ns=visit.now_ns + _DAY_NS))
        return tuple(Offer(why="recent", row=row) for row in newest.items)
    start_ns = moment_ns(known.start_time)
    offers: dict[str, Offer] = {}

    def offer(why: str, rows: tuple[TraceRow, ...], most: int) -> None:
        fresh = [row for row in rows if row.trace_id != known.trace_id and row.trace_id not in offers]
        offers.update((row.trace_id, Offer(why=why, row=row)) for row in fresh[:most])

    def search(text: str) -> tuple[TraceRow, ...]:
        query = TraceQuery(text=text, since_ns=start_ns - 30 * _DAY_NS, until_ns=start_ns + 1, limit=_LOOKED_AT)
        return visit.reader.search(query).items

    agent = term("agent", known.agent) if known.agent else term("name", known.root_name) if known.root_name else ""
    earlier = search(agent)
    good = tuple(row for row in earlier if row.status == "ok" and not row.signals)
    asked = known.input_text[:200]
    offer("same question, good", tuple(row for row in good if asked and row.input_text[:200] == asked), 1)
    offer("last good run of the agent", good, 1)
    if known.session_id:
        offer("previous in the session", search(term("session", known.session_id)), 1)
    offer("same question", tuple(row for row in earlier if asked and row.input_text[:200] == asked), 2)
    offer("earlier run of the agent", earlier, _OFFERED - len(offers))
    return tuple(offers.values())


COMPARE = PageSpec(name="compare", path="/compare", context=ComparePage, gather=gather, nav="traces")
