"""Reads of stored traffic for trying a policy: a fair sample of traces, what passed through them, and model calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .conditions import filtered
from .schema import TOKEN_BUCKETS
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

_HASHES_A_QUERY = 1_000
_SPANS_A_TRACE = 500


class SampledTrace(NamedTuple):
    """One trace of a sample."""

    trace_id: str
    start_ns: int
    duration_ns: int


class Sample(NamedTuple):
    """Traces of a window in an order that depends on a seed alone, and how many there are in all."""

    traces: tuple[SampledTrace, ...]
    total: int


class PassedSpan(NamedTuple):
    """What one step was given and gave, by reference or as text."""

    trace_id: str
    span_id: str
    kind: str
    agent: str
    tool: str
    user: str
    session: str
    start_ns: int
    input_refs: tuple[str, ...]
    output_refs: tuple[str, ...]
    input_text: str
    output_text: str
    scope: str


class PassedContent(NamedTuple):
    """One stored content."""

    kind: str
    role: str
    content: str
    envelope: str


class ModelCallFacts(NamedTuple):
    """One model call as budgets see it."""

    trace_id: str
    span_id: str
    start_ns: int
    duration_ns: int
    model: str
    provider: str
    user: str
    feature: str
    cost_usd: str
    """Empty where it is not known."""
    parameters: str
    tokens: tuple[int, ...]
    """By bucket, in the order of ``TOKEN_BUCKETS``."""


def sample_traces(store: TraceStore, project: str, since_ns: int, until_ns: int, *, seed: int, limit: int) -> Sample:
    """A random sample of the traces of a window: the same seed gives the same one."""
    where = filtered(project, since_ns, until_ns, ())
    table = store.query(
        "SELECT trace_id, toUnixTimestamp64Nano(start_time), duration_ns, count() OVER () FROM {db}.trace FINAL "
        f"WHERE {where.sql} ORDER BY cityHash64(trace_id, {{seed:UInt64}}), trace_id LIMIT {{limit:UInt32}}",
        {**where.params, "seed": seed, "limit": limit},
        settings=READ_SETTINGS,
    )
    rows = tuple(SampledTrace(row[0], int(row[1]), int(row[2])) for row in table.rows)
    return Sample(rows, int(table.rows[0][3]) if table.rows else 0)


def named_traces(store: TraceStore, project: str, trace_ids: Sequence[str]) -> list[SampledTrace]:
    """These traces, as far as they are there."""
    table = store.query(
        "SELECT trace_id, toUnixTimestamp64Nano(start_time), duration_ns FROM {db}.trace FINAL "
        "WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)}",
        {"project": project, "ids": list(trace_ids)},
        settings=READ_SETTINGS,
    )
    return [SampledTrace(row[0], int(row[1]), int(row[2])) for row in table.rows]


def passed_spans(store: TraceStore, project: str, traces: Sequence[SampledTrace]) -> list[PassedSpan]:
    """Model calls, tool calls and agents of these traces by start time, at most 500 of a trace."""
    table = store.query(
        "SELECT trace_id, span_id, kind, agent, tool_name, user_id, session_id, toUnixTimestamp64Nano(start_time) AS at, "
        "input_refs, output_refs, input_text, output_text, message_scope FROM {db}.span FINAL "
        "WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} "
        "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
        "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC') "
        "AND kind IN ('model', 'tool', 'mcp', 'agent') AND duplicate_of = '' "
        f"ORDER BY trace_id, at, step LIMIT {_SPANS_A_TRACE} BY trace_id",
        {
            "project": project,
            "ids": [one.trace_id for one in traces],
            "start": min(one.start_ns for one in traces),
            "end": max(one.start_ns + max(one.duration_ns, 0) for one in traces) + 1_000_000_000,
        },
        settings=READ_SETTINGS,
    )
    return [PassedSpan._make((*row[:7], int(row[7]), tuple(row[8]), tuple(row[9]), *row[10:])) for row in table.rows]


def content_sizes(store: TraceStore, project: str, scopes: Sequence[str], hashes: Sequence[str]) -> dict[str, int]:
    """The bytes of stored contents by hash; instructions are left out."""
    found: dict[str, int] = {}
    for first in range(0, len(hashes), _HASHES_A_QUERY):
        table = store.query(
            f"SELECT hash, any(length(content) + length(envelope)) FROM {{db}}.message WHERE {_CONTENT} GROUP BY hash",
            {"project": project, "scopes": list(scopes), "hashes": list(hashes[first : first + _HASHES_A_QUERY])},
        )
        found.update((row[0], int(row[1])) for row in table.rows)
    return found


def passed_contents(
    store: TraceStore, project: str, scopes: Sequence[str], hashes: Sequence[str]
) -> dict[str, PassedContent]:
    """Stored contents by hash; instructions are left out."""
    found: dict[str, PassedContent] = {}
    for first in range(0, len(hashes), _HASHES_A_QUERY):
        # No FINAL: copies of one hash have the same content, whichever day they were stored on.
        table = store.query(
            f"SELECT hash, kind, role, content, envelope FROM {{db}}.message WHERE {_CONTENT} LIMIT 1 BY hash",
            {"project": project, "scopes": list(scopes), "hashes": list(hashes[first : first + _HASHES_A_QUERY])},
        )
        found.update((row[0], PassedContent._make(row[1:])) for row in table.rows)
    return found


_CONTENT = (
    "project_id = {project:String} AND scope IN {scopes:Array(String)} AND hash IN {hashes:Array(String)} "
    "AND role NOT IN ('system', 'developer') AND kind IN ('message', 'value')"
)


def model_call_facts(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, limit: int
) -> tuple[list[ModelCallFacts], int]:
    """Model calls of a window by start time, each counted once, and how many there are in all."""
    where: dict[str, Any] = {"project": project, "since": since_ns, "until": until_ns, "limit": limit}
    tokens = ", ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)
    table = store.query(
        "SELECT trace_id, span_id, toUnixTimestamp64Nano(start_time) AS at, duration_ns, "
        "if(model = '', request_model, model), provider, user_id, feature, ifNull(toString(cost_usd), ''), "
        f"substring(parameters, 1, 4000), count() OVER (), {tokens} FROM {{db}}.span FINAL "
        "WHERE project_id = {project:String} AND kind = 'model' AND usage_scope = 'leaf' AND duplicate_of = '' "
        "AND received_day >= toDate(fromUnixTimestamp64Nano(greatest({since:Int64}, 86400000000000), 'UTC')) - 1 "
        "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
        "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC') ORDER BY at, span_id LIMIT {limit:UInt32}",
        where,
        settings=READ_SETTINGS,
    )
    calls = [
        ModelCallFacts._make((*row[:2], int(row[2]), int(row[3]), *row[4:10], tuple(map(int, row[11:]))))
        for row in table.rows
    ]
    return calls, int(table.rows[0][10]) if table.rows else 0
