"""Log lines of the sample: of a server, of a proxy, of the host, and some that wish to be more than text."""

from __future__ import annotations

from typing import Any

from pilothouse.records import iso
from pilothouse.traces.model import (
    Confidence,
    LogCount,
    LogFacet,
    LogGroup,
    LogQuery,
    LogRow,
    LostError,
    Page,
    Reason,
    Trace,
    TraceLogRow,
    TraceLogs,
    Window,
)
from pilothouse.web.format import moment_ns

from .sample import NOW_NS, SECOND

HOSTILE = '<script>alert("log")</script> \u202eevil\x1b[31m\n# heading'
STACK = (
    'Traceback (most recent call last):\n  File "pay.py", line 7, in charge\n    raise CardError\nCardError: declined'
)


def log(number: int, body: str, severity: int, **fields: Any) -> LogRow:
    word = {5: "DEBUG", 9: "INFO", 13: "WARN", 17: "ERROR", 21: "FATAL"}[severity]
    known: dict[str, Any] = {
        "id": f"{number:016x}",
        "time": iso(NOW_NS - number * 7 * SECOND),
        "severity": word,
        "severity_number": severity,
        "service": "shop",
        "host": "web-1.example.com",
        "body": body,
        "body_chars": len(body),
        "event_name": "",
        "trace_id": "",
        "span_id": "",
        "logger": "shop.payments",
        "error_type": "",
        "stack": "",
        "attributes": {"log.file.path": "/var/log/shop.log", "request_id": f"req-{number:06d}"},
    }
    return LogRow(**(known | fields))


def sample_rows(trace_id: str) -> list[LogRow]:
    return [
        log(1, "calling the model", 9, trace_id=trace_id, span_id="ab" * 8),
        log(2, "card declined", 17, trace_id=trace_id, error_type="CardError", stack=STACK),
        log(3, '10.2.0.7 - - "POST /v1/pay HTTP/1.1" 502 157 "-" "httpx" "7f9c24e8"', 17, service="nginx", logger=""),
        log(4, HOSTILE, 13, service="<b>bold</b>", attributes={"<i>key</i>": HOSTILE}),
        log(5, "x" * 3_000, 5, body_chars=9_000, host=""),
        log(6, "Out of memory: Killed process 4711 (python)", 21, service="kernel", logger=""),
    ]


def sample_search(query: LogQuery, trace_id: str) -> Page[LogRow]:
    since, until = query.since_ns or 0, query.until_ns or NOW_NS + SECOND
    rows = [
        row
        for row in sample_rows(trace_id)
        if since <= moment_ns(row.time) < until
        and query.text in row.body
        and query.service in ("", row.service)
        and query.host in ("", row.host)
    ]
    return Page(items=tuple(rows), total=len(rows), window=_window(query))


def sample_facets() -> tuple[LogFacet, ...]:
    return (
        LogFacet(
            field="severity",
            values=(LogCount(value="INFO", count=9, errors=0), LogCount(value="ERROR", count=3, errors=3)),
        ),
        LogFacet(
            field="service",
            values=(LogCount(value="shop", count=10, errors=1), LogCount(value="<b>bold</b>", count=2, errors=2)),
        ),
        LogFacet(field="host", values=(LogCount(value="web-1.example.com", count=12, errors=3),)),
    )


def sample_lost(query: LogQuery, trace_id: str) -> Page[LostError]:
    items = (
        LostError(kind="no_failed_span", agent="support", trace_status="ok", row=sample_rows(trace_id)[1]),
        LostError(kind="no_span", agent="", trace_status="", row=log(9, HOSTILE, 17, trace_id="ef" * 16)),
    )
    return Page(items=items, total=2, window=_window(query))


def sample_trace_logs(trace: Trace, *, infra: bool) -> TraceLogs:
    start = moment_ns(trace.row.start_time)
    rows = sample_rows(trace.row.trace_id)

    def joined(row: LogRow, reason: Reason, confidence: Confidence, why: str, *, lost: bool = False) -> TraceLogRow:
        step = trace.spans[min(2, len(trace.spans) - 1)]
        return TraceLogRow(
            time=row.time,
            offset_ms=(moment_ns(row.time) - start) / 1e6,
            reason=reason,
            confidence=confidence,
            why=why,
            step=step.step,
            span_id=step.span_id,
            step_label=step.name,
            never_a_span=lost,
            severity=row.severity,
            severity_number=row.severity_number,
            service=row.service,
            host=row.host,
            body=row.body,
            logger=row.logger,
            log=row,
        )

    certain = [joined(row, "trace_id", "certain", "trace id") for row in (rows[0], rows[1], rows[3])]
    shared = [joined(rows[2], "request_id", "high", "request_id 7f9c24e8, also on step 3")]
    place = [joined(rows[5], "time", "low", "host web-1, the same moment", lost=True)]
    groups = [
        LogGroup(reason="trace_id", confidence="certain", why="the line carries it", count=3, rows=tuple(certain)),
        LogGroup(reason="request_id", confidence="high", why="a shared id", count=1, rows=tuple(shared)),
    ]
    if infra:
        groups.append(LogGroup(reason="time", confidence="low", why="the same host", count=40, rows=tuple(place)))
    return TraceLogs(
        trace_id=trace.row.trace_id,
        since=trace.row.start_time,
        until=iso(NOW_NS),
        groups=tuple(groups),
        lost=tuple(place),
        infra_left_out=0 if infra else 40,
        hosts=("web-1",),
        services=("shop",),
        clock_allowance_ms=2_000,
        notes=("a note",),
    )


def _window(query: LogQuery) -> Window:
    return Window(since=iso(query.since_ns or 1), until=iso(query.until_ns or NOW_NS), assumed=False)
