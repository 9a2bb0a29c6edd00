"""pydantic-ai with its own instrumentation, as it is by default, or a short run in the data format FORMAT."""

import asyncio
import contextlib
import os

import telemetry
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from setting import (
    AGENT,
    ANTHROPIC_MODEL,
    INSTRUCTIONS,
    MODEL_URL,
    OPENAI_MODEL,
    QUESTIONS,
    REFUSED_QUESTION,
    SESSION,
    get_time,
    get_weather,
)

telemetry.start("concierge-service")
data_format = os.environ.get("FORMAT")
Agent.instrument_all(InstrumentationSettings(version=int(data_format)) if data_format else True)
agent = Agent(
    OpenAIChatModel(OPENAI_MODEL, provider=OpenAIProvider(base_url=f"{MODEL_URL}/v1", api_key="none")),
    name=AGENT,
    instructions=INSTRUCTIONS,
    tools=[get_weather, get_time],
    retries=0,
)
claude = AnthropicModel(
    ANTHROPIC_MODEL,
    provider=AnthropicProvider(base_url=MODEL_URL, api_key="none"),
    settings=AnthropicModelSettings(anthropic_cache_instructions=True, anthropic_cache_messages=True),
)


async def stream_answer():
    history = first.all_messages()
    async with agent.run_stream(QUESTIONS[1], message_history=history, conversation_id=SESSION) as stream:
        async for _ in stream.stream_text(delta=True):
            pass


first = agent.run_sync(QUESTIONS[0], conversation_id=SESSION, metadata={"user_id": "user-42"})
if not data_format:
    asyncio.run(stream_answer())
    agent.run_sync(QUESTIONS[0], model=claude, conversation_id=SESSION)
    agent.run_sync(QUESTIONS[1], model=claude, output_type=bool, conversation_id=SESSION)
    with contextlib.suppress(ModelAPIError):
        agent.run_sync(REFUSED_QUESTION, conversation_id=SESSION)
telemetry.stop()
