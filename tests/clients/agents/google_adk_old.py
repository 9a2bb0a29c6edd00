"""google-adk of 2025, when spans held whole requests and responses: two turns with tools in a session, a refused call."""

import asyncio
import contextlib
import os

from setting import AGENT, INSTRUCTIONS, MODEL_URL, QUESTIONS, REFUSED_QUESTION, SESSION, USER, get_time, get_weather

os.environ["GOOGLE_GEMINI_BASE_URL"] = MODEL_URL

import telemetry
from google.adk.agents import Agent
from google.adk.runners import InMemoryRunner
from google.genai import types

telemetry.start("concierge-service")
agent = Agent(name=AGENT, model="gemini-2.5-flash", instruction=INSTRUCTIONS, tools=[get_weather, get_time])
runner = InMemoryRunner(agent=agent, app_name="concierge_app")


async def ask(question):
    message = types.Content(role="user", parts=[types.Part(text=question)])
    async for _ in runner.run_async(user_id=USER, session_id=SESSION, new_message=message):
        pass


async def converse():
    await runner.session_service.create_session(app_name="concierge_app", user_id=USER, session_id=SESSION)
    for question in QUESTIONS:
        await ask(question)
    with contextlib.suppress(Exception):
        await ask(REFUSED_QUESTION)


asyncio.run(converse())
telemetry.stop()
