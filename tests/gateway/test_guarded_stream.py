"""A streamed answer behind the gates goes on while it comes: nothing unchecked, nothing lost, nothing of a key in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse.gateway.call import Call
from pilothouse.gateway.endpoints import find
from pilothouse.gateway.guarded_stream import GuardedStream, streams
from pilothouse.gateway.guarding import GuardBlocked
from pilothouse.gateway.labels import read
from pilothouse.guards import Guard, Guards

SECRET = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
REWRITE: dict[str, Any] = {"output": [{"check": "secrets", "action": "rewrite"}], "tool_arguments": []}
BLOCK: dict[str, Any] = {
    "output": [{"check": "terms", "topics": {"banned": ["forbidden-word"]}, "action": "block"}],
    "tool_arguments": [],
}
WORDS = "the quick brown fox jumps over the lazy dog " * 20


def guard_of(section: dict[str, Any]) -> Guard:
    found = Guards(lambda: ("v1", section)).now()
    assert found is not None
    return found


def call_of(wire: str, **body: Any) -> Call:
    path = "/gateway/openai/v1/chat/completions" if wire == "openai" else "/gateway/anthropic/v1/messages"
    endpoint = find("POST", path)
    assert endpoint is not None
    return Call(
        project_id="p",
        key_id="k",
        endpoint=endpoint,
        labels=read({}),
        model="m",
        stream=True,
        request=json.dumps({"model": "m", "stream": True, **body}).encode(),
        started_ns=1,
        content_type="text/event-stream",
    )


def events_of(wire: str, text: str) -> list[bytes]:
    words = [text[at : at + 7] for at in range(0, len(text), 7)]
    if wire == "openai":
        first = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        middle = [{"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]} for word in words]
        return [b"data: " + json.dumps(one).encode() + b"\n\n" for one in (first, *middle, last)] + [
            b"data: [DONE]\n\n"
        ]
    body = [
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_stop"},
    ]
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in body]


def said(wire: str, stream: bytes) -> str:
    lines = [line[6:] for line in stream.decode().split("\n") if line.startswith("data: {")]
    bodies = [json.loads(line) for line in lines]
    if wire == "openai":
        return "".join(choice["delta"].get("content") or "" for body in bodies for choice in body["choices"])
    return "".join(body["delta"]["text"] for body in bodies if body["type"] == "content_block_delta")


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_words_go_on_before_the_end_and_all_of_them_arrive(wire: str) -> None:
    stream = GuardedStream(guard_of(REWRITE), call_of(wire))
    events = events_of(wire, WORDS)
    early = b"".join(stream.feed(event) for event in events[: len(events) // 2])
    assert 50 < len(said(wire, early)) < len(WORDS) / 2
    rest = b"".join(stream.feed(event) for event in events[len(events) // 2 :]) + stream.finish()
    assert said(wire, early + rest) == WORDS
    assert (early + rest).endswith(events[-1])


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_secret_in_the_middle_never_leaves_however_it_is_cut(wire: str) -> None:
    text = f"{WORDS} the token is {SECRET}, keep it. {WORDS}"
    stream = GuardedStream(guard_of(REWRITE), call_of(wire))
    whole = b"".join(events_of(wire, text))
    out = b"".join(stream.feed(whole[at : at + 61]) for at in range(0, len(whole), 61)) + stream.finish()
    found = said(wire, out)
    assert SECRET[:12] not in found
    assert found.startswith(WORDS) and found.endswith(WORDS) and ", keep it." in found


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_what_a_gate_blocks_stops_and_from_its_beginning_nothing_leaves(wire: str) -> None:
    stream = GuardedStream(guard_of(BLOCK), call_of(wire))
    out: list[bytes] = []
    with pytest.raises(GuardBlocked):
        for event in events_of(wire, f"Say forbidden-word now. {WORDS}"):
            out.append(stream.feed(event))
        stream.finish()
    assert b"".join(out) == b""


def test_what_has_to_be_whole_is_not_streamed() -> None:
    tools = {**REWRITE, "tool_arguments": [{"check": "secrets", "action": "block"}]}
    assert streams(guard_of(REWRITE), call_of("openai", tools=[{}]))
    assert not streams(guard_of(tools), call_of("openai", tools=[{}]))
    assert streams(guard_of(tools), call_of("openai"))


def test_a_tool_that_was_not_offered_is_not_called_past_its_gate() -> None:
    tools = {**REWRITE, "tool_arguments": [{"check": "secrets", "action": "block"}]}
    delta = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}, "finish_reason": None}]}
    with pytest.raises(GuardBlocked, match="not offered"):
        GuardedStream(guard_of(tools), call_of("openai")).feed(b"data: " + json.dumps(delta).encode() + b"\n\n")


def test_an_event_that_cannot_be_read_is_not_passed_on() -> None:
    with pytest.raises(GuardBlocked, match="cannot be read"):
        GuardedStream(guard_of(REWRITE), call_of("openai")).feed(b"data: {half\n\n")
