"""A langchain agent on langgraph under OpenInference: two turns with tools in a thread, one streamed, a refused call."""

import contextlib

import openai
import telemetry
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from openinference.instrumentation.langchain import LangChainInstrumentor
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

LangChainInstrumentor().instrument(tracer_provider=telemetry.start("concierge-service"))
model = ChatOpenAI(
    model=OPENAI_MODEL, base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0, temperature=0.2, stream_usage=True
)
agent = create_agent(
    model, [get_weather, get_time], system_prompt=INSTRUCTIONS, checkpointer=InMemorySaver(), name=AGENT
)
config = {
    "configurable": {"thread_id": SESSION},
    "metadata": {"session_id": SESSION, "user_id": USER},
    "tags": ["vip"],
}
agent.invoke({"messages": [{"role": "user", "content": QUESTIONS[0]}]}, config)
for _ in agent.stream({"messages": [{"role": "user", "content": QUESTIONS[1]}]}, config, stream_mode="messages"):
    pass
with contextlib.suppress(openai.APIError):
    agent.invoke({"messages": [{"role": "user", "content": REFUSED_QUESTION}]}, config)
telemetry.stop()
