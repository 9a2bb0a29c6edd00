"""A whole answer as the stream that its provider would have sent; None where something of it has no place there.

An answer asked for in the form it was kept in is given byte for byte and never comes through here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

_CHAT_HEAD: Final = ("id", "created", "model", "system_fingerprint", "service_tier")
_CHAT_KEYS: Final = {*_CHAT_HEAD, "object", "choices", "usage"}
_CHAT_MESSAGE: Final = {"role", "content", "refusal", "annotations", "tool_calls", "reasoning_content"}
_EMPTY: Final[tuple[Any, ...]] = (None, [], "", {})
_TEXT_PART: Final = {"type", "text", "annotations", "logprobs"}


def streamed(answer: Mapping[str, Any], *, wire: str, operation: str, options: Mapping[str, Any]) -> bytes | None:
    """The stream of a whole answer. ``options``: the request's ``stream_options``."""
    events: list[tuple[str, dict[str, Any]]] | None = None
    if operation == "chat" and wire == "openai":
        return _chat(answer, options)
    if operation == "chat":
        events = _message(answer)
    elif operation == "responses":
        events = _response(answer)
    if events is None:
        return None
    return b"".join(f"event: {name}\n".encode() + _data({"type": name, **body}) for name, body in events)


def _chat(answer: Mapping[str, Any], options: Mapping[str, Any]) -> bytes | None:
    choices = _dicts(answer.get("choices"))
    if set(answer) - _CHAT_KEYS or not choices or set(options) - {"include_usage"}:
        return None
    usage = options.get("include_usage") is True
    head: dict[str, Any] = {name: answer[name] for name in _CHAT_HEAD if name in answer}
    head["object"] = "chat.completion.chunk"
    # With usage asked for, each piece but the last says that it has none.
    more: dict[str, Any] = {"usage": None} if usage else {}
    pieces: list[dict[str, Any]] = []
    for choice in choices:
        message = _mapping(choice.get("message"))
        if choice.get("logprobs") not in _EMPTY or set(message) - _CHAT_MESSAGE or message.get("annotations"):
            return None
        index = choice.get("index", 0)
        deltas = list(_deltas(message))
        pieces += [{"choices": [{"index": index, "delta": delta, "finish_reason": None}]} for delta in deltas]
        end = {"index": index, "delta": dict[str, Any](), "finish_reason": choice.get("finish_reason")}
        pieces.append({"choices": [end]})
    events = [_data({**head, **piece, **more}) for piece in pieces]
    if usage:
        events.append(_data({**head, "choices": list[Any](), "usage": answer.get("usage")}))
    return b"".join((*events, b"data: [DONE]\n\n"))


def _deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if message.get("content") is not None else None, "refusal": None}
    for name in ("reasoning_content", "content", "refusal"):
        if message.get(name):
            yield {name: message[name]}
    for number, call in enumerate(_dicts(message.get("tool_calls"))):
        yield {"tool_calls": [{"index": number, **call}]}


def _message(answer: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]] | None:
    usage = _mapping(answer.get("usage"))
    started = {**answer, "content": list[Any](), "stop_reason": None, "stop_sequence": None}
    started["usage"] = {**usage, "output_tokens": min(1, int(usage.get("output_tokens") or 0))}
    events: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": started})]
    for index, block in enumerate(_dicts(answer.get("content"))):
        kind = block.get("type")
        if kind == "text" and not block.get("citations"):
            begun, deltas = {**block, "text": ""}, [{"type": "text_delta", "text": block.get("text")}]
        elif kind == "thinking":
            begun = {**block, "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block.get("thinking")},
                {"type": "signature_delta", "signature": block.get("signature")},
            ]
        elif kind == "tool_use":
            begun = {**block, "input": dict[str, Any]()}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block.get("input"))}]
        else:
            return None
        events.append(("content_block_start", {"index": index, "content_block": begun}))
        events += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        events.append(("content_block_stop", {"index": index}))
    ended = {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")}
    events.append(("message_delta", {"delta": ended, "usage": {"output_tokens": usage.get("output_tokens")}}))
    events.append(("message_stop", {}))
    return events


def _response(answer: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]] | None:
    begun = {**answer, "status": "in_progress", "output": list[Any](), "usage": None}
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
    ]
    for index, item in enumerate(_dicts(answer.get("output"))):
        at: dict[str, Any] = {"item_id": item.get("id"), "output_index": index}
        started = {**item, "status": "in_progress"} if "status" in item else dict(item)
        inner: list[tuple[str, dict[str, Any]]] = []
        if item.get("type") == "message":
            started["content"] = []
            for number, part in enumerate(_dicts(item.get("content"))):
                if part.get("type") != "output_text" or set(part) - _TEXT_PART or part.get("annotations"):
                    return None
                here = {**at, "content_index": number}
                inner += [
                    ("response.content_part.added", {**here, "part": {**part, "text": ""}}),
                    ("response.output_text.delta", {**here, "delta": part.get("text"), "logprobs": []}),
                    ("response.output_text.done", {**here, "text": part.get("text"), "logprobs": []}),
                    ("response.content_part.done", {**here, "part": part}),
                ]
        elif item.get("type") == "function_call":
            started["arguments"] = ""
            given = item.get("arguments")
            inner += [
                ("response.function_call_arguments.delta", {**at, "delta": given}),
                ("response.function_call_arguments.done", {**at, "arguments": given, "name": item.get("name")}),
            ]
        elif item.get("type") != "reasoning":
            return None
        events.append(("response.output_item.added", {"output_index": index, "item": started}))
        events += inner
        events.append(("response.output_item.done", {"output_index": index, "item": item}))
    end = "response.completed" if answer.get("status") == "completed" else "response.incomplete"
    events.append((end, {"response": dict(answer)}))
    return [(name, {**body, "sequence_number": number}) for number, (name, body) in enumerate(events)]


def loses_nothing(events: Iterator[Mapping[str, Any]]) -> bool:
    """Whether what a stream's events say can all be found in the whole answer that is put together from them."""
    for event in events:
        kind = event.get("type")
        if isinstance(kind, str) and kind.startswith("response."):
            continue
        if kind == "content_block_delta" and _mapping(event.get("delta")).get("type") == "citations_delta":
            return False
        for choice in _dicts(event.get("choices")):
            delta = set(_mapping(choice.get("delta")))
            if choice.get("logprobs") not in _EMPTY or delta - _CHAT_MESSAGE:
                return False
    return True


def _data(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, dict)]
