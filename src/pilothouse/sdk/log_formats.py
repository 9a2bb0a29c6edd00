"""The formats of log lines: each parser takes a line and gives its fields, or None where the line is of another format.

No parser raises, whatever it is given, and each is linear in the length of the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, cast, get_args

from .log_line import (
    CLF,
    ISO,
    STACK_CHARS_MAX,
    UNKNOWN,
    VALUE_CHARS_MAX,
    LogLine,
    Severity,
    Value,
    clean,
    fields_in_text,
    flatten,
    ids_in,
    moment,
    plain_key,
    read_time,
    severity_number,
    severity_of,
    severity_word,
    yearless,
)

Format = Literal["auto", "json", "logfmt", "klog", "nginx", "syslog", "plain"]
FORMATS: Final = get_args(Format)

BODY_CHARS_MAX: Final = 64_000
_HEAD: Final = 400
"""Characters of a line in which its time and level are looked for."""

_TIME_KEYS: Final = (
    *("timestamp", "time", "ts", "t", "datetime", "date", "asctime", "eventtime", "logtimestamp", "created"),
    *("timeunixnano", "sourcerealtimetimestamp", "realtimetimestamp", "startedat", "requesttime", "msec"),
)
_LEVEL_KEYS: Final = (
    *("level", "severity", "loglevel", "levelname", "severitytext", "lvl", "l", "logseverity", "priority"),
    *("severitynumber", "levelno", "syslogseverity", "levelnumber"),
)
_BODY_KEYS: Final = ("message", "msg", "event", "body", "log", "text", "mt", "m", "shortmessage", "logmessage", "err")
_SERVICE_KEYS: Final = ("service", "servicename", "ddservice", "resourceservicename", "otelservicename", "appname")
_HOST_KEYS: Final = ("hostname", "hosthostname", "host", "nodename", "resourcehostname")
_ERROR_TYPES: Final = ("errortype", "errorkind", "exceptiontype", "errtype", "excinfotype", "exceptionclass", "errname")
_ERROR_TEXTS: Final = ("errormessage", "exceptionmessage", "errmessage", "error", "errorerror")
_STACKS: Final = (
    *("exceptionstacktrace", "errorstacktrace", "errorstack", "stacktrace", "stack", "excinfo", "exctext", "errstack"),
    *("exception", "traceback", "x"),
)
_EXCEPTION_LINE: Final = re.compile(r"^([A-Za-z_][\w.$]{0,199})(?:: (.{0,8000}))?$", re.DOTALL)


def parse(text: str, format: Format = "auto", *, now_ns: int = 0) -> LogLine:
    """A line, or lines that belong together, in a format or in whichever fits; never raises.

    ``now_ns`` gives the year to times that have none.
    """
    parsers = _AUTO if format == "auto" else (_NAMED[format],)
    head, newline, rest = text.partition("\n")
    for read in parsers:
        try:
            found = read(head, now_ns)
        except (ValueError, OverflowError, RecursionError, IndexError):
            # A line that a parser trips over is a plain line: the log is read on.
            found = None
        if found is not None:
            return _with_rest(found, rest) if newline else found
    found = _plain(head, now_ns)
    return _with_rest(found, rest) if newline else found


def starts_record(text: str) -> bool:
    """True where a line has the head of a record: a time, a level, or the whole of it is JSON."""
    head = text[:_HEAD]
    return bool(
        head[:1] == "{"
        or _PREFIX_TIME.match(head)
        or _KLOG.match(head)
        or _SYSLOG.match(head)
        or _SYSLOG_5424.match(head)
        or _NGINX_ERROR.match(head)
        or _ACCESS.match(head)
        or _LOGFMT_HEAD.match(head)
        or _LEVEL_HEAD.match(head)
    )


def _with_rest(line: LogLine, rest: str) -> LogLine:
    """The record with the lines below its head: a traceback, mostly."""
    attributes = dict(line.attributes)
    severity = Severity(line.severity_number, line.severity_text)
    trace = exception_in(f"{line.body}\n{rest}" if line.body.startswith(("Traceback", "panic:")) else rest)
    if trace:
        attributes = {**trace, **attributes}
        severity = severity if severity.number else severity_of(17)
    named = {key: value for key, value in fields_in_text(rest).items() if key not in attributes}
    attributes.update(named)
    ids = ids_in(named)
    return LogLine(
        body=clean(f"{line.body}\n{rest}")[:BODY_CHARS_MAX],
        format=line.format,
        time_ns=line.time_ns,
        severity_number=severity.number,
        severity_text=severity.text,
        trace_id=line.trace_id or ids.trace_id,
        span_id=line.span_id or ids.span_id,
        service=line.service,
        host=line.host,
        attributes=attributes,
    )


def exception_in(text: str) -> dict[str, Value]:
    """Type, message and stack of a traceback, as OpenTelemetry names them; empty where there is none."""
    start = text.find("Traceback (most recent call last)")
    if start >= 0:
        for line in reversed(text[start:].splitlines()[:2_000]):
            if line[:1] not in ("", " ", "\t", "|", "+") and (found := _EXCEPTION_LINE.match(line)):
                return _exception(found[1], found[2] or "", text[start:])
        return {}
    # Java and JavaScript: the type comes first, "at …" below.
    if "\n\tat " in text or "\n    at " in text:
        first = text.lstrip().split("\n", 1)[0].removeprefix('Exception in thread "main" ')
        if found := _EXCEPTION_LINE.match(first):
            return _exception(found[1], found[2] or "", text)
    return {}


def _exception(kind: str, message: str, stack: str) -> dict[str, Value]:
    found: dict[str, Value] = {"exception.type": kind[:200]}
    if message:
        found["exception.message"] = clean(message[:VALUE_CHARS_MAX])
    found["exception.stacktrace"] = clean(stack[-STACK_CHARS_MAX:])
    return found


def _json(text: str, now_ns: int) -> LogLine | None:
    start = text.lstrip()
    # Some loggers put a time or a cookie ("@cee:") before the object.
    if not start.startswith("{"):
        if not start.startswith("@cee:"):
            return None
        start = start[5:].lstrip()
    data: object = json.loads(start)
    if not isinstance(data, dict):
        return None
    return of_fields(cast("dict[str, object]", data), text, "json", now_ns)


def of_fields(data: Mapping[str, object], text: str, format: str, now_ns: int) -> LogLine:
    """A line from its named fields, whatever the logger calls them."""
    flat = flatten(data)
    names: dict[str, str] = {}
    for key in flat:
        names.setdefault(plain_key(key), key)

    def take(*wanted: str) -> Value | None:
        for name in wanted:
            key = names.get(name)
            if key is not None and flat[key] != "":
                return flat.pop(key, None)
        return None

    time_ns = 0
    for name in _TIME_KEYS:
        key = names.get(name)
        if key is not None and (time_ns := read_time(flat.get(key, ""), now_ns=now_ns)):
            flat.pop(key)
            break
    if not time_ns and isinstance(seconds := flat.get("timestamp.seconds"), int):
        nanos = flat.get("timestamp.nanos")
        time_ns = read_time(seconds) + (nanos if isinstance(nanos, int) and 0 <= nanos < 10**9 else 0)
    severity = UNKNOWN
    for name in _LEVEL_KEYS:
        key = names.get(name)
        value = flat.get(key) if key is not None else None
        if value is None or isinstance(value, bool):
            continue
        severity = severity_word(value) if isinstance(value, str) else severity_number(value, name)
        if severity.number and key is not None:
            flat.pop(key)
            break
    ids = ids_in(flat)
    exception: dict[str, Value] = {}
    stack = next((str(flat[names[name]]) for name in _STACKS if name in names and names[name] in flat), "")
    if "\n" in stack:
        exception = exception_in(stack)
        if exception:
            take(*(name for name in _STACKS if name in names and flat.get(names[name]) == stack))
    for field, wanted in (("exception.type", _ERROR_TYPES), ("exception.message", _ERROR_TEXTS)):
        if field not in exception and isinstance(value := take(*wanted), str):
            exception[field] = value
    body = take(*_BODY_KEYS)
    service, host = take(*_SERVICE_KEYS), take(*_HOST_KEYS)
    if not severity.number and "exception.type" in exception:
        severity = severity_of(17)
    status = flat.get(names.get("status", ""), flat.get(names.get("statuscode", "")))
    if not severity.number and isinstance(status, int) and 100 <= status <= 599:
        severity = _of_status(status)
    text = str(body) if body is not None else str(exception.get("exception.message") or text)
    if isinstance(body, str):
        for key, value in fields_in_text(body).items():
            flat.setdefault(key, value)
        if not ids.trace_id:
            ids = ids_in(fields_in_text(body))
    return LogLine(
        body=clean(text[:BODY_CHARS_MAX]),
        format=format,
        time_ns=time_ns,
        severity_number=severity.number,
        severity_text=severity.text,
        trace_id=ids.trace_id,
        span_id=ids.span_id,
        service=str(service or "")[:200],
        host=str(host or "")[:200],
        attributes={**flat, **exception},
    )


_LOGFMT_HEAD: Final = re.compile(r'[A-Za-z_@][\w.@/-]{0,99}=(?:"(?:[^"\\]|\\.)*"|\S*)(?:\s|$)')
_LOGFMT_PAIR: Final = re.compile(r'([A-Za-z_@][\w.@/-]{0,99})=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))(?=\s|$)')


def _logfmt(text: str, now_ns: int) -> LogLine | None:
    if not _LOGFMT_HEAD.match(text[: _HEAD * 4].lstrip()):
        return None
    fields: dict[str, object] = {}
    for found in _LOGFMT_PAIR.finditer(text):
        quoted, bare = found[2], found[3]
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None and "\\" in quoted else (quoted or bare or "")
        fields.setdefault(found[1], value)
        if len(fields) >= 100:
            break
    names = {plain_key(key) for key in fields}
    # One pair may be anything: `x=1` is prose. A time, a level or a message makes it a log line.
    if len(fields) < 2 or not names & {*_TIME_KEYS, *_LEVEL_KEYS, *_BODY_KEYS}:
        return None
    return of_fields(fields, text, "logfmt", now_ns)


_KLOG: Final = re.compile(
    r"([IWEF])(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6})\s{1,8}(\d{1,10}) ([^\s:\]]{1,200}):(\d{1,7})\] ?"
)
_KLOG_LEVELS: Final = {"I": 9, "W": 13, "E": 17, "F": 21}


def _klog(text: str, now_ns: int) -> LogLine | None:
    found = _KLOG.match(text)
    if found is None:
        return None
    month, day, hour, minute, second = (int(found[i]) for i in range(2, 7))
    message = text[found.end() :]
    attributes: dict[str, Value] = {
        "thread.id": int(found[8]),
        "code.filepath": found[9],
        "code.lineno": int(found[10]),
    }
    # Structured klog: "message" key="value" …
    if message.startswith('"') and (end := message.find('" ', 1)) > 0:
        attributes.update({m[1]: m[2] if m[2] is not None else m[3] for m in _LOGFMT_PAIR.finditer(message[end + 2 :])})
        message = message[1:end]
    return _made(
        message,
        "klog",
        time_ns=yearless(month, day, hour, minute, second, found[7], now_ns=now_ns),
        severity=severity_of(_KLOG_LEVELS[found[1]]),
        attributes=attributes,
    )


_ACCESS: Final = re.compile(
    r"(?:(?P<vhost>[\w.:-]{1,200}) )?(?P<client>[0-9a-fA-F.:]{2,45}|[\w.-]{1,200}) (?P<ident>\S{1,100}) (?P<user>\S{1,200}|-) "
    r"\[(?P<time>[^\]]{10,40})\] "
    r'"(?P<request>(?:[^"\\]|\\.){0,8000})" (?P<status>\d{3}) (?P<size>\d{1,19}|-)(?P<rest>.*)$',
    re.DOTALL,
)
_NGINX_ERROR: Final = re.compile(
    r"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d) \[(\w{3,8})\] (\d{1,10})#(\d{1,20}): (?:\*(\d{1,20}) )?(.*)$",
    re.DOTALL,
)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ERROR_FIELD: Final = re.compile(r", (client|server|upstream|host|referrer): \"?([^,\"]{1,1000})\"?")
_ERROR_REQUEST: Final = re.compile(r", request: \"([^\"]{1,2000})\"")
_UNIQUE: Final = re.compile(r"(?<![\w-])([0-9a-f]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?![\w-])")


def _nginx(text: str, now_ns: int) -> LogLine | None:
    if found := _NGINX_ERROR.match(text):
        return _nginx_error(found)
    found = _ACCESS.match(text)
    if found is None or not CLF.match(found["time"]):
        return None
    status = int(found["status"])
    attributes: dict[str, Value] = {"client.address": found["client"], "http.response.status_code": status}
    words = found["request"].split(" ")
    if len(words) == 3:
        attributes.update(
            {"http.request.method": words[0][:20], "url.path": words[1], "network.protocol.name": words[2]}
        )
    if found["user"] != "-":
        attributes["user.name"] = found["user"]
    if found["vhost"]:
        attributes["server.address"] = found["vhost"]
    if found["size"] != "-":
        attributes["http.response.body.size"] = int(found["size"])
    rest = found["rest"][: _HEAD * 20]
    quoted = _QUOTED.findall(rest)
    for key, value in zip(("http.request.header.referer", "user_agent.original"), quoted[:2], strict=False):
        if value not in ("-", ""):
            attributes[key] = value
    attributes.update(fields_in_text(rest))
    attributes.update({m[1]: m[2] if m[2] is not None else m[3] for m in _LOGFMT_PAIR.finditer(rest)})
    # Behind the agent people put $request_id: 32 hex digits, or a UUID, often without a name.
    after = rest[rest.rfind(quoted[1]) + len(quoted[1]) :] if len(quoted) > 1 else rest
    if not any(plain_key(key).endswith(("requestid", "traceid")) for key in attributes):
        named = _UNIQUE.search(after)
        if named:
            attributes["request_id"] = named[1]
    return _made(
        text,
        "nginx",
        time_ns=read_time(found["time"]),
        severity=_of_status(status),
        attributes=attributes,
    )


def _nginx_error(found: re.Match[str]) -> LogLine:
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    message = found[11]
    attributes: dict[str, Value] = {"process.pid": int(found[8])}
    if found[10]:
        attributes["nginx.connection"] = int(found[10])
    for piece in _ERROR_FIELD.finditer(message):
        attributes[{"client": "client.address", "server": "server.address"}.get(piece[1], f"nginx.{piece[1]}")] = piece[
            2
        ]
    if request := _ERROR_REQUEST.search(message):
        words = request[1].split(" ")
        if len(words) == 3:
            attributes.update({"http.request.method": words[0][:20], "url.path": words[1]})
    return _made(
        message,
        "nginx",
        time_ns=moment(year, month, day, hour, minute, second, None, None),
        severity=severity_word(found[7]),
        attributes=attributes,
    )


def _of_status(status: int) -> Severity:
    return severity_of(17 if status >= 500 else 13 if status >= 400 else 9)


_SYSLOG: Final = re.compile(
    r"(?:<(?P<pri>\d{1,3})>)?(?:(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s{1,2}(?P<day>\d{1,2}) "
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"|(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))) "
    r"(?P<host>[\w.:-]{1,200}) (?P<tag>[\w.@/-]{1,100})(?:\[(?P<pid>\d{1,10})\])?: ?"
)
_SYSLOG_5424: Final = re.compile(
    r"<(\d{1,3})>1 (\S{1,60}) (\S{1,255}) (\S{1,100}) (\S{1,128}) (\S{1,64}) (-|\[.{1,2000}?\](?=\s|$)) ?(?:\ufeff)?"
)
_SD_PAIR: Final = re.compile(r'([\w.-]{1,64})="((?:[^"\\\]]|\\.)*)"')


def _syslog(text: str, now_ns: int) -> LogLine | None:
    if found := _SYSLOG_5424.match(text):
        attributes: dict[str, Value] = {m[1]: m[2] for m in _SD_PAIR.finditer(found[7])}
        if found[5] != "-":
            attributes["process.pid"] = found[5]
        return _made(
            text[found.end() :],
            "syslog",
            time_ns=read_time(found[2]),
            severity=severity_number(int(found[1]) & 7),
            attributes=attributes,
            service="" if found[4] == "-" else found[4],
            host="" if found[3] == "-" else found[3],
        )
    found = _SYSLOG.match(text)
    if found is None:
        return None
    message = text[found.end() :]
    if found["iso"]:
        time_ns = read_time(found["iso"])
    else:
        clock = (int(found["hour"]), int(found["minute"]), int(found["second"]))
        month = "JanFebMarAprMayJunJulAugSepOctNovDec".index(found["month"]) // 3 + 1
        time_ns = yearless(month, int(found["day"]), *clock, found["fraction"], now_ns=now_ns)
    attributes = {"process.pid": int(found["pid"])} if found["pid"] else {}
    severity = severity_number(int(found["pri"]) & 7) if found["pri"] else level_in(message)
    inner = parse(message, now_ns=now_ns) if message[:1] == "{" else None
    if inner is not None and inner.format == "json":
        severity = Severity(inner.severity_number, inner.severity_text) if inner.severity_number else severity
        attributes = {**inner.attributes, **attributes}
        made = _made(inner.body, "syslog", time_ns=inner.time_ns or time_ns, severity=severity, attributes=attributes)
        ids = (inner.trace_id or made.trace_id, inner.span_id or made.span_id)
    else:
        made = _made(message, "syslog", time_ns=time_ns, severity=severity, attributes=attributes)
        ids = (made.trace_id, made.span_id)
    return LogLine(
        body=made.body,
        format="syslog",
        time_ns=made.time_ns,
        severity_number=made.severity_number,
        severity_text=made.severity_text,
        trace_id=ids[0],
        span_id=ids[1],
        service=(inner.service if inner else "") or found["tag"],
        host=found["host"],
        attributes=made.attributes,
    )


_PREFIX_TIME: Final = re.compile(
    rf"[\[(]?(?P<lead>[A-Z]{{4,8}}:? )?(?:(?P<iso>{ISO.pattern})|(?P<clf>{CLF.pattern})"
    r"|(?P<other>(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\s[A-Z0-9][a-z0-9]{0,2}\s{1,2}[\w]{1,3}\s[\d: A-Z+-]{8,25}))"
)
_LEVEL_HEAD: Final = re.compile(
    r"[\[<(|]{0,2}(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|CRITICAL|CRIT|FATAL|SEVERE|PANIC)\b[\]>)|:]?(?=[\s:\[(-]|$)"
)
_LEVEL_ANYWHERE: Final = re.compile(
    r"(?:^|[\s\[<(|:/])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|CRITICAL|CRIT|FATAL|SEVERE|PANIC|ALERT|EMERG)"
    r"(?=$|[\s\]>)|:,])"
)
_LEVEL_LOWER: Final = re.compile(
    r"(?:^|[\s\[<(|])(?:level=)?(trace|debug|info|notice|warn|warning|error|err|critical|crit|fatal|panic)(?=$|[\]>)|:])"
)
_FATAL_WORDS: Final = re.compile(r"\b(?:kernel panic|segfault at|out of memory:|oom-kill:)", re.IGNORECASE)
"""What the kernel says of a death, without any level."""


def level_in(text: str) -> Severity:
    """The level named near the beginning of a line of prose."""
    head = text[:160]
    found = _LEVEL_ANYWHERE.search(head) or _LEVEL_LOWER.search(head)
    return severity_word(found[1]) if found else UNKNOWN


def _plain(text: str, now_ns: int) -> LogLine:
    found = _PREFIX_TIME.match(text[:_HEAD])
    time_ns = read_time(found["iso"] or found["clf"] or found["other"], now_ns=now_ns) if found else 0
    severity = level_in(text)
    if not severity.number and text.startswith(("Traceback (most recent", "panic:", "Exception in thread")):
        severity = severity_of(17)
    if not severity.number and _FATAL_WORDS.search(text[:_HEAD]):
        severity = severity_of(17)
    return _made(text, "plain", time_ns=time_ns, severity=severity, attributes={})


def _made(
    body: str,
    format: str,
    *,
    time_ns: int,
    severity: Severity,
    attributes: dict[str, Value],
    service: str = "",
    host: str = "",
) -> LogLine:
    named = {**fields_in_text(body), **attributes}
    ids = ids_in(named)
    return LogLine(
        body=clean(body[:BODY_CHARS_MAX]),
        format=format,
        time_ns=time_ns,
        severity_number=severity.number,
        severity_text=severity.text,
        trace_id=ids.trace_id,
        span_id=ids.span_id,
        service=service[:200],
        host=host[:200],
        attributes={
            key: clean(value[:VALUE_CHARS_MAX]) if isinstance(value, str) else value for key, value in named.items()
        },
    )


_Parser = Callable[[str, int], LogLine | None]
_NAMED: Final[Mapping[str, _Parser]] = {
    "json": _json,
    "logfmt": _logfmt,
    "klog": _klog,
    "nginx": _nginx,
    "syslog": _syslog,
    "plain": _plain,
}
_AUTO: Final[tuple[_Parser, ...]] = (_json, _klog, _nginx, _syslog, _logfmt, _plain)
