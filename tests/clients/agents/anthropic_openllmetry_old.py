"""The anthropic SDK under an OpenLLMetry instrumentation of 2025, when messages were flat numbered attributes."""

import spans_openllmetry_old
import telemetry
from anthropic_conversation import converse
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

telemetry.start("concierge-service")
AnthropicInstrumentor().instrument()
converse(spans_openllmetry_old.agent, spans_openllmetry_old.tool)
telemetry.stop()
