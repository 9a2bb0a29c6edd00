"""OTLP protobuf to records: one parse, one pass, and each item on its own where the parse refuses the whole.

The library refuses a request for one string that is not UTF-8. ``salvage`` then takes the request apart, so that
only the items that really can not be read are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from pilothouse.records import Emitter, RawEvent, RawLink, RawLog, RawPoint, RawSpan

from . import check, salvage
from .check import Block, Checked, Damaged, Decoded, Signal
from .shapes import request_class, shape

# Any throughout: the generated classes are built at run time and their stubs cover neither FromString nor oneofs.


def validate(signal: Signal, body: bytes) -> Checked:
    """Which items will be refused; nothing is converted. Raises BadRequest where the body is no such request."""
    return check.sift(_blocks(signal, body), _RULES[signal], None)


def decode(signal: Signal, body: bytes) -> Decoded:
    """The request as records. Refuses exactly what :func:`validate` does."""
    spans: list[RawSpan] = []
    logs: list[RawLog] = []
    points: list[RawPoint] = []
    emitter_of = _emitters()
    keep: dict[Signal, Callable[[Block, Any], None]] = {
        "traces": lambda block, item: spans.append(_span(item, emitter_of(block))),
        "logs": lambda block, item: logs.append(_log(item, emitter_of(block))),
        "metrics": lambda block, item: points.append(_point(item[0], item[1], item[2], emitter_of(block))),
    }
    done = check.sift(_blocks(signal, body), _RULES[signal], keep[signal])
    return Decoded(
        items=done.items,
        refused_count=done.refused_count,
        refused=done.refused,
        spans=spans,
        logs=logs,
        points=points,
    )


def _blocks(signal: Signal, body: bytes) -> Iterator[Block]:
    return _with_points(_item_blocks(signal, body)) if signal == "metrics" else _item_blocks(signal, body)


def _item_blocks(signal: Signal, body: bytes) -> Iterator[Block]:
    names = shape(signal)
    try:
        request = request_class(signal).FromString(body)
    except _decode_error():
        yield from salvage.blocks(signal, body)
        return
    for outer in getattr(request, names.resources):
        for inner in getattr(outer, names.scopes):
            yield Block(outer.resource, inner.scope, getattr(inner, names.items))


def _with_points(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        yield Block(block.resource, block.scope, _points_of(block.items))


def _points_of(metrics: Iterable[Any]) -> Iterator[Any]:
    for metric in metrics:
        if metric.__class__ is Damaged:
            yield metric
            continue
        type_name = metric.WhichOneof("data")
        if type_name is not None:
            for point in getattr(metric, type_name).data_points:
                yield metric, type_name, point


@cache
def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError

    return DecodeError


# ── rules ────────────────────────────────────────────────────────────────────


def _span_rule(span: Any) -> Damaged | None:
    return check.span_damage(span.trace_id, span.span_id)


def _log_rule(_log: Any) -> Damaged | None:
    return None


def _point_rule(item: Any) -> Damaged | None:
    return None if item[0].name else Damaged("the metric has no name")


_RULES: dict[Signal, check.Rule] = {"traces": _span_rule, "logs": _log_rule, "metrics": _point_rule}


# ── conversion: total, nothing below may fail on a parsed message ────────────


def _emitters() -> Callable[[Block], Emitter]:
    """One emitter per block, made at its first good item; the resource's attributes are converted once."""
    last_block: Block | None = None
    last_emitter = Emitter()
    last_resource: Any = None
    resource_attributes: dict[str, Any] = {}

    def emitter_of(block: Block) -> Emitter:
        nonlocal last_block, last_emitter, last_resource, resource_attributes
        if block is last_block:
            return last_emitter
        if last_block is None or block.resource is not last_resource:
            last_resource = block.resource
            resource_attributes = _attributes(block.resource.attributes)
        scope = block.scope
        last_block = block
        last_emitter = Emitter(
            resource=resource_attributes,
            scope_name=scope.name,
            scope_version=scope.version,
            scope_attributes=_attributes(scope.attributes),
        )
        return last_emitter

    return emitter_of


def _span(span: Any, emitter: Emitter) -> RawSpan:
    attributes = _attributes(span.attributes)
    parent_id = span.parent_span_id
    parent_hex = ""
    if parent_id:
        parent_hex, bad_parent = check.parent(parent_id)
        if bad_parent:
            attributes[check.BAD_PARENT] = bad_parent
    kind = span.kind
    status = span.status
    code = status.code
    events = span.events
    links = span.links
    return RawSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=parent_hex,
        name=span.name,
        otel_kind=kind if 0 <= kind <= 5 else 0,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status_code=code if 0 <= code <= 2 else 0,
        status_message=status.message,
        trace_state=span.trace_state,
        attributes=attributes,
        events=_events(events) if events else (),
        links=_links(links) if links else (),
        emitter=emitter,
    )


def _events(events: Any) -> tuple[RawEvent, ...]:
    return tuple(
        RawEvent(time_ns=event.time_unix_nano, name=event.name, attributes=_attributes(event.attributes))
        for event in events
    )


def _links(links: Any) -> tuple[RawLink, ...]:
    return tuple(
        RawLink(trace_id=link.trace_id.hex(), span_id=link.span_id.hex(), attributes=_attributes(link.attributes))
        for link in links
        if check.span_damage(link.trace_id, link.span_id) is None
    )


def _log(log: Any, emitter: Emitter) -> RawLog:
    attributes = _attributes(log.attributes)
    trace_id, span_id = log.trace_id, log.span_id
    if trace_id or span_id:
        attributes |= check.bad_log_ids(trace_id, span_id)
    return RawLog(
        time_ns=log.time_unix_nano,
        observed_ns=log.observed_time_unix_nano,
        severity_number=check.severity(log.severity_number),
        severity_text=log.severity_text,
        body=_value(log.body),
        event_name=log.event_name,
        trace_id=check.trace_hex(trace_id),
        span_id=check.span_hex(span_id),
        attributes=attributes,
        emitter=emitter,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    # Most attributes are strings; asking for the string first saves the oneof look-up.
    attributes = {pair.key: pair.value.string_value or _value(pair.value) for pair in pairs}
    if None in attributes.values():
        # An attribute without a value counts as absent, also as the second of two with the same key.
        return {pair.key: value for pair in pairs if (value := _value(pair.value)) is not None}
    return attributes


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which is None or which == "string_value_strindex":
        return None
    if which == "array_value":
        return [_value(one) for one in value.array_value.values]
    if which == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, which)


# ── metrics ──────────────────────────────────────────────────────────────────

_TEMPORALITY = {1: "delta", 2: "cumulative"}


def _point(metric: Any, type_name: Any, point: Any, emitter: Emitter) -> RawPoint:
    data = getattr(metric, type_name)
    value, count, detail = _POINTS[type_name](point)
    if point.flags & 1:
        detail["no_recorded_value"] = True
    if type_name != "summary" and point.exemplars:
        detail["exemplars"] = [_exemplar(one) for one in point.exemplars]
    temporality: Any = _TEMPORALITY.get(getattr(data, "aggregation_temporality", 0), "")
    return RawPoint(
        metric=metric.name,
        unit=metric.unit,
        description=metric.description,
        type=type_name,
        temporality=temporality,
        monotonic=type_name == "sum" and data.is_monotonic,
        start_ns=point.start_time_unix_nano,
        time_ns=point.time_unix_nano,
        value=value,
        count=count,
        detail=detail,
        attributes=_attributes(point.attributes),
        emitter=emitter,
    )


def _number(point: Any) -> tuple[float, int, dict[str, Any]]:
    return _either(point), 0, {}


def _histogram(point: Any) -> tuple[float, int, dict[str, Any]]:
    detail: dict[str, Any] = {
        "bounds": list(point.explicit_bounds),
        "buckets": list(point.bucket_counts),
    }
    return point.sum, point.count, detail | _extremes(point)


def _exponential_histogram(point: Any) -> tuple[float, int, dict[str, Any]]:
    detail: dict[str, Any] = {
        "scale": point.scale,
        "zero_count": point.zero_count,
        "zero_threshold": point.zero_threshold,
        "positive": {"offset": point.positive.offset, "buckets": list(point.positive.bucket_counts)},
        "negative": {"offset": point.negative.offset, "buckets": list(point.negative.bucket_counts)},
    }
    return point.sum, point.count, detail | _extremes(point)


def _summary(point: Any) -> tuple[float, int, dict[str, Any]]:
    quantiles = [[one.quantile, one.value] for one in point.quantile_values]
    return point.sum, point.count, {"quantiles": quantiles}


_POINTS: dict[str, Callable[[Any], tuple[float, int, dict[str, Any]]]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}


def _extremes(point: Any) -> dict[str, Any]:
    return {name: getattr(point, name) for name in ("min", "max") if point.HasField(name)}


def _exemplar(exemplar: Any) -> dict[str, Any]:
    return {
        "time_ns": exemplar.time_unix_nano,
        "value": _either(exemplar),
        "trace_id": check.trace_hex(exemplar.trace_id),
        "span_id": check.span_hex(exemplar.span_id),
        "attributes": _attributes(exemplar.filtered_attributes),
    }


def _either(point: Any) -> float:
    return float(point.as_int) if point.WhichOneof("value") == "as_int" else point.as_double
