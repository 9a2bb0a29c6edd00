"""Signals as they are stored: with the trace, whatever way its spans come, and again when time passes."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from pilothouse.costs import PriceBook
from pilothouse.intake import judge
from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.intake.reprocess import reprocess
from pilothouse.intake.segment import Record
from pilothouse.records import SystemClock, names
from pilothouse.signals import Rulebook, Thresholds, from_json
from pilothouse.store import TraceStore
from pilothouse.store.schema import STORE_VERSION, TRACE, create_table
from pilothouse.traces import why

SECOND = 1_000_000_000
NOW = time.time_ns()
TRACE_ID = "ab" * 16
ROOT = "11" * 8


@pytest.fixture
def ingest(store: TraceStore) -> Ingest:
    return Ingest(store, SystemClock(), read_maskers({}))


def test_details_are_stored_and_told(ingest: Ingest, store: TraceStore) -> None:
    ingest.run([sent(root(20), *(tool(n, "check", '{"sku":7}', "counting") for n in range(6)), said(12, "Fourteen."))])
    assert stored(store)[0] == ["loop"]
    told = why(store, "p", "last")
    assert [signal.name for signal in told.signals] == ["loop"]
    signal = told.signals[0]
    assert [item.step for item in signal.evidence] == [2, 3, 4, 5, 6, 7]
    assert signal.settings == {"loop_calls": 4, "loop_changing_calls": 30}
    assert 'in pilothouse.toml, [signals.agents."a"]: loop_calls = …' in signal.tune
    assert "stalled" in {rule.name for rule in told.looked_for}
    assert why(store, "p", ROOT).trace_id == TRACE_ID
    rules = Rulebook(agents={"a": Thresholds(off=("died",), loop_calls=9)})
    told = why(store, "p", "last", rules=rules)
    assert told.signals[0].settings["loop_calls"] == 9
    assert [rule.name for rule in told.looked_for if rule.off] == ["died"]


def test_any_order_of_arrival_gives_the_same_signals(store: TraceStore) -> None:
    parts = [root(20), *(tool(n, "save", "{}", "Error: locked") for n in range(4)), said(12, "I have saved it.")]
    outcomes = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(parts), 0, 720, 170)):
        ingest = Ingest(store, SystemClock(), read_maskers({}))
        for part in order:
            ingest.run([sent(part, project=f"p{number}")])
            if number % 2:
                ingest.forget()
        outcomes.add(json.dumps(stored(store, f"p{number}")))
    assert len(outcomes) == 1, outcomes
    assert json.loads(outcomes.pop())[0] == ["soft_error", "premature_finish", "retry_storm"]


@pytest.mark.slow
def test_a_large_trace_is_not_judged_with_every_batch(
    ingest: Ingest, store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []
    whole = judge.detect
    monkeypatch.setattr(
        judge, "detect", lambda facts, *more, **named: judged.append(len(facts)) or whole(facts, *more, **named)
    )
    for start in range(0, 1_500, 20):
        ingest.run([sent(*(tool(n, "read", f'{{"n":{n}}}', "x") for n in range(start, start + 20)))])
    assert sum(judged) < 15 * 1_500, "the work grows with the square of the spans"
    ingest.run([sent(*(tool(n, "read", '{"n":1}', "same") for n in range(1_500, 1_506)))])
    ingest.watch(NOW + 3 * SECOND)
    assert "loop" in stored(store)[0], "what the last batches brought is judged when there is time"


def test_silence_marks_an_open_trace_and_a_span_clears_the_mark(ingest: Ingest, store: TraceStore) -> None:
    ingest.run([sent(tool(0, "check", "{}", "x"), said(5, 'check({"a":1})', reason="tool_calls"))])
    ingest.watch(NOW + 200 * SECOND)
    assert stored(store)[0] == []
    assert ingest.watch(NOW + 301 * SECOND) == 1
    names_, details = stored(store)
    assert names_ == ["stalled"]
    assert "Nothing has happened for 5 min 1 s (limit 5 min)" in details[0].message
    before = received(store)
    assert ingest.watch(NOW + 302 * SECOND) == 0, "nothing new to say so soon"
    ingest.watch(NOW + 1_000 * SECOND)
    assert "16 min" in stored(store)[1][0].message
    assert received(store) == before, "looking at a trace is no arrival"
    ingest.run([sent(tool(7, "check", "{}", "y"), at=NOW + 1_100 * SECOND)])
    assert stored(store)[0] == []


def test_a_restarted_worker_knows_what_is_open(ingest: Ingest, store: TraceStore) -> None:
    ingest.run([sent(said(5, 'check({"a":1})', reason="tool_calls")), heartbeat(0)])
    fresh = Ingest(store, SystemClock(), read_maskers({}))
    # The store knows a heartbeat by the moment at which it was written.
    assert fresh.watch(time.time_ns() + 60 * SECOND) == 1
    assert stored(store)[0] == ["died"]


def test_heartbeats_tell_the_living_from_the_dead(ingest: Ingest, store: TraceStore) -> None:
    # Awake before the first heartbeat: from here on, only what the test sends is heard.
    ingest.watch(NOW)
    ingest.run([sent(said(5, 'check({"a":1})', reason="tool_calls")), heartbeat(0)])
    ingest.run([heartbeat(15)])
    ingest.watch(NOW + 34 * SECOND)
    assert stored(store)[0] == []
    ingest.watch(NOW + 60 * SECOND)
    assert stored(store)[0] == ["died"]
    ingest.run([heartbeat(70)])
    ingest.watch(NOW + 71 * SECOND)
    assert stored(store)[0] == [], "the process was only asleep"
    ingest.run([heartbeat(75, goodbye=True)])
    ingest.watch(NOW + 200 * SECOND)
    assert stored(store)[0] == []


def test_a_trace_whose_root_is_never_sent_is_judged_as_ended(ingest: Ingest, store: TraceStore) -> None:
    ingest.run([sent(tool(0, "check", "{}", "x"), said(5, "It was cut", reason="length"))])
    assert stored(store)[0] == []
    ingest.watch(NOW + 400 * SECOND)
    assert stored(store)[0] == ["truncated", "orphans"]


def test_long_texts_are_judged_whole_after_a_restart_too(ingest: Ingest, store: TraceStore) -> None:
    plan = {
        "todos": [{"content": f"step {n} " * 20, "status": "pending" if n == 29 else "completed"} for n in range(30)]
    }
    ingest.run([sent(tool(0, "TodoWrite", json.dumps(plan), "noted"), said(5, "All is well. " * 200 + "Goodbye."))])
    ingest.forget()
    ingest.run([sent(root(20))])
    names_, details = stored(store)
    assert names_ == ["premature_finish"] and "1 open item" in details[0].message
    ingest.run(
        [sent(tool(0, "get", "{}", "x"), said(5, "All is well. " * 200 + "I will now update the file."), project="q")]
    )
    ingest.forget()
    ingest.run([sent(root(20), project="q")])
    assert stored(store, "q")[0] == ["premature_finish"]
    for project in ("p", "q"):
        result = reprocess(store, PriceBook(), project=project, since_ns=0, until_ns=2**62, dry_run=True)
        assert (result["changed"], result["signals_changed"]) == (0, 0)


def test_reprocess_judges_stored_traces_again(ingest: Ingest, store: TraceStore) -> None:
    ingest.run([sent(root(20), *(tool(n, "check", "{}", "x") for n in range(6)), said(12, "Fourteen."))])
    before = received(store)
    strict = judge.Judge(store, Rulebook(everyone=Thresholds(loop_calls=9)))
    wanted: dict[str, Any] = {"project": "p", "since_ns": 0, "until_ns": 2**62}
    assert reprocess(store, PriceBook(), dry_run=True, judge=strict, **wanted)["signals_changed"] == 1
    assert stored(store)[0] == ["loop"], "a dry run wrote"
    reprocess(store, PriceBook(), dry_run=False, judge=strict, **wanted)
    assert stored(store) == ([], ())
    reprocess(store, PriceBook(), dry_run=False, **wanted)
    assert stored(store)[0] == ["loop"]
    assert received(store) == before


def test_a_store_of_the_first_version_gets_the_new_column(any_store: TraceStore) -> None:
    store = any_store
    store.command("DROP TABLE {db}.trace")
    store.command("TRUNCATE TABLE {db}.schema_version")
    store.command("INSERT INTO {db}.schema_version SELECT 1, now()")
    # The table as the first version made it.
    for statement in create_table(TRACE, store.database):
        store.command(statement.replace("\n  signal_details String CODEC(ZSTD(1)),", ""))
    ingest_row = {
        name: value for name, value in zip(TRACE.column_names, trace_values(), strict=True) if name != "signal_details"
    }
    store.insert("trace", list(ingest_row), [list(ingest_row.values())])
    assert "signal_details" not in columns(store)
    store.migrate()
    store.migrate()
    assert columns(store) == list(TRACE.column_names)
    assert store.query("SELECT max(version) FROM {db}.schema_version").rows == [[STORE_VERSION]]
    assert store.query("SELECT signals, signal_details FROM {db}.traces_of(project = {p:String})", {"p": "p"}).rows == [
        [["loop"], ""]
    ]
    told = why(store, "p", TRACE_ID)
    assert told.signals[0].name == "loop" and "pilothouse reprocess" in told.note
    Ingest(store, SystemClock(), read_maskers({})).run([sent(root(3))])
    assert stored(store) == ([], ())


def trace_values() -> list[Any]:
    values = {"project_id": "p", "trace_id": TRACE_ID, "signals": ["loop"], "version": 1, "received_day": "2026-01-01",
              "start_time": "1767225600.000000000", "received_at": "1767225600.000"}  # fmt: skip
    return [
        values.get(
            name,
            [] if kind.startswith("Array") else None if kind.startswith("Nullable") else "" if "String" in kind else 0,
        )
        for name, kind in TRACE.columns
    ]


def columns(store: TraceStore) -> list[str]:
    return [row[0] for row in store.query("DESCRIBE TABLE {db}.trace").rows]


def stored(store: TraceStore, project: str = "p") -> tuple[list[str], tuple[Any, ...]]:
    row = store.query("SELECT signals, signal_details FROM {db}.traces_of(project = {p:String})", {"p": project}).rows[
        0
    ]
    details = from_json(row[1])
    assert [signal.name for signal in details] == row[0]
    return row[0], details if project == "p" else ()


def received(store: TraceStore) -> str:
    return store.query("SELECT toString(received_at) FROM {db}.traces_of(project = {p:String})", {"p": "p"}).rows[0][0]


def root(seconds: float) -> dict[str, Any]:
    about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
    return span(ROOT, "", "invoke_agent a", 0, seconds, about)


def tool(number: int, name: str, arguments: str, result: str) -> dict[str, Any]:
    about = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name,
             "gen_ai.tool.call.arguments": arguments, "gen_ai.tool.call.result": result}  # fmt: skip
    return span(f"{number + 1:016x}", ROOT, f"execute_tool {name}", 1 + number * 0.01, 1.005 + number * 0.01, about)


def said(at: float, text: str, *, reason: str = "stop") -> dict[str, Any]:
    about = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
             "gen_ai.response.finish_reasons": json.dumps([reason]),
             "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "how many?"}]}]),
             "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": reason}])}  # fmt: skip
    return span("cc" * 8, ROOT, "chat gpt-4o", at, at + 1, about)


def span(span_id: str, parent: str, name: str, start_s: float, end_s: float, about: dict[str, str]) -> dict[str, Any]:
    base = NOW - 100 * SECOND
    return {
        "traceId": TRACE_ID, "spanId": span_id, "parentSpanId": parent, "name": name,
        "startTimeUnixNano": str(base + int(start_s * SECOND)), "endTimeUnixNano": str(base + int(end_s * SECOND)),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in about.items()],
    }  # fmt: skip


def sent(*spans: dict[str, Any], project: str = "p", at: int = NOW) -> Record:
    scope = {"name": "opentelemetry.instrumentation.genai"}
    return record("traces", {"resourceSpans": [{"scopeSpans": [{"scope": scope, "spans": list(spans)}]}]}, project, at)


def heartbeat(seconds: float, *, goodbye: bool = False) -> Record:
    at = NOW + int(seconds * SECOND)
    span_ = {
        "trace_id": TRACE_ID,
        "span_id": ROOT,
        "name": "a",
        "kind": "agent",
        "state": "",
        "wait_for": "",
        "since_ns": NOW,
    }
    entry = {
        "timeUnixNano": str(at),
        "eventName": names.GOODBYE_EVENT if goodbye else names.HEARTBEAT_EVENT,
        "body": {"stringValue": json.dumps({"interval_s": 5, "instance": "one", "open": [span_]})},
    }
    body = {"resourceLogs": [{"scopeLogs": [{"scope": {"name": names.SCOPE}, "logRecords": [entry]}]}]}
    return record("logs", body, "p", at)


def record(signal: Any, body: dict[str, Any], project: str, at: int) -> Record:
    return Record(project_id=project, signal=signal, content_type="application/json", encoding="", received_ns=at,
                  body=json.dumps(body).encode())  # fmt: skip
