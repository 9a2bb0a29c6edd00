"""A processor for structlog: puts the trace and span into every event, and ships it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from . import recorder as recorders
from .log_entry import LogEntry
from .logging_handler import bounded, exception, given, ids, is_ours, severity_number

_LEVELS: Final = {
    "exception": logging.ERROR,
    "warn": logging.WARNING,
    "fatal": logging.CRITICAL,
    "notset": 0,
    "msg": 20,
}


class StructlogProcessor:
    """What structlog calls with every event. It never raises and gives the event on, with two keys more."""

    def __init__(self, *, ship: bool = True) -> None:
        self._ship = ship

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Take an event on its way to the renderer."""
        recorder = recorders.current()
        if recorder is None:
            return event
        trace_id, span_id = ids()
        if self._ship:
            try:
                entry = _entry(logger, method, event, trace_id, span_id)
                if entry is not None:
                    recorder.pipeline.emit_log(entry)
            except Exception:
                recorder.pipeline.counters.drop("not_encodable", 1)
        if trace_id:
            event.setdefault("trace_id", trace_id)
            event.setdefault("span_id", span_id)
        return event

    def __repr__(self) -> str:
        return f"StructlogProcessor(ship={self._ship!r})"


def structlog_processor(*, ship: bool = True) -> StructlogProcessor:
    """A processor for structlog: place it before the renderer.

    ``ship=False`` only adds ``trace_id`` and ``span_id``: for setups that end in :mod:`logging`, where
    :func:`pilothouse.logging_handler` ships.
    """
    return StructlogProcessor(ship=ship)


def _entry(logger: Any, method: str, event: Mapping[str, Any], trace_id: str, span_id: str) -> LogEntry | None:
    name = str(event.get("logger") or getattr(logger, "name", "") or "")
    if is_ours(name, ""):
        return None
    word = str(event.get("level") or method).lower()
    level = _LEVELS.get(word, logging.getLevelNamesMapping().get(word.upper(), logging.INFO))
    left = {
        "event",
        "level",
        "logger",
        "timestamp",
        "exc_info",
        "exception",
        "_record",
        "_from_structlog",
        "stack_info",
    }
    attributes = given({key: value for key, value in event.items() if key not in left})
    if name:
        attributes["logger.name"] = name[:200]
    attributes |= _exception(event)
    return LogEntry(
        time_ns=time.time_ns(),
        severity_number=severity_number(level),
        severity_text=logging.getLevelName(level),
        body=bounded(str(event.get("event", ""))),
        trace_id=trace_id,
        span_id=span_id,
        attributes=attributes,
    )


def _exception(event: Mapping[str, Any]) -> dict[str, Any]:
    """The exception of an event, whichever way it is given: itself, as a tuple, as True, or rendered already."""
    found: Any = event.get("exc_info")
    if found is True:
        found = sys.exc_info()[1]
    elif isinstance(found, tuple) and len(found) == 3:  # pyright: ignore[reportUnknownArgumentType]
        found = found[1]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(found, BaseException):
        return exception(found)
    rendered = event.get("exception")
    return {"exception.stacktrace": bounded(rendered)} if isinstance(rendered, str) else {}
