"""What the ingest worker asks of the store: which traces it knows, what it knows of their spans, and corrections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import orjson

from pilothouse.records import Emitter, RawLog
from pilothouse.records.names import TOOL_EFFECT, WAIT_FOR

from .engine import Params
from .schema import SPAN, TOKEN_BUCKETS
from .trace_store import TraceStore

_Item = TypeVar("_Item")

_TOKENS = ", ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)

FACT_COLUMNS = (
    "span_id",
    "parent_span_id",
    "step",
    "kind",
    "name",
    "agent",
    "agent_version",
    "model",
    "provider",
    "dialect",
    "status",
    "error_message",
    "tool_error",
    "start_ns",
    "duration_ns",
    "tokens",
    "declared_scope",
    "usage_scope",
    "usage_ambiguous",
    "cost_usd",
    "cost_source",
    "duplicate_of",
    "tool_name",
    "response_id",
    "finish_reason",
    "session_id",
    "user_id",
    "environment",
    "service",
    "feature",
    "tags",
    "input_text",
    "output_text",
    "scope_name",
    "notes",
    "tools_offered",
    "purpose",
    "input_ref",
    "output_ref",
    "received_day",
)
"""What :meth:`IngestStore.facts` gives of each span, in order."""

_FACTS = f"""
SELECT trace_id, span_id, parent_span_id, step, kind, name, agent, agent_version, model, provider, dialect, status, error_message,
  tool_error, toUnixTimestamp64Nano(start_time), duration_ns, [{_TOKENS}],
  if(has(notes, 'usage: aggregate by its emitter'), 'aggregate', if(usage_scope = '', '', 'leaf')), usage_scope,
  usage_ambiguous, cost_usd, cost_source, duplicate_of, tool_name, response_id, finish_reason, session_id, user_id,
  environment, service, feature, tags, input_text, output_text, scope_name, notes, tools_offered,
  multiIf(kind = 'tool', attributes['{TOOL_EFFECT}'], kind = 'waiting', attributes['{WAIT_FOR}'], ''),
  if(kind = 'tool', input_refs[1], ''), if(kind IN ('tool', 'model'), output_refs[-1], ''), toString(received_day)
FROM {{db}}.span FINAL
WHERE project_id = {{project:String}} AND trace_id IN {{traces:Array(String)}}
  AND start_time >= fromUnixTimestamp64Nano({{from:Int64}}, 'UTC')
  AND start_time <= fromUnixTimestamp64Nano({{to:Int64}}, 'UTC')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """A correction to a stored span, once more of its trace is known."""

    trace_id: str
    span_id: str
    start_ns: int
    step: int
    usage_scope: str
    duplicate_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageAmendment:
    """Messages for a stored span, which came later than the span, as log records."""

    trace_id: str
    span_id: str
    start_ns: int
    input_refs: list[str]
    output_refs: list[str]
    input_text: str
    output_text: str


class IngestStore:
    """The worker's view of the trace store."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def known_traces(self, project: str, trace_ids: Sequence[str]) -> dict[str, tuple[int, int, str, int]]:
        """Which of these traces are stored: first start, last end, the day of arrival, the newest arrival.

        All but the day are nanoseconds.
        """
        found: dict[str, tuple[int, int, str, int]] = {}
        for some in _chunks(trace_ids, 2_000):
            table = self._store.query(
                "SELECT trace_id, toUnixTimestamp64Nano(start_time), duration_ns, toString(received_day), "
                "toUnixTimestamp64Milli(received_at) "
                "FROM {db}.trace FINAL WHERE project_id = {project:String} AND trace_id IN {traces:Array(String)}",
                {"project": project, "traces": list(some)},
            )
            for trace_id, start_ns, duration_ns, day, received_ms in table.rows:
                found[trace_id] = (start_ns, start_ns + duration_ns, day, received_ms * 1_000_000)
        return found

    def content(self, project: str, scope: str, reference: str) -> str:
        """The words of one stored content; empty where it is not there."""
        table = self._store.query(
            "SELECT content FROM {db}.message WHERE project_id = {project:String} AND scope = {scope:String} "
            "AND hash = {hash:String} LIMIT 1",
            {"project": project, "scope": scope, "hash": reference},
        )
        return table.rows[0][0] if table.rows else ""

    def open_traces(self, since_ns: int, limit: int = 2_000) -> list[tuple[str, str, str, int]]:
        """Traces that were open when the last span of them arrived: project, trace, agent and that arrival in ns."""
        table = self._store.query(
            "SELECT project_id, trace_id, agent, toUnixTimestamp64Milli(received_at) FROM {db}.trace FINAL "
            "WHERE (open OR running_spans > 0) AND received_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
            "AND received_day >= toDate(fromUnixTimestamp64Nano({since:Int64}, 'UTC')) - 30 "
            "ORDER BY received_at DESC LIMIT {limit:UInt32}",
            {"since": since_ns, "limit": limit},
        )
        return [(project, trace_id, agent, ms * 1_000_000) for project, trace_id, agent, ms in table.rows]

    def pulses(self, since_ns: int) -> list[tuple[str, str, int, float, bool, list[dict[str, Any]]]]:
        """The last heartbeat of every process since a moment: project, process, arrival in ns, interval, goodbye, spans."""
        table = self._store.query(
            "SELECT project_id, instance, toUnixTimestamp64Milli(received_at), interval_s, goodbye, open "
            "FROM {db}.pulse FINAL WHERE received_day >= toDate(fromUnixTimestamp64Nano({since:Int64}, 'UTC')) "
            "AND received_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') ORDER BY received_at LIMIT 10000",
            {"since": since_ns},
        )
        return [
            (project, instance, ms * 1_000_000, float(interval_s), bool(goodbye), orjson.loads(spans))
            for project, instance, ms, interval_s, goodbye, spans in table.rows
        ]

    def stored_signals(self, project: str, trace_ids: Sequence[str]) -> dict[str, tuple[list[str], str]]:
        """What is stored as wrong with these traces: names and details."""
        table = self._store.query(
            "SELECT trace_id, signals, signal_details FROM {db}.trace FINAL "
            "WHERE project_id = {project:String} AND trace_id IN {traces:Array(String)}",
            {"project": project, "traces": list(trace_ids)},
        )
        return {trace_id: (names, details) for trace_id, names, details in table.rows}

    def facts(
        self, project: str, trace_ids: Sequence[str], from_ns: int, to_ns: int
    ) -> Iterator[tuple[str, list[object]]]:
        """The stored facts of every span of these traces: the trace's id and the values of ``FACT_COLUMNS``."""
        params: Params = {"project": project, "traces": list(trace_ids), "from": from_ns, "to": to_ns}
        for row in self._store.query(_FACTS, params).rows:
            yield row[0], row[1:]

    def amend(self, project: str, amendments: Sequence[Amendment], version: int) -> None:
        """Write corrected versions of stored spans. The engine copies the rest of each row itself."""
        for some in _chunks(amendments, 5_000):
            keys = [item.trace_id + item.span_id for item in some]
            self._store.command(
                "INSERT INTO {db}.span SELECT * REPLACE("
                "transform(trace_id || span_id, {keys:Array(String)}, {steps:Array(UInt32)}, step) AS step, "
                "transform(trace_id || span_id, {keys:Array(String)}, {scopes:Array(String)}, usage_scope) AS usage_scope, "
                "transform(trace_id || span_id, {keys:Array(String)}, {twins:Array(String)}, duplicate_of) AS duplicate_of, "
                "{version:UInt64} AS version) FROM {db}.span FINAL WHERE project_id = {project:String} "
                "AND trace_id IN {traces:Array(String)} AND start_time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') "
                "AND start_time <= fromUnixTimestamp64Nano({to:Int64}, 'UTC') "
                "AND trace_id || span_id IN {keys:Array(String)}",
                {
                    "project": project,
                    "keys": keys,
                    "steps": [item.step for item in some],
                    "scopes": [item.usage_scope for item in some],
                    "twins": [item.duplicate_of for item in some],
                    "traces": sorted({item.trace_id for item in some}),
                    "from": min(item.start_ns for item in some),
                    "to": max(item.start_ns for item in some),
                    "version": version,
                },
            )

    def traces_between(self, project: str, since_ns: int, until_ns: int, size: int = 200) -> Iterator[list[str]]:
        """The ids of all traces that started in a range of time, some at a time, in order of id."""
        last = ""
        while True:
            table = self._store.query(
                "SELECT trace_id FROM {db}.trace FINAL WHERE project_id = {project:String} AND trace_id > {last:String} "
                "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
                "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC') ORDER BY trace_id LIMIT {size:UInt32}",
                {"project": project, "last": last, "since": since_ns, "until": until_ns, "size": size},
            )
            if not table.rows:
                return
            yield [row[0] for row in table.rows]
            last = table.rows[-1][0]

    def span_rows(self, project: str, trace_ids: Sequence[str]) -> Iterator[list[Any]]:
        """The stored rows of every span of these traces, as they would be inserted again."""
        yield from self._store.query(
            f"SELECT {', '.join(SPAN.column_names)} FROM {{db}}.span FINAL "
            "WHERE project_id = {project:String} AND trace_id IN {traces:Array(String)}",
            {"project": project, "traces": list(trace_ids)},
        ).rows

    def content_logs(self, project: str, trace_ids: Sequence[str]) -> Iterator[RawLog]:
        """The log records of these traces that carry messages of model calls, in order of time."""
        for some in _chunks(trace_ids, 2_000):
            table = self._store.query(
                "SELECT toUnixTimestamp64Nano(time), trace_id, span_id, event_name, body, attributes, scope_name "
                "FROM {db}.log FINAL WHERE project_id = {project:String} AND trace_id IN {traces:Array(String)} "
                "AND startsWith(event_name, 'gen_ai.') ORDER BY time LIMIT 200000",
                {"project": project, "traces": some},
            )
            for time_ns, trace_id, span_id, event_name, body, attributes, scope_name in table.rows:
                yield RawLog(
                    time_ns=time_ns,
                    trace_id=trace_id,
                    span_id=span_id,
                    event_name=event_name,
                    body=_parsed(body),
                    attributes=attributes,
                    emitter=Emitter(scope_name=scope_name),
                )

    def amend_messages(self, project: str, item: MessageAmendment, version: int) -> None:
        """Write a corrected version of one stored span, with its messages."""
        self._store.command(
            "INSERT INTO {db}.span SELECT * REPLACE({input_refs:Array(String)} AS input_refs, "
            "{output_refs:Array(String)} AS output_refs, {input_text:String} AS input_text, "
            "{output_text:String} AS output_text, {version:UInt64} AS version) FROM {db}.span FINAL "
            "WHERE project_id = {project:String} AND trace_id = {trace:String} AND span_id = {span:String} "
            "AND start_time = fromUnixTimestamp64Nano({start:Int64}, 'UTC')",
            {
                "project": project,
                "trace": item.trace_id,
                "span": item.span_id,
                "start": item.start_ns,
                "input_refs": item.input_refs,
                "output_refs": item.output_refs,
                "input_text": item.input_text,
                "output_text": item.output_text,
                "version": version,
            },
        )


def _parsed(body: str) -> object:
    if body[:1] in ("{", "["):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
    return body


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
