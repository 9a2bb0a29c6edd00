"""An agent on the openai SDK: two turns with tools, one streamed, then a response, an embedding and a refused call.

The dialect supplies `agent` and `tool`, the spans that an SDK's instrumentation does not make.
"""

import contextlib
import json

import openai
from setting import (
    AGENT,
    CITY_SCHEMA,
    INSTRUCTIONS,
    MODEL_URL,
    OPENAI_MODEL,
    QUESTIONS,
    REFUSED_QUESTION,
    TOOLS,
    tool_description,
)

CHAT_TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": tool_description(name), "parameters": CITY_SCHEMA},
    }
    for name in TOOLS
]


def converse(agent, tool):
    """Hold the conversation; `agent(name, question, work)` and `tool(name, call_id, arguments, work)` record work()."""
    client = openai.OpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0)
    messages = [{"role": "system", "content": INSTRUCTIONS}]
    for question, streamed in zip(QUESTIONS, (False, True), strict=True):
        messages.append({"role": "user", "content": question})
        agent(AGENT, question, lambda streamed=streamed: _turn(client, messages, streamed, tool))
    wish = "Summarise the stay in one line."
    agent("summariser", wish, lambda: _summarise(client, wish))
    with contextlib.suppress(openai.APIError):
        agent(AGENT, REFUSED_QUESTION, lambda: _be_refused(client, messages[:1]))


def _turn(client, messages, streamed, tool):
    while calls := _step(client, messages, streamed):
        for call in calls:
            name = call["function"]["name"]
            arguments = json.loads(call["function"]["arguments"])
            result = tool(name, call["id"], arguments, lambda name=name, arguments=arguments: TOOLS[name](**arguments))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    return messages[-1]["content"]


def _summarise(client, wish):
    response = client.responses.create(model="gpt-5-mini", instructions=INSTRUCTIONS, input=wish)
    client.embeddings.create(model="text-embedding-3-small", input=response.output_text, dimensions=8)
    return response.output_text


def _be_refused(client, messages):
    messages = [*messages, {"role": "user", "content": REFUSED_QUESTION}]
    return client.chat.completions.create(model=OPENAI_MODEL, messages=messages)


def _step(client, messages, streamed):
    """Ask the model once, remember what it says, and return its tool calls."""
    request = {"model": OPENAI_MODEL, "messages": messages, "tools": CHAT_TOOLS, "temperature": 0.2}
    if not streamed:
        message = client.chat.completions.create(**request).choices[0].message
        messages.append(message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
        return messages[-1].get("tool_calls")
    text, calls = "", []
    for chunk in client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}):
        delta = chunk.choices[0].delta if chunk.choices else None
        text += (delta and delta.content) or ""
        for part in (delta and delta.tool_calls) or []:
            if part.id:
                calls.append(
                    {"id": part.id, "type": "function", "function": {"name": part.function.name, "arguments": ""}}
                )
            calls[-1]["function"]["arguments"] += part.function.arguments or ""
    messages.append({"role": "assistant", "content": text or None} | ({"tool_calls": calls} if calls else {}))
    return calls
