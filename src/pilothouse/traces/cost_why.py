"""Why a trace or a span costs what it costs: every number with the rule and the price it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pilothouse import conventions
from pilothouse.costs import PriceBook
from pilothouse.records import NotFound, command
from pilothouse.store import TraceStore
from pilothouse.store.schema import TOKEN_BUCKETS
from pilothouse.store.stored_span import stored_span
from pilothouse.store.usage_reads import span_rows

from .load import head, load
from .model import CostWhy, Explained
from .resolve import resolve
from .rows import money

SPANS_MAX = 200


def cost_why(store: TraceStore, project: str, id: str, *, prices: PriceBook | None = None) -> CostWhy:
    """Explain the cost of a trace or a span. Short ids and ``last`` work; a session has no cost of its own to explain.

    Raises:
        NotFound: nothing has such an id, or it is a session's.
    """
    found = resolve(store, project, id)
    if found.kind == "session":
        raise NotFound("a session's cost is the sum of its traces", got=id, fix=command("sessions", id))
    trace = load(store, project, found.trace_id)
    numbers = {span.span_id: span.step for span in trace.spans}
    reporting = [span for span in trace.spans if span.usage_scope]
    counted = [span for span in reporting if span.counted]
    known = [span.cost_usd for span in counted if span.cost_usd is not None]
    chosen = reporting
    if found.kind == "span":
        chosen = [span for span in trace.spans if span.span_id == found.id]
    chosen = sorted(chosen, key=lambda span: (-(span.cost_usd or Decimal(0)), span.step))
    shown = [span.span_id for span in chosen[:SPANS_MAX]]
    rows = span_rows(store, project, found.trace_id, shown, head(store, project, found.trace_id).stretch)
    book = prices or PriceBook()
    return CostWhy(
        trace_id=found.trace_id,
        cost_usd=sum(known, Decimal(0)) if known else None,
        counted=len(counted),
        aggregates=sum(span.usage_scope == "aggregate" and not span.duplicate_of for span in reporting),
        duplicates=sum(bool(span.duplicate_of) for span in reporting),
        unknown=len(counted) - len(known),
        gap_tokens=trace.row.usage_gap,
        spans=tuple(_explained(rows[span_id], numbers, book) for span_id in shown if span_id in rows),
        cut=max(len(chosen) - SPANS_MAX, 0),
    )


def _explained(row: Mapping[str, Any], numbers: Mapping[str, int], book: PriceBook) -> Explained:
    raw = stored_span(row)
    reading = conventions.read(raw)
    usage = reading.usage
    given = money(row["cost_given_usd"])
    cost = book.price(usage, model=row["model"], provider=row["provider"], at_ns=raw.start_ns, given_usd=given)
    stored = money(row["cost_usd"])
    notes = [note for note in row["notes"] if not note.startswith("usage:")]
    if cost.reason:
        notes.append(cost.reason)
    # The store keeps twelve decimals.
    if (None if cost.usd is None else round(cost.usd, 12)) != stored:
        notes.append(f"stored as {stored}, today's rules and prices give {cost.usd}: pilothouse reprocess")
    if cost.gap_usd is not None:
        notes.append(f"read without cached tokens in the input it would cost {cost.other_usd} ({cost.gap_usd:+f})")
    return Explained(
        step=numbers.get(row["span_id"], 0),
        span_id=row["span_id"],
        kind=row["kind"],
        model=row["model"],
        provider=row["provider"],
        counted=row["usage_scope"] == "leaf" and not row["duplicate_of"],
        why=_why(row, numbers),
        reported=dict(usage.reported) if usage is not None else {},
        rule=row["usage_rule"],
        ambiguous=bool(row["usage_ambiguous"]),
        buckets={bucket: int(row[f"{bucket}_tokens"]) for bucket in TOKEN_BUCKETS if row[f"{bucket}_tokens"]},
        prices=tuple(
            {
                "bucket": line.bucket,
                "tokens": line.tokens,
                "usd_per_mtok": line.usd_per_million,
                "usd": line.usd,
                "source": line.rule or f"{cost.book}: {cost.provider} {cost.model}",
            }
            for line in cost.lines
        ),
        cost_usd=stored,
        cost_source=row["cost_source"],
        cost_given_usd=given,
        notes=tuple(dict.fromkeys(notes)),
    )


def _why(row: Mapping[str, Any], numbers: Mapping[str, int]) -> str:
    if row["duplicate_of"]:
        step = numbers.get(row["duplicate_of"], 0)
        return f"not counted: step {step:03d} is the same call, seen by another instrumentation"
    if not row["usage_scope"]:
        return "it reports no tokens"
    if row["usage_scope"] == "aggregate":
        return "not counted: the calls below it report the same tokens"
    if row["cost_usd"] is None:
        return "its tokens are counted; its price is not known"
    return "counted: no span below it reports tokens"
