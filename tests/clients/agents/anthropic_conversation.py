"""An agent on the anthropic SDK: two turns with tools and prompt caching, one streamed, then a refused call.

The dialect supplies `agent` and `tool`, the spans that an SDK's instrumentation does not make.
"""

import contextlib

import anthropic
from setting import (
    AGENT,
    ANTHROPIC_MODEL,
    CITY_SCHEMA,
    INSTRUCTIONS,
    MODEL_URL,
    QUESTIONS,
    REFUSED_QUESTION,
    TOOLS,
    tool_description,
)

MESSAGE_TOOLS = [{"name": name, "description": tool_description(name), "input_schema": CITY_SCHEMA} for name in TOOLS]
SYSTEM = [{"type": "text", "text": INSTRUCTIONS, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]


def converse(agent, tool):
    """Hold the conversation; `agent(name, question, work)` and `tool(name, call_id, arguments, work)` record work()."""
    client = anthropic.Anthropic(base_url=MODEL_URL, api_key="none", max_retries=0)
    messages = []
    for question, streamed in zip(QUESTIONS, (False, True), strict=True):
        part = {"type": "text", "text": question, "cache_control": {"type": "ephemeral"}}
        messages.append({"role": "user", "content": [part]})
        agent(AGENT, question, lambda streamed=streamed: _turn(client, messages, streamed, tool))
    refused = [{"role": "user", "content": REFUSED_QUESTION}]
    with contextlib.suppress(anthropic.APIError):
        agent(AGENT, REFUSED_QUESTION, lambda: _ask(client, refused))


def _turn(client, messages, streamed, tool):
    while calls := _step(client, messages, streamed):
        results = []
        for call in calls:
            name, arguments = call["name"], call["input"]
            result = tool(name, call["id"], arguments, lambda name=name, arguments=arguments: TOOLS[name](**arguments))
            results.append({"type": "tool_result", "tool_use_id": call["id"], "content": result})
        messages.append({"role": "user", "content": results})
    return messages[-1]["content"][-1]["text"]


def _step(client, messages, streamed):
    """Ask the model once, remember what it says, and return its tool calls."""
    if streamed:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        with client.messages.stream(**_request(messages), thinking=thinking) as stream:
            message = stream.get_final_message()
    else:
        message = _ask(client, messages)
    content = [block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in message.content]
    messages.append({"role": "assistant", "content": content})
    return [block for block in content if block["type"] == "tool_use"]


def _ask(client, messages):
    return client.messages.create(**_request(messages))


def _request(messages):
    return {
        "model": ANTHROPIC_MODEL,
        "max_tokens": 2_000,
        "system": SYSTEM,
        "tools": MESSAGE_TOOLS,
        "messages": messages,
    }
