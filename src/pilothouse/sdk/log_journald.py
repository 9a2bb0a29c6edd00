"""Entries of systemd's journal as ``journalctl -o json`` prints them."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from .log_formats import parse
from .log_line import LogLine, Value, clean, ids_in, severity_number, severity_of

_KEPT: Final = {
    "_SYSTEMD_UNIT": "systemd.unit",
    "_SYSTEMD_USER_UNIT": "systemd.user_unit",
    "_PID": "process.pid",
    "_COMM": "process.executable.name",
    "_EXE": "process.executable.path",
    "CODE_FILE": "code.filepath",
    "CODE_LINE": "code.lineno",
    "CODE_FUNC": "code.function",
    "CONTAINER_ID_FULL": "container.id",
    "CONTAINER_NAME": "container.name",
    "_BOOT_ID": "journald.boot_id",
    "__CURSOR": "journald.cursor",
    "ERRNO": "journald.errno",
}


def journal_line(text: str, *, now_ns: int) -> LogLine:
    """One entry; its message is read like any other line, since programs put JSON and ids there. Never raises."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return parse(text, now_ns=now_ns)
    if not isinstance(found, dict):
        return parse(text, now_ns=now_ns)
    fields = cast("dict[str, Any]", found)
    message = _text(fields.get("MESSAGE"))
    inner = parse(message, now_ns=now_ns)
    own: dict[str, Value] = {name: _text(fields[key]) for key, name in _KEPT.items() if fields.get(key)}
    # Fields a program sent along: lower-case in our eyes, e.g. TRACE_ID, REQUEST_ID.
    sent: dict[str, Value] = {
        clean(key[:100]).lower(): _text(value)[:8_000]
        for key, value in list(fields.items())[:200]
        if not key.startswith("_") and key not in _JOURNAL_FIELDS and key not in _KEPT
    }
    ids = ids_in(sent)
    priority = _number(fields.get("PRIORITY"))
    severity = severity_number(priority) if 0 <= priority <= 7 else severity_of(inner.severity_number)
    # Whatever a unit prints has the priority of the stream: its own word tells more.
    if inner.severity_number and priority in (-1, 6):
        severity = severity_of(inner.severity_number)
    at_us = _number(fields.get("_SOURCE_REALTIME_TIMESTAMP"))
    if at_us <= 0:
        at_us = _number(fields.get("__REALTIME_TIMESTAMP"))
    unit = str(own.get("systemd.unit", ""))
    return LogLine(
        body=inner.body,
        format="journald",
        time_ns=max(at_us, 0) * 1_000,
        severity_number=severity.number,
        severity_text=severity.text,
        trace_id=inner.trace_id or ids.trace_id,
        span_id=inner.span_id or ids.span_id,
        service=inner.service or _text(fields.get("SYSLOG_IDENTIFIER")) or unit.removesuffix(".service"),
        host=_text(fields.get("_HOSTNAME")),
        attributes={**inner.attributes, **sent, **own},
    )


_JOURNAL_FIELDS: Final = frozenset(("MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "SYSLOG_TIMESTAMP", "SYSLOG_RAW"))


def _text(value: Any) -> str:
    """A field as text: journald prints what is no UTF-8 as a list of bytes, and repeated fields as a list of texts."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        entries = cast("list[Any]", value)
        if entries and all(isinstance(entry, int) and 0 <= entry < 256 for entry in entries):
            return bytes(entries).decode("utf-8", "replace")
        return " ".join(_text(entry) for entry in entries[:20])
    return "" if value is None else str(value)


def _number(value: Any) -> int:
    text = _text(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 19 else -1
