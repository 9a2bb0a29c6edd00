"""Agent and tool spans as an application under OpenTelemetry's own GenAI helpers writes them."""

from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.types import InputMessage, OutputMessage, Text
from setting import SESSION


def agent(name, question, work):
    with _handler().invoke_local_agent(agent_name=name, conversation_id=SESSION) as invocation:
        invocation.input_messages = [InputMessage(role="user", parts=[Text(content=question)])]
        output = work()
        parts = [Text(content=str(output))]
        invocation.output_messages = [OutputMessage(role="assistant", parts=parts, finish_reason="stop")]
        return output


def tool(name, call_id, arguments, work):
    with _handler().tool(name, tool_type="function") as invocation:
        invocation.tool_call_id = call_id
        invocation.arguments = arguments
        invocation.tool_result = work()
        return invocation.tool_result


def _handler():
    return TelemetryHandler(instrumentation_scope_name="concierge")
