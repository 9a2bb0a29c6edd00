"""Langfuse's SDK: its openai wrapper, its decorators, and a generation written by hand; sent to any OTLP address."""

import openai
from langfuse import Langfuse, observe, propagate_attributes
from langfuse.openai import OpenAI
from setting import OTLP_URL, SESSION, USER

langfuse = Langfuse(
    public_key="pk-none",
    secret_key="sk-none",
    base_url=OTLP_URL,
    environment="staging",
    release="1.4.0",
)

# The conversation takes whatever client class the openai module has at the time.
openai.OpenAI = OpenAI

from openai_conversation import converse  # noqa: E402


def agent(name, question, work):
    @observe(name=name, as_type="agent")
    def run(question):
        return work()

    with propagate_attributes(session_id=SESSION, user_id=USER, tags=["vip"], metadata={"plan": "gold"}, version="3"):
        return run(question)


def tool(name, call_id, arguments, work):
    @observe(name=name, as_type="tool")
    def run(**_arguments):
        return work()

    return run(**arguments)


converse(agent, tool)
with (
    propagate_attributes(session_id=SESSION, user_id=USER),
    langfuse.start_as_current_observation(as_type="generation", name="by hand", model="claude-haiku-4-5") as made,
):
    made.update(
        input=[{"role": "user", "content": "Is breakfast included?"}],
        output={"role": "assistant", "content": "Yes, until ten."},
        usage_details={"input": 30, "output": 12, "input_cached_tokens": 512, "input_cache_creation": 128},
        cost_details={"input": 0.00003, "output": 0.00006},
        model_parameters={"temperature": 0.2},
    )
langfuse.shutdown()
