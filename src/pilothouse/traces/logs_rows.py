"""A log record as the answers show it, and the words for its severity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.records import BadRequest, iso

from .model import LogRow

LEVELS = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
_OWN_SCOPES = ("pilothouse.logs.follow", "pilothouse")
"""Not the name of a logger: the record brings that along."""


def severity_at_least(level: str) -> int:
    """The least severity number of a level's name; 0 for no level.

    Raises:
        BadRequest: there is no such level.
    """
    if not level:
        return 0
    found = LEVELS.get({"warning": "warn", "critical": "fatal"}.get(level.lower(), level.lower()))
    if found is None:
        raise BadRequest("no such level", got=level, allowed=list(LEVELS), fix="level=warn")
    return found


def log_row(row: Mapping[str, Any]) -> LogRow:
    """A record from the store."""
    attributes: Mapping[str, str] = row["attributes"]
    stack = attributes.get("exception.stacktrace", "")
    ours = row["scope_name"] in _OWN_SCOPES
    return LogRow(
        id=row["hash"],
        time=iso(row["time_ns"]),
        severity=_word(row["severity"], row["severity_number"]),
        severity_number=row["severity_number"],
        service=row["service"],
        host=row["host"],
        body=row["text"],
        body_chars=row["chars"],
        event_name=row["event_name"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        logger=attributes.get("logger.name") or attributes.get("logger") or ("" if ours else row["scope_name"]),
        error_type=attributes.get("exception.type", ""),
        stack=stack,
        attributes={key: value for key, value in attributes.items() if key != "exception.stacktrace"},
    )


def _word(text: str, number: int) -> str:
    """The level's usual word, whatever the sender calls it; his own where the number is unknown."""
    return next((name.upper() for name, least in reversed(LEVELS.items()) if number >= least), text.upper())
