"""Anthropic messages: POST /v1/messages."""

from collections.abc import Iterator
from typing import Any, Literal

from pilothouse.testing.exchange import Answer, ModelRequest, Segment, ToolCall, ToolOffer, ToolResult, Turn, pieces
from pilothouse.testing.jsons import JsonObject, as_count, as_object, as_text, compact, objects
from pilothouse.testing.wire.format import Wire, WireError, event, list_of, model_of, needed, prompt_text, text_of

_STOP = {"stop": "end_turn", "tools": "tool_use", "length": "max_tokens"}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def read(body: JsonObject) -> ModelRequest:
    """Understand the body of a message request."""
    messages = list_of(body, "messages")
    needed(body, "max_tokens")
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for message in messages:
        turns.extend(_turns(message, names))
    choice = as_object(body.get("tool_choice"))
    output = as_object(body.get("output_config") or body.get("output_format"))
    schema = as_object(output.get("format") or output).get("schema")
    return ModelRequest(
        wire="anthropic-messages",
        model=model_of(body),
        stream=body.get("stream") is True,
        system=text_of(body.get("system")),
        turns=tuple(turns),
        tools=tuple(_offer(tool) for tool in objects(body.get("tools")) if "input_schema" in tool),
        segments=_segments(body, messages),
        tool_choice=_choice(choice),
        parallel_calls=choice.get("disable_parallel_tool_use") is not True,
        output_schema=as_object(schema) or None,
        output_tokens_max=as_count(body.get("max_tokens")),
        reasoning=as_object(body.get("thinking")).get("type") in ("enabled", "adaptive"),
        explicit_cache=True,
        call_id_prefix="toolu_01",
        body=body,
    )


def render(request: ModelRequest, answer: Answer) -> JsonObject:
    """Write the answer as a message object."""
    return {
        **_head(answer),
        "content": _blocks(answer),
        "stop_reason": _STOP[answer.stop],
        "stop_sequence": None,
        "usage": usage(answer),
    }


def stream(request: ModelRequest, answer: Answer) -> Iterator[str]:
    """Write the answer as message_start, content blocks, message_delta and message_stop."""
    start: JsonObject = {**_head(answer), "content": [], "stop_reason": None, "stop_sequence": None}
    # The first event already counts the input; the output is corrected in message_delta.
    yield _event("message_start", {"message": {**start, "usage": {**usage(answer), "output_tokens": 1}}})
    for index, block in enumerate(_blocks(answer)):
        empty, deltas = _deltas(block)
        yield _event("content_block_start", {"index": index, "content_block": empty})
        if index == 0:
            yield _event("ping", {})
        for delta in deltas:
            yield _event("content_block_delta", {"index": index, "delta": delta})
        yield _event("content_block_stop", {"index": index})
    counts = usage(answer)
    totals = {key: counts[key] for key in counts if key not in ("cache_creation", "service_tier")}
    delta = {"stop_reason": _STOP[answer.stop], "stop_sequence": None}
    yield _event("message_delta", {"delta": delta, "usage": totals})
    yield _event("message_stop", {})


def error(status: int, message: str) -> JsonObject:
    """Write an error as Anthropic does."""
    return {"type": "error", "error": {"type": _ERRORS.get(status, "api_error"), "message": message}}


def usage(answer: Answer) -> JsonObject:
    """Write token counts: `input_tokens` excludes everything the cache served or kept."""
    counts = answer.usage
    return {
        "input_tokens": counts.uncached_tokens,
        "cache_creation_input_tokens": counts.cache_write_tokens,
        "cache_read_input_tokens": counts.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": counts.cache_write_1h_tokens,
        },
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"thinking_tokens": counts.reasoning_tokens},
        "service_tier": "standard",
    }


def _event(name: str, data: JsonObject) -> str:
    return event({"type": name, **data}, name)


def _head(answer: Answer) -> JsonObject:
    return {"id": f"msg_01{answer.key}", "type": "message", "role": "assistant", "model": answer.model}


def _blocks(answer: Answer) -> list[JsonObject]:
    blocks: list[JsonObject] = []
    if answer.reasoning:
        signature = f"scripted-signature-{answer.key}"
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": signature})
    if answer.text or not answer.calls:
        blocks.append({"type": "text", "text": answer.text})
    for call in answer.calls:
        blocks.append({"type": "tool_use", "id": call.call_id, "name": call.name, "input": call.arguments})
    return blocks


def _deltas(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    if block["type"] == "tool_use":
        parts = pieces(compact(block["input"]))
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in ["", *parts]]
    deltas: list[JsonObject] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
    deltas.append({"type": "signature_delta", "signature": block["signature"]})
    return {**block, "thinking": "", "signature": ""}, deltas


def _turns(message: JsonObject, names: dict[str, str]) -> list[Turn]:
    role = as_text(message.get("role"))
    content = message.get("content")
    text = text_of(content, "text")
    blocks = objects(content)
    if role == "assistant":
        calls = tuple(_call(block) for block in blocks if block.get("type") == "tool_use")
        names.update({call.call_id: call.name for call in calls})
        return [Turn(role="assistant", text=text, calls=calls)]
    if role != "user":
        raise WireError(f"messages: unexpected role '{role}'; allowed roles are 'user' and 'assistant'")
    results = tuple(_result(block, names) for block in blocks if block.get("type") == "tool_result")
    turns = [Turn(role="tool", results=results)] if results else []
    return [*turns, Turn(role="user", text=text)] if text or not results else turns


def _call(block: JsonObject) -> ToolCall:
    return ToolCall(
        name=as_text(block.get("name")), arguments=as_object(block.get("input")), call_id=as_text(block.get("id"))
    )


def _result(block: JsonObject, names: dict[str, str]) -> ToolResult:
    call_id = as_text(block.get("tool_use_id"))
    return ToolResult(
        call_id=call_id,
        name=names.get(call_id, ""),
        text=text_of(block.get("content"), "text"),
        error=block.get("is_error") is True,
    )


def _segments(body: JsonObject, messages: list[JsonObject]) -> tuple[Segment, ...]:
    """Tools, system and messages in the order a cache reads them, one piece per content block."""
    segments = [_segment(tool) for tool in objects(body.get("tools"))]
    segments += _content_segments("system", body.get("system"))
    for message in messages:
        segments += _content_segments(as_text(message.get("role")), message.get("content"))
    if body.get("cache_control") and segments:
        segments[-1] = Segment(text=segments[-1].text, mark=_mark(body))
    return tuple(segments)


def _content_segments(role: str, content: Any) -> list[Segment]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else objects(content)
    return [_segment(block, role) for block in blocks]


def _segment(block: JsonObject, role: str = "") -> Segment:
    return Segment(text=role + prompt_text(block), mark=_mark(block))


def _mark(block: JsonObject) -> Literal["", "5m", "1h"]:
    control = block.get("cache_control")
    if not isinstance(control, dict):
        return ""
    return "1h" if as_object(control).get("ttl") == "1h" else "5m"


def _offer(tool: JsonObject) -> ToolOffer:
    return ToolOffer(
        name=as_text(tool.get("name")),
        description=as_text(tool.get("description")),
        parameters=as_object(tool.get("input_schema")),
    )


def _choice(choice: JsonObject) -> str:
    kind = as_text(choice.get("type"))
    if kind == "tool":
        return "=" + as_text(choice.get("name"))
    return {"any": "required", "none": "none"}.get(kind, "auto")


WIRE = Wire(name="anthropic-messages", read=read, render=render, stream=stream, error=error)
