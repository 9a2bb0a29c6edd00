"""The openai SDK under an OpenLLMetry instrumentation of 2025, when messages were flat numbered attributes."""

import spans_openllmetry_old
import telemetry
from openai_conversation import converse
from opentelemetry.instrumentation.openai import OpenAIInstrumentor

telemetry.start("concierge-service")
OpenAIInstrumentor().instrument()
converse(spans_openllmetry_old.agent, spans_openllmetry_old.tool)
telemetry.stop()
