"""How to point an agent at this server: the snippets of every empty page, with the real address filled in."""

from __future__ import annotations

from dataclasses import dataclass, field

from .context import told
from .reader import Visitor


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """One way to send traces."""

    title: str = field(metadata=told("the framework or tool"))
    note: str = field(metadata=told("what it does, in a sentence"))
    code: str = field(metadata=told("what to paste"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How to send the first trace."""

    otlp_url: str = field(metadata=told("where an OTLP exporter sends to"))
    grpc_url: str = field(metadata=told("the same over gRPC; empty where it is off"))
    snippets: tuple[Snippet, ...] = field(metadata=told("ways to send traces, ready to paste"))


def live_setup(visitor: Visitor) -> Setup:
    """The same, with the way first that shows a trace from its first second on."""
    made = setup(visitor)
    recorder = "\n".join(
        (
            "# pip install pilothouse",
            f'# export PILOTHOUSE_URL="{visitor.otlp_url}" PILOTHOUSE_API_KEY=…',
            "import pilothouse",
            "",
            "pilothouse.init()",
            "",
            "@pilothouse.agent",
            "def refunds(question: str) -> str:",
            "    ...  # runs here: on this page within a second, with a heartbeat every five",
        )
    )
    first = Snippet(
        title="Two lines of Python",
        note="Steps appear when they begin, and a process that dies is told from one that works.",
        code=recorder,
    )
    return Setup(otlp_url=made.otlp_url, grpc_url=made.grpc_url, snippets=(first, *made.snippets))


def setup(visitor: Visitor) -> Setup:
    """The snippets for this server. The key is never in them: it was printed once, when it was made."""
    url = visitor.otlp_url
    any_exporter = "\n".join(
        (
            f'export OTEL_EXPORTER_OTLP_ENDPOINT="{url}"',
            'export OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf"',
            'export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer $PILOTHOUSE_API_KEY"',
            'export OTEL_SERVICE_NAME="my-agent"',
        )
    )
    openai = "\n".join(
        (
            "# pip install openai openinference-instrumentation-openai opentelemetry-exporter-otlp-proto-http",
            "from openinference.instrumentation.openai import OpenAIInstrumentor",
            "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter",
            "from opentelemetry.sdk.trace import TracerProvider",
            "from opentelemetry.sdk.trace.export import BatchSpanProcessor",
            "",
            "provider = TracerProvider()",
            "provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))  # reads the variables above",
            "OpenAIInstrumentor().instrument(tracer_provider=provider)",
        )
    )
    pydantic = "\n".join(
        (
            "# pip install pydantic-ai opentelemetry-exporter-otlp-proto-http; the variables above, then:",
            "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter",
            "from opentelemetry.sdk.trace import TracerProvider",
            "from opentelemetry.sdk.trace.export import BatchSpanProcessor",
            "from pydantic_ai import Agent",
            "from pydantic_ai.models.instrumented import InstrumentationSettings",
            "",
            "provider = TracerProvider()",
            "provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))",
            "Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))",
        )
    )
    claude = "\n".join(
        (
            "export CLAUDE_CODE_ENABLE_TELEMETRY=1",
            "export OTEL_METRICS_EXPORTER=otlp OTEL_LOGS_EXPORTER=otlp",
            f'export OTEL_EXPORTER_OTLP_ENDPOINT="{url}" OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf"',
            'export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer $PILOTHOUSE_API_KEY"',
        )
    )
    return Setup(
        otlp_url=url,
        grpc_url=visitor.grpc_url,
        snippets=(
            Snippet(
                title="Any OTLP exporter",
                note="Four variables; every instrumented framework reads them.",
                code=any_exporter,
            ),
            Snippet(title="OpenAI SDK", note="Three lines in the program, besides the variables.", code=openai),
            Snippet(title="pydantic-ai", note="Instrumentation is built in.", code=pydantic),
            Snippet(title="Claude Code", note="Logs and metrics of every session.", code=claude),
        ),
    )
