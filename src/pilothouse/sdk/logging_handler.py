"""Ships the records of :mod:`logging` with the trace and span they were written in, and puts these ids into log lines.

A record costs its author an append. Nothing here raises, waits, or logs.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from . import recorder as recorders
from .jsons import plain, readable
from .log_entry import LogEntry
from .stacks import describe

if TYPE_CHECKING:
    from .recording import Recorder

BODY_CHARS_MAX: Final = 32_000
ATTRIBUTES_MAX: Final = 64
VALUE_CHARS_MAX: Final = 8_000

_OWN_LOGGERS: Final = ("pilothouse", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.attributes")
"""What they say is said while records are shipped, and would go round in a circle."""
_OWN_THREADS: Final = "pilothouse-"
_KNOWN: Final = frozenset(
    (
        *logging.LogRecord("", 0, "", 0, "", None, None).__dict__,
        *("message", "asctime", "taskName", "trace_id", "span_id", "otelTraceID", "otelSpanID", "otelTraceSampled"),
        *("otelServiceName",),
    )
)
"""The fields every record has; all others are the author's."""

_busy = threading.local()


class LoggingHandler(logging.Handler):
    """Sends every record to the recorder that runs when it is written; without one it does nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record. Never raises, never waits."""
        recorder = recorders.current()
        if recorder is None or is_ours(record.name, record.threadName or ""):
            return
        if getattr(_busy, "emitting", False):
            # Telling an extra field may log in turn: an object whose repr logs would never end.
            return
        _busy.emitting = True
        try:
            recorder.pipeline.emit_log(entry_of(record, recorder))
        except Exception:
            # An author's object that cannot even be told: the record is lost, the program is not disturbed.
            recorder.pipeline.counters.drop("not_encodable", 1)
        finally:
            _busy.emitting = False


class TraceFilter(logging.Filter):
    """Gives every record ``trace_id`` and ``span_id``, empty outside of a span; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids, unless the record has them."""
        trace_id, span_id = ids()
        known = record.__dict__
        if not known.get("trace_id"):
            record.trace_id = trace_id
        if not known.get("span_id"):
            record.span_id = span_id
        return True


class TraceFormatter(logging.Formatter):
    """Puts ``trace_id=… span_id=…`` behind the first line of what another formatter makes."""

    def __init__(self, inner: logging.Formatter | None = None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter(logging.BASIC_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The line with the ids; as the other formatter made it where no span is open."""
        text = self._inner.format(record)
        trace_id, span_id = _ids_of(record)
        if not trace_id:
            return text
        first, newline, rest = text.partition("\n")
        return f"{first} trace_id={trace_id} span_id={span_id}{newline}{rest}"


def logging_handler(level: int | str = logging.NOTSET) -> logging.Handler:
    """A handler for :mod:`logging` that ships records of ``level`` and above.

    ``logging.getLogger().addHandler(pilothouse.logging_handler())``, before or after :func:`pilothouse.init`. Fields
    given as ``extra`` become attributes; exceptions come with type, message and stack.
    """
    return LoggingHandler(level)


def logging_filter() -> logging.Filter:
    """A filter that lets a format use ``%(trace_id)s`` and ``%(span_id)s``; JSON formatters then write both."""
    return TraceFilter()


def logging_formatter(inner: logging.Formatter | None = None) -> logging.Formatter:
    """A formatter that adds ``trace_id=… span_id=…`` to the lines of another one.

    ``handler.setFormatter(pilothouse.logging_formatter(handler.formatter))``: the file can then be joined to traces.
    """
    return TraceFormatter(inner)


def is_ours(logger: str, thread: str) -> bool:
    """True for what the recorder itself says, and for what is said in its threads."""
    return thread.startswith(_OWN_THREADS) or any(logger == own or logger.startswith(f"{own}.") for own in _OWN_LOGGERS)


def ids() -> tuple[str, str]:
    """The current trace and span in hex; empty where there is none, or where nothing records."""
    recorder = recorders.current()
    if recorder is None:
        return "", ""
    found = recorder.span().get_span_context()
    return (f"{found.trace_id:032x}", f"{found.span_id:016x}") if found.is_valid else ("", "")


def severity_number(level: int) -> int:
    """OTLP's number of a level of :mod:`logging`: 10 is 5, 20 is 9, 30 is 13, 40 is 17, 50 is 21."""
    if level < 10:
        return 1
    return min(5 + (level - 10) // 10 * 4 + (level % 10) * 4 // 10, 24)


def entry_of(record: logging.LogRecord, recorder: Recorder) -> LogEntry:
    """The log record as it is shipped."""
    trace_id, span_id = _ids_of(record)
    attributes: dict[str, Any] = {
        "logger.name": record.name,
        "code.filepath": record.pathname,
        "code.lineno": record.lineno,
        "code.function": record.funcName,
        "thread.name": record.threadName or "",
        **given({key: value for key, value in record.__dict__.items() if key not in _KNOWN}),
    }
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        attributes |= exception(error)
    elif record.exc_text:
        attributes["exception.stacktrace"] = readable(record.exc_text[:BODY_CHARS_MAX])
    if record.stack_info:
        attributes["code.stacktrace"] = readable(record.stack_info[:BODY_CHARS_MAX])
    return LogEntry(
        time_ns=int(record.created * 1_000_000) * 1_000,
        severity_number=severity_number(record.levelno),
        severity_text=record.levelname[:20],
        body=bounded(_message(record)),
        trace_id=trace_id,
        span_id=span_id,
        attributes=attributes,
    )


def exception(error: BaseException) -> dict[str, Any]:
    """Type, message and stack under OpenTelemetry's names."""
    told = describe(error)
    return {"exception.type": told.type, "exception.message": told.message, "exception.stacktrace": told.stack}


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of an author as bounded plain data: as many as fit, the rest counted."""
    shown = list(fields.items())[:ATTRIBUTES_MAX]
    found = {readable(str(key)[:200]): plain(value, VALUE_CHARS_MAX) for key, value in shown}
    if len(fields) > ATTRIBUTES_MAX:
        found["pilothouse.log.attributes_cut"] = len(fields) - ATTRIBUTES_MAX
    return found


def bounded(text: str) -> str:
    """A body that is not too long, and says so where it was."""
    if len(text) <= BODY_CHARS_MAX:
        return readable(text)
    return readable(text[:BODY_CHARS_MAX]) + f"… [{len(text) - BODY_CHARS_MAX} characters cut]"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # Arguments that do not fit the format: what there is, is still worth more than nothing.
        return f"{record.msg!s} {plain(record.args, VALUE_CHARS_MAX)}"


def _ids_of(record: logging.LogRecord) -> tuple[str, str]:
    """The ids that the record was given where it was written, which may have been another thread; else the current."""
    known = record.__dict__
    trace_id = known.get("trace_id") or known.get("otelTraceID") or ""
    span_id = known.get("span_id") or known.get("otelSpanID") or ""
    if isinstance(trace_id, str) and len(trace_id) == 32 and isinstance(span_id, str):
        return trace_id, span_id if len(span_id) == 16 else ""
    return ids()
