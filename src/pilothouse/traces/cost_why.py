"""Why a trace or a span costs what it costs: every number with the rule and the price it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pilothouse import conventions
from pilothouse.costs import PriceBook
from pilothouse.records import NotFound
from pilothouse.store import TraceStore
from pilothouse.store.schema import TOKEN_BUCKETS
from pilothouse.store.stored_span import stored_span
from pilothouse.store.usage_reads import spans_with_usage

from .load import load
from .model import CostWhy, Explained
from .resolve import resolve

SPANS_MAX = 200


def cost_why(store: TraceStore, project: str, id: str, *, prices: PriceBook | None = None) -> CostWhy:
    """Explain the cost of a trace or a span. Short ids and ``last`` work; a session has no cost of its own to explain.

    Raises:
        NotFound: nothing has such an id, or it is a session's.
    """
    found = resolve(store, project, id)
    if found.kind == "session":
        raise NotFound("a session's cost is the sum of its traces", got=id, fix=f"pilothouse sessions {id}")
    trace = load(store, project, found.trace_id)
    numbers = {span.span_id: span.step for span in trace.spans}
    rows = spans_with_usage(store, project, found.trace_id)
    aggregates = sum(row["usage_scope"] == "aggregate" and not row["duplicate_of"] for row in rows)
    duplicates = sum(bool(row["duplicate_of"]) for row in rows)
    counted = [row for row in rows if row["usage_scope"] != "aggregate" and not row["duplicate_of"]]
    if found.kind == "span":
        rows = [row for row in rows if row["span_id"] == found.id]
    rows.sort(key=lambda row: (-(Decimal(row["cost_usd"] or 0)), numbers.get(row["span_id"], 0)))
    book = prices or PriceBook()
    known = [Decimal(row["cost_usd"]) for row in counted if row["cost_usd"] is not None]
    return CostWhy(
        trace_id=found.trace_id,
        cost_usd=sum(known, Decimal(0)) if known else None,
        counted=len(counted),
        aggregates=aggregates,
        duplicates=duplicates,
        unknown=sum(row["cost_usd"] is None for row in counted),
        gap_tokens=_gap(rows, counted),
        spans=tuple(_explained(row, numbers, book) for row in rows[:SPANS_MAX]),
        cut=max(len(rows) - SPANS_MAX, 0),
    )


def _explained(row: Mapping[str, Any], numbers: Mapping[str, int], book: PriceBook) -> Explained:
    raw = stored_span(row)
    reading = conventions.read(raw)
    usage = reading.usage
    given = Decimal(row["cost_given_usd"]) if row["cost_given_usd"] is not None else None
    cost = book.price(usage, model=row["model"], provider=row["provider"], at_ns=raw.start_ns, given_usd=given)
    stored = Decimal(row["cost_usd"]) if row["cost_usd"] is not None else None
    notes = [note for note in row["notes"] if note.startswith("usage:") is False]
    if cost.reason:
        notes.append(cost.reason)
    if cost.usd != stored:
        notes.append(f"stored as {stored}, today's rules and prices give {cost.usd}: pilothouse reprocess")
    if cost.gap_usd is not None:
        notes.append(f"read without cached tokens in the input it would cost {cost.other_usd} ({cost.gap_usd:+f})")
    return Explained(
        step=numbers.get(row["span_id"], 0),
        span_id=row["span_id"],
        kind=row["kind"],
        model=row["model"],
        provider=row["provider"],
        counted=row["usage_scope"] != "aggregate" and not row["duplicate_of"],
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
    if row["usage_scope"] == "aggregate":
        return "not counted: the calls below it report the same tokens"
    if row["cost_usd"] is None:
        return "its tokens are counted; its price is not known"
    return "counted: no span below it reports tokens"


def _gap(rows: list[dict[str, Any]], counted: list[dict[str, Any]]) -> int:
    totals = [row for row in rows if row["usage_scope"] == "aggregate" and not row["duplicate_of"]]
    if not totals:
        return 0
    outermost = max(totals, key=lambda row: int(row["duration_ns"]))
    return _tokens(outermost) - sum(_tokens(row) for row in counted)


def _tokens(row: Mapping[str, Any]) -> int:
    return sum(int(row[f"{bucket}_tokens"]) for bucket in TOKEN_BUCKETS)
