"""Agent and tool spans with the attributes that OpenLLMetry's decorators wrote in 2025."""

import json

from opentelemetry import trace
from setting import SESSION, USER


def agent(name, question, work):
    return _recorded("agent", name, {"args": [question], "kwargs": {}}, work)


def tool(name, call_id, arguments, work):
    return _recorded("tool", name, {"args": [], "kwargs": arguments}, work)


def _recorded(kind, name, given, work):
    with trace.get_tracer("traceloop.tracer").start_as_current_span(f"{name}.{kind}") as span:
        span.set_attribute("traceloop.association.properties.session_id", SESSION)
        span.set_attribute("traceloop.association.properties.user_id", USER)
        span.set_attribute("traceloop.span.kind", kind)
        span.set_attribute("traceloop.entity.name", name)
        span.set_attribute("traceloop.entity.input", json.dumps(given))
        output = work()
        span.set_attribute("traceloop.entity.output", json.dumps(output))
        return output
