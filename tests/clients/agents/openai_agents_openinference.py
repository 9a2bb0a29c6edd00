"""openai-agents under OpenInference: two turns with tools, one streamed, a hand-off, and a refused call."""

import asyncio
import contextlib

import openai
import telemetry
from agents import Agent, ModelSettings, Runner, function_tool, set_default_openai_client, set_trace_processors
from openinference.instrumentation import using_attributes
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor
from setting import (
    AGENT,
    INSTRUCTIONS,
    MODEL_URL,
    OPENAI_MODEL,
    QUESTIONS,
    REFUSED_QUESTION,
    SESSION,
    USER,
    get_time,
    get_weather,
)

provider = telemetry.start("concierge-service")
# The SDK's own processor would send every trace to the provider of the models.
set_trace_processors([])
OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
set_default_openai_client(openai.AsyncOpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0))

housekeeping = Agent(name="housekeeping", instructions="You bring towels.", model=OPENAI_MODEL)
concierge = Agent(
    name=AGENT,
    instructions=INSTRUCTIONS,
    model=OPENAI_MODEL,
    model_settings=ModelSettings(temperature=0.2),
    tools=[function_tool(get_weather), function_tool(get_time)],
    handoffs=[housekeeping],
)


async def converse():
    first = await Runner.run(concierge, QUESTIONS[0])
    history = [*first.to_input_list(), {"role": "user", "content": QUESTIONS[1]}]
    streamed = Runner.run_streamed(concierge, history)
    async for _ in streamed.stream_events():
        pass
    await Runner.run(concierge, "Please transfer me to housekeeping.")
    with contextlib.suppress(openai.APIError):
        await Runner.run(concierge, REFUSED_QUESTION)


with using_attributes(session_id=SESSION, user_id=USER):
    asyncio.run(converse())
telemetry.stop()
