"""Heartbeats: log records that only say a process is alive. Kept apart from the logs, the last one of each process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson

from pilothouse.records import RawLog
from pilothouse.records.names import GOODBYE_EVENT, HEARTBEAT_EVENT, INSTANCE

from .moments import stored_time
from .rows import to_json

OPEN_MAX = 1_000
"""Open spans of one process that are kept."""
INTERVAL_S = 5.0
"""Taken where a heartbeat does not say how often it comes: the recorder's default."""
_INTERVAL_S_MAX = 3_600.0
_TEXTS = ("trace_id", "span_id", "name", "kind", "state", "wait_for")
_TEXT_CHARS = 200


def is_pulse(log: RawLog) -> bool:
    """True for a heartbeat or a goodbye of a recorder."""
    return log.event_name in (HEARTBEAT_EVENT, GOODBYE_EVENT)


def pulse_row(project: str, log: RawLog, at_ns: int, *, received: str, day: str, version: int) -> list[Any]:
    """The values of ``schema.PULSE`` in order. What does not fit the form is left out, never refused."""
    body = _mapping(log.body)
    resource = log.emitter.resource
    interval = body.get("interval_s")
    known = isinstance(interval, int | float) and 0 < interval <= _INTERVAL_S_MAX
    entries = body.get("open")
    spans = cast("list[Any]", entries)[:OPEN_MAX] if isinstance(entries, list) else []
    return [
        project,
        str(resource.get(INSTANCE) or body.get("instance") or log.emitter.scope_name)[:_TEXT_CHARS],
        str(resource.get("service.name", ""))[:_TEXT_CHARS],
        stored_time(at_ns),
        float(cast("float", interval)) if known else INTERVAL_S,
        int(log.event_name == GOODBYE_EVENT),
        to_json([_open_span(_mapping(span)) for span in spans]),
        received,
        day,
        version,
    ]


def _open_span(span: Mapping[str, Any]) -> dict[str, Any]:
    since = span.get("since_ns")
    texts = {name: str(span.get(name) or "")[:_TEXT_CHARS] for name in _TEXTS}
    return {**texts, "since_ns": since if isinstance(since, int) and not isinstance(since, bool) else 0}


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
