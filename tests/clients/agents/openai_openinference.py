"""The openai SDK under OpenInference."""

import spans_openinference
import telemetry
from openai_conversation import converse
from openinference.instrumentation import using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from setting import SESSION, USER

OpenAIInstrumentor().instrument(tracer_provider=telemetry.start("concierge-service"))
with using_attributes(session_id=SESSION, user_id=USER, tags=["vip"], metadata={"plan": "gold"}):
    converse(spans_openinference.agent, spans_openinference.tool)
telemetry.stop()
