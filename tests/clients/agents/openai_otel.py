"""The openai SDK under OpenTelemetry's GenAI instrumentation, content on spans and events."""

import os

os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_and_event"

import spans_otel
import telemetry
from openai_conversation import converse
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

telemetry.start("concierge-service")
OpenAIInstrumentor().instrument()
converse(spans_otel.agent, spans_otel.tool)
telemetry.stop()
