"""Read history again: after a rule or a price changed, stored spans are normalised and priced anew.

Every raw attribute is stored, so the dialects can read a span again as if it had just arrived. What was said (messages,
long values) is kept as it is. The corrected rows are newer versions of the same rows: readers see one or the other.
"""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from pilothouse import conventions, costs
from pilothouse.guards import Masker
from pilothouse.records import Reading, Usage, steps
from pilothouse.store import TraceStore
from pilothouse.store.ingest_store import IngestStore
from pilothouse.store.schema import SPAN, TOKEN_BUCKETS, TRACE
from pilothouse.store.stored_span import stored_span

from .ingest import settle_trace
from .judge import Judge
from .moments import Moment
from .rows import AGGREGATE_NOTE, SpanPlace, make_fact, money
from .summary import trace_row
from .trace_state import Fact, TraceState, load_kept_texts

_PLACE = {name: place for place, name in enumerate(SPAN.column_names)}
_SIGNALS = TRACE.column_names.index("signals")
SETTLED_NS = 3_600_000_000_000
"""A trace of which nothing came for so long is judged as ended, whether its root arrived or not."""
_NO_MASKS = Masker()
"""What is stored was masked when it came."""

# Columns that a rule or a price can change, and where the new value comes from.
_FROM_FACT = ("kind", "name", "agent", "agent_version", "model", "dialect", "tool_name", "session_id", "user_id",
              "environment", "feature", "usage_scope", "duplicate_of", "step", "notes", "cost_source", "finish_reason",
              "response_id")  # fmt: skip
_FROM_READING = (
    "agent_id",
    "operation",
    "request_model",
    "provider",
    "error_type",
    "tool_call_id",
    "prompt_name",
    "prompt_version",
)


def reprocess(
    store: TraceStore,
    prices: costs.PriceBook,
    *,
    project: str,
    since_ns: int,
    until_ns: int,
    dry_run: bool,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Normalise, price and judge every trace that started in the range again; return what changed.

    Returns ``traces``, ``spans``, ``changed`` and, by column, how many rows changed, and in how many traces other
    signals were found; nothing is written in a dry run.
    """
    ingest_store = IngestStore(store)
    judge = judge or Judge(store)
    judge.baselines.refresh_when_due(time.time_ns())
    started = time.monotonic()
    changed_by: dict[str, int] = {}
    spans = changed = traces = signals_changed = 0
    before = after = Decimal(0)
    for trace_ids in ingest_store.traces_between(project, since_ns, until_ns):
        version = time.time_ns()
        states: dict[str, TraceState] = {}
        arrivals = {trace_id: known[3] for trace_id, known in ingest_store.known_traces(project, trace_ids).items()}
        found = ingest_store.stored_signals(project, trace_ids)
        rows: dict[tuple[str, str], list[Any]] = {}
        fresh: dict[tuple[str, str], tuple[Fact, Reading, costs.Cost]] = {}
        for row in ingest_store.span_rows(project, trace_ids):
            raw = stored_span(dict(zip(SPAN.column_names, row, strict=True)))
            key = (raw.trace_id, raw.span_id)
            rows[key] = row
            reading = _with_known_usage(conventions.read(raw), row)
            day = str(row[_PLACE["received_day"]])
            duration = int(row[_PLACE["duration_ns"]])
            cost = prices.price(
                reading.usage,
                model=reading.model or row[_PLACE["model"]],
                provider=reading.provider or row[_PLACE["provider"]],
                at_ns=raw.start_ns,
                given_usd=reading.cost_given_usd,
            )
            place = SpanPlace(project, raw.span_id, raw.parent_span_id, day)
            clock = tuple(note for note in row[_PLACE["notes"]] if note.startswith("clock:"))
            fact = make_fact(raw, reading, place, Moment(raw.start_ns, duration, clock), cost, _NO_MASKS)
            _keep(fact, row)
            state = states.setdefault(
                raw.trace_id, TraceState(project, raw.trace_id, day, arrivals.get(raw.trace_id, 0))
            )
            state.received_day = min(state.received_day, day)
            state.facts[raw.span_id] = fact
            fresh[key] = (fact, reading, cost)
        new_rows: list[list[Any]] = []
        for trace_id, state in states.items():
            _settle(state)
            for span_id, fact in state.facts.items():
                old = rows[(trace_id, span_id)]
                new, differs = _renewed(old, *fresh[(trace_id, span_id)])
                spans += 1
                for name in differs:
                    changed_by[name] = changed_by.get(name, 0) + 1
                before += Decimal(old[_PLACE["cost_usd"]] or 0) if old[_PLACE["usage_scope"]] != "aggregate" else 0
                after += fact.cost_usd or 0 if fact.usage_scope != "aggregate" else 0
                if differs:
                    changed += 1
                    new[_PLACE["version"]] = version
                    new_rows.append(new)
        traces += len(states)
        touched = {row[_PLACE["trace_id"]] for row in new_rows}
        summaries: list[list[Any]] = []
        for trace_id, state in states.items():
            load_kept_texts(ingest_store, state)
            names, details = found.get(trace_id, ([], ""))
            # As when its last span came, and as complete as it will ever be where that is long ago.
            state.settled = version - state.received_ns > SETTLED_NS
            row = trace_row(state, judge, now_ns=state.received_ns, version=version)
            # Time alone says that something stalled or died, and time is not read again.
            other = sorted(row[_SIGNALS]) != sorted(name for name in names if name not in ("stalled", "died"))
            if other or (bool(row[_SIGNALS]) and not details):
                signals_changed += other
                touched.add(trace_id)
            if trace_id in touched:
                summaries.append(row)
        if not dry_run:
            store.insert("span", SPAN.column_names, new_rows)
            store.insert("trace", TRACE.column_names, summaries)
    return {
        "traces": traces,
        "spans": spans,
        "changed": changed,
        "changed_by_column": dict(sorted(changed_by.items())),
        "signals_changed": signals_changed,
        "cost_before_usd": str(before),
        "cost_after_usd": str(after),
        "dry_run": dry_run,
        "seconds": round(time.monotonic() - started, 3),
    }


def _with_known_usage(reading: Reading, row: list[Any]) -> Reading:
    """A reading with the stored usage, where that tells more of the same tokens.

    Some clients say how long a cache lives, or what was reasoning, only within the response, which is kept as content
    and not as an attribute: read again, the same total comes out in fewer buckets.
    """
    buckets: dict[str, Any] = {bucket: int(row[_PLACE[f"{bucket}_tokens"]]) for bucket in TOKEN_BUCKETS}
    known = Usage(
        **buckets,
        scope="aggregate" if AGGREGATE_NOTE in row[_PLACE["notes"]] else "leaf",
        rule=row[_PLACE["usage_rule"]],
        ambiguous=bool(row[_PLACE["usage_ambiguous"]]),
    )
    if known.total == 0:
        return reading
    usage = reading.usage
    if usage is None or (usage.total == known.total and _detail(known) > _detail(usage)):
        return replace(reading, usage=known)
    return reading


def _detail(usage: Usage) -> int:
    return sum(getattr(usage, bucket) > 0 for bucket in TOKEN_BUCKETS if bucket != "cache_write_other")


def _keep(fact: Fact, row: list[Any]) -> None:
    """What cannot be read again from attributes stays as it was read when the span came."""
    for name in ("name", "status", "error_message", "tool_error", "input_text", "output_text", "service"):
        setattr(fact, name, row[_PLACE[name]])
    for name in ("agent", "agent_version", "model", "tool_name", "session_id", "user_id", "environment", "feature",
                 "finish_reason", "response_id"):  # fmt: skip
        if not getattr(fact, name):
            setattr(fact, name, row[_PLACE[name]])
    if fact.kind == "other":
        fact.kind, fact.dialect = row[_PLACE["kind"]], row[_PLACE["dialect"]]
    fact.tags = fact.tags or tuple(row[_PLACE["tags"]])
    fact.provider = fact.provider or row[_PLACE["provider"]]
    fact.tools_offered = fact.tools_offered or tuple(row[_PLACE["tools_offered"]])
    said, answered = row[_PLACE["input_refs"]], row[_PLACE["output_refs"]]
    if fact.kind == "tool":
        fact.input_ref = said[0] if said else ""
    if fact.kind in ("tool", "model"):
        fact.output_ref = answered[-1] if answered else ""
    fact.step = int(row[_PLACE["step"]])


def _settle(state: TraceState) -> None:
    numbers = steps(state.facts.values())
    decided = settle_trace(state)
    for span_id, fact in state.facts.items():
        decision = decided.get(span_id)
        fact.step = numbers[span_id]
        if decision is not None:
            fact.duplicate_of = decision.duplicate_of
            fact.usage_scope = "aggregate" if decision.duplicate_of else decision.scope


def _renewed(old: list[Any], fact: Fact, reading: Reading, cost: costs.Cost) -> tuple[list[Any], list[str]]:
    new = list(old)
    for name in _FROM_FACT:
        value = getattr(fact, name)
        new[_PLACE[name]] = list(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value
    for name in _FROM_READING:
        # A field whose source was content kept elsewhere cannot be read again: the old value is the better one.
        new[_PLACE[name]] = getattr(reading, name)[:200] or old[_PLACE[name]]
    first = _PLACE["input_uncached_tokens"]
    new[first : first + len(fact.tokens)] = list(fact.tokens)
    new[_PLACE["usage_rule"]] = reading.usage.rule[:200] if reading.usage else ""
    new[_PLACE["usage_ambiguous"]] = int(fact.usage_ambiguous)
    new[_PLACE["cost_usd"]] = money(cost.usd)
    differs = [name for name, place in _PLACE.items() if not _same(new[place], old[place])]
    return new, differs


def _same(new: Any, old: Any) -> bool:
    if new == old:
        return True
    try:
        return new is not None and old is not None and Decimal(str(new)) == Decimal(str(old))
    except ArithmeticError:
        return False
