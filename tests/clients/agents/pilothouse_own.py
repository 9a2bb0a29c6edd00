"""The openai SDK recorded with our own decorators: agents, tools, model calls, states, a wait."""

import contextlib
import json
import tempfile

import openai
from openai_conversation import CHAT_TOOLS
from setting import (
    AGENT,
    INSTRUCTIONS,
    MODEL_URL,
    OPENAI_MODEL,
    OTLP_URL,
    QUESTIONS,
    REFUSED_QUESTION,
    SESSION,
    TOOLS,
    USER,
)

import pilothouse

EMBEDDING_MODEL = "text-embedding-3-small"

pilothouse.init(
    service="concierge-service",
    endpoint=OTLP_URL,
    environment="staging",
    version="1.4.0",
    instrument=False,
    spill_dir=tempfile.mkdtemp(),
)
CLIENT = openai.OpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0)
RECORDED_TOOLS = {name: pilothouse.tool(effect="read")(function) for name, function in TOOLS.items()}
MESSAGES = [{"role": "system", "content": INSTRUCTIONS}]


@pilothouse.model_call
def ask(messages, tools=None, model=OPENAI_MODEL, temperature=None):
    given = {name: value for name, value in {"tools": tools, "temperature": temperature}.items() if value is not None}
    return CLIENT.chat.completions.create(model=model, messages=messages, **given)


def step(streamed):
    """Ask the model once, remember what it says, and return its tool calls."""
    if not streamed:
        message = ask(MESSAGES, CHAT_TOOLS, temperature=0.2).choices[0].message
        MESSAGES.append(message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
        return MESSAGES[-1].get("tool_calls")
    request = {"model": OPENAI_MODEL, "messages": MESSAGES, "tools": CHAT_TOOLS, "temperature": 0.2}
    text, calls = "", []
    with pilothouse.model_call(**request) as call:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        for chunk in call.stream(CLIENT.chat.completions.create(**request, **options)):
            delta = chunk.choices[0].delta if chunk.choices else None
            text += (delta and delta.content) or ""
            for part in (delta and delta.tool_calls) or []:
                if part.id:
                    function = {"name": part.function.name, "arguments": ""}
                    calls.append({"id": part.id, "type": "function", "function": function})
                calls[-1]["function"]["arguments"] += part.function.arguments or ""
    MESSAGES.append({"role": "assistant", "content": text or None} | ({"tool_calls": calls} if calls else {}))
    return calls


@pilothouse.agent(name=AGENT)
def concierge(question, streamed=None):
    MESSAGES.append({"role": "user", "content": question})
    pilothouse.state("planning", reason="a new question")
    while calls := step(streamed):
        pilothouse.state("executing")
        for call in calls:
            result = RECORDED_TOOLS[call["function"]["name"]](**json.loads(call["function"]["arguments"]))
            MESSAGES.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        pilothouse.state("planning")
    pilothouse.state("answering")
    return MESSAGES[-1]["content"]


@pilothouse.agent
def summariser(wish):
    with pilothouse.model_call(model="gpt-5-mini", system=INSTRUCTIONS, messages=wish) as call:
        response = call.response(CLIENT.responses.create(model="gpt-5-mini", instructions=INSTRUCTIONS, input=wish))
    with pilothouse.waiting("queue", reason="one index at a time"):
        pass
    with pilothouse.span("embed the summary", kind="embedding") as span:
        found = CLIENT.embeddings.create(model=EMBEDDING_MODEL, input=response.output_text, dimensions=8)
        usage = {"gen_ai.usage.input_tokens": found.usage.prompt_tokens}
        span.set(**{"gen_ai.request.model": EMBEDDING_MODEL, "gen_ai.provider.name": "openai", **usage})
    return response.output_text


@pilothouse.agent(name=AGENT)
def refused(question):
    return ask([MESSAGES[0], {"role": "user", "content": question}])


with pilothouse.session(SESSION, user=USER):
    concierge(QUESTIONS[0])
    concierge(QUESTIONS[1], streamed=True)
    summariser("Summarise the stay in one line.")
    with contextlib.suppress(openai.APIError):
        refused(REFUSED_QUESTION)
pilothouse.shutdown(10)
