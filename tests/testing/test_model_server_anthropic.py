"""The scripted model server under the genuine anthropic SDK."""

import pytest

from pilothouse.testing import Fault, ModelServer, Reply, Rule, Script

anthropic = pytest.importorskip("anthropic")

HANDBOOK = "Read the handbook before you answer. " * 200
WEATHER = {
    "name": "get_weather",
    "description": "Tell the weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME = {**WEATHER, "name": "get_time"}


def client_of(server: ModelServer, **options):
    return anthropic.Anthropic(base_url=server.anthropic_url, api_key="none", **{"max_retries": 0, **options})


def ask(client, *contents, **options):
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": content} for index, content in enumerate(contents)]
    return client.messages.create(**{"model": "claude-haiku-4-5", "max_tokens": 500, "messages": messages, **options})


def marked(text: str, ttl: str = "5m") -> list:
    return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": ttl}}]


def test_parallel_tool_calls_and_the_answer_to_their_results() -> None:
    with ModelServer(seed=7) as server:
        client = client_of(server)
        first = ask(client, "weather and time in Oslo", tools=[WEATHER, TIME])
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "sunny", "is_error": block.name == "get_time"}
            for block in first.content
        ]
        second = ask(client, "weather and time in Oslo", first.content, results, tools=[WEATHER, TIME])
    assert first.stop_reason == "tool_use"
    assert [(block.name, block.input) for block in first.content] == [
        ("get_weather", {"city": "Oslo"}),
        ("get_time", {"city": "Oslo"}),
    ]
    assert second.stop_reason == "end_turn"
    assert "get_weather says: sunny" in second.content[0].text
    assert "get_time failed with: sunny" in second.content[0].text


def test_a_marked_prefix_is_written_once_and_read_afterwards() -> None:
    with ModelServer(seed=7) as server:
        client = client_of(server)
        first = ask(client, "Hello", system=marked(HANDBOOK)).usage
        second = ask(client, "Hello", "Hi", "Go on", system=marked(HANDBOOK)).usage
    assert first.cache_creation_input_tokens > 1_800
    assert first.cache_creation.ephemeral_5m_input_tokens == first.cache_creation_input_tokens
    assert first.cache_read_input_tokens == 0
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert second.cache_creation_input_tokens == 0


def test_lifetimes_are_counted_apart_and_a_moved_mark_still_finds_the_prefix() -> None:
    with ModelServer(seed=7) as server:
        client = client_of(server)
        first = ask(client, marked("Hello"), system=marked(HANDBOOK, "1h")).usage
        second = ask(client, "Hello", "Hi", marked("Go on"), system=marked(HANDBOOK, "1h")).usage
    assert first.cache_creation.ephemeral_1h_input_tokens > 1_800
    assert 0 < first.cache_creation.ephemeral_5m_input_tokens < 20
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert 0 < second.cache_creation.ephemeral_5m_input_tokens < 30


def test_the_parts_of_the_input_are_disjoint() -> None:
    with ModelServer(seed=7) as server:
        client = client_of(server)
        counted = client.messages.count_tokens(
            model="claude-haiku-4-5", system=HANDBOOK, messages=[{"role": "user", "content": "Hello"}]
        )
        usage = ask(client, "Hello", system=marked(HANDBOOK)).usage
    assert usage.input_tokens + usage.cache_creation_input_tokens == counted.input_tokens


def test_a_short_prefix_is_not_cached() -> None:
    with ModelServer(seed=7) as server:
        usage = ask(client_of(server), "Hello", system=marked("Be kind.")).usage
    assert usage.cache_creation_input_tokens == 0


def test_a_stream_thinks_first_and_says_the_same_as_a_whole_message() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    request = {"model": "claude-haiku-4-5", "max_tokens": 2_000, "thinking": thinking}
    messages = [{"role": "user", "content": "Hello"}]
    with ModelServer(seed=7) as server:
        whole = client_of(server).messages.create(**request, messages=messages)
    with ModelServer(seed=7) as server, client_of(server).messages.stream(**request, messages=messages) as stream:
        kinds = {event.type for event in stream}
        streamed = stream.get_final_message()
    assert [block.type for block in streamed.content] == ["thinking", "text"]
    assert streamed.content[1].text == whole.content[1].text
    assert streamed.content[0].signature == whole.content[0].signature
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert {"message_start", "content_block_delta", "message_delta", "message_stop"} <= kinds


def test_a_streamed_tool_call_arrives_in_parts_that_make_its_arguments() -> None:
    with (
        ModelServer(seed=7) as server,
        client_of(server).messages.stream(
            model="claude-haiku-4-5",
            max_tokens=500,
            tools=[WEATHER],
            messages=[{"role": "user", "content": "weather in Oslo"}],
        ) as stream,
    ):
        message = stream.get_final_message()
    assert message.content[0].input == {"city": "Oslo"}
    assert message.stop_reason == "tool_use"


def test_an_overloaded_provider_answers_529() -> None:
    script = Script(rules=(Rule(reply=Reply(fault=Fault(status=529))),))
    with ModelServer(script) as server, pytest.raises(anthropic.APIStatusError) as raised:
        ask(client_of(server), "Hello")
    assert raised.value.status_code == 529
    assert raised.value.body["error"]["type"] == "overloaded_error"


def test_a_stream_may_fail_in_the_middle_with_an_error_event() -> None:
    fault = Rule(reply=Reply(text="A longer answer that breaks.", fault=Fault(after_pieces=4)))
    with (
        ModelServer(Script(rules=(fault,))) as server,
        pytest.raises(anthropic.APIStatusError),
        client_of(server).messages.stream(
            model="claude-haiku-4-5", max_tokens=500, messages=[{"role": "user", "content": "Hello"}]
        ) as stream,
    ):
        stream.get_final_message()


def test_a_forced_tool_is_called() -> None:
    with ModelServer(seed=7) as server:
        message = ask(
            client_of(server), "Hello", tools=[WEATHER, TIME], tool_choice={"type": "tool", "name": "get_time"}
        )
    assert [block.name for block in message.content] == ["get_time"]
