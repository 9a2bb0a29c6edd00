"""What every page shows is in an export and on the command line, by name; what is not is listed with the reason.

A page or a field that is added here fails until it has its place. The places are looked up in a real export.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from pathlib import Path

import pytest

from pilothouse.cli.root import COMMANDS
from pilothouse.cli.traces import _JSON_FORMS, _PARTS, _TEXT_FORMS
from pilothouse.files.folder import ExportFolder
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.records import Evidence, Signal
from pilothouse.signals.stored import to_json
from pilothouse.store import TraceStore
from pilothouse.store.schema import ANNOTATION, LOG
from pilothouse.traces.model import Span, SpanDetail
from pilothouse.web.pages import PAGES
from tests.traces.support import NOW_NS, PROJECT, TraceBuilder, said, stored_time, trace_id

CHOSEN = {
    *(
        "title",
        "command",
        "window",
        "query",
        "terms",
        "sort",
        "problem",
        "cursor",
        "next",
        "next_after",
        "after",
        "view",
    ),
    *(
        "step",
        "follow",
        "infra",
        "level_asked",
        "expand",
        "chosen",
        "thread",
        "show",
        "text",
        "service",
        "host",
        "state",
    ),
    *(
        "form",
        "by",
        "focus",
        "weak",
        "statement",
        "mode",
        "api",
        "first_turn",
        "previous_step",
        "next_step",
        "agent_asked",
    ),
    *("may_write", "may_confirm"),
    *("setup", "elsewhere", "ways", "trace_id", "known", "offers", "row_of_step"),
}
"""What the reader asked for, where he is on the page, and how to send the first data: no content."""

NO_FILE = "-"


def _of(*pages: str) -> list[tuple[str, str]]:
    """All that pages show which are no record of agents."""
    shown = [page for page in PAGES if page.name in pages]
    return [
        (page.name, field.name)
        for page in shown
        for field in dataclasses.fields(page.context)
        if field.name not in CHOSEN
    ]


PLACES: dict[tuple[str, str], tuple[str, str]] = {
    # (page, field): (where in the export, command)
    ("overview", "overview"): ("index.db#traces.duration_ms", "overview"),
    ("overview", "before"): (NO_FILE, "overview"),
    ("overview", "signals"): ("index.db#signals.name", "overview"),
    ("overview", "features"): ("code.json#features", "cost"),
    ("overview", "tools"): ("index.db#spans.tool", "overview"),
    ("live", "states"): (NO_FILE, "live"),
    ("live", "live"): (NO_FILE, "live"),
    ("traces", "traces"): ("index.jsonl#trace_id", "ls"),
    ("traces", "facets"): ("index.md", "ls"),
    ("traces", "heatmap"): ("index.db#traces.duration_ms", "sql"),
    ("trace", "trace"): ("trace.md", "show"),
    ("trace", "breakdown"): ("index.db#spans.ms", "show --as breakdown"),
    ("trace", "plan"): ("spans.jsonl#events", "show --as plan"),
    ("trace", "states"): ("spans.jsonl#events", "show --as states"),
    ("trace", "transcript"): ("transcript.md", "show --as transcript"),
    ("trace", "rows"): ("tree.txt", "show --as tree"),
    ("trace", "why"): ("signals.jsonl#evidence", "why"),
    ("trace", "graph"): ("index.db#spans.parent", "show --as graph"),
    ("trace", "logs"): ("logs.jsonl#confidence", "logs"),
    ("trace", "level"): ("logs.jsonl#severity", "logs"),
    ("spans", "trace"): ("trace.md", "show"),
    ("spans", "rows"): ("spans.jsonl#step", "show --as tree"),
    ("spans", "columns"): ("spans.jsonl#ms", "show --as waterfall"),
    ("spans", "total"): ("index.db#traces.spans", "show"),
    ("span", "detail"): ("spans.jsonl#span_id", "show"),
    ("span", "cost"): ("spans.jsonl#cost_usd", "cost"),
    ("span", "decision"): ("prompts/", "decision"),
    ("context", "trace"): ("trace.md", "context"),
    ("context", "context"): ("prompts/", "context"),
    ("context", "calls"): ("prompts/", "context"),
    ("context", "pictures"): ("prompts/", "context"),
    ("compare", "a"): (NO_FILE, "diff"),
    ("compare", "b"): (NO_FILE, "diff"),
    ("compare", "diff"): (NO_FILE, "diff"),
    ("compare", "items"): (NO_FILE, "diff"),
    ("compare", "whole"): (NO_FILE, "diff"),
    ("sessions", "sessions"): ("index.db#traces.session_id", "sessions"),
    ("session", "session"): ("sessions/*/session.md", "sessions"),
    ("session", "turns"): ("sessions/*/turns.jsonl#turn", "sessions"),
    ("logs", "logs"): (NO_FILE, "logs"),
    ("logs", "level"): ("index.db#logs.severity", "logs"),
    ("logs", "lost"): ("index.db#logs.never_a_span", "logs"),
    ("logs", "facets"): ("index.db#logs.service", "logs"),
    ("fleet", "fleet"): ("index.db#traces.agent", "fleet"),
    ("fleet", "states"): (NO_FILE, "fleet"),
    ("fleet", "total"): ("index.db#traces.agent", "fleet"),
    ("agent", "agent"): ("index.db#traces.agent", "level"),
    ("agent", "level"): (NO_FILE, "level"),
    ("agent", "audit"): (NO_FILE, "audit"),
    ("agent", "rows"): ("index.db#traces.agent", "ls"),
    ("agent", "overview"): ("index.db#traces.cost_usd", "overview"),
    ("agent", "map"): ("index.db#spans.parent", "map"),
    ("map", "map"): ("index.db#code.kind", "map"),
    ("sql", "result"): ("index.db#spans.step", "sql"),
    ("sql", "tables"): ("schema.md", "sql"),
    ("doctor", "doctor"): (NO_FILE, "doctor"),
    ("keys", "project"): (NO_FILE, "projects"),
    ("trace", "written"): ("notes.jsonl#text", "notes"),
    ("span", "written"): ("notes.jsonl#text", "notes"),
    ("session", "written"): ("sessions/*/notes.jsonl#text", "notes"),
    ("deletion", "deletion"): (NO_FILE, "delete"),
    ("deletion", "expires"): (NO_FILE, "delete"),
    ("deletion", "keeps"): (NO_FILE, "delete"),
    ("jobs", "runs"): (NO_FILE, "jobs"),
    ("jobs", "total"): (NO_FILE, "jobs"),
    ("job", "run"): (NO_FILE, "jobs"),
    ("job", "steps"): (NO_FILE, "jobs"),
    ("analysis", "analyses"): (NO_FILE, "analyze"),
    ("analysis", "total"): (NO_FILE, "analyze"),
    ("analysis", "playbooks"): (NO_FILE, "analyze"),
    ("analysis_run", "analysis"): (NO_FILE, "analyze"),
    ("analysis_run", "cohorts"): (NO_FILE, "analyze"),
    ("analysis_run", "findings"): (NO_FILE, "analyze"),
    ("analysis_run", "profile"): (NO_FILE, "analyze"),
    ("analysis_run", "report"): (NO_FILE, "analyze"),
    ("analysis_run", "files"): (NO_FILE, "analyze"),
    **dict.fromkeys(_of("approvals", "approval"), (NO_FILE, "approvals")),
    **dict.fromkeys(_of("policy"), (NO_FILE, "policy")),
    **dict.fromkeys(_of("guards"), (NO_FILE, "guard")),
    **dict.fromkeys(_of("budgets"), (NO_FILE, "budgets")),
    **dict.fromkeys(_of("online"), (NO_FILE, "eval")),
    **dict.fromkeys(_of("gateway"), (NO_FILE, "gateway")),
    **dict.fromkeys(_of("queues", "queue", "labelling"), (NO_FILE, "queues")),
    **dict.fromkeys(_of("evals", "eval_run"), (NO_FILE, "eval")),
}

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("overview", "before"): "the window before is another window: pull it with --since and --until",
    ("live", "states"): "what runs now is no file: a trace that runs is exported as far as it has come",
    ("live", "live"): "what runs now is no file: a trace that runs is exported as far as it has come",
    ("compare", "a"): "the trace itself, which has a folder",
    ("compare", "b"): "the trace itself, which has a folder",
    ("compare", "diff"): "two traces side by side: their folders hold the same file names, for diff and SQL",
    ("compare", "items"): "two traces side by side: their folders hold the same file names, for diff and SQL",
    ("compare", "whole"): "two traces side by side: their folders hold the same file names, for diff and SQL",
    ("logs", "logs"): "an export is of traces: lines that belong to none stay on the server",
    ("fleet", "states"): "what an agent does now is no file",
    ("agent", "level"): "judged over all that is recorded of an agent, not over the traces of an export",
    ("agent", "audit"): "judged over all that is recorded of an agent, not over the traces of an export",
    ("doctor", "doctor"): "about what arrived and was refused, not about traces",
    ("keys", "project"): "keys never leave the server",
    **dict.fromkeys(
        (("deletion", "deletion"), ("deletion", "expires"), ("deletion", "keeps")),
        "what waits for a person is no part of a record; a trace that was deleted leaves the export",
    ),
    **dict.fromkeys(
        (("jobs", "runs"), ("jobs", "total"), ("job", "run"), ("job", "steps")),
        "work of the server, not of the agents it records",
    ),
    **dict.fromkeys(
        (
            *(("analysis", "analyses"), ("analysis", "total"), ("analysis", "playbooks")),
            *(("analysis_run", "analysis"), ("analysis_run", "cohorts"), ("analysis_run", "findings")),
            *(("analysis_run", "profile"), ("analysis_run", "report"), ("analysis_run", "files")),
        ),
        "made from an export, and lies beside one: `analyze` over a pulled folder writes the same files there",
    ),
    **dict.fromkeys(_of("approvals", "approval"), "decisions of people about actions, which are no part of a record"),
    **dict.fromkeys(_of("policy", "guards"), "what is allowed, a file of its own"),
    **dict.fromkeys(
        _of("gateway"), "the server's own health: what passed through it stands with the calls of an export"
    ),
    **dict.fromkeys(
        _of("queues", "queue", "labelling"),
        "work that waits for people; what they said is annotations, which stand with the traces of an export",
    ),
    **dict.fromkeys(
        _of("evals", "eval_run"), "runs of suites, made of files that stand beside the code; their traces are exported"
    ),
    **dict.fromkeys(_of("budgets"), "accounts of the server: what the calls of an export cost stands with them"),
    **dict.fromkeys(_of("online"), "sums over a project's scores: each score stands with its trace in an export"),
}
"""Content that is on purpose not in an export."""

_IN_SPANS = {
    *("step", "span_id", "depth", "kind", "name", "agent", "model", "provider", "status", "error_type", "tool_call_id"),
    *("ttft_ms", "tokens", "duplicate_of", "cost_usd", "counted", "finish_reason", "notes"),
}
SPAN_PLACES: dict[str, str] = {
    **{name: f"spans.jsonl#{name}" for name in _IN_SPANS},
    "parent_span_id": "spans.jsonl#parent",
    "agent_version": "code.json#agent_versions",
    "dialect": "code.json#dialects",
    "error_message": "spans.jsonl#error",
    "tool_name": "spans.jsonl#tool",
    "tool_error": "spans.jsonl#error",
    "start_time": "spans.jsonl#start",
    "offset_ms": "spans.jsonl#start",
    "duration_ms": "spans.jsonl#ms",
    "usage_scope": "spans.jsonl#counted",
    "input_head": "spans.jsonl#input",
    "output_head": "spans.jsonl#output",
}
DETAIL_PLACES: dict[str, str] = {
    **{
        name: f"spans.jsonl#{name}"
        for name in (
            *("parameters", "error_stack", "attributes", "service", "operation", "request_model", "response_id"),
            *("usage_rule", "cost_source", "events", "documents", "code"),
        )
    },
    "trace_id": "index.db#traces.trace_id",
    "span": "spans.jsonl#step",
    "input": "spans.jsonl#input_messages",
    "output": "messages.jsonl#text",
    "input_value": "spans.jsonl#input",
    "output_value": "spans.jsonl#output",
    "tools": "spans.jsonl#tool_definitions",
    "error_message": "spans.jsonl#error",
    "resource": "code.json#resources",
    "scope_name": "code.json#emitters",
    "scope_version": "code.json#emitters",
    "session_id": "index.db#traces.session_id",
    "user_id": "index.db#traces.user_id",
    "environment": "code.json#environment",
    "feature": "code.json#features",
    "tags": "code.json#tags",
    "prompt_name": "spans.jsonl#prompt",
    "prompt_version": "spans.jsonl#prompt",
    "links": "links.json",
    "scores": "scores.jsonl#value",
    "notes_left": "notes.jsonl#text",
    "error_inputs": "spans.jsonl#attributes",
    "led_by": "spans.jsonl#attributes",
}
DETAIL_EXCEPTIONS: dict[str, str] = {
    "usage_ambiguous": "the notes of a step say what is doubtful about its usage",
    "cost_given_usd": "the sender's own price is among the attributes",
    "received_at": "when the server got it says nothing of the run; the manifest has the watermark",
}


FIELDS = [
    (page.name, field.name) for page in PAGES for field in dataclasses.fields(page.context) if field.name not in CHOSEN
]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory, chdb_engine: object) -> Path:
    """A session of one trace that has everything, exported."""
    from tests.conftest import fresh_store

    made = fresh_store(chdb_engine)  # type: ignore[arg-type]  # the engine of the whole run
    store: TraceStore = next(made)
    _fill(store)
    path = tmp_path_factory.mktemp("parity") / "out"
    spec = ExportSpec(kind="session", id="talk-7")
    folder = ExportFolder(path, spec)
    pulled = folder.take(stream(store, PROJECT, spec, now_ns=NOW_NS))
    folder.finish(complete=pulled.complete)
    folder.close()
    next(made, None)
    return path


def _fill(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1), session="talk-7", user="ann")
    signal = Signal(
        name="loop", message="three times", evidence=(Evidence(span_id=f"{2:08x}" + "cd" * 4, note="here"),)
    )
    question, answer = said("user", "where is it?"), said("assistant", "there")
    trace.span(1, "agent", agent="desk", agent_version="3", input=[question], output=[answer], ms=5_000)
    trace.span(
        2, "model", parent=1, at_ms=1, model="gpt-x", request_model="gpt-x-latest", provider="openai", agent="desk",
        input=[said("system", "be kind"), question], output=[answer], tokens={"input_uncached": 5}, cost="0.001",
        ttft_ns=5_000_000, operation="chat", response_id="resp-1", usage_rule="leaf", finish_reason="stop",
        parameters='{"temperature": 0}', prompt_name="desk", prompt_version="2", notes=["odd"],
        tools_ref=trace.value("t1", '[{"name": "look"}]'), documents_ref=trace.value("d1", '[{"id": "1"}]'),
    )  # fmt: skip
    trace.span(
        3, "tool", parent=1, at_ms=2, tool_name="look", tool_call_id="call-123", input_text="{}", output_text="no",
        status="error", error_type="Timeout", error_message="took too long", error_stack="Timeout: no",
        attributes={"code.file.path": "tools.py", "code.line.number": "3", "pilothouse.error.inputs": "{}"},
        resource={"service.version": "1", "host.name": "h-1"}, scope_name="pilothouse", scope_version="1",
        feature="find", tags=["a"], links=json.dumps([{"trace_id": "ef" * 16, "span_id": "12" * 8}]),
    )  # fmt: skip
    trace.span(4, "model", parent=1, at_ms=3, model="gpt-x", duplicate_of=f"{2:08x}" + "cd" * 4)
    trace.event(1, "pilothouse.state", to="planning")
    trace.score("good", 1.0)
    trace.store(store, signals=["loop"], signal_details=to_json([signal]))
    row: dict[str, object] = dict.fromkeys(LOG.column_names, "")
    at = stored_time(trace.start_ns + 1_000_000)
    row.update(project_id=PROJECT, time=at, observed_time=at, severity_number=17, severity="ERROR", body="disk full")
    row.update(trace_id=trace.id, hash="1", attributes={}, resource={}, service="db", host="h-1", version=1)
    row.update(received_at=at[:23], received_day=at[:10])
    note: dict[str, object] = dict.fromkeys(ANNOTATION.column_names, "")
    note.update(project_id=PROJECT, annotation_id="ann_1", kind="note", trace_id=trace.id, text="look here", time=at)
    note.update(removed=0, version=1, received_at=at[:23], received_day=at[:10], actor="ann", actor_kind="person")
    said_of_all = {**note, "annotation_id": "ann_2", "trace_id": "", "session_id": "talk-7", "text": "asked twice"}
    rows = [[one[name] for name in ANNOTATION.column_names] for one in (note, said_of_all)]
    store.insert("annotation", ANNOTATION.column_names, rows)
    store.insert("log", LOG.column_names, [[row[name] for name in LOG.column_names]])


def _there(export: Path, place: str) -> bool:
    name, _, key = place.partition("#")
    if name == "index.db":
        table, _, column = key.partition(".")
        database = sqlite3.connect(export / name)
        try:
            sql = f"SELECT count(*) FROM {table} WHERE ifnull({column}, '') != ''"
            return database.execute(sql).fetchone()[0] > 0
        finally:
            database.close()
    found = [*export.glob(name.rstrip("/")), *export.glob(f"traces/*/*/{name.rstrip('/')}")]
    if not key:
        return any(list(path.iterdir()) if path.is_dir() else path.read_text().strip() for path in found)
    rows = [
        row
        for path in found
        for row in (
            map(json.loads, path.read_text().splitlines())
            if path.suffix == ".jsonl"
            else [json.loads(path.read_text())]
        )
    ]
    return any(row.get(key) not in (None, "", [], {}) for row in rows)


def test_every_field_of_every_page_has_its_place() -> None:
    assert sorted(set(FIELDS) - set(PLACES)) == [], "say where it is in an export and which command shows it"
    assert sorted(set(PLACES) - set(FIELDS)) == [], "no page has these any more"
    assert sorted(page.name for page in PAGES if not any(name == page.name for name, _ in PLACES)) == []


def test_every_field_of_a_step_has_its_place() -> None:
    names = {field.name for field in dataclasses.fields(SpanDetail)}
    assert sorted(names) == sorted({*DETAIL_PLACES, *DETAIL_EXCEPTIONS})
    assert sorted(field.name for field in dataclasses.fields(Span)) == sorted(SPAN_PLACES)


def test_exceptions_are_those_without_a_place() -> None:
    assert sorted(key for key, (place, _) in PLACES.items() if place == NO_FILE) == sorted(EXCEPTIONS)


def test_places_are_in_a_real_export(export: Path) -> None:
    places = {place for place, _ in PLACES.values() if place != NO_FILE}
    places |= {*SPAN_PLACES.values(), *DETAIL_PLACES.values()}
    assert sorted(place for place in places if not _there(export, place)) == []
    assert not _there(export, "spans.jsonl#nonsense") and not _there(export, "nothing.md")


@pytest.mark.parametrize("words", sorted({command for _, command in PLACES.values()}))
def test_commands_are_there(words: str) -> None:
    first, *rest = words.split()
    assert first in COMMANDS
    if rest:
        assert rest[0] == "--as" and rest[1] in {*_TEXT_FORMS, *_JSON_FORMS, *_PARTS}
