"""A concierge on the genuine SDKs, recorded with our decorators. Prints the trace of each run."""

import contextlib
import json
import os

import anthropic
import openai

import pilothouse

MODEL_URL = os.environ["MODEL_URL"]
OPENAI = openai.OpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0)
ANTHROPIC = anthropic.Anthropic(base_url=MODEL_URL, api_key="none", max_retries=0)
SYSTEM = "You are a concierge."
SCHEMAS = {
    "get_weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "book_room": {"type": "object", "properties": {"room": {"type": "string"}, "nights": {"type": "integer"}}},
}
OPENAI_TOOLS = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in SCHEMAS.items()]
ANTHROPIC_TOOLS = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]


@pilothouse.tool(effect="read")
def get_weather(city: str) -> dict:
    return {"city": city, "sky": "sunny"}


@pilothouse.tool(effect="read")
def look_up(guest: str) -> dict:
    return {"error": f"no guest {guest}"}


@pilothouse.tool(
    effect="external",
    idempotency_key=lambda room, nights: f"room-{room}-{nights}",
    reversible_by="cancel_room",
)
def book_room(room: str, nights: int = 1) -> str:
    return {"11": "booked"}[room]


@pilothouse.model_call
def ask_openai(messages, tools=None, model="gpt-4.1-mini"):
    given = {"tools": tools} if tools else {}
    return OPENAI.chat.completions.create(model=model, messages=messages, **given)


@pilothouse.agent
def concierge(question: str) -> str:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    while True:
        message = ask_openai(messages, OPENAI_TOOLS).choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
        for call in message.tool_calls:
            known = call.function.name == "get_weather"
            result = get_weather(**json.loads(call.function.arguments)) if known else "unknown tool"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})


@pilothouse.agent(name="claude")
def concierge_of_anthropic(question: str) -> str:
    messages = [{"role": "user", "content": question}]
    request = {"model": "claude-haiku-4-5", "system": SYSTEM, "messages": messages, "tools": ANTHROPIC_TOOLS}
    while True:
        with pilothouse.model_call(**request, max_tokens=200) as call:
            answer = call.response(ANTHROPIC.messages.create(**request, max_tokens=200))
        uses = [block for block in answer.content if block.type == "tool_use"]
        if not uses:
            return answer.content[0].text
        messages.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]}
        )
        results = [
            {
                "type": "tool_result",
                "tool_use_id": use.id,
                "content": json.dumps(get_weather(**use.input)) if use.name == "get_weather" else "unknown tool",
            }
            for use in uses
        ]
        messages.append({"role": "user", "content": results})


@pilothouse.agent
def patient(question: str) -> str:
    pilothouse.state("planning", reason="a new question")
    ask = pilothouse.retry(ask_openai)
    return ask([{"role": "user", "content": question}]).choices[0].message.content


@pilothouse.agent
def clumsy(room: str) -> str:
    get_weather("Rome")
    look_up("Ada")
    return book_room(room, nights=2)


if __name__ == "__main__":
    recorder = pilothouse.init(service="concierge", environment="test", version="3")
    traces = {}

    from opentelemetry.sdk.trace import SpanProcessor

    class Roots(SpanProcessor):
        """Remembers the trace of each root."""

        last = ""

        def on_start(self, span, parent_context=None):
            if span.parent is None:
                Roots.last = f"{span.get_span_context().trace_id:032x}"

    recorder.provider.add_span_processor(Roots())
    concierge("What is the weather in Paris?")
    traces["openai"] = Roots.last
    concierge_of_anthropic("What is the weather in Paris?")
    traces["anthropic"] = Roots.last
    patient("Is there a limit?")
    traces["retried"] = Roots.last
    with contextlib.suppress(KeyError), pilothouse.session("visit-1", user="guest-7"), pilothouse.feature("booking"):
        clumsy("12")
    traces["failed"] = Roots.last
    assert pilothouse.flush(30)
    print(json.dumps(traces))
