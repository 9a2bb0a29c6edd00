"""``logs.jsonl``: the lines of servers and infrastructure that belong to a trace, each with why and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pilothouse.traces.model import LogGroup, TraceLogRow

from .spec import Content

_ATTRIBUTES = 30
_ATTRIBUTE_CHARS = 500
_STACK_CHARS = 4_000


def log_lines(groups: Sequence[LogGroup], trace_id: str, content: Content) -> Iterator[dict[str, Any]]:
    """Lines in order of time, then one line for each reason of which not all are here."""
    rows = [row for group in groups for row in group.rows]
    for row in sorted(rows, key=lambda row: (row.time, row.log.id)):
        yield _line(row, content)
    for group in groups:
        if group.count > len(group.rows):
            more = f"pilothouse logs {trace_id} --reason {group.reason} --limit 1000"
            yield {"cut": group.reason, "lines": group.count - len(group.rows), "more": more}


def _line(row: TraceLogRow, content: Content) -> dict[str, Any]:
    """One line, short fields first."""
    line: dict[str, Any] = {
        "step": f"{row.step:03d}" if row.step else "",
        "time": row.time,
        "offset_ms": row.offset_ms,
        "match": row.reason,
        "confidence": row.confidence,
        "severity": row.severity,
        "service": row.service,
        "host": row.host,
        "logger": row.logger,
        "span_id": row.span_id,
        "never_a_span": row.never_a_span,
        "error_type": row.log.error_type,
    }
    if content == "full":
        line["why"] = row.why
        line["body"] = row.body
        if row.log.body_chars > len(row.body):
            line["body_chars"] = row.log.body_chars
        line["stack"] = row.log.stack[:_STACK_CHARS]
        shown = list(row.log.attributes.items())[:_ATTRIBUTES]
        line["attributes"] = {key: text[:_ATTRIBUTE_CHARS] for key, text in shown}
    return {key: value for key, value in line.items() if value not in ("", None, [], {}, False)}
