"""Messages of a case in one form, whichever they were written in: OpenAI's, Anthropic's, or that of the GenAI convention."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .plain import list_of, mapping_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A tool call that a model asked for."""

    id: str
    name: str
    arguments: Any
    """Parsed where they are JSON, else as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a tool answered."""

    id: str
    name: str
    content: Any
    error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message."""

    role: str
    text: str = ""
    calls: tuple[Wish, ...] = ()
    results: tuple[Result, ...] = ()


def turns(messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The messages in one form; names of tools are put where only an id refers to them."""
    found: list[Turn] = []
    names: dict[str, str] = {}
    for message in messages:
        turn = _turn(message, names)
        names.update({one.id: one.name for one in turn.calls if one.id})
        found.append(turn)
    return found


def as_chat(found: Sequence[Turn]) -> list[dict[str, Any]]:
    """The messages as OpenAI's chat completions take them."""
    chat: list[dict[str, Any]] = []
    for turn in found:
        for one in turn.results:
            content = one.content if isinstance(one.content, str) else json.dumps(one.content, ensure_ascii=False)
            chat.append({"role": "tool", "tool_call_id": one.id, "name": one.name, "content": content})
        if turn.role == "tool" or (turn.results and not turn.text):
            continue
        message: dict[str, Any] = {"role": turn.role, "content": turn.text or None if turn.calls else turn.text}
        if turn.calls:
            message["tool_calls"] = [
                {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": _text(one.arguments)}}
                for one in turn.calls
            ]
        chat.append(message)
    return chat


def _turn(message: Mapping[str, Any], names: Mapping[str, str]) -> Turn:
    role = str(message.get("role", "user"))
    content: Any = message.get("content", message.get("parts"))
    if role == "tool" and not _has_results(content):
        id = str(message.get("tool_call_id", ""))
        name = str(message.get("name") or names.get(id, ""))
        return Turn(role="tool", results=(Result(id=id, name=name, content=_text_of(content)),))
    words: list[str] = [content] if isinstance(content, str) else []
    calls = [_wish(one, number) for number, one in enumerate(list_of(message.get("tool_calls")) or [])]
    results: list[Result] = []
    for number, part in enumerate(list_of(content) or []):
        row = mapping_of(part)
        kind = str(row.get("type", "text")) if row is not None else "text"
        if row is None:
            words.append(str(part))
        elif kind in ("tool_call", "tool_use"):
            calls.append(_wish(row, number))
        elif kind in ("tool_result", "tool_call_response"):
            results.append(_result(row, names))
        elif kind == "text" and isinstance(row.get("text", row.get("content")), str):
            words.append(row.get("text", row.get("content", "")))
    text = "\n".join(word for word in words if word)
    return Turn(role=role, text=text, calls=tuple(calls), results=tuple(results))


def _has_results(content: Any) -> bool:
    rows = [mapping_of(part) for part in list_of(content) or []]
    return any(row is not None and row.get("type") in ("tool_result", "tool_call_response") for row in rows)


def _wish(one: Any, number: int) -> Wish:
    row = mapping_of(one) or {}
    inner = mapping_of(row.get("function")) or row
    arguments: Any = inner.get("arguments", inner.get("input", inner.get("args")))
    name = str(inner.get("name", ""))
    return Wish(id=str(row.get("id") or f"call_{number}_{name}"), name=name, arguments=parsed(arguments))


def _result(row: Mapping[str, Any], names: Mapping[str, str]) -> Result:
    id = str(row.get("id", row.get("tool_use_id", "")))
    content: Any = row.get("text", row.get("content", row.get("response", row.get("result"))))
    failed = bool(row.get("is_error"))
    return Result(id=id, name=str(row.get("name") or names.get(id, "")), content=_text_of(content), error=failed)


def _text_of(content: Any) -> Any:
    listed = list_of(content)
    rows = [mapping_of(part) for part in listed or []]
    if listed and all(row is not None and row.get("type") == "text" for row in rows):
        return "\n".join(str(row.get("text", "")) for row in rows if row is not None)
    return content


def parsed(arguments: Any) -> Any:
    """Arguments as data where they are JSON."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return arguments


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
