"""The genuine SDKs of OpenAI and Anthropic through the gateway: whole, streamed, asynchronous, with tools; and their traces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache

import pytest

from pilothouse.testing import ModelServer

from .harness import KEY, UPSTREAM_KEY, Running, running_gateway

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Tell the weather of a city.", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": WEATHER}
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(seed=7, api_key=UPSTREAM_KEY) as server:
        yield server


@pytest.fixture(scope="module")
def running(model: ModelServer) -> Iterator[Running]:
    upstreams = {
        "openai": {"wire": "openai", "url": model.openai_url, "key": "env:UPSTREAM_KEY"},
        "anthropic": {"wire": "anthropic", "url": f"{model.anthropic_url}/v1", "key": "env:UPSTREAM_KEY"},
    }
    with running_gateway({"upstreams": upstreams}) as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Running) -> Running:
    running.forget()
    return running


@cache
def _openai_of(url: str):
    return openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)


@cache
def _anthropic_of(url: str):
    return anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)


def openai_client(gateway: Running):
    return _openai_of(gateway.openai_url)


def anthropic_client(gateway: Running):
    return _anthropic_of(gateway.anthropic_url)


def test_a_chat_completion_is_what_the_provider_says_and_is_traced(gateway: Running, model: ModelServer) -> None:
    asked = {"model": "gpt-4.1-mini", "messages": QUESTION, "temperature": 0.5}
    headers = {
        "x-pilothouse-user": "ada",
        "x-pilothouse-session": "s-1",
        "x-pilothouse-feature": "forecast",
        "x-pilothouse-agent": "weatherman",
        "x-pilothouse-agent-version": "1.2",
        "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01",
    }
    answer = openai_client(gateway).chat.completions.with_raw_response.create(**asked, extra_headers=headers)
    expected = answer.parse()
    assert answer.headers["x-pilothouse-trace-id"] == "ab" * 16
    sent = model.requests[-1]
    assert sent.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert not [name for name in sent.headers if name.startswith("x-pilothouse")]
    (raw,), (reading,) = gateway.raw(), gateway.readings()
    assert (raw.trace_id, raw.parent_span_id) == ("ab" * 16, "cd" * 8)
    assert raw.end_ns > raw.start_ns
    assert (reading.kind, reading.provider, reading.request_model) == ("model", "openai", "gpt-4.1-mini")
    assert reading.model == expected.model == "gpt-4.1-mini-2025-04-14"
    assert (reading.user_id, reading.session_id, reading.feature) == ("ada", "s-1", "forecast")
    assert (reading.agent, reading.agent_version) == ("weatherman", "1.2")
    assert reading.parameters["temperature"] == 0.5
    assert [(item.role, item.text) for item in reading.input] == [("user", QUESTION[0]["content"])]
    assert reading.output[0].text == expected.choices[0].message.content
    assert reading.usage.input_total == expected.usage.prompt_tokens
    assert reading.usage.output_total == expected.usage.completion_tokens
    assert reading.finish_reason == "stop"
    assert not reading.error_type
    everything = b"".join(body for _, body in gateway.bodies)
    assert UPSTREAM_KEY.encode() not in everything and KEY.encode() not in everything


def test_a_streamed_completion_with_tools_comes_whole_and_is_read_from_its_pieces(gateway: Running) -> None:
    options = {"include_usage": True}
    stream = openai_client(gateway).chat.completions.create(
        model="gpt-4.1-mini", messages=QUESTION, tools=[TOOL], stream=True, stream_options=options
    )
    pieces = list(stream)
    names = [
        call.function.name for piece in pieces for choice in piece.choices for call in choice.delta.tool_calls or []
    ]
    assert "get_weather" in names
    (reading,) = gateway.readings()
    assert reading.output[0].parts[0].name == "get_weather"
    assert reading.output[0].parts[0].arguments == {"city": "Paris"}
    assert reading.finish_reason == "tool_calls"
    assert reading.usage.output_total == pieces[-1].usage.completion_tokens
    assert reading.ttft_ns is not None and reading.ttft_ns > 0
    assert [tool.name for tool in reading.tools] == ["get_weather"]


def test_the_responses_api_whole_and_streamed(gateway: Running) -> None:
    client = openai_client(gateway)
    whole = client.responses.create(model="gpt-5-mini", input="Say hello", instructions="Be brief")
    final = next(
        event.response
        for event in client.responses.create(model="gpt-5-mini", input="Say hello", stream=True)
        if event.type == "response.completed"
    )
    first, second = sorted(gateway.readings(2), key=lambda reading: len(reading.input), reverse=True)
    assert [item.role for item in first.input] == ["system", "user"]
    assert first.output[0].text == whole.output_text
    assert second.output[0].text == final.output_text
    assert second.usage.output_total == final.usage.output_tokens


def test_embeddings_are_traced_as_embeddings(gateway: Running) -> None:
    answer = openai_client(gateway).embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert len(answer.data) == 2
    (reading,) = gateway.readings()
    assert reading.kind == "embedding"
    assert reading.usage.input_total == answer.usage.prompt_tokens


def test_the_list_of_models_and_one_card_pass_through_and_are_not_traced(gateway: Running) -> None:
    client = openai_client(gateway)
    assert "gpt-4.1-mini" in [card.id for card in client.models.list()]
    assert client.models.retrieve("gpt-4.1-mini").id == "gpt-4.1-mini"
    assert anthropic_client(gateway).models.list().data
    gateway.idle()
    assert gateway.bodies == []


def test_an_anthropic_message_is_traced_with_its_system_text(gateway: Running, model: ModelServer) -> None:
    answer = anthropic_client(gateway).messages.create(
        model="claude-haiku-4-5",
        max_tokens=100,
        system="Be brief",
        messages=[{"role": "user", "content": "Hello there"}],
        metadata={"user_id": "grace"},
    )
    sent = model.requests[-1]
    assert sent.headers["x-api-key"] == UPSTREAM_KEY and "authorization" not in sent.headers
    (reading,) = gateway.readings()
    assert (reading.provider, reading.user_id) == ("anthropic", "grace")
    assert [item.role for item in reading.input] == ["system", "user"]
    assert reading.output[0].text == answer.content[0].text
    assert reading.usage.output_total == answer.usage.output_tokens
    assert reading.finish_reason == "end_turn"


def test_an_anthropic_stream_with_a_tool_and_its_result(gateway: Running) -> None:
    client = anthropic_client(gateway)
    tool = {"name": "get_weather", "description": "Tell the weather.", "input_schema": PARAMETERS}
    with client.messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=QUESTION, tools=[tool]) as stream:
        first = stream.get_final_message()
    use = next(block for block in first.content if block.type == "tool_use")
    assert use.input == {"city": "Paris"}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    messages = [*QUESTION, {"role": "assistant", "content": [use.model_dump()]}, {"role": "user", "content": [result]}]
    second = client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages, tools=[tool])
    assert "sunny" in second.content[0].text
    asked, answered = sorted(gateway.readings(2), key=lambda reading: len(reading.input))
    assert asked.output[-1].parts[-1].arguments == {"city": "Paris"}
    assert asked.usage.output_total == first.usage.output_tokens
    assert asked.ttft_ns
    assert [item.role for item in answered.input] == ["user", "assistant", "tool"]


def test_tokens_can_be_counted(gateway: Running) -> None:
    counted = anthropic_client(gateway).messages.count_tokens(model="claude-haiku-4-5", messages=QUESTION)
    assert counted.input_tokens > 0


def test_asynchronous_clients_many_at_once(gateway: Running) -> None:
    async def ask() -> list[str]:
        one = openai.AsyncOpenAI(base_url=gateway.openai_url, api_key=KEY, max_retries=0)
        two = anthropic.AsyncAnthropic(base_url=gateway.anthropic_url, api_key=KEY, max_retries=0)

        async def streamed(number: int) -> str:
            stream = await one.chat.completions.create(
                model="gpt-4.1-mini", messages=[{"role": "user", "content": f"Repeat {number}"}], stream=True
            )
            return "".join([piece.choices[0].delta.content or "" async for piece in stream if piece.choices])

        async def message(number: int) -> str:
            async with two.messages.stream(
                model="claude-haiku-4-5", max_tokens=50, messages=[{"role": "user", "content": f"Repeat {number}"}]
            ) as stream:
                return await stream.get_final_text()

        async with one, two:
            return await asyncio.gather(*(kind(number) for number in range(10) for kind in (streamed, message)))

    texts = asyncio.run(ask())
    assert all(texts)
    assert sorted(reading.output[0].text for reading in gateway.readings(20)) == sorted(texts)


def test_a_wrong_key_is_refused_as_each_library_expects_it(gateway: Running) -> None:
    with pytest.raises(openai.AuthenticationError, match="not known here"):
        openai.OpenAI(base_url=gateway.openai_url, api_key="wrong", max_retries=0).chat.completions.create(
            model="gpt-4.1-mini", messages=QUESTION
        )
    with pytest.raises(anthropic.AuthenticationError, match="not known here"):
        anthropic.Anthropic(base_url=gateway.anthropic_url, api_key="wrong", max_retries=0).messages.create(
            model="claude-haiku-4-5", max_tokens=10, messages=QUESTION
        )
    gateway.idle()
    assert gateway.bodies == []


def test_what_providers_keep_for_their_caller_is_not_served(gateway: Running) -> None:
    with pytest.raises(openai.NotFoundError, match="does not serve this"):
        openai_client(gateway).responses.retrieve("resp_123")
    with pytest.raises(openai.NotFoundError):
        openai_client(gateway).files.list()
