"""``index.db`` of an export: the traces, spans, messages and scores of all its folders, with full-text search.

Made from the files alone, so it can always be made again. Standard library only: it runs where the command runs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pilothouse.records import Broken

INDEX_NAME = "index.db"
_VERSION = 4

SCHEMA_SQL = """
CREATE TABLE IF NOT EXISTS traces (
  trace_id TEXT PRIMARY KEY, folder TEXT, start TEXT, duration_ms REAL, status TEXT, agent TEXT, agent_version TEXT,
  environment TEXT, service TEXT, session_id TEXT, user_id TEXT, spans INTEGER, model_calls INTEGER,
  tool_calls INTEGER, errors INTEGER, tokens INTEGER, cost_usd REAL, signals TEXT, models TEXT, tools TEXT,
  input TEXT, output TEXT, first_error TEXT, version INTEGER);
CREATE TABLE IF NOT EXISTS spans (
  trace_id TEXT, step TEXT, span_id TEXT, parent TEXT, depth INTEGER, kind TEXT, label TEXT, status TEXT, start TEXT,
  ms REAL, agent TEXT, model TEXT, tool TEXT, tokens INTEGER, cost_usd REAL, counted INTEGER, error_type TEXT,
  error TEXT, finish_reason TEXT, input TEXT, output TEXT, code TEXT, PRIMARY KEY (trace_id, span_id));
CREATE INDEX IF NOT EXISTS spans_by_step ON spans (trace_id, step);
CREATE TABLE IF NOT EXISTS messages (
  trace_id TEXT, id TEXT, first_step TEXT, role TEXT, chars INTEGER, text TEXT, payload TEXT,
  PRIMARY KEY (trace_id, id));
CREATE TABLE IF NOT EXISTS scores (trace_id TEXT, span_id TEXT, name TEXT, value REAL, label TEXT, source TEXT, time TEXT, explanation TEXT);
CREATE TABLE IF NOT EXISTS notes (trace_id TEXT, step TEXT, span_id TEXT, text TEXT, actor TEXT, actor_kind TEXT, run TEXT, time TEXT);
CREATE TABLE IF NOT EXISTS labels (trace_id TEXT, step TEXT, span_id TEXT, name TEXT, actor TEXT, actor_kind TEXT, run TEXT, time TEXT);
CREATE INDEX IF NOT EXISTS labels_by_name ON labels (name);
CREATE TABLE IF NOT EXISTS logs (
  trace_id TEXT, step TEXT, time TEXT, offset_ms REAL, match TEXT, confidence TEXT, why TEXT, severity TEXT,
  service TEXT, host TEXT, logger TEXT, never_a_span INTEGER, error_type TEXT, body TEXT);
CREATE INDEX IF NOT EXISTS logs_by_trace ON logs (trace_id, time);
CREATE TABLE IF NOT EXISTS payloads (trace_id TEXT, step TEXT, field TEXT, path TEXT, chars INTEGER, type TEXT);
CREATE TABLE IF NOT EXISTS links (trace_id TEXT, step TEXT, span_id TEXT, to_trace TEXT, to_span TEXT);
CREATE TABLE IF NOT EXISTS code (
  trace_id TEXT, kind TEXT, name TEXT, file TEXT, line INTEGER, function TEXT, first_step TEXT, spans INTEGER,
  failed INTEGER);
CREATE TABLE IF NOT EXISTS signals (
  trace_id TEXT, name TEXT, severity TEXT, message TEXT, first_step TEXT, value REAL, threshold REAL, unit TEXT);
CREATE TABLE IF NOT EXISTS cuts (trace_id TEXT, what TEXT, count INTEGER, more TEXT);
CREATE TABLE IF NOT EXISTS folders (folder TEXT PRIMARY KEY, trace_id TEXT, files INTEGER, bytes INTEGER, sha256 TEXT);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (trace_id UNINDEXED, step UNINDEXED, what UNINDEXED, text);
"""

SAMPLES = (
    ("the dearest traces", "SELECT folder, agent, cost_usd FROM traces ORDER BY cost_usd DESC LIMIT 10"),
    ("failures by kind", "SELECT error_type, count(*) FROM spans WHERE status != 'ok' GROUP BY 1 ORDER BY 2 DESC"),
    (
        "tools by calls and failures",
        "SELECT tool, count(*), sum(status != 'ok') FROM spans WHERE kind = 'tool' GROUP BY 1",
    ),
    (
        "where words were said",
        "SELECT trace_id, step, snippet(words, 3, '[', ']', '…', 12) FROM words WHERE words MATCH 'refund'",
    ),
    ("one trace's steps", "SELECT step, kind, label, status, ms FROM spans WHERE trace_id LIKE 'ab12%' ORDER BY step"),
    ("traces with a signal", "SELECT folder, signals FROM traces WHERE ',' || signals || ',' LIKE '%,loop,%'"),
    ("signals with what was found", "SELECT trace_id, first_step, name, severity, message FROM signals ORDER BY name"),
    (
        "time and money by kind of step",
        "SELECT kind, label, count(*), sum(ms), sum(cost_usd) FROM spans WHERE counted OR kind = 'tool' GROUP BY 1, 2",
    ),
    (
        "who calls whom",
        "SELECT p.kind, p.label, s.kind, s.label, count(*) FROM spans s JOIN spans p "
        "ON p.trace_id = s.trace_id AND p.span_id = s.parent GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC",
    ),
    ("cost by model", "SELECT model, sum(cost_usd) FROM spans WHERE kind = 'model' AND counted GROUP BY 1"),
    ("slowest steps", "SELECT trace_id, step, label, ms FROM spans ORDER BY ms DESC LIMIT 10"),
    (
        "code that failed, by file and line",
        "SELECT file, line, function, sum(failed), sum(spans) FROM code WHERE file != '' GROUP BY 1, 2, 3 ORDER BY 4 DESC",
    ),
    ("which trace a step belongs with", "SELECT trace_id, step, to_trace, to_span FROM links"),
    ("what is not here", "SELECT what, sum(count), min(more) FROM cuts GROUP BY 1"),
    ("what repeats", "SELECT tool, input, count(*) FROM spans WHERE kind = 'tool' GROUP BY 1, 2 HAVING count(*) > 3"),
    (
        "errors in logs that no step tells of",
        "SELECT trace_id, time, service, confidence, body FROM logs WHERE never_a_span ORDER BY time",
    ),
    ("traces with a label", "SELECT folder, name, step FROM labels JOIN traces USING (trace_id) ORDER BY name"),
    ("what was noted", "SELECT trace_id, step, actor, text FROM notes ORDER BY time"),
    ("a message's whole text", "SELECT path, chars FROM payloads WHERE trace_id LIKE 'ab12%' AND step = '003'"),
)


class ExportIndex:
    """The database of one export's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = _open(folder / INDEX_NAME)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def begin(self) -> None:
        """Begin a change that is whole or not at all."""
        self._database.execute("BEGIN")

    def commit(self) -> None:
        """Make the change durable."""
        self._database.execute("COMMIT")

    def remove(self, trace_id: str) -> None:
        """Forget a trace."""
        for table in (
            "traces",
            "spans",
            "messages",
            "scores",
            "notes",
            "labels",
            "logs",
            "payloads",
            "links",
            "code",
            "signals",
            "cuts",
            "folders",
            "words",
        ):
            self._database.execute(f"DELETE FROM {table} WHERE trace_id = ?", (trace_id,))

    def add(
        self, row: Mapping[str, Any], folder: str, version: int, digest: Mapping[str, Any], *, spans_cut: int = 0
    ) -> None:
        """Take in a trace from its files, which lie in ``folder`` by now."""
        trace_id = str(row["trace_id"])
        self.remove(trace_id)
        run = self._database.execute
        run("INSERT INTO traces VALUES (" + ",".join("?" * 24) + ")", _trace(row, folder, version))
        run(
            "INSERT INTO folders VALUES (?,?,?,?,?)",
            (folder, trace_id, digest["files"], digest["bytes"], digest["sha256"]),
        )
        place = self._folder / folder
        for span in _lines(place / "spans.jsonl"):
            run("INSERT OR REPLACE INTO spans VALUES (" + ",".join("?" * 22) + ")", _span(trace_id, span))
            for field in ("input", "output", "tool_definitions", "documents", "error_stack", "error"):
                self._word(trace_id, str(span.get("step", "")), field, span.get(field))
            for key, value in cast("Mapping[str, Any]", span.get("attributes") or {}).items():
                # Of attributes only what is too long to stand in the line: as words they would drown the rest.
                if isinstance(value, dict):
                    self._word(trace_id, str(span.get("step", "")), f"attribute {key}", value)
        for message in _lines(place / "messages.jsonl"):
            step = str(message.get("first_step", ""))
            text = message.get("text", "")
            payload = cast("Mapping[str, Any]", text).get("$ref", "") if isinstance(text, dict) else ""
            values = (
                trace_id,
                message.get("id"),
                step,
                message.get("role"),
                message.get("chars"),
                _short(text),
                payload,
            )
            run("INSERT OR REPLACE INTO messages VALUES (?,?,?,?,?,?,?)", values)
            self._word(trace_id, step, f"message {message.get('role', '')}", text)
            for media in cast("list[Mapping[str, Any]]", message.get("media") or []):
                values = (trace_id, step, "media", media.get("$ref"), media.get("bytes"), media.get("type"))
                run("INSERT INTO payloads VALUES (?,?,?,?,?,?)", values)
        for score in _lines(place / "scores.jsonl"):
            fields = ("span_id", "name", "value", "label", "source", "time", "explanation")
            run("INSERT INTO scores VALUES (?,?,?,?,?,?,?,?)", (trace_id, *(score.get(name) for name in fields)))

        for note in _lines(place / "notes.jsonl"):
            where = (trace_id, note.get("step"), note.get("span_id"))
            who = tuple(note.get(name) for name in ("actor", "actor_kind", "run", "time"))
            if note.get("kind") == "label":
                run("INSERT INTO labels VALUES (?,?,?,?,?,?,?,?)", (*where, note.get("name"), *who))
            else:
                run("INSERT INTO notes VALUES (?,?,?,?,?,?,?,?)", (*where, note.get("text"), *who))
                self._word(trace_id, str(note.get("step", "")), "note", note.get("text"))
        for line in _lines(place / "logs.jsonl"):
            # The last lines say what was left out.
            if "cut" in line:
                cut = (trace_id, f"log lines joined by {line['cut']}", line.get("lines"), line.get("more"))
                run("INSERT INTO cuts VALUES (?,?,?,?)", cut)
            else:
                run("INSERT INTO logs VALUES (" + ",".join("?" * 14) + ")", _log(trace_id, line))
                self._word(trace_id, str(line.get("step", "")), "log", line.get("body"))

        for signal in _lines(place / "signals.jsonl"):
            seen = cast("list[Mapping[str, Any]]", signal.get("evidence") or [])
            where = seen[0].get("step") if seen else None
            told = (signal.get("name"), signal.get("severity"), signal.get("message"), where)
            measured = (signal.get("value"), signal.get("limit"), signal.get("unit"))
            run("INSERT INTO signals VALUES (?,?,?,?,?,?,?,?)", (trace_id, *told, *measured))
        for link in cast("list[Mapping[str, Any]]", _whole(place / "links.json") or []):
            fields = ("step", "span_id", "to_trace", "to_span")
            run("INSERT INTO links VALUES (?,?,?,?,?)", (trace_id, *(link.get(name) for name in fields)))
        made = cast("Mapping[str, Any]", _whole(place / "code.json") or {})
        for part in cast("list[Mapping[str, Any]]", made.get("components") or []):
            fields = ("kind", "name", "file", "line", "function", "first_step", "spans", "failed")
            run("INSERT INTO code VALUES (?,?,?,?,?,?,?,?,?)", (trace_id, *(part.get(name) for name in fields)))
        if spans_cut:
            more = f"pilothouse sql \"SELECT * FROM spans WHERE trace_id = '{trace_id}' ORDER BY start_time\""
            run("INSERT INTO cuts VALUES (?,?,?,?)", (trace_id, "spans", spans_cut, more))

    def _word(self, trace_id: str, step: str, what: str, value: Any) -> None:
        if isinstance(value, dict):
            reference = cast("Mapping[str, Any]", value)
            path, chars = str(reference.get("$ref", "")), reference.get("chars", 0)
            self._database.execute(
                "INSERT INTO payloads VALUES (?,?,?,?,?,?)", (trace_id, step, what, path, chars, "text")
            )
            value = reference.get("head", "")
            found = self._folder_of(trace_id) / path
            # A payload in parts is found by its first megabyte: the words that say what it is.
            for part in (found, found.with_name(found.name + ".part-000001")):
                if part.is_file():
                    value = part.read_text("utf-8", "replace")[:1_000_000]
                    break
        if value:
            self._database.execute("INSERT INTO words VALUES (?,?,?,?)", (trace_id, step, what, str(value)))

    def _folder_of(self, trace_id: str) -> Path:
        found = self._database.execute("SELECT folder FROM folders WHERE trace_id = ?", (trace_id,)).fetchone()
        return self._folder / found[0] if found else self._folder

    def folder_of(self, trace_id: str) -> str:
        """Where a trace lies; empty where it is not in the export."""
        found = self._database.execute("SELECT folder FROM folders WHERE trace_id = ?", (trace_id,)).fetchone()
        return found[0] if found else ""

    def folders(self) -> Iterator[tuple[str, str]]:
        """Each trace folder and its digest, in order."""
        yield from self._database.execute("SELECT folder, sha256 FROM folders ORDER BY folder")

    def counts(self) -> dict[str, int]:
        """What is in it."""
        tables = ("traces", "spans", "messages", "scores", "notes", "labels", "logs", "links", "payloads")
        counted = {name: self._one(f"SELECT count(*) FROM {name}") for name in tables}
        failed = self._one("SELECT count(*) FROM traces WHERE status = 'error'")
        return {**counted, "failed": failed, "files": self._one("SELECT ifnull(sum(files), 0) FROM folders")}

    def cuts(self) -> dict[str, int]:
        """What was left out, by what, over all traces."""
        return dict(self._database.execute("SELECT what, sum(count) FROM cuts GROUP BY 1 ORDER BY 1"))

    def window(self) -> tuple[str, str]:
        """The first and the last start of its traces."""
        found = self._database.execute("SELECT ifnull(min(start), ''), ifnull(max(start), '') FROM traces").fetchone()
        return found[0], found[1]

    def traces(self, order: str = "start", limit: int = -1) -> Iterator[dict[str, Any]]:
        """Rows of traces; ``order`` is one of our own expressions."""
        cursor = self._database.execute(
            f"SELECT * FROM traces ORDER BY {order}, trace_id LIMIT ?",
            (limit,),
        )
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))

    def buckets(self) -> list[tuple[str, str, str, int, int]]:
        """Traces by status, agent and first words of the first error, the most frequent first."""
        return self._database.execute(
            "SELECT status, agent, substr(first_error, 1, 60), count(*), sum(spans) FROM traces GROUP BY 1, 2, 3 "
            "ORDER BY 4 DESC, 1, 2, 3 LIMIT 40"
        ).fetchall()

    def _one(self, sql: str) -> int:
        return int(self._database.execute(sql).fetchone()[0])


def _open(path: Path) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(path, isolation_level=None)
        # It can be made again from the files: speed before durability.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            database.executescript(SCHEMA_SQL)
            database.execute(f"PRAGMA user_version = {_VERSION}")
    except sqlite3.Error as error:
        raise Broken(
            f"the export's index cannot be used: {error}", got=str(path), fix="pilothouse pull … --fresh"
        ) from error
    return database


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _whole(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def _short(value: Any) -> str:
    return str(cast("Mapping[str, Any]", value).get("head", "")) if isinstance(value, dict) else str(value or "")


def _trace(row: Mapping[str, Any], folder: str, version: int) -> tuple[Any, ...]:
    cost = row.get("cost_usd")
    tokens = cast("Mapping[str, Any]", row.get("tokens") or {})
    return (
        row["trace_id"],
        folder,
        row.get("start_time"),
        row.get("duration_ms"),
        row.get("status"),
        row.get("agent") or row.get("root_name"),
        row.get("agent_version"),
        row.get("environment"),
        row.get("service"),
        row.get("session_id"),
        row.get("user_id"),
        row.get("spans"),
        row.get("model_calls"),
        row.get("tool_calls"),
        row.get("errors"),
        tokens.get("total"),
        None if cost is None else float(cost),
        ",".join(row.get("signals") or ()),
        ",".join(row.get("models") or ()),
        ",".join(row.get("tools") or ()),
        row.get("input_text"),
        row.get("output_text"),
        row.get("first_error"),
        version,
    )


def _log(trace_id: str, line: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("step", "time", "offset_ms", "match", "confidence", "why", "severity", "service", "host", "logger")
    told = (int(bool(line.get("never_a_span"))), line.get("error_type"), line.get("body"))
    return (trace_id, *(line.get(name) for name in names), *told)


def _span(trace_id: str, span: Mapping[str, Any]) -> tuple[Any, ...]:
    tokens = cast("Mapping[str, Any]", span.get("tokens") or {})
    cost = span.get("cost_usd")
    names = ("step", "span_id", "parent", "depth", "kind", "label", "status", "start", "ms", "agent", "model", "tool")
    return (
        trace_id,
        *(span.get(name) for name in names),
        tokens.get("total"),
        None if cost is None else float(cost),
        int(bool(span.get("counted"))),
        span.get("error_type"),
        span.get("error"),
        span.get("finish_reason"),
        _short(span.get("input")),
        _short(span.get("output")),
        span.get("code"),
    )
