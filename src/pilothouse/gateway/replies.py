"""Answers without a model: one that was given earlier to the same request, or a text of the policy, as the wire has it."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from .call import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A whole answer, ready to be sent."""

    body: bytes
    content_type: str
    encoding: str = ""


def key_of(call: Call) -> str:
    """What makes two calls the same: project, user, address and every byte of the body."""
    digest = hashlib.sha256()
    user = call.labels.attributes.get("user.id", "")
    for part in (call.project_id, user, call.endpoint.wire, call.endpoint.path):
        digest.update(part.encode() + b"\0")
    digest.update(call.request)
    return digest.hexdigest()


def kept(call: Call) -> StandIn:
    """A call's answer, to be given again."""
    body = b"".join(piece for _, piece in call.pieces)
    return StandIn(body=body, content_type=call.content_type, encoding=call.encoding)


def template(call: Call, text: str) -> StandIn | None:
    """A text as an answer of the endpoint, whole or as a stream; None where it gives no text."""
    key = call.labels.span_id
    operation, wire = call.endpoint.operation, call.endpoint.wire
    if operation == "chat" and wire == "openai":
        return _chat(call.model, text, key, stream=call.stream)
    if operation == "chat":
        return _message(call.model, text, key, stream=call.stream)
    if operation == "responses":
        return _response(call.model, text, key, stream=call.stream)
    return None


def _chat(model: str, text: str, key: str, *, stream: bool) -> StandIn:
    shared = {"id": f"chatcmpl-{key}", "created": int(time.time()), "model": model}
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if not stream:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return _whole({**shared, "object": "chat.completion", "choices": [choice], "usage": usage})
    piece = {**shared, "object": "chat.completion.chunk"}
    first = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    last = {"index": 0, "delta": dict[str, Any](), "finish_reason": "stop"}
    events = [_data({**piece, "choices": [first]}), _data({**piece, "choices": [last]}), b"data: [DONE]\n\n"]
    return _stream(events)


def _message(model: str, text: str, key: str, *, stream: bool) -> StandIn:
    usage = {"input_tokens": 0, "output_tokens": 0}
    shared = {"id": f"msg_{key}", "type": "message", "role": "assistant", "model": model, "stop_sequence": None}
    if not stream:
        content = [{"type": "text", "text": text}]
        return _whole({**shared, "content": content, "stop_reason": "end_turn", "usage": usage})
    block = {"type": "text", "text": ""}
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": {**shared, "content": [], "stop_reason": None, "usage": usage}}),
        ("content_block_start", {"index": 0, "content_block": block}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 0}}),
        ("message_stop", {}),
    ]
    return _stream([_named(name, {"type": name, **body}) for name, body in events])


def _response(model: str, text: str, key: str, *, stream: bool) -> StandIn:
    part = {"type": "output_text", "text": text, "annotations": list[Any]()}
    item = {"type": "message", "id": f"msg_{key}", "status": "completed", "role": "assistant", "content": [part]}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    whole: dict[str, Any] = {
        "id": f"resp_{key}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "model": model,
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": list[Any](),
        "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, **details},
    }
    if not stream:
        return _whole(whole)
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": {**whole, "status": "in_progress", "output": []}}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
        ("response.content_part.added", {**at, "part": {**part, "text": ""}}),
        ("response.output_text.delta", {**at, "delta": text, "logprobs": []}),
        ("response.output_text.done", {**at, "text": text, "logprobs": []}),
        ("response.content_part.done", {**at, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": whole}),
    ]
    numbered = enumerate(events)
    return _stream([_named(name, {"type": name, "sequence_number": n, **body}) for n, (name, body) in numbered])


def _whole(body: dict[str, Any]) -> StandIn:
    return StandIn(body=json.dumps(body).encode(), content_type="application/json")


def _stream(events: list[bytes]) -> StandIn:
    return StandIn(body=b"".join(events), content_type="text/event-stream")


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _named(name: str, body: dict[str, Any]) -> bytes:
    return f"event: {name}\n".encode() + _data(body)
