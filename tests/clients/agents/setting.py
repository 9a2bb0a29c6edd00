"""What every agent here shares: where to send, whom it serves, its instructions and its tools."""

import os

MODEL_URL = os.environ["MODEL_URL"]
OTLP_URL = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
SESSION = "session-7"
USER = "user-42"
AGENT = "concierge"
OPENAI_MODEL = "gpt-4.1-mini"
ANTHROPIC_MODEL = "claude-haiku-4-5"

# Long enough for the scripted server to serve it from its prompt cache on the second call.
INSTRUCTIONS = (
    "You are the concierge of a small hotel. Answer in one or two sentences and never invent a fact. "
    "Ask a tool for anything that changes: the weather, the time, the price of a room. "
    "Name the place in every answer, because guests read several answers at once. "
    "When a tool fails, say so and offer to try again."
)
# Two tools at once, then one in a streamed turn.
QUESTIONS = ("What are the weather and the time in Paris?", "And the weather in Rome?")
# The scripted server refuses this one.
REFUSED_QUESTION = "Please refuse this question."


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny, 21 degrees in {city}"


def get_time(city: str) -> str:
    """Tell the local time of a city."""
    return f"14:05 in {city}"


TOOLS = {"get_weather": get_weather, "get_time": get_time}
CITY_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool_description(name: str) -> str:
    """Return the first line of a tool's documentation."""
    return (TOOLS[name].__doc__ or "").strip()
