"""The context of a failure: what was given, and the calls that led there, for every framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.records import names
from pilothouse.store import TraceStore
from pilothouse.store.decision_reads import calls_before

from .load import Head
from .model import CallBefore

_CALLS_MAX = 10


def led_by(
    store: TraceStore, project: str, top: Head, row: Mapping[str, Any], numbers: Mapping[str, int]
) -> tuple[CallBefore, ...]:
    """The calls that ended before a failed step did, the newest last: as the recorder said, else as they are stored."""
    if row["status"] != "error" and not row["tool_error"]:
        return ()
    said = str(row["attributes"].get(names.LED_BY, ""))
    if said:
        return tuple(_said(line, numbers) for line in said.split("\n")[-_CALLS_MAX:])
    found = calls_before(
        store,
        project,
        top.row.trace_id,
        top.stretch,
        span_id=row["span_id"],
        end_ns=row["start_ns"] + row["duration_ns"],
        limit=_CALLS_MAX,
    )
    return tuple(
        CallBefore(
            step=numbers.get(call["span_id"], 0),
            span_id=call["span_id"],
            name=f"{call['kind']} {call['label']}",
            status=call["outcome"],
        )
        for call in reversed(found)
    )


def _said(line: str, numbers: Mapping[str, int]) -> CallBefore:
    span_id, _, rest = line.partition(" ")
    name, _, status = rest.rpartition(" ")
    return CallBefore(step=numbers.get(span_id, 0), span_id=span_id, name=name, status=status)
