"""The reliability audit: each check fails on what it is for, passes without it, and says when it cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.records import NotFound
from pilothouse.store import TraceStore
from pilothouse.store.schema import LOG, PULSE
from pilothouse.traces.model import Audit, AuditCheck
from tests.fleets import fleet, store_all

from .support import NOW_NS, PROJECT, TraceBuilder, said, stored_time, support_trace, trace_id

DAY_NS = 86_400_000_000_000
ARRIVAL = (stored_time(NOW_NS)[:23], stored_time(NOW_NS)[:10], 1)


def audit(store: TraceStore, agent: str = "clerk") -> Audit:
    return traces.audit(store, PROJECT, agent)


def check(store: TraceStore, name: str, agent: str = "clerk") -> AuditCheck:
    return next(one for one in audit(store, agent).checks if one.check == name)


def clerk(number: int = 1, **fields: Any) -> TraceBuilder:
    """A trace with nothing wrong: a question, a tool, an answer, all of it recorded."""
    made: dict[str, Any] = {"agent": "clerk", "session": "s-1", **fields}
    trace = TraceBuilder(trace_id(number), **made)
    system, user = said("system", "You are a clerk."), said("user", "Where is order 7?")
    answer = said("assistant", "Order 7 arrives tomorrow.")
    usage = {"input_uncached": 100, "output_text": 10}
    model: dict[str, Any] = {"model": "gpt-x", "agent": "clerk", "parent": 1, "tokens": usage, "cost": "0.001",
                             "prompt_name": "clerk", "prompt_version": "3"}  # fmt: skip
    trace.span(1, "agent", agent="clerk", agent_version="2", input=[user], output=[answer], ms=4000)
    trace.span(2, "model", "chat", at_ms=100, input=[system, user], output=[said("assistant", "One moment.")],
               finish_reason="tool_calls", **model)  # fmt: skip
    trace.span(3, "tool", "get_order", parent=1, at_ms=300, tool_name="get_order", agent="clerk", effect="read",
               input_text='{"id":7}', output_text='{"status":"sent"}', attributes={"pilothouse.tool.effect": "read"})  # fmt: skip
    trace.span(4, "model", "chat", at_ms=500, input=[system, user], output=[answer], finish_reason="stop", **model)
    return trace


def beat(store: TraceStore, service: str = "svc") -> None:
    row = {"project_id": PROJECT, "instance": "i-1", "service": service, "time": stored_time(NOW_NS), "interval_s": 5.0,
           "goodbye": 0, "open": "[]", "received_at": ARRIVAL[0], "received_day": ARRIVAL[1], "version": 1}  # fmt: skip
    store.insert("pulse", PULSE.column_names, [[row[name] for name in PULSE.column_names]])


def log(store: TraceStore, of: str) -> None:
    row: dict[str, Any] = dict.fromkeys(LOG.column_names, "")
    row.update(project_id=PROJECT, time=stored_time(NOW_NS - DAY_NS // 24), observed_time=stored_time(NOW_NS), hash=of or "h",
               severity_number=17, service="svc", body="it broke", trace_id=of, attributes={}, resource={},
               received_at=ARRIVAL[0], received_day=ARRIVAL[1], version=1)  # fmt: skip
    store.insert("log", LOG.column_names, [[row[name] for name in LOG.column_names]])


def test_an_agent_without_fault_fails_nowhere(store: TraceStore) -> None:
    trace = clerk()
    trace.store(store)
    beat(store)
    log(store, trace.id)
    found = audit(store)
    assert {one.check for one in found.checks if one.state == "failing"} == set()
    assert found.passing > 15 and found.failing == 0
    assert all(one.found for one in found.checks)
    assert all(not one.remedy for one in found.checks if one.state == "passing")


def changed(number: int, change: Callable[[dict[str, Any]], object], **row: Any) -> Callable[[TraceStore], None]:
    """A clerk whose one span is changed, and its trace's row."""

    def store_it(store: TraceStore) -> None:
        trace = clerk()
        change(trace.spans[number - 1])
        trace.store(store, **row)

    return store_it


def without(**columns: Any) -> Callable[[dict[str, Any]], object]:
    return lambda span: span.update(columns)


FAULTS: dict[str, Callable[[TraceStore], None]] = {
    "tool_results_missing": changed(3, without(output_text="")),
    "soft_errors_hidden": changed(3, without(output_text='{"success": false, "error": "no such order"}')),
    "usage_missing": changed(2, without(usage_scope="", cost_usd=None)),
    "finish_reason_missing": changed(4, without(finish_reason="")),
    "prompts_not_recorded": changed(2, without(input_refs=[], input_text="")),
    "versions_missing": changed(1, without(agent_version="")),
    "sessions_missing": changed(1, without(), session_id=""),
    "environments_missing": changed(1, without(), environment=""),
    "orphans": changed(1, without(), orphans=2),
    "double_instrumented": changed(1, without(), duplicates=3),
    "clock_skew": changed(3, without(notes=["clock: ended before it began"])),
    "models_unpriced": changed(2, without(cost_source="unknown model", cost_usd=None)),
    "prompts_unversioned": changed(2, without(prompt_name="", prompt_version="")),
    "answers_empty_or_cut": changed(4, without(finish_reason="length")),
    "writes_unmarked": changed(3, without(tool_name="refund_order", attributes={})),
    "writes_repeatable": changed(3, without(attributes={"pilothouse.tool.effect": "write"})),
    "writes_ungated": changed(3, without(attributes={"pilothouse.tool.effect": "external"})),
    "timeouts_unseen": changed(3, without(duration_ns=400_000_000_000)),
    "heartbeats_absent": changed(1, without()),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_check_with_an_example_and_a_remedy(store: TraceStore, name: str) -> None:
    FAULTS[name](store)
    one = check(store, name)
    assert one.state == "failing" and one.count >= 1 and one.remedy
    if name != "heartbeats_absent":
        assert one.examples[0].trace_id == trace_id(1)
        assert one.look.startswith(f"pilothouse show {trace_id(1)[:12]}")


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "heartbeats_absent"])
def test_the_same_check_does_not_fail_without_its_fault(store: TraceStore, name: str) -> None:
    clerk().store(store)
    assert check(store, name).state != "failing"


def test_an_error_that_the_answer_hides_is_swallowed(store: TraceStore) -> None:
    changed(3, without(status="error", error_type="TimeoutError", error_message="no answer"), status="ok")(store)
    one = check(store, "errors_swallowed")
    assert one.state == "failing" and one.examples[0].step == 3 and "no answer" in one.examples[0].note


def test_an_error_that_was_made_good_or_admitted_is_not_swallowed(store: TraceStore) -> None:
    mended = clerk(1)
    mended.spans[2].update(status="error", error_message="no answer")
    mended.span(5, "tool", "get_order", parent=1, at_ms=400, tool_name="get_order", agent="clerk", output_text="{}")
    mended.store(store, status="ok")
    admitted = clerk(2)
    admitted.spans[2].update(status="error", error_message="no answer")
    admitted.store(store, status="ok", output_text="Sorry, I could not look your order up.")
    one = check(store, "errors_swallowed")
    assert one.state == "passing" and one.of == 2


def test_a_retry_without_a_number_is_hidden(store: TraceStore) -> None:
    for number, attempt in ((1, ""), (2, "2")):
        trace = clerk(number)
        trace.spans[2].update(status="error", error_message="503")
        trace.span(5, "tool", "get_order", parent=1, at_ms=400, tool_name="get_order", agent="clerk",
                   input_text='{"id":7}', output_text="{}",
                   attributes={"pilothouse.retry.attempt": attempt} if attempt else {})  # fmt: skip
        trace.store(store, status="ok")
    one = check(store, "retries_hidden")
    assert (one.state, one.count, one.of) == ("failing", 1, 2)
    assert one.examples[0].trace_id == trace_id(1)


def test_a_failed_model_call_wants_a_fallback(store: TraceStore) -> None:
    lost = clerk(1)
    lost.spans[3].update(status="error", error_message="529 overloaded")
    lost.store(store, status="error")
    assert check(store, "fallback_unseen").state == "failing"
    saved = clerk(1)
    saved.spans[1].update(status="error", error_message="529 overloaded")
    saved.store(store, version=2, status="ok")
    assert check(store, "fallback_unseen").state == "passing"


def test_logs_that_name_no_trace_are_not_joined(store: TraceStore) -> None:
    clerk().store(store)
    assert check(store, "logs_not_joined").state == "cannot_tell"
    log(store, "")
    assert check(store, "logs_not_joined").state == "failing"
    log(store, trace_id(1))
    assert check(store, "logs_not_joined").state == "passing"


def test_a_drop_in_volume_is_told_from_the_week_before(store: TraceStore) -> None:
    every: list[TraceBuilder] = []
    for day in range(1, 8):
        every += [clerk(day * 100 + i, start_ns=NOW_NS - day * DAY_NS - 3_600_000_000_000) for i in range(25)]
    store_all(store, [*every, clerk(1)])
    one = check(store, "volume_dropped")
    assert one.state == "failing" and one.found.startswith("1 traces in the last day, 25 on a usual one")
    store_all(store, [clerk(2000 + i) for i in range(30)])
    assert check(store, "volume_dropped").state == "passing"


def test_one_model_for_everything_is_a_single_point(store: TraceStore) -> None:
    store_all(store, [clerk(number) for number in range(1, 12)])
    assert check(store, "single_model").state == "failing"
    other = clerk(20)
    for span in other.spans:
        span["model"] = "other" if span["model"] else ""
    store_all(store, [other])
    assert check(store, "single_model").state == "passing"


def test_endless_runs_without_a_limit_are_found(store: TraceStore) -> None:
    trace = clerk()
    for place in range(60):
        trace.span(100 + place, "model", parent=1, agent="clerk", model="gpt-x", at_ms=1000 + place)
    trace.store(store)
    one = check(store, "no_limit_seen")
    assert one.state == "failing" and one.count == 62
    trace.spans[0].update(status="error", error_message="step limit reached")
    trace.store(store, version=2)
    assert check(store, "no_limit_seen").state == "passing"


def test_what_does_most_harm_stands_first_and_examples_are_bounded(store: TraceStore) -> None:
    store_all(store, fleet(40).traces)
    found = audit(store, "mail sender")
    order = {"failing": 0, "cannot_tell": 1, "passing": 2}
    harms = {"high": 0, "medium": 1, "low": 2}
    places = [(order[one.state], harms[one.harm], -one.count) for one in found.checks]
    assert places == sorted(places)
    assert all(len(one.examples) <= 5 for one in found.checks)
    assert found.failing + found.cannot_tell + found.passing == len(found.checks) == 26
    assert found.looked.traces == found.looked.of_traces > 0
    assert len(traces.dumps(found)) < 30_000


def test_only_its_own_runs_are_looked_at(store: TraceStore) -> None:
    store_all(store, fleet(10).traces)
    assert check(store, "tool_results_missing", "refund judge").found == "it calls no tool"


def test_an_agent_that_did_not_run_cannot_be_audited(store: TraceStore) -> None:
    support_trace(1).store(store)
    with pytest.raises(NotFound) as error:
        audit(store, "nobody")
    assert error.value.fix
