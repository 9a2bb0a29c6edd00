"""Model calls of a window with what their prompts consisted of: what providers' prompt caches could have served."""

from __future__ import annotations

from typing import Any, NamedTuple

from .schema import TOKEN_BUCKETS
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore


class PromptRow(NamedTuple):
    """One model call."""

    trace_id: str
    span_id: str
    step: int
    agent: str
    agent_version: str
    model: str
    provider: str
    session_id: str
    start_ns: int
    scope: str
    tools_ref: str
    tools: list[str]
    """Names, in the order in which they were offered."""
    refs: list[str]
    """Hashes of the messages."""
    tokens: list[int]
    """By bucket, in their order."""


def prompt_rows(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, agent: str, limit: int, refs_max: int
) -> tuple[list[PromptRow], bool]:
    """The newest model calls of a window, in order of time; the second value says that there are more.

    Of a call with more messages than ``refs_max`` only so many are read: a prefix that long is a prefix.
    """
    buckets = ", ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)
    of_agent = "AND agent = {agent:String} " if agent else ""
    # Twins seen by a second instrumentation, and spans that only sum up others, would count a prompt twice.
    rows: list[Any] = store.query(
        "SELECT trace_id, span_id, step, agent, agent_version, model, provider, session_id, "
        "toUnixTimestamp64Nano(start_time) AS start_ns, message_scope, tools_ref, tools_offered, "
        f"arraySlice(input_refs, 1, {{refs:UInt32}}) AS refs, [{buckets}] AS tokens "
        "FROM {db}.span FINAL WHERE project_id = {project:String} AND kind = 'model' AND duplicate_of = '' "
        f"AND usage_scope != 'aggregate' AND status != 'running' {of_agent}"
        "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
        "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC') "
        "ORDER BY start_time DESC, span_id LIMIT {limit:UInt32}",
        {
            "project": project,
            "since": since_ns,
            "until": until_ns,
            "agent": agent,
            "refs": refs_max,
            "limit": limit + 1,
        },
        settings=READ_SETTINGS,
    ).rows
    found = [PromptRow(*row) for row in rows[:limit]]
    found.reverse()
    return found, len(rows) > limit
