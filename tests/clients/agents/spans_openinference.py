"""Agent and tool spans as an application under OpenInference writes them."""

from openinference.instrumentation import OITracer, TraceConfig
from openinference.semconv.trace import SpanAttributes
from opentelemetry import trace


def agent(name, question, work):
    with _tracer().start_as_current_span(name, openinference_span_kind="agent") as span:
        span.set_attribute(SpanAttributes.AGENT_NAME, name)
        return _recorded(span, question, work)


def tool(name, call_id, arguments, work):
    with _tracer().start_as_current_span(name, openinference_span_kind="tool") as span:
        span.set_tool(name=name, parameters=arguments)
        span.set_attribute(SpanAttributes.TOOL_ID, call_id)
        return _recorded(span, arguments, work)


def _recorded(span, given, work):
    span.set_input(given)
    output = work()
    span.set_output(output)
    span.set_status(trace.StatusCode.OK)
    return output


def _tracer():
    return OITracer(trace.get_tracer("concierge"), config=TraceConfig())
