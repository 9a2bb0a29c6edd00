"""The log lines of a trace: each with its reason, none of another host, and the errors no span tells of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.records import BadRequest, NotFound
from pilothouse.store import TraceStore
from pilothouse.store.schema import LOG
from pilothouse.traces.model import LogQuery, TraceLogRow, TraceLogs

from .support import NOW_NS, PROJECT, TraceBuilder, span_id, stored_time, trace_id

START = NOW_NS - 600_000_000_000
AGENT_HOST = {"service.name": "svc", "host.name": "agent-1.example.com", "service.instance.id": "i-1"}

Log = Callable[..., None]


@pytest.fixture
def log(any_store: TraceStore) -> Log:
    """Stores one record."""

    def put(body: str, at_ms: float, *, severity: int = 9, version: int = 1, **fields: Any) -> None:
        row: dict[str, Any] = dict.fromkeys(LOG.column_names, "")
        at_ns = START + int(at_ms * 1e6)
        day = stored_time(at_ns)[:10]
        row.update(project_id=PROJECT, time=stored_time(at_ns), observed_time=stored_time(at_ns))
        row.update(severity_number=severity, severity={9: "INFO", 13: "WARN", 17: "ERROR"}[severity], body=body)
        row.update(attributes={}, resource={}, hash=f"{hash((body, at_ms)) & 0xFFFFFFFF:08x}")
        row.update(received_at=stored_time(at_ns)[:23], received_day=day, version=version)
        row.update(fields)
        row["service"] = row["resource"].get("service.name", row["service"])
        row["host"] = row["resource"].get("host.name", "")
        any_store.insert("log", LOG.column_names, [[row[name] for name in LOG.column_names]])

    return put


@pytest.fixture
def trace(any_store: TraceStore) -> str:
    """A trace of ten seconds: an agent, a model call, and a tool that fails from 2 s to 3 s."""
    builder = TraceBuilder(trace_id(1), start_ns=START, session="chat-77", user="user-123")
    builder.span(1, "agent", ms=10_000, resource=AGENT_HOST)
    builder.span(2, "model", parent=1, at_ms=100, ms=1_000, resource=AGENT_HOST)
    builder.span(
        3,
        "tool",
        parent=1,
        at_ms=2_000,
        ms=1_000,
        tool_name="pay",
        status="error",
        resource=AGENT_HOST,
        attributes={"http.request.header.x-request-id": '["req-abc-123"]', "size": "1"},
    )
    return builder.store(any_store, errors=1)


def rows(found: TraceLogs, reason: str) -> list[TraceLogRow]:
    return [row for group in found.groups if group.reason == reason for row in group.rows]


def bodies(found: TraceLogs, reason: str) -> list[str]:
    return [row.body for row in rows(found, reason)]


def test_a_line_with_the_traces_id_is_certain(any_store: TraceStore, trace: str, log: Log) -> None:
    log("calling the model", 150, trace_id=trace, span_id=span_id(2))
    log("late worker", 3_000_000, trace_id=trace)
    log("half an id", 200, trace_id=trace[16:].zfill(32))
    log("of another trace", 150, trace_id=trace_id(2), resource=AGENT_HOST)
    found = traces.logs(any_store, PROJECT, trace, infra=True)
    assert bodies(found, "trace_id") == ["calling the model", "half an id", "late worker"]
    first = rows(found, "trace_id")[0]
    assert (first.confidence, first.step, first.step_label) == ("certain", 2, "model")
    assert rows(found, "time") == []


def test_a_shared_request_id_joins_with_high_confidence(any_store: TraceStore, trace: str, log: Log) -> None:
    log("charging the card", 2_100, attributes={"request_id": "req-abc-123"}, resource={"host.name": "pay-9"})
    log("POST /pay 502 req-abc-123", 2_500, severity=17, resource={"host.name": "lb-1"})
    log("another request", 2_100, attributes={"request_id": "req-abc-124"}, resource={"host.name": "pay-9"})
    log("the value, but of another field", 2_100, attributes={"size": "1"}, resource={"host.name": "pay-9"})
    found = traces.logs(any_store, PROJECT, trace)
    assert bodies(found, "request_id") == ["charging the card", "POST /pay 502 req-abc-123"]
    assert rows(found, "request_id")[0].confidence == "high"
    assert "request_id req-abc-123" in rows(found, "request_id")[0].why
    assert "step 3" in rows(found, "request_id")[0].why
    assert rows(found, "request_id")[0].step == 3


def test_an_id_on_the_traces_own_lines_joins_others(any_store: TraceStore, trace: str, log: Log) -> None:
    log("enqueued", 500, trace_id=trace, attributes={"correlation_id": "corr-555-9"})
    log("dequeued", 700, attributes={"X-Correlation-Id": "corr-555-9"}, resource={"host.name": "worker-3"})
    assert bodies(traces.logs(any_store, PROJECT, trace), "request_id") == ["dequeued"]


def test_session_and_user_join_with_medium_confidence(any_store: TraceStore, trace: str, log: Log) -> None:
    log("page opened", 100, attributes={"session.id": "chat-77"}, resource={"host.name": "web-1"})
    log("login", 200, attributes={"user_id": "user-123"}, resource={"host.name": "web-1"})
    log("an hour later", 3_600_000, attributes={"session.id": "chat-77"}, resource={"host.name": "web-1"})
    found = traces.logs(any_store, PROJECT, trace)
    assert (bodies(found, "session_id"), bodies(found, "user_id")) == (["page opened"], ["login"])
    assert {row.confidence for group in found.groups for row in group.rows} == {"medium"}


def test_the_same_host_at_the_same_moment_is_low_and_others_are_not_there(
    any_store: TraceStore, trace: str, log: Log
) -> None:
    log("disk full", 2_500, severity=17, resource={"host.name": "AGENT-1"})
    log("disk full elsewhere", 2_500, severity=17, resource={"host.name": "db-7"})
    log("an hour before", -3_600_000, severity=17, resource={"host.name": "agent-1"})
    log("a second after the end", 11_000, resource={"host.name": "agent-1"})
    log("same service, other host", 2_500, resource={"service.name": "svc", "host.name": "agent-2"})
    log("same service, no host", 2_600, resource={"service.name": "svc"})
    log("same process", 2_700, resource={"service.instance.id": "i-1", "host.name": "renamed"})
    left_out = traces.logs(any_store, PROJECT, trace)
    assert (rows(left_out, "time"), left_out.infra_left_out) == ([], 4)
    found = traces.logs(any_store, PROJECT, trace, infra=True)
    assert bodies(found, "time") == ["disk full", "same service, no host", "same process", "a second after the end"]
    assert {row.confidence for row in rows(found, "time")} == {"low"}
    assert rows(found, "time")[0].step == 3
    assert found.hosts == ("agent-1",)


def test_the_worst_and_nearest_of_many_are_shown(any_store: TraceStore, trace: str, log: Log) -> None:
    for number in range(20):
        log(f"info {number}", 5_000 + number, resource={"host.name": "agent-1"})
    log("warned far away", 9_000, severity=13, resource={"host.name": "agent-1"})
    log("failed", 8_000, severity=17, resource={"host.name": "agent-1"})
    found = traces.logs(any_store, PROJECT, trace, infra=True, limit=3)
    assert bodies(found, "time") == ["info 0", "failed", "warned far away"]
    assert found.groups[0].count == 22
    assert bodies(traces.logs(any_store, PROJECT, trace, infra=True, level="warn"), "time") == [
        "failed",
        "warned far away",
    ]


def test_errors_that_never_became_spans_are_listed(any_store: TraceStore, trace: str, log: Log) -> None:
    log("the failing tool says so itself", 2_500, severity=17, trace_id=trace)
    log("swallowed", 7_000, severity=17, trace_id=trace, attributes={"exception.type": "KeyError"})
    log("out of memory", 8_000, severity=17, resource={"host.name": "agent-1"})
    log("only a warning", 7_000, severity=13, trace_id=trace)
    found = traces.logs(any_store, PROJECT, trace)
    assert [row.body for row in found.lost] == ["swallowed", "out of memory"]
    assert [row.confidence for row in found.lost] == ["certain", "low"]
    assert found.lost[0].log.error_type == "KeyError"


def test_messages_and_heartbeats_do_not_clutter(any_store: TraceStore, trace: str, log: Log) -> None:
    log("{}", 100, trace_id=trace, event_name="gen_ai.user.message")
    log("{}", 100.1, trace_id=trace, event_name="gen_ai.choice")
    log("{}", 100.2, trace_id=trace, event_name="pilothouse.heartbeat")
    log("claude_code.user_prompt", 100.3, trace_id=trace, scope_name="com.anthropic.claude_code.events")
    log("kept", 100.4, trace_id=trace)
    assert bodies(traces.logs(any_store, PROJECT, trace, infra=True), "trace_id") == ["kept"]
    assert [row.body for row in traces.search_logs(any_store, PROJECT, LogQuery()).items] == ["kept"]


def test_a_line_stored_twice_is_shown_once(any_store: TraceStore, trace: str, log: Log) -> None:
    log("again", 100, trace_id=trace)
    log("again", 100, trace_id=trace, version=2)
    assert bodies(traces.logs(any_store, PROJECT, trace), "trace_id") == ["again"]
    assert len(traces.search_logs(any_store, PROJECT, LogQuery()).items) == 1


def test_one_reason_can_be_asked_for(any_store: TraceStore, trace: str, log: Log) -> None:
    log("mine", 100, trace_id=trace)
    log("shared", 2_100, attributes={"request_id": "req-abc-123"})
    found = traces.logs(any_store, PROJECT, trace, reason="request_id")
    assert [group.reason for group in found.groups] == ["request_id"]
    with pytest.raises(BadRequest):
        traces.logs(any_store, PROJECT, trace, reason="luck")
    with pytest.raises(NotFound):
        traces.logs(any_store, PROJECT, trace_id(99))
    with pytest.raises(BadRequest):
        traces.logs(any_store, PROJECT, trace, level="loud")


def test_search_by_words_level_service_and_page_by_page(any_store: TraceStore, log: Log) -> None:
    for number in range(7):
        log(f"connection refused by db-{number}", number * 1_000, severity=17, resource={"service.name": "shop"})
    log("connection was refused", 10_000, resource={"service.name": "shop"})
    log("connection refused by db-1", 11_000, severity=17, resource={"service.name": "bar", "host.name": "b-1"})
    query = LogQuery(text="connection refused", service="shop", level="error", limit=3)
    pages = [traces.search_logs(any_store, PROJECT, query)]
    while pages[-1].more:
        following = LogQuery(text=query.text, service="shop", level="error", limit=3, cursor=pages[-1].next)
        pages.append(traces.search_logs(any_store, PROJECT, following))
    seen = [row.body for page in pages for row in page.items]
    assert seen == [f"connection refused by db-{number}" for number in range(6, -1, -1)]
    assert [row.service for row in traces.search_logs(any_store, PROJECT, LogQuery(host="b-1")).items] == ["bar"]
    facets = {facet.field: facet.values for facet in traces.log_facets(any_store, PROJECT, LogQuery())}
    assert [(value.value, value.count, value.errors) for value in facets["service"]] == [("shop", 8, 7), ("bar", 1, 1)]
    with pytest.raises(BadRequest):
        traces.search_logs(any_store, PROJECT, LogQuery(text="...", limit=3))
    with pytest.raises(BadRequest):
        traces.search_logs(any_store, PROJECT, LogQuery(trace_id="zz"))


def test_lost_errors_over_a_window(any_store: TraceStore, trace: str, log: Log) -> None:
    quiet = TraceBuilder(trace_id(2), start_ns=START)
    quiet.span(21, "agent")
    quiet.store(any_store)
    log("told by a failed span", 2_500, severity=17, trace_id=trace)
    log("nothing failed", 50, severity=17, trace_id=trace_id(2))
    log("no such trace", 60, severity=17, trace_id=trace_id(7))
    log("a warning", 60, severity=13, trace_id=trace_id(7))
    log("no trace at all", 60, severity=17)
    page = traces.lost_errors(any_store, PROJECT)
    assert [(item.kind, item.row.body, item.agent) for item in page.items] == [
        ("no_span", "no such trace", ""),
        ("no_failed_span", "nothing failed", "refunds"),
    ]
    first = traces.lost_errors(any_store, PROJECT, limit=1)
    second = traces.lost_errors(any_store, PROJECT, limit=1, cursor=first.next)
    assert [item.row.body for item in (*first.items, *second.items)] == ["no such trace", "nothing failed"]
    assert not second.more


def test_a_store_of_the_first_version_is_brought_along(any_store: TraceStore, log: Log) -> None:
    for change in ("DROP INDEX by_attribute", "DROP INDEX by_time", "DROP COLUMN host"):
        any_store.command(f"ALTER TABLE {{db}}.log {change}")
    any_store.command("TRUNCATE TABLE {db}.schema_version")
    any_store.command("INSERT INTO {db}.schema_version SELECT 1, now()")
    any_store.migrate()
    log("after", 0, resource={"host.name": "web-1"})
    assert [row.host for row in traces.search_logs(any_store, PROJECT, LogQuery()).items] == ["web-1"]
