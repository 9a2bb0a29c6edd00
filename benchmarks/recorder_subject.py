"""A small program recorded by one SDK, for :mod:`benchmarks.recorder`: run by that SDK's own environment.

``python recorder_subject.py SUBJECT URL MODE SPANS`` prints one line of JSON when its work is done, and then simply
ends: what follows is the SDK's. Every SDK is set up as its own documentation says, and records the same tool call: a
name, an argument, a result and a number.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable

Call = Callable[[int, str], None]

RESULT = "the order was found; it is on its way"
WORDS = "the agent asked where order lies since card was declined by bank and wants refund or new date please soon"
GROUP_S = 0.01
"""The program sleeps so long between groups of calls: an agent waits for its model most of the time."""


def pilothouse_decorator(url: str) -> Call:
    """Ours: the decorator, which records arguments and result exactly."""
    import pilothouse

    pilothouse.init(endpoint=url, key="ph_none", service="bench", instrument=False)

    @pilothouse.tool
    def lookup(question: str, number: int) -> str:
        return RESULT

    return lambda number, text: lookup(text, number) and None


def pilothouse_gzip(url: str) -> Call:
    """Ours, compressing as it does towards another machine."""
    os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"
    return pilothouse_tracer(url)


def pilothouse_tracer(url: str) -> Call:
    """Ours, by the plain OpenTelemetry interface: what an instrumentor uses."""
    import pilothouse

    recorder = pilothouse.init(endpoint=url, key="ph_none", service="bench", instrument=False)
    return by_tracer(recorder.provider.get_tracer("bench"))


def otel(url: str) -> Call:
    """The plain OpenTelemetry SDK: batch processor, OTLP over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    return by_tracer(provider.get_tracer("bench"))


def by_tracer(tracer: object) -> Call:
    """A span by the OpenTelemetry interface."""
    start = tracer.start_as_current_span  # type: ignore[attr-defined]

    def call(number: int, text: str) -> None:
        with start("lookup") as span:
            span.set_attribute("gen_ai.operation.name", "execute_tool")
            span.set_attribute("gen_ai.tool.name", "lookup")
            span.set_attribute("gen_ai.tool.call.arguments", text)
            span.set_attribute("number", number)
            span.set_attribute("gen_ai.tool.call.result", RESULT)

    return call


def langfuse(url: str) -> Call:
    """Langfuse: an observation."""
    from langfuse import Langfuse

    client = Langfuse(public_key="pk-none", secret_key="sk-none", base_url=url)

    def call(number: int, text: str) -> None:
        with client.start_as_current_observation(name="lookup", as_type="tool", input={"question": text}) as seen:
            seen.update(output=RESULT, metadata={"number": number})

    return call


def logfire(url: str) -> Call:
    """Logfire: a span."""
    import logfire as sdk

    sdk.configure(
        token="pylf_v1_us_" + "0" * 43,
        service_name="bench",
        console=False,
        inspect_arguments=False,
        advanced=sdk.AdvancedOptions(base_url=url),
    )

    def call(number: int, text: str) -> None:
        with sdk.span("lookup", question=text, number=number) as span:
            span.set_attribute("result", RESULT)

    return call


def langsmith(url: str) -> Call:
    """LangSmith: a traceable function."""
    os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_ENDPOINT=url, LANGSMITH_API_KEY="none")
    from langsmith import traceable

    @traceable(run_type="tool", name="lookup")
    def lookup(question: str, number: int) -> str:
        return RESULT

    return lambda number, text: lookup(text, number) and None


def traceloop(url: str) -> Call:
    """OpenLLMetry's SDK: a tool by its decorator."""
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import tool

    Traceloop.init(app_name="bench", api_endpoint=url, api_key="none", telemetry_enabled=False, instruments=set())

    @tool(name="lookup")
    def lookup(question: str, number: int) -> str:
        return RESULT

    return lambda number, text: lookup(text, number) and None


SUBJECTS: dict[str, Callable[[str], Call]] = {
    "pilothouse": pilothouse_tracer,
    "pilothouse-tool": pilothouse_decorator,
    "pilothouse-gzip": pilothouse_gzip,
    "otel": otel,
    "langfuse": langfuse,
    "logfire": logfire,
    "traceloop": traceloop,
    "langsmith": langsmith,
}


def main() -> None:
    """Record and say what it cost this thread."""
    subject, url, mode, spans = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    before = time.process_time()
    call = SUBJECTS[subject](url)
    told = {"import_ms": (time.process_time() - before) * 1000}
    if mode == "again":
        # The next run of the program: it does something else, and lives for three seconds.
        call(0, "again")
        time.sleep(3)
        return
    group = 5 if mode == "large" else 20
    hot = 0.0
    size = 50_000 if mode == "large" else 40
    words = WORDS.split()
    dice = random.Random(7)
    base = " ".join(dice.choice(words) + str(dice.randrange(99)) for _ in range(20_000))
    begun = time.monotonic()
    for first in range(0, spans, group):
        # Every call has a text of its own, cut from a long one.
        texts = [f"{first + n} {base[(at := dice.randrange(50_000)) : at + size]}" for n in range(group)]
        started = time.thread_time()
        for number in range(group):
            call(first + number, texts[number])
        hot += time.thread_time() - started
        time.sleep(GROUP_S)
    told["hot_us"] = hot / max(spans, 1) * 1e6
    if mode.startswith("until"):
        time.sleep(max(float(mode[5:]) - (time.monotonic() - begun), 0))
    print(json.dumps({**told, "ended": time.time()}), flush=True)


if __name__ == "__main__":
    main()
