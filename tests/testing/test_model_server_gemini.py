"""The scripted model server's Gemini format; google-adk drives it in tests/clients."""

import json
import urllib.error
import urllib.request

import pytest

from pilothouse.testing import ModelServer

TOOLS = [
    {
        "functionDeclarations": [
            {"name": "get_weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}
        ]
    }
]


def post(server: ModelServer, call: str, body: dict) -> str:
    request = urllib.request.Request(
        f"{server.gemini_url}/v1beta/models/gemini-2.5-flash:{call}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "x-goog-api-key": "none"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


def user(text: str) -> dict:
    return {"role": "user", "parts": [{"text": text}]}


def test_a_tool_is_called_and_its_result_answered() -> None:
    with ModelServer(seed=7) as server:
        body = {"contents": [user("weather in Oslo")], "tools": TOOLS}
        first = json.loads(post(server, "generateContent", body))
        content = first["candidates"][0]["content"]
        call = content["parts"][0]["functionCall"]
        result = {"functionResponse": {"name": call["name"], "response": {"result": "sunny"}}}
        body["contents"] += [content, {"role": "user", "parts": [result]}]
        second = json.loads(post(server, "generateContent", body))
    assert call["args"] == {"city": "Oslo"}
    assert "sunny" in second["candidates"][0]["content"]["parts"][0]["text"]


def test_thoughts_are_counted_beside_the_candidates() -> None:
    config = {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 128}}
    with ModelServer(seed=7) as server:
        body = {"contents": [user("Hello")], "generationConfig": config}
        answer = json.loads(post(server, "generateContent", body))
    counts = answer["usageMetadata"]
    assert answer["candidates"][0]["content"]["parts"][0]["thought"] is True
    parts = counts["promptTokenCount"] + counts["candidatesTokenCount"] + counts["thoughtsTokenCount"]
    assert counts["totalTokenCount"] == parts


def test_a_stream_comes_as_events_or_as_one_list() -> None:
    with ModelServer(seed=7) as server:
        events = post(server, "streamGenerateContent?alt=sse", {"contents": [user("Hello")]})
    with ModelServer(seed=7) as server:
        rows = json.loads(post(server, "streamGenerateContent", {"contents": [user("Hello")]}))
    pieces = [json.loads(line.removeprefix("data: ")) for line in events.split("\n\n") if line]
    assert pieces == rows
    assert pieces[-1]["candidates"][0]["finishReason"] == "STOP"
    assert "finishReason" not in pieces[0]["candidates"][0]


def test_an_error_has_the_shape_of_the_provider() -> None:
    script = {"rules": [{"reply": {"fault": {"status": 429, "retry_after_s": 2}}}]}
    with ModelServer(script) as server, pytest.raises(urllib.error.HTTPError) as raised:
        post(server, "generateContent", {"contents": [user("Hello")]})
    assert raised.value.headers["Retry-After"] == "2"
    assert json.loads(raised.value.read())["error"]["status"] == "RESOURCE_EXHAUSTED"


def test_texts_are_embedded_alone_or_in_batches() -> None:
    content = {"content": {"parts": [{"text": "red"}]}, "outputDimensionality": 16}
    with ModelServer() as server:
        alone = json.loads(post(server, "embedContent", content))
        batch = json.loads(post(server, "batchEmbedContents", {"requests": [content, content]}))
    assert len(alone["embedding"]["values"]) == 16
    assert batch["embeddings"] == [alone["embedding"]] * 2
