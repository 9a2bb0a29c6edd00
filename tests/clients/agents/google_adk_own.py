"""google-adk with its own spans: two turns with tools in a session, one streamed, and a refused call."""

import asyncio
import contextlib

import telemetry
from google.adk.agents import Agent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models.google_llm import Gemini
from google.adk.runners import InMemoryRunner
from google.genai import types
from setting import (
    AGENT,
    INSTRUCTIONS,
    MODEL_URL,
    QUESTIONS,
    REFUSED_QUESTION,
    SESSION,
    USER,
    get_time,
    get_weather,
)

telemetry.start("concierge-service")
agent = Agent(
    name=AGENT,
    model=Gemini(model="gemini-2.5-flash", base_url=MODEL_URL, retry_options=types.HttpRetryOptions(attempts=1)),
    instruction=INSTRUCTIONS,
    tools=[get_weather, get_time],
    generate_content_config=types.GenerateContentConfig(
        temperature=0.2, thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=256)
    ),
)
runner = InMemoryRunner(agent=agent, app_name="concierge_app")


async def ask(question, mode):
    message = types.Content(role="user", parts=[types.Part(text=question)])
    config = RunConfig(streaming_mode=mode)
    async for _ in runner.run_async(user_id=USER, session_id=SESSION, new_message=message, run_config=config):
        pass


async def converse():
    await runner.session_service.create_session(app_name="concierge_app", user_id=USER, session_id=SESSION)
    await ask(QUESTIONS[0], StreamingMode.NONE)
    await ask(QUESTIONS[1], StreamingMode.SSE)
    with contextlib.suppress(Exception):
        await ask(REFUSED_QUESTION, StreamingMode.NONE)


asyncio.run(converse())
telemetry.stop()
