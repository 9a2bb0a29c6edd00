"""The scripted model server under the genuine openai SDK."""

import json

import pytest

from pilothouse.testing import Fault, ModelServer, Reply, Rule, Script, ToolCall, Usage

openai = pytest.importorskip("openai")

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME = {"type": "function", "function": {**WEATHER["function"], "name": "get_time"}}
RESPONSES_WEATHER = {"type": "function", **WEATHER["function"]}


def client_of(server: ModelServer, **options):
    return openai.OpenAI(base_url=server.openai_url, api_key="none", **{"max_retries": 0, **options})


def ask(client, text, **options):
    return client.chat.completions.create(model="gpt-4.1-mini", messages=[{"role": "user", "content": text}], **options)


def test_a_question_is_answered_with_usage_and_the_dated_model() -> None:
    with ModelServer(seed=7) as server:
        answer = ask(client_of(server), "Hello there")
    assert answer.model == "gpt-4.1-mini-2025-04-14"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_two_tools_that_the_question_names_are_called_at_once_and_then_answered() -> None:
    with ModelServer(seed=7) as server:
        client = client_of(server)
        first = ask(client, "What are the weather and the time in Paris?", tools=[WEATHER, TIME])
        calls = first.choices[0].message.tool_calls
        assert [call.function.name for call in calls] == ["get_weather", "get_time"]
        assert json.loads(calls[0].function.arguments) == {"city": "Paris"}
        messages = [
            {"role": "user", "content": "What are the weather and the time in Paris?"},
            first.choices[0].message.model_dump(exclude_none=True),
            *({"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls),
        ]
        second = client.chat.completions.create(model="gpt-4.1-mini", messages=messages, tools=[WEATHER, TIME])
    assert second.choices[0].finish_reason == "stop"
    assert "get_weather says: sunny" in second.choices[0].message.content


@pytest.mark.parametrize("parallel", [True, False])
def test_a_stream_says_the_same_as_a_whole_answer(parallel: bool) -> None:
    options = {"tools": [WEATHER, TIME], "parallel_tool_calls": parallel}
    with ModelServer(seed=7) as server:
        whole = ask(client_of(server), "weather and time in Paris", **options)
    with ModelServer(seed=7) as server:
        stream = client_of(server).chat.completions.stream(
            model="gpt-4.1-mini",
            messages=[{"role": "user", "content": "weather and time in Paris"}],
            stream_options={"include_usage": True},
            **options,
        )
        with stream as events:
            list(events)
            streamed = events.get_final_completion()
    assert streamed.usage == whole.usage
    assert streamed.id == whole.id
    called = [call.function.arguments for call in streamed.choices[0].message.tool_calls]
    assert called == [call.function.arguments for call in whole.choices[0].message.tool_calls]
    assert len(called) == (2 if parallel else 1)


def test_usage_is_streamed_only_when_it_is_asked_for() -> None:
    with ModelServer(seed=7) as server:
        chunks = list(ask(client_of(server), "Hello", stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


def test_a_long_common_prefix_is_served_from_the_cache() -> None:
    messages = [{"role": "system", "content": "rule " * 2_000}, {"role": "user", "content": "Hello"}]
    with ModelServer(seed=7) as server:
        client = client_of(server)
        first = client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
        more = [*messages, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Go on"}]
        second = client.chat.completions.create(model="gpt-4.1-mini", messages=more)
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens_details.cached_tokens >= 2_432
    assert second.usage.prompt_tokens_details.cached_tokens % 128 == 0


def test_a_reasoning_model_counts_its_reasoning_inside_the_output() -> None:
    with ModelServer(seed=7) as server:
        answer = client_of(server).chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "Hello"}]
        )
    assert 0 < answer.usage.completion_tokens_details.reasoning_tokens < answer.usage.completion_tokens


def test_a_rate_limit_is_retried_by_the_sdk_after_the_time_the_server_asks_for() -> None:
    fault = Rule(user="busy", times=1, reply=Reply(fault=Fault(status=429, retry_after_s=0.01)))
    with ModelServer(Script(rules=(fault,))) as server:
        answer = ask(client_of(server, max_retries=1), "busy?")
        assert [request.status for request in server.requests] == [429, 200]
    assert answer.choices[0].message.content


def test_an_error_has_the_shape_and_the_class_of_the_provider() -> None:
    fault = Rule(reply=Reply(fault=Fault(status=500, message="The disk is full.")))
    with (
        ModelServer(Script(rules=(fault,))) as server,
        pytest.raises(openai.InternalServerError, match="The disk is full") as raised,
    ):
        ask(client_of(server), "Hello")
    assert raised.value.request_id


def test_a_stream_that_breaks_raises_in_the_sdk() -> None:
    fault = Rule(reply=Reply(text="A longer answer that breaks.", fault=Fault(after_pieces=2)))
    with ModelServer(Script(rules=(fault,))) as server:
        stream = ask(client_of(server), "Hello", stream=True)
        with pytest.raises(openai.APIConnectionError):
            list(stream)


def test_a_structured_answer_fits_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"verdict": {"enum": ["accept", "revise"]}, "score": {"type": "integer", "minimum": 3}},
        "required": ["verdict", "score"],
    }
    with ModelServer(seed=7) as server:
        answer = ask(
            client_of(server),
            "Please revise it",
            response_format={"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}},
        )
    content = json.loads(answer.choices[0].message.content)
    assert content["verdict"] == "revise"
    assert content["score"] >= 3


def test_the_output_limit_cuts_the_answer() -> None:
    with ModelServer(seed=7) as server:
        answer = ask(client_of(server), "Hello", max_completion_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert len(answer.choices[0].message.content) == 20


def test_a_response_calls_a_tool_and_continues_from_its_identifier() -> None:
    with ModelServer(seed=7) as server:
        client = client_of(server)
        first = client.responses.create(model="gpt-5-mini", input="weather in Rome", tools=[RESPONSES_WEATHER])
        call = next(item for item in first.output if item.type == "function_call")
        second = client.responses.create(
            model="gpt-5-mini",
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
        )
    assert json.loads(call.arguments) == {"city": "Rome"}
    assert second.output_text.startswith("get_weather says: sunny")
    assert second.usage.output_tokens_details.reasoning_tokens > 0


def test_a_streamed_response_ends_with_the_whole_one() -> None:
    with (
        ModelServer(seed=7) as server,
        client_of(server).responses.stream(model="gpt-5-mini", input="Hello") as stream,
    ):
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.output_text.delta" in kinds
    assert final.output_text


def test_a_script_may_fix_the_exact_usage() -> None:
    usage = Usage(input_tokens=1_000, cache_read_tokens=900, output_tokens=50, reasoning_tokens=20)
    with ModelServer(Script(rules=(Rule(reply=Reply(text="Yes.", usage=usage)),))) as server:
        answer = ask(client_of(server), "Hello")
    assert answer.usage.prompt_tokens == 1_000
    assert answer.usage.prompt_tokens_details.cached_tokens == 900
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20


def test_embeddings_are_close_for_texts_that_share_words() -> None:
    with ModelServer() as server:
        made = client_of(server).embeddings.create(
            model="text-embedding-3-small", input=["red green", "red green blue", "tax"], dimensions=64
        )
    first, second, third = (item.embedding for item in made.data)
    assert sum(a * b for a, b in zip(first, second, strict=True)) > 0.7
    assert abs(sum(a * b for a, b in zip(first, third, strict=True))) < 0.5


def test_models_are_listed_and_a_wrong_key_is_refused() -> None:
    with ModelServer(api_key="right") as server:
        assert openai.OpenAI(base_url=server.openai_url, api_key="right").models.list().data
        with pytest.raises(openai.AuthenticationError):
            ask(client_of(server), "Hello")


def test_the_server_keeps_what_it_was_asked() -> None:
    script = {"rules": [{"user": "call", "reply": {"calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}}]}
    with ModelServer(script) as server:
        answer = ask(client_of(server), "call it")
        (request,) = server.requests
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"city":"Oslo"}'
    assert request.wire == "openai-chat"
    assert request.body["messages"][0]["content"] == "call it"
    assert request.headers["authorization"] == "Bearer none"


def test_equal_seeds_give_equal_answers_whatever_else_was_asked_before() -> None:
    def answers(seed: int, *questions: str) -> dict[str, str]:
        with ModelServer(seed=seed) as server:
            client = client_of(server)
            return {question: ask(client, question).id for question in questions}

    assert answers(7, "one", "two")["two"] == answers(7, "two")["two"]
    assert answers(7, "one") != answers(8, "one")


def test_a_scripted_tool_call_keeps_its_identifier() -> None:
    reply = Reply(calls=(ToolCall(name="get_weather", call_id="call_1"),))
    with ModelServer(Script(rules=(Rule(reply=reply),))) as server:
        answer = ask(client_of(server), "Hello")
    assert answer.choices[0].message.tool_calls[0].id == "call_1"
