"""The anthropic SDK under OpenInference."""

import spans_openinference
import telemetry
from anthropic_conversation import converse
from openinference.instrumentation import using_attributes
from openinference.instrumentation.anthropic import AnthropicInstrumentor
from setting import SESSION, USER

AnthropicInstrumentor().instrument(tracer_provider=telemetry.start("concierge-service"))
with using_attributes(session_id=SESSION, user_id=USER, tags=["vip"], metadata={"plan": "gold"}):
    converse(spans_openinference.agent, spans_openinference.tool)
telemetry.stop()
