"""Agent and tool spans as an application under OpenLLMetry writes them: decorated functions."""

from setting import OTLP_URL, SESSION, USER
from traceloop.sdk import Instruments, Traceloop
from traceloop.sdk.decorators import agent as agent_span
from traceloop.sdk.decorators import tool as tool_span


def start(instrument):
    """Start the SDK for one provider's client; returns what has to be called at the end."""
    Traceloop.init(
        app_name="concierge-service",
        api_endpoint=OTLP_URL,
        api_key="none",
        instruments={Instruments[instrument]},
        resource_attributes={"service.version": "1.4.0", "deployment.environment.name": "staging"},
        traceloop_sync_enabled=False,
        telemetry_enabled=False,
    )
    Traceloop.set_association_properties({"session_id": SESSION, "user_id": USER})


def agent(name, question, work):
    @agent_span(name=name)
    def run(question):
        return work()

    return run(question)


def tool(name, call_id, arguments, work):
    @tool_span(name=name)
    def run(**_arguments):
        return work()

    return run(**arguments)
