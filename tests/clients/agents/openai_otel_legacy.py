"""The openai SDK under the older instrumentation openai-v2 as it starts by default: content in log events."""

import os

os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"

import telemetry
from openai_conversation import converse
from opentelemetry import trace
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor


def agent(name, question, work):
    with trace.get_tracer("concierge").start_as_current_span(name):
        return work()


def tool(name, call_id, arguments, work):
    with trace.get_tracer("concierge").start_as_current_span(name):
        return work()


telemetry.start("concierge-service")
OpenAIInstrumentor().instrument()
converse(agent, tool)
telemetry.stop()
