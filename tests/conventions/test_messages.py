"""One conversation, told by every provider and framework, is one list of hashes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse.conventions.messages import read_conversation, read_messages, read_system

ARGUMENTS = {"city": "Paris", "days": 2}
TEXT = "Let me look."
RESULT = '{"sky":"rain"}'

TELLINGS: dict[str, list[Any]] = {
    "otel": [
        {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": TEXT},
                {"type": "tool_call", "id": "c1", "name": "weather", "arguments": ARGUMENTS},
            ],
            "finish_reason": "tool_call",
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"sky": "rain"}}]},
    ],
    "openai chat": [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": TEXT,
            "refusal": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"days": 2, "city": "Paris"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": RESULT},
    ],
    "openai responses": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": TEXT, "annotations": []},
                {
                    "type": "function_call",
                    "id": "fc_1",
                    "call_id": "c1",
                    "name": "weather",
                    "arguments": json.dumps(ARGUMENTS),
                    "status": "completed",
                },
            ],
        },
        {"type": "function_call_output", "call_id": "c1", "output": RESULT},
    ],
    "anthropic": [
        {"role": "user", "content": [{"type": "text", "text": "Weather?", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": TEXT},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": ARGUMENTS},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": RESULT}]},
    ],
    "bedrock": [
        {"role": "user", "content": [{"text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"text": TEXT},
                {"toolUse": {"toolUseId": "c1", "name": "weather", "input": ARGUMENTS}},
            ],
        },
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": RESULT}]}}]},
    ],
    "gemini": [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {
            "role": "model",
            "parts": [{"text": TEXT}, {"functionCall": {"id": "c1", "name": "weather", "args": ARGUMENTS}}],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "c1", "name": "weather", "response": {"sky": "rain"}}}],
        },
    ],
    "langchain": [
        {"type": "human", "content": "Weather?", "additional_kwargs": {}, "example": False},
        {
            "type": "ai",
            "content": TEXT,
            "tool_calls": [{"name": "weather", "args": ARGUMENTS, "id": "c1", "type": "tool_call"}],
            "usage_metadata": {"input_tokens": 3},
        },
        {"type": "tool", "content": RESULT, "name": "weather", "tool_call_id": "c1", "status": "success"},
    ],
    "vercel": [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": TEXT},
                {"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "input": ARGUMENTS},
            ],
        },
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "c1",
                    "toolName": "weather",
                    "output": {"type": "json", "value": {"sky": "rain"}},
                }
            ],
        },
    ],
    "pydantic-ai": [
        {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": TEXT},
                {"type": "tool_call", "id": "c1", "name": "weather", "arguments": json.dumps(ARGUMENTS)},
            ],
        },
        {
            "role": "user",
            "parts": [{"type": "tool_call_response", "id": "c1", "name": "weather", "result": {"sky": "rain"}}],
        },
    ],
}


@pytest.mark.parametrize("dialect", TELLINGS)
def test_a_conversation_has_the_same_hashes_in_every_shape(dialect: str) -> None:
    expected = [item.hash for item in read_messages(TELLINGS["otel"])]

    assert [item.hash for item in read_messages(TELLINGS[dialect])] == expected
    assert [item.hash for item in read_messages(json.dumps(TELLINGS[dialect]))] == expected
    assert read_conversation(TELLINGS[dialect]) is not None


def test_a_message_seen_again_is_the_same_object() -> None:
    first = read_messages(json.dumps(TELLINGS["anthropic"]))
    again = read_messages(json.dumps(TELLINGS["anthropic"]))

    assert all(one is other for one, other in zip(first, again, strict=True))


def test_several_tool_results_in_one_user_message_become_tool_messages() -> None:
    content = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}]},
        {"type": "tool_result", "tool_use_id": "b", "content": "no such file", "is_error": True},
        {"type": "text", "text": "go on"},
    ]

    one, two, three = read_messages([{"role": "user", "content": content}])

    assert (one.role, two.role, three.role) == ("tool", "tool", "user")
    assert (one.text, two.text, three.text) == ("1", "no such file", "go on")
    assert two.parts[0].extra == {"is_error": True}


def test_what_is_no_message_is_kept_whole() -> None:
    (said,) = read_messages('{"query": "ducks", "k": 3}')

    assert said.role == "user"
    assert json.loads(said.text) == {"query": "ducks", "k": 3}
    assert read_conversation('{"query": "ducks"}') is None
    assert read_conversation("plain words") is None


def test_a_part_of_an_unknown_type_is_kept_whole() -> None:
    (said,) = read_messages([{"role": "user", "parts": [{"type": "hologram", "beam": [1, 2]}]}])

    assert said.parts[0].type == "other"
    assert said.parts[0].extra == {"type": "hologram", "beam": [1, 2]}


def test_media_in_every_shape_becomes_an_address_and_a_media_type() -> None:
    shapes = [
        {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        {"type": "uri", "modality": "image", "uri": "https://x/a.png"},
        {"type": "file", "modality": "audio", "file_id": "f1"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    ]

    parts = read_messages([{"role": "user", "content": shapes}])[0].parts

    assert [part.type for part in parts] == ["media"] * len(shapes)
    assert [part.uri for part in parts] == [
        "https://x/a.png",
        "data:image/png;base64,AAAA",
        "data:image/png;base64,AAAA",
        "https://x/a.png",
        "f1",
        "data:image/png;base64,AAAA",
    ]
    assert [part.mime for part in parts] == ["image", "image/png", "image/png", "image", "audio", "image/png"]


def test_large_integers_in_arguments_stay_exact() -> None:
    call = {"id": "c", "function": {"name": "pay", "arguments": '{"account": 12345678901234567890123}'}}

    (said,) = read_messages([{"role": "assistant", "tool_calls": [call]}])

    assert said.parts[0].arguments == {"account": 12345678901234567890123}


def test_system_instructions_are_text_or_parts() -> None:
    assert read_system("Be kind.")[0].hash == read_system([{"type": "text", "content": "Be kind."}])[0].hash
    assert read_system('[{"type": "text", "content": "Be kind."}]')[0].role == "system"
    assert read_system("") == ()
