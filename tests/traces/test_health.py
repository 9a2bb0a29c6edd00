"""The doctor, explained costs and the statistics."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pilothouse import traces
from pilothouse.records import NotFound
from pilothouse.store import TraceStore
from pilothouse.traces.model import Refused, ServerFacts

from .support import NOW_NS, PROJECT, TraceBuilder, said, span_id, support_trace, trace_id


def test_a_healthy_project_is_called_healthy(store: TraceStore) -> None:
    support_trace(1).store(store)
    report = traces.doctor(store, PROJECT)
    assert report.healthy and {finding.level for finding in report.findings} == {"ok"}


def test_an_empty_project_is_told_so(store: TraceStore) -> None:
    report = traces.doctor(store, "prj_empty")
    assert not report.healthy and report.findings[0].check == "silence"


def test_the_doctor_finds_what_is_wrong_and_names_it(store: TraceStore) -> None:
    trace = support_trace(1)
    usage = {"output_text": 5}
    trace.span(150, "model", parent=101, tokens=usage, model="mystery", provider="acme", cost_source="unknown model")
    trace.span(151, "model", parent=101, tokens=usage, cost="0.1", usage_ambiguous=1, scope_name="home-made")
    trace.span(152, "other", parent=999, dialect="plain", scope_name="sqlalchemy")
    trace.span(153, "tool", parent=101, notes=["clock: ended before it began"], service="skewed")
    trace.store(store, orphans=1, duplicates=2, usage_gap=-7)
    old = TraceBuilder(trace_id(2), NOW_NS - 3_600_000_000_000)
    old.span(201, "agent", status="running")
    old.store(store, running_spans=1, open=1)
    refused = [
        Refused(reason="401 not_allowed", source="traces from 10.0.0.7", count=11_803, last="now", detail="no key")
    ]
    report = traces.doctor(store, PROJECT, server=ServerFacts(refused=refused))
    found = {finding.check: finding for finding in report.findings if finding.level != "ok"}
    assert set(found) == {
        *("refused", "orphans", "double_instrumented", "usage_gap", "stale_running", "unknown_prices"),
        *("ambiguous_usage", "unknown_dialect", "skewed_clocks"),
    }
    assert report.findings[0].check == "refused" and "11,803" in found["refused"].summary and not report.healthy
    assert found["unknown_prices"].examples == ({"what": "acme mystery", "count": 1},)
    assert found["ambiguous_usage"].examples[0]["what"] == "home-made"
    assert found["skewed_clocks"].examples[0]["what"] == "skewed"
    assert found["orphans"].examples == ({"what": trace_id(1), "count": 1},)
    assert found["stale_running"].examples[0]["what"] == trace_id(2)
    assert all(finding.fix for finding in found.values())


def priced(**columns: object) -> TraceBuilder:
    """A trace of one agent and one model call whose raw attributes are kept."""
    trace = TraceBuilder(trace_id(1), NOW_NS - 60_000_000_000)
    trace.span(1, "agent", tokens={"input_uncached": 100, "output_text": 10}, cost="0.5", usage_scope="aggregate")
    trace.span(
        2, "model", "chat", parent=1, at_ms=1, model="gpt-4o-mini", provider="openai", input=[said("user", "hi")],
        tokens={"input_uncached": 100, "output_text": 10}, cost="0.000021", usage_rule="otel: input includes cache",
        attributes={
            "gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": "100", "gen_ai.usage.output_tokens": "10",
        },
        typed_attributes=["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"], **columns,
    )  # fmt: skip
    return trace


def test_every_number_of_a_cost_is_explained(store: TraceStore) -> None:
    id = priced().store(store)
    why = traces.cost_why(store, PROJECT, id)
    assert why.cost_usd == Decimal("0.000021")
    assert (why.counted, why.aggregates, why.duplicates, why.unknown) == (1, 1, 0, 0)
    total, call = why.spans
    assert not total.counted and "calls below it" in total.why
    assert call.counted and call.buckets == {"input_uncached": 100, "output_text": 10}
    assert call.reported == {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
    assert sum(row["usd"] for row in call.prices) == call.cost_usd and call.prices[0]["usd_per_mtok"] == Decimal("0.15")
    only = traces.cost_why(store, PROJECT, span_id(2))
    assert only.spans == (call,) and only.cost_usd == why.cost_usd


def test_a_price_that_has_changed_is_said_to_have(store: TraceStore) -> None:
    trace = priced()
    trace.spans[1]["cost_usd"] = "0.9"
    (call,) = [span for span in traces.cost_why(store, PROJECT, trace.store(store)).spans if span.counted]
    assert any("pilothouse reprocess" in note for note in call.notes)


def test_a_step_that_costs_nothing_says_why(store: TraceStore) -> None:
    support_trace(1).store(store)
    (step,) = traces.cost_why(store, PROJECT, span_id(103)).spans
    assert not step.counted and step.why == "it reports no tokens" and step.cost_usd is None
    with pytest.raises(NotFound):
        traces.cost_why(store, PROJECT, "ffff")


def test_statistics_count_what_was_recorded(store: TraceStore) -> None:
    first = support_trace(1, session="s", user="u")
    first.event(101, "note")
    first.score("tone", 1.0)
    first.store(store)
    support_trace(2).store(store)
    counted = traces.stats(store, PROJECT)
    assert (counted.traces, counted.spans, counted.model_calls, counted.tool_calls) == (2, 12, 6, 4)
    assert (counted.errors, counted.traces_with_errors, counted.sessions, counted.users) == (2, 2, 1, 1)
    assert (counted.events, counted.scores, counted.logs, counted.points) == (1, 1, 0, 0)
    assert counted.cost_usd == Decimal("0.007264") and counted.dialects == {"otel": 2}


def test_the_store_says_what_it_takes_and_what_sharing_saved(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    history = [said("user", "x" * 1000)]
    for number in range(1, 21):
        trace.span(number, "model", at_ms=number, input=history)
    trace.store(store)
    kept = traces.store_stats(store, PROJECT)
    assert (kept.spans, kept.traces, kept.references) == (20, 1, 20)
    assert kept.dedup_share_saved == pytest.approx(0.95)
    assert kept.bytes > 0 and kept.bytes_per_span == pytest.approx(kept.bytes / 20, abs=0.1)
    assert {table.table for table in kept.tables} == {
        *("span", "trace", "message", "event", "log", "score", "point", "pulse", "annotation", "gone")
    }
    assert traces.store_stats(store, "prj_empty").references == 0
