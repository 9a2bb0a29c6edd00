"""The pass-through changes nothing and keeps everything; what it kept is read the same in every provider's form."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest

from pilothouse.testing import ModelProxy, ModelServer, read_traffic

TOOL = {"name": "get_weather", "description": "Tell the weather.", "parameters": {"type": "object"}}
SCRIPT = {
    "rules": [
        {"after_tool": "get_weather", "reply": {"text": "It is sunny."}},
        {"user": "weather", "reply": {"calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}},
        {"user": "refuse", "reply": {"fault": {"status": 529}}},
        {"user": "break", "reply": {"text": "one two three four five six", "fault": {"after_pieces": 2}}},
    ]
}


def post(url: str, body: Any, headers: dict[str, str] | None = None) -> bytes:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def routes(models: ModelServer) -> dict[str, str]:
    return {"openai": models.openai_url, "anthropic": models.anthropic_url, "gemini": models.gemini_url}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_openai_conversation_is_read_as_it_was(stream: bool) -> None:
    with ModelServer(SCRIPT, seed=3) as models, ModelProxy(routes(models)) as proxy:
        ask = {"role": "user", "content": "the weather in Oslo?"}
        body = {"model": "gpt-4.1-mini", "messages": [ask], "tools": [{"type": "function", "function": TOOL}]}
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        through = post(proxy.url("openai") + "/chat/completions", {**body, **more})
        with ModelServer(SCRIPT, seed=3) as same:
            assert through == post(same.openai_url + "/chat/completions", {**body, **more})
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
        history = [
            ask,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ]
        post(proxy.url("openai") + "/chat/completions", {**body, **more, "messages": history})
        truth = [request.usage.output_tokens for request in models.requests if request.usage]
    first, second = read_traffic(proxy.calls)
    assert [first.output_tokens, second.output_tokens] == truth
    assert first.ok
    assert first.model == second.model == "gpt-4.1-mini-2025-04-14"
    assert (first.finish_reason, second.finish_reason) == ("tool_calls", "stop")
    assert first.handed == ()
    assert [(one.id, one.text) for one in second.handed] == [("call_1", "sunny")]
    assert [(one.id, one.name, one.arguments) for one in second.asked] == [
        ("call_1", "get_weather", '{"city": "Oslo"}')
    ]
    assert first.call.start_ns <= first.call.end_ns <= second.call.start_ns


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_responses_and_anthropic_and_gemini_are_read_too(stream: bool) -> None:
    ask = "the weather in Oslo?"
    with ModelServer(SCRIPT, seed=3) as models, ModelProxy(routes(models)) as proxy:
        post(
            proxy.url("openai") + "/responses",
            {"model": "gpt-5-mini", "input": ask, "stream": stream, "tools": [{"type": "function", **TOOL}]},
        )
        tools = [{"name": "get_weather", "input_schema": {"type": "object"}}]
        used = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Oslo"}}
        post(
            proxy.url("anthropic") + "/v1/messages",
            {
                "model": "claude-haiku-4-5",
                "max_tokens": 100,
                "stream": stream,
                "tools": tools,
                "messages": [
                    {"role": "user", "content": ask},
                    {"role": "assistant", "content": [used]},
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "t1",
                                "content": [{"type": "text", "text": "rain"}],
                            }
                        ],
                    },
                ],
            },
            {"x-api-key": "none", "anthropic-version": "2023-06-01"},
        )
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        answered = {"functionResponse": {"name": "get_weather", "response": {"sky": "grey"}}}
        post(
            proxy.url("gemini") + f"/v1beta/models/gemini-2.5-flash:{verb}",
            {
                "contents": [
                    {"role": "user", "parts": [{"text": ask}]},
                    {"role": "model", "parts": [{"functionCall": {"name": "get_weather", "args": {"city": "Oslo"}}}]},
                    {"role": "user", "parts": [answered]},
                ],
                "tools": [{"functionDeclarations": [TOOL]}],
            },
        )
        truth = [request.usage.output_tokens for request in models.requests if request.usage]
    responses, anthropic, gemini = read_traffic(proxy.calls)
    assert [one.output_tokens for one in (responses, anthropic, gemini)] == truth
    assert [tool.name for tool in responses.asked] == ["get_weather"]
    assert json.loads(responses.asked[0].arguments) == {"city": "Oslo"}
    assert [(one.id, one.text) for one in anthropic.handed] == [("t1", "rain")]
    assert [(one.name, json.loads(one.text)) for one in gemini.handed] == [("get_weather", {"sky": "grey"})]
    assert anthropic.finish_reason == "end_turn"
    assert responses.model.startswith("gpt-5-mini")
    assert gemini.model.startswith("gemini-2.5-flash")


def test_a_refusal_passes_as_it_is_and_is_kept() -> None:
    with ModelServer(SCRIPT) as models, ModelProxy(routes(models)) as proxy:
        body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "refuse"}]}
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(proxy.url("openai") + "/chat/completions", body)
    assert refused.value.code == 529
    assert [(one.ok, one.output_tokens) for one in read_traffic(proxy.calls)] == [(False, None)]


def test_an_endpoint_that_is_away_is_a_502_that_says_so() -> None:
    with ModelServer() as models:
        gone = models.openai_url
    with ModelProxy({"openai": gone}) as proxy, pytest.raises(urllib.error.HTTPError) as refused:
        post(proxy.url("openai") + "/chat/completions", {})
    assert refused.value.code == 502
    assert b"does not answer" in refused.value.read()


def test_a_stream_that_breaks_off_breaks_off_here_too() -> None:
    with ModelServer(SCRIPT) as models, ModelProxy(routes(models)) as proxy:
        body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "break"}], "stream": True}
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            post(proxy.url("openai") + "/chat/completions", body)
        assert proxy.calls[0].answer.startswith(b"data:")


def test_what_is_no_generation_passes_and_does_not_count() -> None:
    with ModelServer() as models, ModelProxy(routes(models)) as proxy:
        with urllib.request.urlopen(proxy.url("openai") + "/models", timeout=30) as answer:
            assert json.loads(answer.read())["data"]
        post(proxy.url("openai") + "/embeddings", {"model": "text-embedding-3-small", "input": "x"})
        assert len(proxy.calls) == 2
        assert read_traffic(proxy.calls) == ()
        address = urlsplit(proxy.address)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        connection.request("GET", "/elsewhere/models")
        assert connection.getresponse().status == 404
        connection.close()


def test_a_replay_gives_the_answers_in_turn_without_asking_again() -> None:
    with ModelServer(seed=1) as models, ModelProxy(routes(models)) as proxy:
        body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "hello"}]}
        url = proxy.url("openai") + "/chat/completions"
        answers = [post(url, body), post(url, body)]
        asked = len(models.requests)
        proxy.replay = True
        assert [post(url, body) for _ in range(4)] == answers * 2
        assert len(models.requests) == asked
        post(url, {**body, "temperature": 0.5})
        assert len(models.requests) == asked + 1
        proxy.remember = False
        other = {**body, "temperature": 0.7}
        post(url, other), post(url, other)
        assert len(models.requests) == asked + 3
    assert [call.replayed for call in proxy.calls] == [False, False, True, True, True, True, *[False] * 3]
