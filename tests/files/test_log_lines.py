"""``logs.jsonl``: the lines of a trace read together with those of others are those that ``pilothouse logs`` shows."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.store import TraceStore
from pilothouse.store.export_reads import named_traces, spans_of_traces
from pilothouse.store.log_batch_reads import merge_stretches
from pilothouse.store.schema import LOG
from pilothouse.store.trace_reads import Found, trace_rows
from pilothouse.traces import logs_many
from pilothouse.traces.model import TraceLogs
from tests.traces.support import NOW_NS, PROJECT, TraceBuilder, stored_time, trace_id

START = NOW_NS - 3_600_000_000_000
SEED = 20_261_128


def put(store: TraceStore, rows: list[dict[str, Any]]) -> None:
    filled: list[list[Any]] = []
    for number, row in enumerate(rows):
        at_ns = START + int(row.pop("at_ms") * 1e6)
        whole: dict[str, Any] = dict.fromkeys(LOG.column_names, "")
        whole.update(project_id=PROJECT, time=stored_time(at_ns), observed_time=stored_time(at_ns), version=1)
        whole.update(attributes={}, resource={}, hash=f"{number:08x}", severity_number=9)
        whole.update(received_at=stored_time(at_ns)[:23], received_day=stored_time(at_ns)[:10], **row)
        whole["service"] = whole["resource"].get("service.name", "")
        whole["host"] = whole["resource"].get("host.name", "")
        filled.append([whole[name] for name in LOG.column_names])
    store.insert("log", LOG.column_names, filled)


def some_traces(store: TraceStore) -> list[str]:
    """Traces that overlap, follow each other, share hosts, sessions and users; one lies an hour later."""
    starts_ms = [0, 3_000, 9_000, 40_000, 41_000, 3_000_000]
    for number, start_ms in enumerate(starts_ms, 1):
        builder = TraceBuilder(
            trace_id(number),
            start_ns=START + start_ms * 1_000_000,
            session="talk-9" if number in (2, 3) else "",
            user="user-55" if number == 4 else "",
        )
        resource = {"service.name": "svc", "service.instance.id": f"i-{number}"}
        if number != 5:
            resource["host.name"] = f"agent-{number % 2}.example.com"
        request = {"http.request.header.x-request-id": f'["req-{number}-abcdef"]', "size": "1"}
        builder.span(number * 10 + 1, "agent", ms=10_000, resource=resource)
        builder.span(number * 10 + 2, "model", parent=number * 10 + 1, at_ms=100, response_id=f"resp_{number}xyz9")
        failed = {"status": "error"} if number % 3 == 0 else {}
        builder.span(
            number * 10 + 3,
            "tool",
            parent=number * 10 + 1,
            at_ms=2_000,
            ms=1_000,
            tool_name="pay",
            resource=resource,
            attributes=request,
            **failed,
        )
        builder.store(store, errors=len(failed))
    return [trace_id(number) for number in range(1, len(starts_ms) + 1)]


def some_lines() -> list[dict[str, Any]]:
    dice = random.Random(SEED)
    rows: list[dict[str, Any]] = []
    for place in range(400):
        number = dice.randint(1, 8)
        near = dice.choice([0, 3_000, 9_000, 40_000, 3_000_000]) + dice.randint(-4_000, 14_000)
        row: dict[str, Any] = {"at_ms": near, "body": f"line {place}", "severity_number": dice.choice([5, 9, 13, 17])}
        kind = dice.randrange(9)
        if kind == 0:
            row["trace_id"] = trace_id(number)
            row["attributes"] = {"job_id": f"job-{number}-77aa"} if dice.random() < 0.5 else {}
        elif kind == 1:
            row["trace_id"] = trace_id(number)[16:].zfill(32)
        elif kind == 2:
            row["attributes"] = {"X-Request-Id": f"req-{number}-abcdef"}
        elif kind == 3:
            row["body"] = f"POST /pay 502 req-{number}-abcdef took {place} ms"
        elif kind == 4:
            row["body"] = f"model answered resp_{number}xyz9, prereq-{number}-abcdef"
        elif kind == 5:
            row["attributes"] = {"session.id": "talk-9"} if dice.random() < 0.5 else {"userId": "user-55"}
        elif kind == 6:
            row["attributes"] = {"job-id": f"job-{number}-77aa"}
        elif kind == 7:
            row["attributes"] = {"size": "1", "note": f"req-{number}-abcdef"}
        if dice.random() < 0.7:
            row["resource"] = {"host.name": f"Agent-{dice.randint(0, 3)}", "service.name": dice.choice(["svc", "db"])}
        elif dice.random() < 0.5:
            row["resource"] = {"service.name": "svc", "service.instance.id": f"i-{number}"}
        rows.append(row)
    return rows


def shown(found: TraceLogs | None) -> list[tuple[Any, ...]]:
    if found is None:
        return []
    return [
        (group.reason, group.count, row.log.id, row.why, row.step, row.offset_ms, row.never_a_span, row.confidence)
        for group in found.groups
        for row in group.rows
    ]


def test_many_traces_have_the_lines_that_each_has_alone(any_store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"seed {SEED}")
    ids = some_traces(any_store)
    put(any_store, some_lines())
    alone = {id: traces.logs(any_store, PROJECT, id, infra=True, limit=40) for id in ids}
    there = named_traces(any_store, PROJECT, ids, after=(0, ""))
    chosen = [Found(trace_id=item.trace_id, key=0, received_day=item.received_day) for item in there]
    rows = trace_rows(any_store, PROJECT, chosen)
    spans = spans_of_traces(any_store, PROJECT, ids, 0, NOW_NS)
    subjects = [
        logs_many.log_subject(rows[id], [span for span in spans if span["trace_id"] == id]) for id in ids if id in rows
    ]
    assert len(subjects) == len(ids)
    reasons = {row[0] for found in alone.values() for row in shown(found)}
    assert reasons == {"trace_id", "request_id", "session_id", "user_id", "time"}

    def together() -> dict[str, list[tuple[Any, ...]]]:
        found = logs_many.logs_of_many(any_store, PROJECT, subjects, each=40, infra=40)
        return {id: shown(found.get(id)) for id in ids}

    expected = {id: shown(found) for id, found in alone.items()}
    assert together() == expected
    # Too many lines to hold: the group is halved, down to each trace for itself.
    monkeypatch.setattr(logs_many, "CANDIDATES_MAX", 150)
    monkeypatch.setattr(logs_many, "count_logs_at", lambda *_: 10**6)
    assert together() == expected


def test_an_export_tells_what_it_leaves_out(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = some_traces(store)
    host = {"host.name": "agent-1", "service.name": "db"}
    noise = [{"at_ms": 1_000 + place, "body": f"tick {place}", "resource": host} for place in range(120)]
    put(
        store,
        [
            *noise,
            {"at_ms": 500, "body": "x" * 9_000, "trace_id": ids[0], "severity_number": 17, "severity": "ERROR"},
            {"at_ms": 8_000, "body": "disk full", "resource": host, "severity_number": 17, "severity": "ERROR"},
        ],
    )
    for content in ("full", "meta"):
        spec = ExportSpec(kind="trace", id=ids[0], content=content)
        sent = [json.loads(line) for line in stream(store, PROJECT, spec, now_ns=NOW_NS)]
        (text,) = [line["text"] for line in sent if line.get("path", "").endswith("/logs.jsonl")]
        lines = [json.loads(line) for line in text.splitlines()]
        cut, lines = lines[-1], lines[:-1]
        assert (cut["cut"], cut["lines"]) == ("time", 71)
        assert cut["more"] == f"pilothouse logs {ids[0]} --reason time --limit 1000"
        assert [line["match"] for line in lines].count("time") == 50
        assert lines[0]["match"] == "trace_id" and lines[0]["confidence"] == "certain"
        assert lines[-1]["match"] == "time" and lines[-1]["never_a_span"] and lines[-1]["confidence"] == "low"
        if content == "full":
            assert lines[-1]["body"] == "disk full"
            assert (len(lines[0]["body"]), lines[0]["body_chars"]) == (4_000, 9_000)
        else:
            assert "xxx" not in text and "tick" not in text


def test_without_logs_there_is_no_file(store: TraceStore) -> None:
    some_traces(store)
    sent = [json.loads(line) for line in stream(store, PROJECT, ExportSpec(kind="query"), now_ns=NOW_NS)]
    assert sum(line["t"] == "done" for line in sent) == 6
    assert not [line for line in sent if line.get("path", "").endswith("logs.jsonl")]


def test_stretches_far_apart_are_read_apart() -> None:
    assert merge_stretches([(5, 8), (-3, 2), (7, 9)]) == [(0, 2), (5, 9)]
    many = merge_stretches([(place * 100 + (50 if place % 2 else 0), place * 100 + 60) for place in range(200)])
    assert len(many) == 40 and many[0][0] == 0 and many[-1][1] == 199 * 100 + 60
