"""A stored call as a request again, in the wire format of whoever is asked: what it said, its tools, its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

from pilothouse.records import BadRequest, Message, Part

Wire = Literal["openai", "anthropic"]
OUTPUT_MAX: Final = 4_096
"""Tokens an answer may have where the stored call set no bound: the cap on money needs one."""
_KEPT: Final = ("temperature", "top_p", "seed", "stop", "response_format", "tool_choice", "parallel_tool_calls")
BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def output_bound(parameters: Mapping[str, Any]) -> int:
    """The most tokens that the answer may have."""
    return next((value for name in BOUNDS if type(value := parameters.get(name)) is int and value > 0), OUTPUT_MAX)


def request_of(
    messages: Sequence[Message], tools: Sequence[Any], parameters: Mapping[str, Any], *, model: str, wire: Wire
) -> dict[str, Any]:
    """The body of a request.

    Raises:
        BadRequest: the prompt holds something that cannot be sent again as it was, such as a picture.
    """
    for item in messages:
        for part in item.parts:
            if part.type in ("media", "other"):
                raise BadRequest("the prompt holds more than text and tools", got=part.mime or part.type)
    bound = output_bound(parameters)
    if wire == "anthropic":
        system = "\n\n".join(item.text for item in messages if item.role in ("system", "developer"))
        turns = [_anthropic(item) for item in messages if item.role not in ("system", "developer")]
        kept = {name: parameters[name] for name in ("temperature", "top_p") if name in parameters}
        body: dict[str, Any] = {"model": model, "max_tokens": bound, "messages": turns, **kept}
        if system:
            body["system"] = system
        if tools:
            body["tools"] = [
                {"name": name, "description": about, "input_schema": schema}
                for name, about, schema in map(_definition, tools)
            ]
        return body
    body = {"model": model, "messages": [turn for item in messages for turn in _openai(item)]}
    body |= {name: parameters[name] for name in _KEPT if name in parameters}
    body["max_completion_tokens"] = bound
    if tools:
        body["tools"] = [
            {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}
            for name, about, schema in map(_definition, tools)
        ]
    else:
        body.pop("tool_choice", None)
    return body


def _openai(item: Message) -> list[dict[str, Any]]:
    results = [part for part in item.parts if part.type == "tool_result"]
    if results or item.role == "tool":
        parts = results or [part for part in item.parts if part.type == "text"]
        return [{"role": "tool", "tool_call_id": part.id, "content": part.text} for part in parts]
    turn: dict[str, Any] = {"role": item.role, "content": _said(item)}
    calls = [part for part in item.parts if part.type == "tool_call"]
    if calls:
        turn["tool_calls"] = [
            {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": _arguments(part)}}
            for part in calls
        ]
        turn["content"] = turn["content"] or None
    return [turn]


def _anthropic(item: Message) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    for part in item.parts:
        if part.type == "tool_result" or (item.role == "tool" and part.type == "text"):
            blocks.append({"type": "tool_result", "tool_use_id": part.id, "content": part.text})
        elif part.type == "text" and part.text:
            blocks.append({"type": "text", "text": part.text})
        elif part.type == "tool_call":
            arguments: object = part.arguments
            given = cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}
            blocks.append({"type": "tool_use", "id": part.id, "name": part.name, "input": given})
    return {"role": "assistant" if item.role == "assistant" else "user", "content": blocks}


def _said(item: Message) -> str:
    return "\n".join(part.text for part in item.parts if part.type == "text" and part.text)


def _arguments(part: Part) -> str:
    return part.arguments if isinstance(part.arguments, str) else json.dumps(part.arguments or {}, ensure_ascii=False)


def _definition(tool: Any) -> tuple[str, str, Any]:
    """Name, description and schema of a tool, in whichever form it was offered."""
    outer = cast("dict[str, Any]", tool) if isinstance(tool, dict) else {}
    inner = outer.get("function")
    found = cast("dict[str, Any]", inner) if isinstance(inner, dict) else outer
    schema: Any = found.get("parameters") or found.get("input_schema") or {"type": "object", "properties": {}}
    name = found.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest("a tool has no name that could be offered again", got=str(outer.get("type"))[:60])
    return name, str(found.get("description") or ""), schema
