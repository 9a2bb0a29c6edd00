"""One line of a log as data, and how its fields are read: time, severity, trace and request ids, under any usual name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple, cast

Value = str | int | float | bool

ATTRIBUTES_MAX: Final = 128
VALUE_CHARS_MAX: Final = 8_000
STACK_CHARS_MAX: Final = 32_000
_SECOND: Final = 1_000_000_000
_FROM_NS: Final = 631_152_000 * _SECOND
_TO_NS: Final = 4_102_444_800 * _SECOND
"""The years 1990 to 2100: what lies outside is no time of a log line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """What a line says. Empty or 0: it does not say."""

    body: str
    format: str
    """json, logfmt, klog, nginx, syslog or plain."""
    time_ns: int = 0
    severity_number: int = 0
    """1 to 24, as OpenTelemetry counts."""
    severity_text: str = ""
    trace_id: str = ""
    """32 hex digits; an id of 64 bits is padded with zeros."""
    span_id: str = ""
    service: str = ""
    host: str = ""
    attributes: dict[str, Value] = field(default_factory=dict[str, Value])


class Severity(NamedTuple):
    """A level as OpenTelemetry counts it; 0 where it is unknown."""

    number: int
    text: str


UNKNOWN: Final = Severity(0, "")

_LEVELS: Final = (
    (1, "TRACE", "trace verbose finest finer silly t v vrb trc"),
    (5, "DEBUG", "debug dbug fine d dbg config"),
    (9, "INFO", "info information informational i inf log ok"),
    (10, "INFO", "notice n note success"),
    (13, "WARN", "warn warning w wrn"),
    (17, "ERROR", "error err e eror severe fail failed failure"),
    (21, "FATAL", "fatal critical crit f c emerg emergency alert panic dpanic ftl crt"),
)
_WORDS: Final = {word: Severity(number, text) for number, text, words in _LEVELS for word in words.split()}
_SYSLOG: Final = (21, 21, 21, 17, 13, 10, 9, 5)
_SHORT: Final = {1: "TRACE", 5: "DEBUG", 9: "INFO", 13: "WARN", 17: "ERROR", 21: "FATAL"}


def severity_of(number: int) -> Severity:
    """The severity of an OpenTelemetry number."""
    return Severity(number, _SHORT[(number - 1) // 4 * 4 + 1]) if 1 <= number <= 24 else UNKNOWN


def severity_word(text: str) -> Severity:
    """The severity of a word in any case, bracketed or not, or of a number written out."""
    word = text[:40].strip().strip("[]()<>:;,|*").lower()
    if word.isascii() and word.isdigit() and len(word) <= 3:
        return severity_number(int(word))
    return _WORDS.get(word, UNKNOWN)


def severity_number(number: float, key: str = "level") -> Severity:
    """The severity of a number: OpenTelemetry's, Python's ``levelno``, syslog's (0 to 7), or pino's and bunyan's."""
    if not math.isfinite(number):
        return UNKNOWN
    level = int(number)
    if "severitynumber" in key:
        return severity_of(level)
    if "levelno" in key or key == "levelnumber":
        return severity_of(min(max(level // 10 * 4 + 1, 1), 21)) if level > 0 else UNKNOWN
    if 0 <= level <= 7:
        return severity_of(_SYSLOG[level])
    return severity_of(min(level // 10 * 4 - 3, 21)) if 10 <= level <= 69 else UNKNOWN


_MONTHS: Final = {
    "janfebmaraprmayjunjulaugsepoctnovdec"[first : first + 3]: first // 3 + 1 for first in range(0, 36, 3)
}
ISO: Final = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T _](\d\d):(\d\d):(\d\d)(?:[.,:](\d{1,9}))?\s?(Z|UTC|GMT|[+-]\d\d:?\d\d)?"
)
CLF: Final = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s([+-]\d{4})")
_SYSLOG_TIME: Final = re.compile(r"([A-Z][a-z]{2})\s{1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?")
_CTIME: Final = re.compile(
    r"(?:[A-Z][a-z]{2},?\s)?(\d{1,2}|[A-Z][a-z]{2})\s{1,2}(\d{1,2}|[A-Z][a-z]{2})\s(?:(\d{4})\s)?"
    r"(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:\s(\d{4}))?(?:\s(GMT|UTC|[+-]\d{4}))?"
)


def read_time(value: object, *, now_ns: int = 0) -> int:
    """Nanoseconds since 1970 of a time in any usual form, 0 where it is none.

    Numbers are seconds, milli-, micro- or nanoseconds by their size. Text without a zone is the local time of this
    machine, which is what most loggers write. ``now_ns`` gives the year where a form has none.
    """
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        return _epoch(value)
    if not isinstance(value, str):
        return 0
    text = value[:80].strip().strip("[]\"'")
    if not text:
        return 0
    if text[0] in "0123456789" and text.count(".") <= 1 and text.replace(".", "", 1).isdecimal() and text.isascii():
        return _epoch(int(text) if "." not in text else float(text))
    if found := ISO.match(text):
        year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
        return moment(year, month, day, hour, minute, second, found[7], found[8])
    if found := CLF.match(text):
        month = _MONTHS.get(found[2].lower(), 0)
        return moment(
            int(found[3]), month, int(found[1]), int(found[4]), int(found[5]), int(found[6]), found[7], found[8]
        )
    if found := _CTIME.match(text):
        first, second_word = found[1].lower(), found[2].lower()
        month = _MONTHS.get(first) or _MONTHS.get(second_word, 0)
        day_word = found[2] if first in _MONTHS else found[1]
        year = found[3] or found[8]
        if month and day_word.isdecimal() and year:
            clock = (int(found[4]), int(found[5]), int(found[6]))
            return moment(int(year), month, int(day_word), *clock, found[7], found[9])
    if found := _SYSLOG_TIME.match(text):
        month = _MONTHS.get(found[1].lower(), 0)
        return yearless(month, int(found[2]), int(found[3]), int(found[4]), int(found[5]), found[6], now_ns=now_ns)
    return 0


def moment(
    year: int, month: int, day: int, hour: int, minute: int, second: int, fraction: str | None, zone: str | None
) -> int:
    """A moment of the calendar in nanoseconds since 1970; 0 where there is no such moment."""
    try:
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=_zone(zone))
        seconds = int(at.timestamp())
    except (ValueError, OverflowError, OSError):
        return 0
    return _within(seconds * _SECOND + int(((fraction or "") + "000000000")[:9]))


def yearless(month: int, day: int, hour: int, minute: int, second: int, fraction: str | None, *, now_ns: int) -> int:
    """A moment without a year, in local time: the last such moment that is not more than a day ahead."""
    now = datetime.fromtimestamp(now_ns / 1e9) if now_ns else datetime.now()  # noqa: DTZ005, DTZ006  # local on purpose
    for year in (now.year + 1, now.year, now.year - 1):
        at = moment(year, month, day, hour, minute, second, fraction, None)
        if 0 < at <= int(now.timestamp() + 86_400) * _SECOND:
            return at
    return 0


def _zone(zone: str | None) -> timezone | None:
    if not zone:
        return None
    if zone in ("Z", "UTC", "GMT"):
        return UTC
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]))
    return timezone(-offset if zone[0] == "-" else offset)


def _epoch(number: int | float) -> int:
    if isinstance(number, float) and not math.isfinite(number):
        return 0
    if number < 1e8:
        return 0
    for limit, unit in ((1e11, _SECOND), (1e14, 1_000_000), (1e17, 1_000)):
        if number < limit:
            whole = int(number)
            # The fraction apart: a float has no room for the nanoseconds of this century.
            return _within(whole * unit + round((number - whole) * 1e6) * unit // 1_000_000)
    return _within(int(number)) if number < 1e20 else 0


def _within(ns: int) -> int:
    return ns if _FROM_NS <= ns <= _TO_NS else 0


_HEX: Final = frozenset("0123456789abcdef")
_XRAY: Final = re.compile(r"(?:Root=)?1-([0-9a-fA-F]{8})-([0-9a-fA-F]{24})(?:.*?Parent=([0-9a-fA-F]{16}))?")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})(?:-[0-9a-f]{2})?")
_GCP_NAME: Final = re.compile(r"projects/[^/]{1,100}/traces/([0-9a-fA-F]{32})")
_GCP_HEADER: Final = re.compile(r"([0-9a-fA-F]{32})(?:/(\d{1,20}))?")
_UBER: Final = re.compile(r"([0-9a-fA-F]{1,32})(?::|%3[aA])([0-9a-fA-F]{1,16})(?::|%3[aA])")
_B3: Final = re.compile(r"([0-9a-fA-F]{16}|[0-9a-fA-F]{32})-([0-9a-fA-F]{16})")

_TRACE_KEYS: Final = frozenset(
    (
        *("traceid", "oteltraceid", "ddtraceid", "xb3traceid", "b3traceid", "xtraceid", "tr", "parenttraceid"),
        *("amzntraceid", "amazontraceid", "xamzntraceid", "xrayid", "xraytraceid", "awsxraytraceid", "mdctraceid"),
        *("contexttraceid", "logginggoogleapiscomtrace", "spancontexttraceid", "otelcontexttraceid"),
    )
)
_SPAN_KEYS: Final = frozenset(
    (
        *("spanid", "otelspanid", "ddspanid", "xb3spanid", "b3spanid", "xspanid", "sp", "mdcspanid", "contextspanid"),
        *("logginggoogleapiscomspanid", "spancontextspanid", "otelcontextspanid"),
    )
)
_CARRIERS: Final = frozenset(("traceparent", "httprequestheadertraceparent", "ubertraceid", "b3", "xcloudtracecontext"))


class Ids(NamedTuple):
    """The trace and span a line names."""

    trace_id: str = ""
    span_id: str = ""


def plain_key(key: str) -> str:
    """A field's name without what languages and frameworks do to it: ``X-Request-ID`` and ``requestId`` alike."""
    return "".join(character for character in key[:120].lower() if character.isalnum())


def ids_in(fields: Mapping[str, Value]) -> Ids:
    """The trace and span ids among the fields of a line, whatever they are called."""
    trace = span = ""
    high = ""
    for key, value in fields.items():
        name = plain_key(key)
        if name == "ddptid":
            high = str(value).lower()
        elif name in _CARRIERS or name == "trace":
            carried = carrier(name, str(value)[:300])
            trace, span = trace or carried.trace_id, span or carried.span_id
        elif name in _TRACE_KEYS:
            found = trace_id_of(value, decimal=name.startswith("dd"))
            trace, span = trace or found.trace_id, span or found.span_id
        elif name in _SPAN_KEYS:
            span = span or span_id_of(value, decimal=name.startswith("dd"))
    if trace.startswith("0" * 16) and len(high) == 16 and set(high) <= _HEX:
        trace = high + trace[16:]
    return Ids(trace, span)


def carrier(name: str, text: str) -> Ids:
    """The ids in a header that carries a trace: ``traceparent``, ``b3``, ``uber-trace-id``, Google's and Amazon's."""
    if found := _TRACEPARENT.search(text):
        return Ids(_real(found[1]), _real(found[2]))
    if found := _GCP_NAME.search(text):
        return Ids(_real(found[1].lower()))
    if name == "xcloudtracecontext" and (found := _GCP_HEADER.match(text)):
        return Ids(_real(found[1].lower()), span_id_of(found[2] or "", decimal=True))
    if name == "b3" and (found := _B3.match(text)):
        return Ids(_real(found[1].lower().zfill(32)), _real(found[2].lower()))
    if "uber" in name and (found := _UBER.match(text)):
        return Ids(_real(found[1].lower().zfill(32)), _real(found[2].lower().zfill(16)))
    return trace_id_of(text, decimal=False) if name == "trace" else Ids()


def trace_id_of(value: Value, *, decimal: bool) -> Ids:
    """A trace id of 128 or 64 bits: hex, decimal where it may be (Datadog's), a UUID, or Amazon's form."""
    text = str(value)[:200].strip().strip('"').lower()
    if found := _XRAY.search(str(value)[:200]):
        return Ids(_real((found[1] + found[2]).lower()), _real((found[3] or "").lower()))
    if found := _GCP_NAME.search(str(value)[:200]):
        return Ids(_real(found[1].lower()))
    if decimal and text.isascii() and text.isdecimal() and len(text) <= 20:
        return Ids(_real(f"{int(text) & (2**64 - 1):032x}"))
    plain = text.removeprefix("0x")
    if plain.count("-") == 4 and len(plain) == 36:
        plain = plain.replace("-", "")
    if len(plain) in (16, 32) and set(plain) <= _HEX:
        return Ids(_real(plain.zfill(32)))
    return Ids()


def span_id_of(value: Value, *, decimal: bool) -> str:
    """A span id of 16 hex digits, from hex or, where it may be, decimal."""
    text = str(value)[:60].strip().strip('"').lower().removeprefix("0x")
    if decimal and text.isascii() and text.isdecimal() and 0 < len(text) <= 20:
        return _real(f"{int(text) & (2**64 - 1):016x}")
    return _real(text) if len(text) == 16 and set(text) <= _HEX else ""


def _real(text: str) -> str:
    return text if text.strip("0") else ""


_IN_TEXT: Final = re.compile(
    r"\b(trace[_.-]?id|span[_.-]?id|dd\.trace_id|dd\.span_id|x-b3-traceid|x-b3-spanid|traceparent|x-amzn-trace-id"
    r"|x-request-id|request[_.-]?id|req[_.-]?id|correlation[_.-]?id|session[_.-]?id|user[_.-]?id)"
    r"[\"']?\s{0,2}[=:]\s{0,2}[\"']?([\w.:;=@+/-]{1,200})",
    re.IGNORECASE,
)


def fields_in_text(text: str) -> dict[str, Value]:
    """The ids that a line of prose names as ``request_id=…`` or ``"trace_id": "…"``; looks at 8,000 characters."""
    if "=" not in text and ":" not in text:
        return {}
    found: dict[str, Value] = {}
    for match in _IN_TEXT.finditer(text[:8_000]):
        found.setdefault(match[1].lower(), match[2].rstrip(".,;:"))
        if len(found) >= 10:
            break
    return found


def clean(text: str) -> str:
    """Text that any receiver takes: half characters replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def flatten(data: Mapping[str, object]) -> dict[str, Value]:
    """Nested fields under dotted names, at most four deep; what is deeper, and lists, become JSON."""
    flat: dict[str, Value] = {}
    _flatten(data, "", 4, flat)
    return flat


def _flatten(data: Mapping[str, object], prefix: str, depth: int, flat: dict[str, Value]) -> None:
    for key, value in data.items():
        if len(flat) >= ATTRIBUTES_MAX:
            return
        name = clean(f"{prefix}{key}"[:200])
        if isinstance(value, dict) and depth > 1 and value:
            _flatten(cast("Mapping[str, object]", value), f"{name}.", depth - 1, flat)
        elif isinstance(value, str):
            flat[name] = clean(value[: STACK_CHARS_MAX if "stack" in name or "exc" in name else VALUE_CHARS_MAX])
        elif isinstance(value, int | float) and -(2**63) <= value < 2**63:
            flat[name] = value
        elif value is not None:
            flat[name] = clean(_json(cast("object", value))[:VALUE_CHARS_MAX])


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return str(type(value).__name__)
