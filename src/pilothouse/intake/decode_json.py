"""OTLP/JSON to records, leniently: ids in either case, numbers as strings, enums by name, unknown fields ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pilothouse.records import BadRequest, Emitter, RawEvent, RawLink, RawLog, RawPoint, RawSpan

from . import check
from .check import Block, Checked, Damaged, Decoded, Signal
from .json_values import (
    Unreadable,
    any_value,
    attributes,
    check_attributes,
    check_value,
    child,
    enum,
    identity,
    objects,
    real,
    signed,
    take,
    truth,
    unsigned,
    words,
)
from .shapes import camel, shape

# Any throughout: JSON is what the sender made it.


def validate(signal: Signal, body: bytes) -> Checked:
    """Which items will be refused; nothing is converted. Raises BadRequest where the body is no such request."""
    return check.sift(_blocks(signal, _document(body)), _RULES[signal], None)


def decode(signal: Signal, body: bytes) -> Decoded:
    """The request as records. Refuses exactly what :func:`validate` does."""
    spans: list[RawSpan] = []
    logs: list[RawLog] = []
    points: list[RawPoint] = []
    last: list[Any] = [None, Emitter()]

    def emitter_of(block: Block) -> Emitter:
        if last[0] is not block:
            last[:] = [block, _emitter(block)]
        return last[1]

    keep: dict[Signal, Callable[[Block, Any], None]] = {
        "traces": lambda block, item: spans.append(_span(item, emitter_of(block))),
        "logs": lambda block, item: logs.append(_log(item, emitter_of(block))),
        "metrics": lambda block, item: points.append(_point(item[0], item[1], item[2], emitter_of(block))),
    }
    done = check.sift(_blocks(signal, _document(body)), _RULES[signal], keep[signal])
    return Decoded(
        items=done.items,
        refused_count=done.refused_count,
        refused=done.refused,
        spans=spans,
        logs=logs,
        points=points,
    )


# ── the document ─────────────────────────────────────────────────────────────

# One alternative per kind of escape, so that a backslash is never read as the start of a second one.
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def _document(body: bytes) -> dict[str, Any]:
    import orjson

    if not body.strip():
        return {}
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _salvage(body, str(error))
    if document.__class__ is not dict:
        raise BadRequest(
            "the body is not a JSON object", got=type(document).__name__, fix="send one OTLP export request"
        )
    return document


def _salvage(body: bytes, why: str) -> Any:
    """Read once more what a strict reader refuses: bytes that are not UTF-8, half a surrogate pair, a bare NaN."""
    import json

    text = body.decode("utf-8-sig", "replace")
    text = _ESCAPES.sub(lambda found: "\\ufffd" if found.group(1) else found.group(), text)
    try:
        return json.loads(text)
    except RecursionError:
        raise BadRequest(
            "the JSON is nested too deep to read", allowed="1024 levels", fix="flatten the attribute that nests"
        ) from None
    except ValueError:
        # The first reader's words: they name line and column in the body as it was sent.
        raise BadRequest(f"the body is not JSON: {why[:300]}", fix="send one OTLP export request as JSON") from None


def _blocks(signal: Signal, document: dict[str, Any]) -> Iterator[Block]:
    names = shape(signal)
    resources = take(document, camel(names.resources), names.resources)
    if resources is None:
        return
    if resources.__class__ is not list:
        raise BadRequest(f"{camel(names.resources)} is not a list", got=type(resources).__name__)
    for outer in resources:
        try:
            yield from _scopes(signal, outer)
        except Unreadable as error:
            yield Block({}, {}, (Damaged(str(error)),))


def _scopes(signal: Signal, outer: Any) -> Iterator[Block]:
    names = shape(signal)
    if outer.__class__ is not dict:
        raise Unreadable(f"{camel(names.resources)} holds something that is not an object")
    resource = child(outer, "resource", "resource")
    check_attributes(resource)
    for inner in objects(outer, camel(names.scopes), names.scopes):
        try:
            scope = child(inner, "scope", "scope")
            check_attributes(scope)
            items = take(inner, camel(names.items), names.items)
            if items is not None and items.__class__ is not list:
                raise Unreadable(f"{camel(names.items)} is not a list")
        except Unreadable as error:
            yield Block({}, {}, (Damaged(str(error)),))
            continue
        yield Block(resource, scope, _points_of(items or ()) if signal == "metrics" else items or ())


def _points_of(metrics: Any) -> Iterator[Any]:
    for metric in metrics:
        try:
            if metric.__class__ is not dict:
                raise Unreadable("the metric is not an object")
            for type_name in _POINTS:
                data = child(metric, camel(type_name), type_name)
                for point in objects(data, "dataPoints", "data_points"):
                    yield metric, type_name, point
        except Unreadable as error:
            yield Damaged(str(error), words(metric.get("name"))[:200] if metric.__class__ is dict else "")


# ── rules ────────────────────────────────────────────────────────────────────


def _span_rule(span: Any) -> Damaged | None:
    if span.__class__ is not dict:
        return Damaged("the span is not an object")
    try:
        damage = check.span_damage(*_span_ids(span))
        if damage is not None:
            return damage
        _span_times(span)
        child(span, "status", "status")
        check_attributes(span)
        for event in objects(span, "events", "events"):
            unsigned(take(event, "timeUnixNano", "time_unix_nano"), "timeUnixNano of an event")
            check_attributes(event)
        for link in objects(span, "links", "links"):
            check_attributes(link)
    except Unreadable as error:
        return Damaged(str(error), words(take(span, "spanId", "span_id"))[:64])
    return None


def _log_rule(log: Any) -> Damaged | None:
    if log.__class__ is not dict:
        return Damaged("the log record is not an object")
    try:
        _log_times(log)
        check_attributes(log)
        check_value(log.get("body"))
    except Unreadable as error:
        return Damaged(str(error), words(take(log, "spanId", "span_id"))[:64])
    return None


def _point_rule(item: Any) -> Damaged | None:
    metric, type_name, point = item
    name = words(metric.get("name"))
    if not name:
        return Damaged("the metric has no name")
    try:
        _point_times(point)
        _POINTS[type_name](point)
        check_attributes(point)
        for exemplar in objects(point, "exemplars", "exemplars"):
            check_attributes(exemplar, "filteredAttributes", "filtered_attributes")
            unsigned(take(exemplar, "timeUnixNano", "time_unix_nano"), "timeUnixNano of an exemplar")
            _either(exemplar)
    except Unreadable as error:
        return Damaged(str(error), name[:200])
    return None


_RULES: dict[Signal, check.Rule] = {"traces": _span_rule, "logs": _log_rule, "metrics": _point_rule}


# ── conversion: total on what the rules passed ───────────────────────────────

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_CODES = ("UNSET", "OK", "ERROR")
_SEVERITIES = (
    "UNSPECIFIED",
    *(name + number for name in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL") for number in ("", "2", "3", "4")),
)
_TEMPORALITIES = ("UNSPECIFIED", "DELTA", "CUMULATIVE")


def _emitter(block: Block) -> Emitter:
    return Emitter(
        resource=attributes(block.resource),
        scope_name=words(block.scope.get("name")),
        scope_version=words(block.scope.get("version")),
        scope_attributes=attributes(block.scope),
    )


def _span_ids(span: dict[str, Any]) -> tuple[bytes, bytes]:
    trace_id = identity(take(span, "traceId", "trace_id"), 16, "trace id")
    return trace_id, identity(take(span, "spanId", "span_id"), 8, "span id")


def _span_times(span: dict[str, Any]) -> tuple[int, int]:
    start_ns = unsigned(take(span, "startTimeUnixNano", "start_time_unix_nano"), "startTimeUnixNano")
    return start_ns, unsigned(take(span, "endTimeUnixNano", "end_time_unix_nano"), "endTimeUnixNano")


def _span(span: dict[str, Any], emitter: Emitter) -> RawSpan:
    trace_id, span_id = _span_ids(span)
    start_ns, end_ns = _span_times(span)
    plain = attributes(span)
    parent_hex, bad_parent = _parent(take(span, "parentSpanId", "parent_span_id"))
    if bad_parent:
        plain[check.BAD_PARENT] = bad_parent
    kind = enum(span.get("kind"), "SPAN_KIND_", _KINDS)
    status = child(span, "status", "status")
    code = enum(status.get("code"), "STATUS_CODE_", _CODES)
    return RawSpan(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_span_id=parent_hex,
        name=words(span.get("name")),
        otel_kind=kind if 0 <= kind <= 5 else 0,
        start_ns=start_ns,
        end_ns=end_ns,
        status_code=code if 0 <= code <= 2 else 0,
        status_message=words(status.get("message")),
        trace_state=words(take(span, "traceState", "trace_state")),
        attributes=plain,
        events=tuple(_event(event) for event in objects(span, "events", "events")),
        links=tuple(found for link in objects(span, "links", "links") if (found := _link(link)) is not None),
        emitter=emitter,
    )


def _parent(value: Any) -> check.Parent:
    try:
        return check.parent(identity(value, 8, "parent span id"))
    except Unreadable:
        return check.Parent("", words(value)[:128])


def _event(event: dict[str, Any]) -> RawEvent:
    return RawEvent(
        time_ns=unsigned(take(event, "timeUnixNano", "time_unix_nano"), "timeUnixNano"),
        name=words(event.get("name")),
        attributes=attributes(event),
    )


def _link(link: dict[str, Any]) -> RawLink | None:
    try:
        trace_id, span_id = _span_ids(link)
    except Unreadable:
        return None
    if check.span_damage(trace_id, span_id) is not None:
        return None
    return RawLink(trace_id=trace_id.hex(), span_id=span_id.hex(), attributes=attributes(link))


def _log_times(log: dict[str, Any]) -> tuple[int, int]:
    time_ns = unsigned(take(log, "timeUnixNano", "time_unix_nano"), "timeUnixNano")
    return time_ns, unsigned(take(log, "observedTimeUnixNano", "observed_time_unix_nano"), "observedTimeUnixNano")


def _log(log: dict[str, Any], emitter: Emitter) -> RawLog:
    time_ns, observed_ns = _log_times(log)
    plain = attributes(log)
    trace_id, bad_trace = _log_id(take(log, "traceId", "trace_id"), 16)
    span_id, bad_span = _log_id(take(log, "spanId", "span_id"), 8)
    if bad_trace:
        plain[check.BAD_TRACE] = bad_trace
    if bad_span:
        plain[check.BAD_SPAN] = bad_span
    severity = enum(take(log, "severityNumber", "severity_number"), "SEVERITY_NUMBER_", _SEVERITIES)
    return RawLog(
        time_ns=time_ns,
        observed_ns=observed_ns,
        severity_number=check.severity(severity),
        severity_text=words(take(log, "severityText", "severity_text")),
        body=any_value(log.get("body")),
        event_name=words(take(log, "eventName", "event_name")),
        trace_id=check.trace_hex(trace_id),
        span_id=check.span_hex(span_id),
        attributes=plain,
        emitter=emitter,
    )


def _log_id(value: Any, length: int) -> tuple[bytes, str]:
    """The id, and what was sent where it is none."""
    try:
        found = identity(value, length, "id")
    except Unreadable:
        return b"", words(value)[:128]
    if length == 16:
        return found, check.bad_log_ids(found, b"").get(check.BAD_TRACE, "")
    return found, check.bad_log_ids(b"", found).get(check.BAD_SPAN, "")


# ── metrics ──────────────────────────────────────────────────────────────────


def _point_times(point: dict[str, Any]) -> tuple[int, int]:
    start_ns = unsigned(take(point, "startTimeUnixNano", "start_time_unix_nano"), "startTimeUnixNano")
    return start_ns, unsigned(take(point, "timeUnixNano", "time_unix_nano"), "timeUnixNano")


def _point(metric: dict[str, Any], type_name: Any, point: dict[str, Any], emitter: Emitter) -> RawPoint:
    data = child(metric, camel(type_name), type_name)
    start_ns, time_ns = _point_times(point)
    value, count, detail = _POINTS[type_name](point)
    if _flags(point) & 1:
        detail["no_recorded_value"] = True
    exemplars = objects(point, "exemplars", "exemplars")
    if exemplars and type_name != "summary":
        detail["exemplars"] = [_exemplar(one) for one in exemplars]
    code = enum(
        take(data, "aggregationTemporality", "aggregation_temporality"), "AGGREGATION_TEMPORALITY_", _TEMPORALITIES
    )
    temporality: Any = {1: "delta", 2: "cumulative"}.get(code, "")
    return RawPoint(
        metric=words(metric.get("name")),
        unit=words(metric.get("unit")),
        description=words(metric.get("description")),
        type=type_name,
        temporality=temporality,
        monotonic=type_name == "sum" and truth(take(data, "isMonotonic", "is_monotonic")),
        start_ns=start_ns,
        time_ns=time_ns,
        value=value,
        count=count,
        detail=detail,
        attributes=attributes(point),
        emitter=emitter,
    )


def _number(point: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
    return _either(point), 0, {}


def _histogram(point: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
    detail: dict[str, Any] = {
        "bounds": [real(one, "explicitBounds") for one in _list(point, "explicitBounds", "explicit_bounds")],
        "buckets": _buckets(point),
    }
    return *_sum_and_count(point), detail | _extremes(point)


def _exponential_histogram(point: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
    detail: dict[str, Any] = {
        "scale": signed(point.get("scale"), "scale"),
        "zero_count": unsigned(take(point, "zeroCount", "zero_count"), "zeroCount"),
        "zero_threshold": real(take(point, "zeroThreshold", "zero_threshold"), "zeroThreshold"),
    }
    for side in ("positive", "negative"):
        buckets = child(point, side, side)
        detail[side] = {"offset": signed(buckets.get("offset"), "offset"), "buckets": _buckets(buckets)}
    return *_sum_and_count(point), detail | _extremes(point)


def _summary(point: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
    quantiles = [
        [real(one.get("quantile"), "quantile"), real(one.get("value"), "value")]
        for one in objects(point, "quantileValues", "quantile_values")
    ]
    return *_sum_and_count(point), {"quantiles": quantiles}


_POINTS: dict[str, Callable[[dict[str, Any]], tuple[float, int, dict[str, Any]]]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}


def _sum_and_count(point: dict[str, Any]) -> tuple[float, int]:
    return real(point.get("sum"), "sum"), unsigned(point.get("count"), "count")


def _extremes(point: dict[str, Any]) -> dict[str, Any]:
    return {name: real(point[name], name) for name in ("min", "max") if point.get(name) is not None}


def _buckets(holder: dict[str, Any]) -> list[int]:
    return [unsigned(one, "bucketCounts") for one in _list(holder, "bucketCounts", "bucket_counts")]


def _list(item: dict[str, Any], name: str, other: str) -> list[Any]:
    value = take(item, name, other)
    if value is not None and value.__class__ is not list:
        raise Unreadable(f"{name} is not a list")
    return value or []


def _flags(point: dict[str, Any]) -> int:
    try:
        return unsigned(point.get("flags"), "flags")
    except Unreadable:
        return 0


def _exemplar(exemplar: dict[str, Any]) -> dict[str, Any]:
    return {
        "time_ns": unsigned(take(exemplar, "timeUnixNano", "time_unix_nano"), "timeUnixNano"),
        "value": _either(exemplar),
        "trace_id": check.trace_hex(_log_id(take(exemplar, "traceId", "trace_id"), 16)[0]),
        "span_id": check.span_hex(_log_id(take(exemplar, "spanId", "span_id"), 8)[0]),
        "attributes": attributes(exemplar, "filteredAttributes", "filtered_attributes"),
    }


def _either(point: dict[str, Any]) -> float:
    whole = take(point, "asInt", "as_int")
    if whole is not None:
        return float(signed(whole, "asInt"))
    return real(take(point, "asDouble", "as_double"), "asDouble")
