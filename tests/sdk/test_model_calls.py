"""Model calls of the genuine SDKs: the exact prompt, the answer whole or streamed, and what it decides."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pilothouse
from pilothouse.conventions.messages import read_messages
from pilothouse.records import canonical_json, prompt_sha256, prompt_text, wire_message
from pilothouse.sdk.messages import sent, wire
from pilothouse.testing import ModelServer

from .conftest import Recorded

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is the weather?"}]
ASKED = {"calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]}


@pytest.fixture
def models() -> Iterator[ModelServer]:
    script = {
        "rules": [
            {
                "user": "weather",
                "reply": {**ASKED, "usage": {"input_tokens": 50, "cache_read_tokens": 20, "output_tokens": 7}},
            },
            {"user": "wrong", "reply": {"calls": [{"name": "get_weather", "arguments": {"town": 1}}]}},
        ]
    }
    with ModelServer(script, seed=5) as server:
        yield server


def chat(models: ModelServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=models.openai_url, api_key="none", max_retries=0)


def claude(models: ModelServer) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=models.anthropic_url, api_key="none", max_retries=0)


def check_decision(attributes: dict[str, Any]) -> None:
    assert json.loads(attributes["pilothouse.decision.action"]) | {"id": ""} == {
        "type": "tool_call",
        "tool": "get_weather",
        "arguments": {"city": "Paris"},
        "id": "",
    }
    assert attributes["pilothouse.decision.valid"] is True
    assert attributes["gen_ai.usage.input_tokens"] == 50
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 20
    assert attributes["gen_ai.usage.output_tokens"] == 7
    assert attributes["gen_ai.response.id"]
    prompt = prompt_text(
        attributes["gen_ai.input.messages"],
        attributes.get("gen_ai.tool.definitions", "[]"),
        attributes.get("pilothouse.request.parameters", "{}"),
    )
    assert attributes["pilothouse.decision.prompt_sha256"] == prompt_sha256(prompt)


def test_a_function_that_asks_is_recorded_whole_and_streamed(recorded: Recorded, models: ModelServer) -> None:
    client = chat(models)

    @pilothouse.model_call(provider="openai")
    def ask(messages: Any, tools: Any, model: str = "gpt-4.1-mini", temperature: float = 0.5, **options: Any) -> Any:
        return client.chat.completions.create(
            model=model, messages=messages, tools=tools, temperature=temperature, **options
        )

    whole = ask(MESSAGES, CHAT_TOOLS)
    assert whole.choices[0].message.tool_calls[0].function.name == "get_weather"
    stream = ask(MESSAGES, CHAT_TOOLS, stream=True, stream_options={"include_usage": True})
    assert isinstance(stream, openai.Stream)
    assert len(recorded.spans) == 1
    pieces = list(stream)
    assert len(pieces) > 2
    first, second = (dict(span.attributes or {}) for span in recorded.spans)
    check_decision(first)
    check_decision(second)
    assert first["gen_ai.request.temperature"] == 0.5
    assert json.loads(first["pilothouse.request.parameters"]) == {"temperature": 0.5}
    assert second["gen_ai.response.time_to_first_chunk"] > 0
    assert json.loads(second["pilothouse.decision.raw_response"])["choices"][0]["finish_reason"] == "tool_calls"


def test_an_asynchronous_stream_is_followed(recorded: Recorded, models: ModelServer) -> None:
    client = openai.AsyncOpenAI(base_url=models.openai_url, api_key="none", max_retries=0)

    @pilothouse.model_call
    async def ask(messages: Any, tools: Any) -> Any:
        return await client.chat.completions.create(
            model="gpt-4.1-mini", messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}
        )

    async def run() -> int:
        stream = await ask(MESSAGES, CHAT_TOOLS)
        assert isinstance(stream, openai.AsyncStream)
        return len([piece async for piece in stream])

    assert asyncio.run(run()) > 2
    check_decision(recorded.attributes("chat"))


def test_a_stream_that_nobody_reads_to_its_end_is_recorded_as_far_as_it_came(
    recorded: Recorded, models: ModelServer
) -> None:
    client = chat(models)

    @pilothouse.model_call
    def ask(messages: Any) -> Any:
        return client.chat.completions.create(model="gpt-4.1-mini", messages=messages, stream=True)

    with ask([{"role": "user", "content": "Tell me a long story."}]) as stream:
        for piece in stream:
            if piece.choices and piece.choices[0].delta.content:
                break
    del stream, piece
    gc.collect()
    attributes = recorded.attributes("chat")
    assert attributes["gen_ai.response.id"]


@pytest.mark.parametrize("streamed", [False, True])
def test_responses_are_read(recorded: Recorded, models: ModelServer, streamed: bool) -> None:
    request: dict[str, Any] = {
        "model": "gpt-4.1-mini",
        "input": "What is the weather?",
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "get_weather", "parameters": SCHEMA}],
    }
    told = {"model": request["model"], "messages": request["input"], "system": request["instructions"]}
    with pilothouse.model_call(**told, tools=request["tools"]) as call:
        if streamed:
            for _ in call.stream(chat(models).responses.create(**request, stream=True)):
                pass
        else:
            call.response(chat(models).responses.create(**request))
    check_decision(recorded.attributes("chat gpt-4.1-mini"))


@pytest.mark.parametrize("streamed", [False, True])
def test_messages_of_anthropic_are_read(recorded: Recorded, models: ModelServer, streamed: bool) -> None:
    request: dict[str, Any] = {
        "model": "claude-haiku-4-5",
        "system": "Be brief.",
        "messages": MESSAGES[1:],
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
        "max_tokens": 100,
    }
    with pilothouse.model_call(**request) as call:
        if streamed:
            for _ in call.stream(claude(models).messages.create(**request, stream=True)):
                pass
        else:
            call.response(claude(models).messages.create(**request))
    attributes = recorded.attributes("chat claude-haiku-4-5")
    check_decision(attributes)
    assert attributes["gen_ai.request.max_tokens"] == 100


def test_a_call_that_cannot_be_made_is_told(recorded: Recorded, models: ModelServer) -> None:
    request: dict[str, Any] = {"messages": [{"role": "user", "content": "wrong"}], "tools": CHAT_TOOLS}
    with pilothouse.model_call(model="gpt-4.1-mini", **request) as call:
        call.response(chat(models).chat.completions.create(model="gpt-4.1-mini", **request))
    attributes = recorded.attributes("chat gpt-4.1-mini")
    assert attributes["pilothouse.decision.valid"] is False
    reason = "the arguments of get_weather do not fit: city is missing"
    assert attributes["pilothouse.decision.invalid_reason"] == reason


@pytest.mark.parametrize(
    ("answer", "valid"),
    [("It is sunny.", True), ("", False), ({"role": "assistant", "content": "yes"}, True), ({"choices": []}, False)],
)
def test_any_other_answer_is_text(recorded: Recorded, answer: Any, valid: bool) -> None:
    with pilothouse.model_call(model="m", messages=["hi"]) as call:
        assert call.response(answer) is answer
    assert recorded.attributes("chat m")["pilothouse.decision.valid"] is valid


def test_an_error_in_the_block_passes_and_is_recorded(recorded: Recorded, models: ModelServer) -> None:
    with pytest.raises(ZeroDivisionError), pilothouse.model_call(model="m", messages="hi"):
        raise ZeroDivisionError
    assert recorded.attributes("chat m")["error.type"] == "ZeroDivisionError"
    assert "pilothouse.decision.valid" not in recorded.attributes("chat m")


def test_instrumentors_are_quiet_within_a_model_call(start: Any, models: ModelServer) -> None:
    recorded = start(instrument=["openai"])
    client = chat(models)
    with pilothouse.model_call(model="gpt-4.1-mini", messages=MESSAGES) as call:
        call.response(client.chat.completions.create(model="gpt-4.1-mini", messages=MESSAGES))  # type: ignore[arg-type]
    client.chat.completions.create(model="gpt-4.1-mini", messages=MESSAGES)  # type: ignore[arg-type]
    scopes = [span.instrumentation_scope.name for span in recorded.spans if span.instrumentation_scope]
    assert scopes == ["pilothouse", "openinference.instrumentation.openai"]


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
calls = st.builds(
    lambda id, name, arguments: {
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    },
    names,
    names,
    st.dictionaries(names, plain_json, max_size=3),
)
openai_messages = st.lists(
    st.one_of(
        st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "user"]), texts),
        st.builds(
            lambda text, made: {"role": "assistant", "content": text, "tool_calls": made},
            texts | st.none(),
            st.lists(calls, max_size=2),
        ),
        st.builds(lambda id, text: {"role": "tool", "tool_call_id": id, "content": text}, names, texts),
        st.builds(
            lambda text, url: {
                "role": "user",
                "content": [
                    {"type": "text", "text": text},
                    {"type": "image_url", "image_url": {"url": f"https://a/{url}"}},
                ],
            },
            texts,
            names,
        ),
    ),
    max_size=6,
)
anthropic_messages = st.lists(
    st.one_of(
        st.builds(lambda text: {"role": "user", "content": [{"type": "text", "text": text}]}, texts),
        st.builds(
            lambda text, id, name, arguments: {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": text, "signature": "sig"},
                    {"type": "tool_use", "id": id, "name": name, "input": arguments},
                ],
            },
            texts,
            names,
            names,
            st.dictionaries(names, plain_json, max_size=3),
        ),
        st.builds(
            lambda id, text, failed: {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": text, "is_error": failed},
                    {"type": "text", "text": "go on", "cache_control": {"type": "ephemeral"}},
                ],
            },
            names,
            texts,
            st.booleans(),
        ),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(openai_messages, anthropic_messages))
def test_a_prompt_is_read_back_as_it_was_hashed(messages: list[Any]) -> None:
    written = canonical_json(wire(sent(None, messages)))
    read = read_messages(written)
    assert canonical_json([wire_message(item.role, item.parts) for item in read]) == written
