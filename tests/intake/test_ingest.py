"""The worker's way from journal records to rows: once, whole, and right whatever order things come in."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.intake.segment import Record
from pilothouse.records import SystemClock
from pilothouse.store import TraceStore

NOW = time.time_ns()
TRACE = "ab" * 16


@pytest.fixture
def ingest(store: TraceStore) -> Ingest:
    return Ingest(store, SystemClock(), read_maskers({"": {"groups": ["secrets", "personal"]}}))


def test_a_span_sent_twice_is_one_span(ingest: Ingest, store: TraceStore) -> None:
    request = traces(span(1, kind="AGENT"), span(2, parent=1, tokens=(100, 10)))
    ingest.run([request, request])
    ingest.run([request])
    ingest.forget()
    tally = ingest.run([request])
    assert tally.repeated_spans == 2
    assert spans(store, "count(), uniqExact(span_id)") == [[2, 2]]
    assert trace(store, "spans, input_uncached_tokens") == [2, 100]


def test_any_split_into_requests_gives_the_same_trace(store: TraceStore) -> None:
    parts = [
        span(1, kind="AGENT", start=0, end=100, tokens=(300, 30)),
        span(2, parent=1, start=10, end=20, tokens=(100, 10)),
        span(3, parent=1, kind="TOOL", start=30, end=40),
        span(4, parent=1, start=50, end=90, tokens=(200, 20)),
    ]
    orders = {f"{number:032x}": order for number, order in enumerate(itertools.permutations(parts), 1)}
    # A trace for each order. They take each step at once, but for those of a project of its own, whose requests go alone.
    together, alone = (Ingest(store, SystemClock(), read_maskers({})) for _ in range(2))
    some = list(orders)[::8]
    for step in range(len(parts)):
        together.run([traces(order[step] | {"traceId": id}, project="all") for id, order in orders.items()])
        for id in some:
            alone.run([traces(orders[id][step] | {"traceId": id}, project="some")])
    outcomes: set[str] = set()
    for project, ids in (("all", list(orders)), ("some", some)):
        stored: dict[str, list[list[Any]]] = {id: [] for id in ids}
        for columns, table, key in (
            ("step, span_id, usage_scope, cost_usd", "spans_of", "span_id"),
            ("root_name, status, spans, errors, total_tokens, cost_usd", "traces_of", "trace_id"),
        ):
            sql = f"SELECT trace_id, {columns} FROM {{db}}.{table}(project = {{p:String}}) ORDER BY {key}"
            for id, *row in store.query(sql, {"p": project}).rows:
                stored[id].append(row)
        outcomes |= {json.dumps(rows) for rows in stored.values()}
    assert len(outcomes) == 1, outcomes
    rows = json.loads(outcomes.pop())
    assert [row[:3] for row in rows[:4]] == [
        [1, sid(1), "aggregate"],
        [2, sid(2), "leaf"],
        [3, sid(3), ""],
        [4, sid(4), "leaf"],
    ]
    assert rows[4][4] == 330


def test_a_late_span_lands_in_its_old_trace(ingest: Ingest, store: TraceStore) -> None:
    ingest.run([traces(span(1, kind="AGENT", start=0, end=100))])
    ingest.forget()
    ingest.run([traces(span(2, parent=1, start=10, end=20, tokens=(5, 5)))])
    assert trace(store, "spans, total_tokens, root_name") == [2, 10, "span-1"]


def test_a_span_of_any_age_is_taken(ingest: Ingest, store: TraceStore) -> None:
    ingest.run([traces(span(1, start=-20 * 365 * 86_400_000, end=-20 * 365 * 86_400_000 + 5))])
    assert spans(store, "duration_ms, dateDiff('year', start_time, now()) >= 19, notes") == [[5, 1, []]]


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "note"),
    [
        (0, 0, "clock: no start time"),
        (0, NOW, "clock: no start time"),
        (NOW + 400 * 86_400 * 10**9, NOW + 400 * 86_400 * 10**9 + 7_000_000, "clock: started 400 days after"),
        (2**64 - 1, 2**64 - 1, "clock: started"),
        (NOW, NOW - 5_000_000, "clock: ended 5.000 ms before it started"),
    ],
    # Named: every process that runs the tests must call them the same, whatever time it is.
    ids=("no time", "no start", "far ahead", "the last moment", "ended first"),
)
def test_a_clock_that_lies_is_corrected_and_noted(
    ingest: Ingest, store: TraceStore, start_ns: int, end_ns: int, note: str
) -> None:
    data = span(1) | {"startTimeUnixNano": str(start_ns), "endTimeUnixNano": str(end_ns)}
    ingest.run([traces(data)])
    row = spans(store, "notes[1], abs(dateDiff('second', start_time, now())) < 7200, duration_ms >= 0, attributes")[0]
    assert row[0].startswith(note)
    assert row[1:3] == [1, 1]
    assert row[3]["pilothouse.sent.start_ns"] == str(start_ns)


def test_a_running_span_is_seen_and_replaced_when_it_ends(ingest: Ingest, store: TraceStore) -> None:
    pending = {
        "traceId": TRACE, "spanId": "ee" * 8, "parentSpanId": sid(1), "name": "agent run",
        "startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW),
        "attributes": attributes({"logfire.span_type": "pending_span", "logfire.pending_parent_id": "0" * 16}),
    }  # fmt: skip
    ingest.run([traces(pending, scope="pydantic-ai")])
    assert spans(store, "span_id, parent_span_id, status, end_time") == [[sid(1), "", "running", None]]
    assert trace(store, "status") == ["running"]
    ingest.forget()
    ingest.run([traces(span(1, kind="AGENT", start=0, end=50))])
    assert spans(store, "span_id, status, duration_ms") == [[sid(1), "ok", 50]]
    assert trace(store, "status, spans") == ["ok", 1]
    ingest.run([traces(pending, scope="pydantic-ai")])
    assert spans(store, "span_id, status") == [[sid(1), "ok"]]


def test_messages_that_come_as_log_records_find_their_span_in_any_order(store: TraceStore) -> None:
    chat = span(
        1,
        name="chat gpt-4.1-mini",
        attrs={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1-mini"},
        kind="",
    )
    said = logs(("gen_ai.user.message", {"content": "what is the weather"}), ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "sunny"}}))  # fmt: skip
    request = traces(chat, scope="opentelemetry.instrumentation.openai_v2")
    for number, order in enumerate(([request, said], [said, request])):
        project = f"p{number}"
        ingest = Ingest(store, SystemClock(), read_maskers({}))
        for item in order:
            ingest.run([replace(item, project_id=project)])
        row = store.query(
            "SELECT input_text, output_text, length(input_refs), length(output_refs) FROM {db}.spans_of(project = {p:String})",
            {"p": project},
        ).rows
        assert row == [["what is the weather", "sunny", 1, 1]], order
        words = store.query(
            "SELECT content FROM {db}.messages_of(project = {p:String}) ORDER BY content", {"p": project}
        )
        assert words.rows == [["sunny"], ["what is the weather"]]


def test_a_history_is_stored_once(ingest: Ingest, store: TraceStore) -> None:
    history: list[tuple[str, str]] = [("system", "be kind " * 50)]
    items = []
    for turn in range(20):
        history += [("user", f"question {turn} " * 20)]
        items.append(span(turn + 1, start=turn, end=turn + 1, messages=list(history), answer=f"answer {turn} " * 20))
        history += [("assistant", f"answer {turn} " * 20)]
    ingest.run([traces(*items)])
    assert store.query("SELECT count() FROM {db}.messages_of(project = {p:String})", {"p": "p"}).rows == [[41]]
    assert spans(store, "max(length(input_refs))") == [[40]]
    assert ingest.total.content_bytes_offered > 8 * ingest.total.content_bytes_new


def test_secrets_and_personal_data_are_masked_everywhere(ingest: Ingest, store: TraceStore) -> None:
    key, mail = "sk-" + "a1B2" * 8, "bob@example.com"
    dirty = f"mail {mail} with {key}"
    ingest.run(
        [
            traces(
                span(1, messages=[("user", dirty)], answer=dirty, attrs={"note": dirty, "list": dirty}),
                span(2, kind="TOOL", attrs={"input.value": dirty, "output.value": dirty * 100}),
                resource={"service.name": "s", "owner": mail},
            ),
            logs(("app.log", dirty)),
        ]
    )
    for table in ("span", "message", "log", "trace", "event"):
        text = json.dumps(store.query(f"SELECT * FROM {{db}}.{table}").rows)
        assert mail not in text, table
        assert key not in text, table
    assert spans(store, "input_text")[0] == ["mail [masked: email] with [masked: openai key]"]


def test_long_values_are_kept_whole_beside_the_row(ingest: Ingest, store: TraceStore) -> None:
    long = json.dumps({"rows": [{"n": n, "text": "x" * 50} for n in range(100)]})
    ingest.run([traces(span(1, kind="TOOL", attrs={"output.value": long}))])
    text, refs = spans(store, "output_text, output_refs")[0]
    assert len(text) == 501
    assert text.endswith("…")
    whole = store.query(
        "SELECT content FROM {db}.contents_of(project = {p:String}) WHERE hash = {h:String}", {"p": "p", "h": refs[0]}
    )
    assert whole.rows == [[long]]


def test_five_thousand_attributes_and_ten_megabytes_are_kept(ingest: Ingest, store: TraceStore) -> None:
    many = {f"k{n}": f"v{n}" for n in range(5000)}
    ingest.run([traces(span(1, kind="", attrs=many)), traces(span(2, kind="", attrs={"big": "y" * 10_000_000}))])
    assert spans(store, "length(attributes)") == [[5000], [1]]
    head, whole = spans(store, "attributes['big']")[1][0], store.query("SELECT length(content) FROM {db}.message").rows
    assert head.startswith("y" * 500 + "… [10000000 characters")
    assert whole == [[10_000_000]]


def test_random_batches_and_crashes_lose_and_double_nothing(store: TraceStore) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    requests = []
    sent = set()
    for number in range(60):
        tid = f"{rng.randrange(12) + 1:032x}"
        some = [
            span(rng.randrange(1, 40), parent=rng.choice([None, *range(1, 40)]), trace_id=tid)
            for _ in range(rng.randrange(1, 6))
        ]
        sent |= {(tid, item["spanId"]) for item in some}
        requests.append(traces(*some))
        assert number < 60
    ingest = Ingest(store, SystemClock(), read_maskers({}))
    position = 0
    while position < len(requests):
        batch = requests[position : position + rng.randrange(1, 5)]
        if rng.random() < 0.4:
            # A crash in the middle: some of the inserts are done, the checkpoint is not saved.
            with pytest.raises(_Crash):
                Ingest(_Crashing(store, rng.randrange(4)), SystemClock(), read_maskers({})).run(batch)
            ingest.forget()
            continue
        ingest.run(batch)
        position += len(batch)
    rows = spans(store, "trace_id, span_id")
    assert sorted(map(tuple, rows)) == sorted(sent)
    counted = store.query("SELECT sum(spans) FROM {db}.traces_of(project = {p:String})", {"p": "p"}).rows
    assert counted == [[len(sent)]]


class _Crash(Exception):
    pass


class _Crashing(TraceStore):
    """A store whose writer dies after so many inserts."""

    def __init__(self, store: TraceStore, after: int) -> None:
        super().__init__(store.engine, database=store.database)
        self.after = after

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if self.after <= 0 and table == "trace":
            raise _Crash
        self.after -= 1
        if self.after < 0:
            raise _Crash
        super().insert(table, columns, rows)


# -- building requests -----------------------------------------------------------------------------------------------


def sid(number: int) -> str:
    return f"{number:016x}"


def span(
    number: int,
    *,
    parent: int | None = None,
    kind: str = "LLM",
    start: int = 0,
    end: int = 10,
    tokens: tuple[int, int] | None = None,
    messages: Sequence[tuple[str, str]] = (),
    answer: str = "",
    attrs: dict[str, Any] | None = None,
    trace_id: str = TRACE,
    name: str = "",
) -> dict[str, Any]:
    values: dict[str, Any] = {"openinference.span.kind": kind, "llm.model_name": "gpt-4.1-mini"} if kind else {}
    if tokens:
        values |= {"llm.token_count.prompt": tokens[0], "llm.token_count.completion": tokens[1]}
    for place, (role, text) in enumerate(messages):
        values[f"llm.input_messages.{place}.message.role"] = role
        values[f"llm.input_messages.{place}.message.content"] = text
    if answer:
        values |= {"llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": answer}
    return {
        "traceId": trace_id,
        "spanId": sid(number),
        "parentSpanId": sid(parent) if parent else "",
        "name": name or f"span-{number}",
        "startTimeUnixNano": str(NOW + start * 1_000_000),
        "endTimeUnixNano": str(NOW + end * 1_000_000),
        "attributes": attributes(values | (attrs or {})),
    }


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]


def traces(
    *items: dict[str, Any], project: str = "p", scope: str = "openinference.x", resource: dict[str, Any] | None = None
) -> Record:
    block = {"scope": {"name": scope, "version": "1"}, "spans": list(items)}
    return record(
        "traces",
        {
            "resourceSpans": [
                {"resource": {"attributes": attributes(resource or {"service.name": "s"})}, "scopeSpans": [block]}
            ]
        },
        project,
    )


def logs(*events: tuple[str, Any], project: str = "p") -> Record:
    records = [
        {
            "timeUnixNano": str(NOW + place),
            "eventName": name,
            "traceId": TRACE,
            "spanId": sid(1),
            "body": any_value(body),
            "attributes": attributes({"event.name": name}),
        }
        for place, (name, body) in enumerate(events)
    ]
    return record(
        "logs",
        {
            "resourceLogs": [
                {"scopeLogs": [{"scope": {"name": "opentelemetry.instrumentation.openai_v2"}, "logRecords": records}]}
            ]
        },
        project,
    )


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": any_value(item)} for key, item in value.items()]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def record(signal: Any, body: dict[str, Any], project: str) -> Record:
    return Record(
        project_id=project,
        signal=signal,
        content_type="application/json",
        encoding="",
        received_ns=NOW,
        body=json.dumps(body).encode(),
    )


def spans(store: TraceStore, what: str) -> list[list[Any]]:
    order = "" if what.startswith(("count(", "max(")) else " ORDER BY trace_id, span_id"
    return store.query(f"SELECT {what} FROM {{db}}.spans_of(project = {{p:String}}){order}", {"p": "p"}).rows


def trace(store: TraceStore, what: str) -> list[Any]:
    rows = store.query(f"SELECT {what} FROM {{db}}.traces_of(project = {{p:String}})", {"p": "p"}).rows
    assert len(rows) == 1
    return rows[0]
