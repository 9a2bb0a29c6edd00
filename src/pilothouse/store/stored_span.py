"""From a stored row back to the span as it arrived, so that it can be read again."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from typing import Any

import orjson

from pilothouse.records import Emitter, RawSpan


def stored_span(row: Mapping[str, Any]) -> RawSpan:
    """The raw span that a stored row came from, without the content that is kept elsewhere.

    ``row`` holds the columns of ``schema.SPAN``.
    """
    typed = set(row["typed_attributes"])
    attributes = {key: _value(text) if key in typed else text for key, text in row["attributes"].items()}
    start_ns = _nanoseconds(row["start_time"])
    failed = row["status"] == "error"
    return RawSpan(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        name=row["name"],
        otel_kind=row["otel_kind"],
        start_ns=start_ns,
        end_ns=start_ns + int(row["duration_ns"]),
        status_code=2 if failed else 0,
        status_message=row["error_message"] if failed else "",
        trace_state=row["trace_state"],
        attributes=attributes,
        emitter=Emitter(resource=row["resource"], scope_name=row["scope_name"], scope_version=row["scope_version"]),
    )


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _nanoseconds(text: str) -> int:
    whole, _, fraction = text.partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%d %H:%M:%S"))
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0")[:9])
