"""Makes a recording of real exports repeatable and free of anything about the machine it was made on.

Identifiers are numbered in order of appearance, times become steps of 10 ms, durations become a quarter of a second,
and host names, process details, ports and paths go. What is left is what the client decided to say.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

BASE_TIME_NS = 1_795_000_000_000_000_000
STEP_NS = 10_000_000
DURATION_S = 0.25
STACK_LINES_MAX = 6
MODEL_PORT = 9999

_DROPPED_ATTRIBUTES = re.compile(r"^(host|process|os|container|telemetry\.distro)\.|^thread\.")
_TIME_FIELDS = ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "observedTimeUnixNano")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_ISO_TIME = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_EPOCH = re.compile(r"(\\*\"(?:created|created_at|completed_at|createTime|expires_at)\\*\": ?)\d{10}(\.\d+)?")
_PATH = re.compile(r"(?:/[\w.@+-]+){2,}/([\w.@+-]+\.(?:py|js|mjs|ts))")
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_TRACE_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_SPAN_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
_DURATION_KEYS = re.compile(r"time_to_first|duration|latency|msTo|ttft|PerSecond", re.IGNORECASE)


def scrubbed(bodies: dict[str, Any], *, model_port: int) -> dict[str, Any]:
    """Return the bodies of one run, cleaned with the same numbering for every signal."""
    return {signal: _Scrubber(bodies, model_port).clean(body) for signal, body in bodies.items()}


def written(value: Any, indent: int = 0) -> str:
    """Return JSON text with one line for each attribute, so that a change reads well."""
    pad = " " * (indent + 1)
    if isinstance(value, dict) and value and not _is_leaf(value):
        rows = [f"{pad}{json.dumps(key)}: {written(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + ",\n".join(pad + written(item, indent + 1) for item in value) + "\n" + " " * indent + "]"
    return json.dumps(value, ensure_ascii=False)


def _is_leaf(value: dict[str, Any]) -> bool:
    return "key" in value or not any(isinstance(item, (dict, list)) for item in value.values())


class _Scrubber:
    def __init__(self, bodies: dict[str, Any], model_port: int) -> None:
        self._model_port = model_port
        times = sorted({time for body in bodies.values() for time in _times(body)})
        self._times = {time: str(BASE_TIME_NS + rank * STEP_NS) for rank, time in enumerate(times)}
        self._numbers: dict[tuple[str, str], int] = {}
        # Numbered in the order in which things began, whatever the order of the exports.
        spans = sorted(_spans(bodies.get("traces", {})), key=_beginning)
        for span in spans:
            self._hexadecimal("traceId", span["traceId"])
            self._hexadecimal("spanId", span["spanId"])

    def clean(self, value: Any, name: str = "") -> Any:
        if isinstance(value, list):
            return [self.clean(item, name) for item in value if not self._unwanted(item)]
        if isinstance(value, dict):
            return self._clean_object(value)
        if name in ("traceId", "spanId", "parentSpanId"):
            return self._hexadecimal("traceId" if name == "traceId" else "spanId", value)
        if name in _TIME_FIELDS:
            return self._times[int(value)] if int(value) else value
        return self._clean_text(value) if isinstance(value, str) else value

    def _clean_object(self, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("unit") in ("s", "ms") and "histogram" in value:
            for point in value["histogram"]["dataPoints"]:
                _flatten(point)
        cleaned = {name: self.clean(item, name) for name, item in value.items()}
        key = str(cleaned.get("key", ""))
        content = cleaned.get("value")
        if key == "exception.stacktrace" and isinstance(content, dict):
            content["stringValue"] = _short_stack(content["stringValue"])
        elif key in ("server.port", "net.peer.port") and isinstance(content, dict):
            content.update({kind: str(MODEL_PORT) for kind in content})
        elif _DURATION_KEYS.search(key) and isinstance(content, dict) and "doubleValue" in content:
            content["doubleValue"] = DURATION_S
        return cleaned

    def _unwanted(self, item: Any) -> bool:
        return isinstance(item, dict) and _DROPPED_ATTRIBUTES.match(str(item.get("key", ""))) is not None

    def _clean_text(self, text: str) -> str:
        text = text.replace(f"127.0.0.1:{self._model_port}", f"127.0.0.1:{MODEL_PORT}")
        text = _PATH.sub(r"\1", text)
        text = _ADDRESS.sub("0x000000", text)
        text = _TRACE_ID.sub(self._known_trace, text)
        text = _SPAN_ID.sub(self._known_span, text)
        text = _EPOCH.sub(rf"\g<1>{BASE_TIME_NS // 10**9}", text)
        text = _ISO_TIME.sub(lambda found: "2026-11-18T10:26:40Z" if found[2] else "2026-11-18T10:26:40", text)
        return _UUID.sub(lambda found: f"00000000-0000-4000-8000-{self._number('uuid', found[0].lower()):012x}", text)

    def _known_trace(self, found: re.Match[str]) -> str:
        known = ("traceId", found[0]) in self._numbers
        return self._hexadecimal("traceId", found[0]) if known else found[0]

    def _known_span(self, found: re.Match[str]) -> str:
        known = ("spanId", found[0]) in self._numbers
        return self._hexadecimal("spanId", found[0]) if known else found[0]

    def _hexadecimal(self, kind: str, value: str) -> str:
        if not value.strip("0"):
            return value
        return format(self._number(kind, value) + 0xA0, f"0{len(value)}x")

    def _number(self, kind: str, value: str) -> int:
        return self._numbers.setdefault((kind, value), sum(known == kind for known, _ in self._numbers) + 1)


def _spans(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in body.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            yield from scope.get("spans", [])


def _beginning(span: dict[str, Any]) -> tuple[int, int]:
    """Order spans by start, and of those that started in the same millisecond the longest first: the parent."""
    return int(span.get("startTimeUnixNano", 0)), -int(span.get("endTimeUnixNano", 0))


def _times(value: Any) -> Iterator[int]:
    if isinstance(value, list):
        for item in value:
            yield from _times(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in _TIME_FIELDS:
                yield int(item)
            else:
                yield from _times(item)


def _flatten(point: dict[str, Any]) -> None:
    """Pretend that every measured duration was the same."""
    count = int(point["count"])
    bounds = point.get("explicitBounds", [])
    buckets = [0] * (len(bounds) + 1)
    buckets[sum(bound < DURATION_S for bound in bounds)] = count
    point.update({"sum": DURATION_S * count, "min": DURATION_S, "max": DURATION_S})
    point["bucketCounts"] = [str(bucket) for bucket in buckets]
    # One exemplar for each bucket that was hit, so their number varies with the real durations.
    exemplars = sorted(point.get("exemplars", []), key=lambda exemplar: int(exemplar["timeUnixNano"]))
    if exemplars:
        point["exemplars"] = [{**exemplars[0], "asDouble": DURATION_S}]


def _short_stack(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= 2 * STACK_LINES_MAX:
        return text
    return "\n".join([*lines[:STACK_LINES_MAX], "  ...", *lines[-STACK_LINES_MAX:]])
