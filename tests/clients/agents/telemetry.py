"""The OpenTelemetry SDK as an application sets it up: traces, logs and metrics over OTLP/HTTP."""

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def start(service: str, provider: TracerProvider | None = None) -> TracerProvider:
    """Install global providers that export to OTEL_EXPORTER_OTLP_ENDPOINT; `stop` sends what is left."""
    resource = Resource.create(
        {"service.name": service, "service.version": "1.4.0", "deployment.environment.name": "staging"}
    )
    provider = provider or TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(logs)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3_600_000)
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))
    return provider


def stop() -> None:
    """Send everything and wait for it."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        provider.shutdown()
    from opentelemetry._logs import get_logger_provider

    get_logger_provider().shutdown()
