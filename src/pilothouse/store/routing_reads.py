"""Model calls of a window with what is known of how they went: to learn what a cheap model can do, and to replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .schema import TOKEN_BUCKETS
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

_IDS_A_QUERY = 5_000


class RoutedCall(NamedTuple):
    """One model call."""

    trace_id: str
    span_id: str
    session: str
    """Empty where the trace has none."""
    start_ns: int
    duration_ns: int
    model: str
    provider: str
    agent: str
    feature: str
    task: str
    """The task that the gateway's caller named."""
    user: str
    environment: str
    key: str
    """The key it came through the gateway with, by its id; empty where it did not."""
    status: str
    error_type: str
    finish_reason: str
    valid: str
    """``false`` where its tool calls do not fit the tools."""
    cost_usd: str
    """Empty where it is not known."""
    scope: str
    input_refs: tuple[str, ...]
    output_refs: tuple[str, ...]
    tools_ref: str
    tools: int
    parameters: str
    asked: str
    """The model that the gateway's caller named, where its route sent another one."""
    difficulty: str
    """As the gateway rated it; empty where it did not."""
    http_status: str
    """Of the provider's answer; empty where it is not known."""
    error_message: str
    tokens: tuple[int, ...]
    """By bucket, in the order of ``TOKEN_BUCKETS``."""


class TraceOutcome(NamedTuple):
    """How a trace went."""

    status: str
    signals: tuple[str, ...]


class ScoreRow(NamedTuple):
    """One score."""

    trace_id: str
    span_id: str
    session_id: str
    name: str
    value: float


def routed_calls(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, limit: int, seed: int | None = None
) -> tuple[list[RoutedCall], int]:
    """Model calls of a window in order of time, and how many there are; of too many the newest, or a sample by a seed."""
    buckets = ", ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)
    order = "start_ns DESC, span_id" if seed is None else "cityHash64(span_id, {seed:UInt64}), span_id"
    # Twins seen by a second instrumentation, and spans that only sum up others, are no calls of their own; what the
    # gateway asked by itself was asked for no caller.
    table = store.query(
        "SELECT trace_id, span_id, session_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, "
        "if(request_model = '', model, request_model), provider, agent, feature, attributes['pilothouse.gateway.task'], "
        "user_id, environment, attributes['pilothouse.gateway.key'], status, error_type, finish_reason, "
        "attributes['pilothouse.decision.valid'], ifNull(toString(cost_usd), ''), message_scope, input_refs, output_refs, "
        "tools_ref, length(tools_offered), substring(parameters, 1, 20000), count() OVER (), "
        "attributes['pilothouse.gateway.asked_model'], attributes['pilothouse.gateway.difficulty'], "
        f"attributes['http.response.status_code'], substring(error_message, 1, 300), {buckets} "
        "FROM {db}.span FINAL WHERE project_id = {project:String} AND kind = 'model' AND duplicate_of = '' "
        "AND usage_scope != 'aggregate' AND status != 'running' AND attributes['pilothouse.gateway.aside'] = '' "
        "AND received_day >= toDate(fromUnixTimestamp64Nano(greatest({since:Int64}, 86400000000000), 'UTC')) - 1 "
        "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
        "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC') "
        f"ORDER BY {order} LIMIT {{limit:UInt32}}",
        {"project": project, "since": since_ns, "until": until_ns, "limit": limit, "seed": seed or 0},
        settings=READ_SETTINGS,
    )
    rows: list[Any] = table.rows
    found = [
        RoutedCall._make(
            (
                *row[:3],
                int(row[3]),
                int(row[4]),
                *row[5:19],
                tuple(row[19]),
                tuple(row[20]),
                row[21],
                int(row[22]),
                row[23],
                *row[25:29],
                tuple(map(int, row[29:])),
            )
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.start_ns, one.span_id)), int(rows[0][24]) if rows else 0


def trace_outcomes(store: TraceStore, project: str, trace_ids: Sequence[str]) -> dict[str, TraceOutcome]:
    """Status and signals of traces."""
    found: dict[str, TraceOutcome] = {}
    for first in range(0, len(trace_ids), _IDS_A_QUERY):
        table = store.query(
            "SELECT trace_id, status, signals FROM {db}.trace FINAL WHERE project_id = {project:String} "
            "AND trace_id IN {ids:Array(String)}",
            {"project": project, "ids": list(trace_ids[first : first + _IDS_A_QUERY])},
            settings=READ_SETTINGS,
        )
        found.update((row[0], TraceOutcome(row[1], tuple(row[2]))) for row in table.rows)
    return found


def outcome_scores(
    store: TraceStore, project: str, trace_ids: Sequence[str], sessions: Sequence[str], *, name: str
) -> list[ScoreRow]:
    """Scores with a value of these traces and sessions; ``name``: only those of this name, empty: all."""
    named = "AND name = {name:String} " if name else ""
    found: list[ScoreRow] = []
    for column, ids in (("trace_id", trace_ids), ("session_id", sessions)):
        for first in range(0, len(ids), _IDS_A_QUERY):
            # What was said of a session itself has no trace; what was said of a trace is read with the trace.
            own = "" if column == "trace_id" else "AND trace_id = '' "
            table = store.query(
                "SELECT trace_id, span_id, session_id, name, value FROM {db}.score FINAL "
                f"WHERE project_id = {{project:String}} AND {column} IN {{ids:Array(String)}} {own}"
                f"AND removed = 0 AND value IS NOT NULL {named}",
                {"project": project, "ids": list(ids[first : first + _IDS_A_QUERY]), "name": name},
                settings=READ_SETTINGS,
            )
            found += [ScoreRow(row[0], row[1], row[2], row[3], float(row[4])) for row in table.rows]
    return found
