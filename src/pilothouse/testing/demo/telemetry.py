"""Where the fleet's spans go: one tracer provider for each service, chosen by whose agent is running.

All services live in one process, but an instrumentor patches its SDK once and for all. So both instrumentors get a
provider that looks at the current run: it hands out the tracer of the run's service, and a silent one to the
instrumentor of the dialect that the service does not speak.
"""

import contextlib
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import requests
from openinference.instrumentation import using_attributes
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from pilothouse.testing.demo.services import Service

EXPORT_TIMEOUT_S = 10.0
BATCH_DELAY_MS = 250

_INSTRUMENTORS = {"openinference.instrumentation.": "openinference", "opentelemetry.instrumentation.": "openllmetry"}
# Only the head of a run knows these; nested spans find them through the context.
_current: ContextVar["Run | None"] = ContextVar("pilothouse_demo_run", default=None)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one agent: everything its spans have in common."""

    service: Service
    user: str
    session: str
    shift_ns: int = 0
    """How far its times are moved into the past."""


@dataclass(frozen=True, kw_only=True)
class ExportCounts:
    """What became of the spans."""

    accepted: int
    refused: int
    """Not delivered, or delivered and refused."""


class FleetTelemetry:
    """Exports the spans of every service to one OTLP address until it is closed."""

    def __init__(self, services: Sequence[Service], *, traces_url: str, key: str) -> None:
        self._tally = _Tally()
        shifts: dict[int, int] = {}
        self._providers = {
            service: _provider(service, _Exporter(traces_url, key, shifts, self._tally), shifts) for service in services
        }
        self.tracer_provider: trace.TracerProvider = _RoutedProvider(self._providers)

    @contextlib.contextmanager
    def running(self, run: Run) -> Generator[trace.Tracer, None, None]:
        """Attribute every span inside the block to a run; gives the tracer for the run's own spans."""
        token = _current.set(run)
        try:
            with using_attributes(session_id=run.session, user_id=run.user):
                yield self._providers[run.service].get_tracer("pilothouse.testing.demo")
        finally:
            _current.reset(token)

    def close(self) -> ExportCounts:
        """Send what is left, wait for it, and count."""
        with ThreadPoolExecutor(max_workers=len(self._providers)) as pool:
            list(pool.map(TracerProvider.shutdown, self._providers.values()))
        return self._tally.counts()


def current_run() -> Run | None:
    """Return the run this code is part of."""
    return _current.get()


def _provider(service: Service, exporter: SpanExporter, shifts: dict[int, int]) -> TracerProvider:
    resource = Resource.create(
        {
            "service.name": service.name,
            "service.version": service.version,
            "deployment.environment.name": service.environment,
        }
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(_RunProcessor(shifts))
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=BATCH_DELAY_MS))
    return provider


class _RunProcessor(SpanProcessor):
    """Notes the shift of each new trace, and adds what OpenLLMetry's SDK adds to every span."""

    def __init__(self, shifts: dict[int, int]) -> None:
        self._shifts = shifts

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        run = _current.get()
        if run is None:
            return
        if span.parent is None and run.shift_ns:
            self._shifts[span.get_span_context().trace_id] = run.shift_ns
        if run.service.dialect == "openllmetry":
            span.set_attribute("traceloop.association.properties.session_id", run.session)
            span.set_attribute("traceloop.association.properties.user_id", run.user)


class _Exporter(SpanExporter):
    """The genuine OTLP exporter, with times shifted and results counted."""

    def __init__(self, traces_url: str, key: str, shifts: dict[int, int], tally: "_Tally") -> None:
        self._shifts = shifts
        self._tally = tally
        self._partly_refused = 0
        session = requests.Session()
        session.hooks["response"].append(self._read_response)
        self._inner = OTLPSpanExporter(
            endpoint=traces_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=EXPORT_TIMEOUT_S,
            compression=Compression.Gzip,
            session=session,
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._partly_refused = 0
        result = self._inner.export([self._shifted(span) for span in spans])
        refused = self._partly_refused if result is SpanExportResult.SUCCESS else len(spans)
        self._tally.add(accepted=len(spans) - refused, refused=refused)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)

    def _read_response(self, response: requests.Response, *_: Any, **__: Any) -> None:
        # The genuine exporter takes any 200 for success, also one that says that spans were refused.
        if response.ok and response.content and "protobuf" in response.headers.get("Content-Type", ""):
            answer: Any = ExportTraceServiceResponse.FromString(response.content)
            self._partly_refused += int(answer.partial_success.rejected_spans)

    def _shifted(self, span: ReadableSpan) -> ReadableSpan:
        context = span.get_span_context()
        shift = 0 if context is None else self._shifts.get(context.trace_id, 0)
        return span if shift == 0 else _moved(span, shift)


def _moved(span: ReadableSpan, shift_ns: int) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=[Event(event.name, event.attributes, event.timestamp - shift_ns) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=None if span.start_time is None else span.start_time - shift_ns,
        end_time=None if span.end_time is None else span.end_time - shift_ns,
        instrumentation_scope=span.instrumentation_scope,
    )


class _Tally:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted = 0
        self._refused = 0

    def add(self, *, accepted: int, refused: int) -> None:
        with self._lock:
            self._accepted += accepted
            self._refused += refused

    def counts(self) -> ExportCounts:
        with self._lock:
            return ExportCounts(accepted=self._accepted, refused=self._refused)


class _RoutedProvider(trace.TracerProvider):
    def __init__(self, providers: dict[Service, TracerProvider]) -> None:
        self._providers = providers

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        tracers = {
            service: provider.get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url)
            for service, provider in self._providers.items()
            if _speaks(service, instrumenting_module_name)
        }
        return _RoutedTracer(tracers)


def _speaks(service: Service, scope: str) -> bool:
    return all(service.dialect == dialect for prefix, dialect in _INSTRUMENTORS.items() if scope.startswith(prefix))


class _RoutedTracer(trace.Tracer):
    def __init__(self, tracers: dict[Service, trace.Tracer]) -> None:
        self._tracers = tracers
        # A silent tracer repeats the parent's context, so spans further down still find their parent.
        self._silent = trace.NoOpTracer()

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> trace.Span:
        return self._chosen().start_span(name, *args, **kwargs)

    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._chosen().start_as_current_span(name, *args, **kwargs)

    def _chosen(self) -> trace.Tracer:
        run = _current.get()
        return self._silent if run is None else self._tracers.get(run.service, self._silent)
