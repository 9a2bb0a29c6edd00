"""What is sent to a model and comes back, as canonical messages: OpenAI chat and responses, Anthropic, and plain text.

The input is plain data (:func:`~pilothouse.sdk.jsons.plain`). What no rule knows is kept whole in a part of type
``other``. The result, written with :func:`~pilothouse.records.wire_message`, is read back as the same messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from pilothouse.records import Message, Part, wire_message

_TEXT: Final = frozenset({"text", "input_text", "output_text"})
_REASONING: Final = frozenset({"reasoning", "thinking", "redacted_thinking"})
_CALLS: Final = frozenset({"tool_use", "function_call", "tool_call", "custom_tool_call"})
_SERVER_CALLS: Final = frozenset({"server_tool_use", "mcp_call"})
_RESULTS: Final = frozenset({"tool_result", "function_call_output", "tool_call_response", "custom_tool_call_output"})
_MEDIA: Final = frozenset(
    {"image_url", "input_image", "image", "input_audio", "audio", "file", "input_file", "document"}
)
_HINTS: Final = frozenset({"type", "cache_control", "index", "status", "caller"})
"""Keys that steer a request or repeat a position and say nothing of the content."""
_ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}


def sent(system: Any, messages: Any) -> list[Message]:
    """A request's conversation, instructions first."""
    conversation = _messages(messages, "user")
    instructions = _message({"role": "system", "content": system}, "system") if system else []
    return one_turn([*instructions, *conversation])


def answered(messages: Any) -> list[Message]:
    """The messages of an answer."""
    return one_turn(_messages(messages, "assistant"))


def wire(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Messages in the form of the GenAI convention."""
    return [wire_message(item.role, item.parts, finish_reason=item.finish_reason) for item in messages]


def one_turn(messages: Sequence[Message]) -> list[Message]:
    """Neighbouring messages of the assistant joined where they are pieces of one answer, as readers join them."""
    joined: list[Message] = []
    for item in messages:
        last = joined[-1] if joined else None
        if last is not None and _one_answer(last, item):
            both = (*last.parts, *item.parts)
            joined[-1] = Message(role="assistant", parts=both, finish_reason=item.finish_reason)
        else:
            joined.append(item)
    return joined


def _one_answer(first: Message, second: Message) -> bool:
    if not first.role == second.role == "assistant" or first.finish_reason:
        return False
    return not (_speaks(first) and _speaks(second))


def _speaks(item: Message) -> bool:
    return any(part.type not in ("tool_call", "reasoning") for part in item.parts)


def _messages(value: Any, role: str) -> list[Message]:
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [item for element in cast("list[Any]", value) for item in _message(element, role)]
    return _message(value, role)


def _message(element: Any, role: str) -> list[Message]:
    if isinstance(element, str):
        return [_text_message(role, element)] if element else []
    if not isinstance(element, dict):
        return [] if element is None else [_text_message(role, json.dumps(element, ensure_ascii=False))]
    body = cast("dict[str, Any]", element)
    kind = body.get("type")
    if "role" not in body and kind in (*_CALLS, *_SERVER_CALLS, *_RESULTS, *_REASONING):
        # An item of the responses API.
        parts = _parts([body])
        who = "tool" if parts and parts[0].type == "tool_result" else "assistant"
        return [Message(role=who, parts=tuple(parts))] if parts else []
    if "role" not in body and "content" not in body:
        parts = _parts([body]) if isinstance(kind, str) else [_other(body)]
        return [Message(role=role, parts=tuple(parts))] if parts else []
    named = str(body.get("role") or role).strip().lower()
    said_by = _ROLES.get(named, named)
    reason = body.get("finish_reason") or body.get("stop_reason")
    return _split(said_by, _said(body, said_by), str(reason or ""))


def _said(body: dict[str, Any], role: str) -> list[Part]:
    content = body.get("content")
    parts: list[Part] = []
    reasoning = body.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        parts.append(Part(type="reasoning", text=reasoning))
    if role == "tool" and not _holds_results(content):
        id = str(body.get("tool_call_id") or body.get("id") or "")
        extra = {"is_error": True} if body.get("is_error") is True else dict[str, Any]()
        return [Part(type="tool_result", id=id, text=result_text(content), extra=extra)]
    parts += _parts(content)
    refusal = body.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(Part(type="text", text=refusal, extra={"refusal": True}))
    calls = body.get("tool_calls")
    if isinstance(calls, list):
        parts += [_call(cast("dict[str, Any]", call)) for call in cast("list[Any]", calls) if isinstance(call, dict)]
    function = body.get("function_call")
    if isinstance(function, dict):
        parts.append(_call(cast("dict[str, Any]", function)))
    return parts


def _split(role: str, parts: list[Part], finish_reason: str) -> list[Message]:
    """Each tool result is a message of role tool, also where a provider puts several into one of the user."""
    if role == "assistant" or not any(part.type == "tool_result" for part in parts):
        return [Message(role=role, parts=tuple(parts), finish_reason=finish_reason)] if parts else []
    found: list[Message] = []
    group: list[Part] = []
    said_by = ""
    for part in parts:
        wanted = "tool" if part.type == "tool_result" else "user" if role == "tool" else role
        attached = said_by == "tool" and part.type == "media"
        if group and (part.type == "tool_result" or (wanted != said_by and not attached)):
            found.append(Message(role=said_by, parts=tuple(group)))
            group = []
        if not group:
            said_by = wanted
        group.append(part)
    if group:
        found.append(Message(role=said_by, parts=tuple(group)))
    return found


def _parts(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Part(type="text", text=content)] if content else []
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return [Part(type="text", text=str(content))]
    found: list[Part] = []
    for piece in cast("list[Any]", content):
        if isinstance(piece, dict):
            found += _part(cast("dict[str, Any]", piece))
        elif piece is not None and piece != "":
            found.append(Part(type="text", text=piece if isinstance(piece, str) else json.dumps(piece)))
    return found


def _part(piece: dict[str, Any]) -> list[Part]:
    kind = piece.get("type")
    if kind in _TEXT or (kind is None and isinstance(piece.get("text"), str)):
        words = piece.get("text", piece.get("content"))
        extra = _rest(piece, "text", "content", "id")
        text = words if isinstance(words, str) else ""
        return [Part(type="text", text=text, extra=extra)] if text or extra else []
    if kind in _REASONING:
        text = _reasoning(piece)
        extra = _rest(piece, "text", "thinking", "reasoning", "summary", "content", "id")
        return [Part(type="reasoning", text=text, extra=extra)] if text or extra else []
    if kind in _CALLS or kind in _SERVER_CALLS:
        return [_call(piece, server=kind in _SERVER_CALLS)]
    if kind in _RESULTS:
        return [_result(piece)]
    if kind in _MEDIA:
        return _media(piece, str(kind))
    if kind == "refusal":
        return [Part(type="text", text=str(piece.get("refusal") or ""), extra={"refusal": True})]
    return [_other(piece)] if piece else []


def _call(call: dict[str, Any], *, server: bool = False) -> Part:
    inner = call.get("function")
    body = cast("dict[str, Any]", inner) if isinstance(inner, dict) else call
    given = next((body[key] for key in ("arguments", "input", "args") if body.get(key) is not None), None)
    extra = _rest(
        call, "call_id", "id", "tool_call_id", "tool_use_id", "name", "arguments", "input", "args", "function"
    )
    if server:
        extra["server"] = True
    id = call.get("call_id") or call.get("id") or ""
    name = str(body.get("name") or "").strip()
    return Part(type="tool_call", id=str(id), name=name, arguments=arguments_of(given), extra=extra)


def arguments_of(value: Any) -> Any:
    """A tool call's arguments: parsed where they are a JSON object or list; other text stays as sent."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return cast("Any", found) if isinstance(found, dict | list) else value


def _result(piece: dict[str, Any]) -> Part:
    given = next(
        (piece[key] for key in ("response", "result", "output", "content") if piece.get(key) is not None), None
    )
    id = next((piece[key] for key in ("call_id", "tool_call_id", "tool_use_id", "id") if piece.get(key)), "")
    extra = {"is_error": True} if piece.get("is_error") is True else dict[str, Any]()
    return Part(type="tool_result", id=str(id), text=result_text(given), extra=extra)


def result_text(value: Any) -> str:
    """What a tool gave, as text: text as it is, text blocks one after the other, anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [_only_text(piece) for piece in cast("list[Any]", value)]
        if all(text is not None for text in texts):
            return "\n".join(text for text in texts if text is not None)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _only_text(piece: Any) -> str | None:
    if isinstance(piece, str):
        return piece
    if isinstance(piece, dict) and cast("dict[str, Any]", piece).get("type") in _TEXT:
        words = cast("dict[str, Any]", piece).get("text")
        return words if isinstance(words, str) else None
    return None


def _media(piece: dict[str, Any], kind: str) -> list[Part]:
    mime = str(piece.get("mime_type") or piece.get("media_type") or "")
    uri = ""
    for key in ("image_url", "source", "input_audio", "audio", "file", "url", "uri", "file_id", "file_data"):
        inner = piece.get(key)
        if isinstance(inner, str) and inner:
            uri = inner
        elif isinstance(inner, dict):
            body = cast("dict[str, Any]", inner)
            mime = mime or str(body.get("media_type") or body.get("mime_type") or "")
            if not mime and isinstance(body.get("format"), str):
                mime = f"audio/{body['format']}"
            uri = next((str(body[name]) for name in ("url", "uri", "file_id") if body.get(name)), "")
            data = body.get("data") or body.get("file_data")
            if not uri and isinstance(data, str) and data:
                uri = data if data.startswith(("data:", "http")) else f"data:{mime};base64,{data}"
        if uri:
            break
    if uri.startswith("data:") and not mime:
        mime = uri[5:].split(";", 1)[0].split(",", 1)[0]
    mime = mime or kind.removeprefix("input_").split("_")[0]
    return [Part(type="media", mime=mime, uri=uri)] if uri else [_other(piece)]


def _reasoning(piece: Mapping[str, Any]) -> str:
    texts: list[str] = []
    for key in ("text", "thinking", "reasoning", "summary", "content"):
        value = piece.get(key)
        if isinstance(value, str) and value:
            texts.append(value)
        elif isinstance(value, list):
            for item in cast("list[Any]", value):
                if isinstance(item, dict) and isinstance(words := cast("dict[str, Any]", item).get("text"), str):
                    texts.append(words)
    return "\n".join(texts)


def _holds_results(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(piece, dict) and cast("dict[str, Any]", piece).get("type") in _RESULTS
        for piece in cast("list[Any]", content)
    )


def _other(piece: dict[str, Any]) -> Part:
    return Part(type="other", extra=piece)


def _text_message(role: str, text: str) -> Message:
    return Message(role=role, parts=(Part(type="text", text=text),))


def _rest(piece: Mapping[str, Any], *used: str) -> dict[str, Any]:
    return {
        key: value
        for key, value in piece.items()
        if value is not None and key not in _HINTS and key not in used and value != [] and value != {} and value != ""
    }
