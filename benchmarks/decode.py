"""How long the receiver and the worker need per span: ``python benchmarks/decode.py``.

Prints microseconds per span, the least of several runs: check (the receiver, before the answer) and decode (the
worker), for three sizes of span, in protobuf, JSON and gzip.
"""

from __future__ import annotations

import gc
import gzip
import json
import random
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pilothouse.intake import decode, validate

SPANS = 200
RUNS = 9
WORDS = ("the", "agent", "reads", "a", "file", "and", "asks", "the", "model", "for", "its", "next", "step", "again")


def request(attributes: int, text_bytes: int, seed: int = 1) -> Any:
    """A request of SPANS spans: short attributes, one in five a number, and one long text."""
    chance = random.Random(seed)
    message = ExportTraceServiceRequest()
    outer = message.resource_spans.add()
    outer.resource.attributes.add(key="service.name").value.string_value = "bench"
    inner = outer.scope_spans.add()
    inner.scope.name = "bench.scope"
    for _ in range(SPANS):
        span = inner.spans.add(
            trace_id=chance.randbytes(16),
            span_id=chance.randbytes(8),
            parent_span_id=chance.randbytes(8),
            name="chat some-model",
            start_time_unix_nano=1_700_000_000_000_000_000,
            end_time_unix_nano=1_700_000_001_000_000_000,
        )
        for number in range(attributes):
            value = span.attributes.add(key=f"gen_ai.some.attribute.{number}").value
            if number % 5 == 0:
                value.int_value = chance.randrange(100_000)
            else:
                value.string_value = " ".join(chance.choices(WORDS, k=4))
        if text_bytes:
            text = " ".join(chance.choices(WORDS, k=text_bytes // 4))
            span.attributes.add(key="gen_ai.input.messages").value.string_value = text[:text_bytes]
    return message


def as_json(message: Any) -> bytes:
    """The request as OTLP/JSON."""
    from google.protobuf.json_format import MessageToDict

    document = MessageToDict(message)
    for outer in document["resourceSpans"]:
        for inner in outer["scopeSpans"]:
            for span, sent in zip(inner["spans"], message.resource_spans[0].scope_spans[0].spans, strict=True):
                span["traceId"], span["spanId"] = sent.trace_id.hex(), sent.span_id.hex()
                span["parentSpanId"] = sent.parent_span_id.hex()
    return json.dumps(document).encode()


def least_us(call: Callable[[], object]) -> float:
    """Microseconds per span in the best of RUNS."""
    best = float("inf")
    for _ in range(RUNS):
        gc.collect()
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best / SPANS * 1e6


def main() -> None:
    """Print the table."""
    print(f"{'span':22} {'format':14} {'body bytes':>11} {'check us':>9} {'decode us':>10}")
    for name, attributes, text_bytes in (
        ("10 attributes", 10, 0),
        ("25 attributes", 25, 0),
        ("25 attributes + 20 KB", 25, 20_000),
    ):
        message = request(attributes, text_bytes)
        plain = message.SerializeToString()
        bodies = (
            ("protobuf", "application/x-protobuf", "", plain),
            ("protobuf gzip", "application/x-protobuf", "gzip", gzip.compress(plain, 6)),
            ("json", "application/json", "", as_json(message)),
        )
        for label, content_type, encoding, body in bodies:
            check = least_us(lambda: validate("traces", content_type, encoding, body))  # noqa: B023
            whole = least_us(lambda: decode("traces", content_type, encoding, body))  # noqa: B023
            print(f"{name:22} {label:14} {len(body):11,} {check:9.1f} {whole:10.1f}")


if __name__ == "__main__":
    main()
