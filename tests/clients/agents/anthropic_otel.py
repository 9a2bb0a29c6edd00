"""The anthropic SDK under OpenTelemetry's GenAI instrumentation, content on spans and events."""

import os

os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_and_event"

import spans_otel
import telemetry
from anthropic_conversation import converse
from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor

telemetry.start("concierge-service")
AnthropicInstrumentor().instrument()
converse(spans_otel.agent, spans_otel.tool)
telemetry.stop()
