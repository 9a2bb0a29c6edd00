"""Messages of any shape as canonical messages, remembered so that a repeated history costs next to nothing.

Every model call repeats the conversation before it. The canonical form of each element is kept under the element's
own JSON bytes, so the second sight of a message is one lookup. Tool results each become a message of role ``tool``
(some providers put several into one user message), and a tool's name on a result is the message's name, which is not
part of its identity: so the same conversation has the same hashes in every dialect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any, Final, cast

import orjson

from pilothouse.records import Message, Part, message, text_message

from . import values
from .parts import call_part, is_part, parts_of, result_text

_ROLES: Final = {
    "human": "user",
    "humanmessage": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "systemmessage": "system",
    "toolmessage": "tool",
    "function": "tool",
    "functionmessage": "tool",
}
_EVENT_ROLES: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
_CONTENT_KEYS: Final = ("content", "parts", "contents", "text", "tool_calls", "toolCalls", "function_call", "refusal")
_WHOLE_KEY_BYTES_MAX: Final = 2048
"""Elements up to this size are their own key; longer ones are known by a 16-byte digest."""


class MessageMemory:
    """Canonical messages by the key of what they were read from: two generations, the older is dropped when full."""

    __slots__ = ("_new", "_old", "_weight", "_weight_max")

    def __init__(self, weight_bytes_max: int) -> None:
        self._new: dict[Hashable, tuple[Message, ...]] = {}
        self._old: dict[Hashable, tuple[Message, ...]] = {}
        self._weight = 0
        self._weight_max = weight_bytes_max // 2

    def get(self, key: Hashable) -> tuple[Message, ...] | None:
        """The messages under the key, or ``None``."""
        found = self._new.get(key)
        if found is None and self._old:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Hashable, found: tuple[Message, ...]) -> None:
        """Remember the messages under the key."""
        self._weight += 600 + sum(2 * len(part.text) + 300 for item in found for part in item.parts)
        if self._weight > self._weight_max:
            self._old, self._new, self._weight = self._new, {}, 0
        self._new[key] = found

    def clear(self) -> None:
        """Forget everything."""
        self._new, self._old, self._weight = {}, {}, 0


MEMORY: Final = MessageMemory(48_000_000)


def read_messages(value: Any, role: str = "user") -> tuple[Message, ...]:
    """The messages in an attribute: a list, a JSON list, one message, or plain text said by ``role``.

    Text that is no JSON, and structures that are no messages, become one message that holds them whole.
    """
    if value is None or value == "":
        return ()
    content = values.structure(value)
    if isinstance(content, Mapping):
        content = _unwrapped(cast("Mapping[str, Any]", content))
    try:
        if isinstance(content, (list, tuple)):
            return _of_list(cast("list[Any]", content), role)
        if isinstance(content, Mapping):
            return _of_list([cast("Any", content)], role)
        # A JSON string is text that was encoded once too often; anything else is text as sent.
        return (text_message(role, values.text(content)),)
    except (RecursionError, ValueError, TypeError):
        return (text_message(role, values.text(value)),)


def read_conversation(value: Any) -> tuple[Message, ...] | None:
    """The messages in a value that is plainly a conversation; ``None`` where it might be anything else."""
    content = values.structure(value)
    if isinstance(content, Mapping):
        content = _unwrapped(cast("Mapping[str, Any]", content))
    if not isinstance(content, (list, tuple)) or not content:
        return None
    elements = cast("list[Any]", content)
    if len(elements) == 1 and isinstance(elements[0], list):
        elements = cast("list[Any]", elements[0])
    if not elements or not all(_is_message(element) for element in elements):
        return None
    return read_messages(elements)


def read_system(value: Any) -> tuple[Message, ...]:
    """System instructions (text, or a list of parts) as one system message, or none."""
    content = values.structure(value)
    if isinstance(content, (list, tuple)) and _is_message(next(iter(cast("list[Any]", content)), None)):
        return read_messages(content, "system")
    if isinstance(content, Mapping) and ("parts" in content or "role" in content):
        return read_messages(content, "system")
    key = ("system", content) if isinstance(content, str) else None
    if key is not None and (found := MEMORY.get(key)) is not None:
        return found
    try:
        parts = tuple(parts_of(content))
        found = (message("system", parts),) if parts else ()
    except (RecursionError, ValueError, TypeError):
        return (text_message("system", values.text(value)),)
    if key is not None:
        MEMORY.put(key, found)
    return found


def with_system(system: tuple[Message, ...], conversation: tuple[Message, ...]) -> tuple[Message, ...]:
    """The instructions first, unless the conversation starts with them already."""
    if not system or conversation[: len(system)] == system:
        return conversation
    if conversation and system[0].hash == conversation[0].hash:
        return conversation
    return system + conversation


def read_element(element: Any, role: str = "user", *, key: Hashable = None) -> tuple[Message, ...]:
    """The canonical messages of one element; remembered under ``key`` where one is given."""
    if key is not None and (known := MEMORY.get(key)) is not None:
        return known
    try:
        found = _canonical(element, role)
    except (RecursionError, ValueError, TypeError):
        return (text_message(role, values.text(element)),)
    if key is not None:
        MEMORY.put(key, found)
    return found


def one_turn(messages: list[Message]) -> tuple[Message, ...]:
    """The messages with an assistant's neighbouring messages joined where they are pieces of one answer.

    The responses API, and those who flatten it, list every call and thought of an answer on its own, and the same
    answer as history differently again. Two texts stay two: they are two candidates, or two answers.
    """
    previous = ""
    for item in messages:
        if item.role == "assistant" == previous:
            break
        previous = item.role
    else:
        return tuple(messages)
    joined: list[Message] = []
    for item in messages:
        last = joined[-1] if joined else None
        if last is not None and last.role == "assistant" == item.role and _one_answer(last, item):
            joined[-1] = _join(last, item)
        else:
            joined.append(item)
    return tuple(joined)


def _one_answer(first: Message, second: Message) -> bool:
    if first.finish_reason or first.name != second.name:
        return False
    return not (_speaks(first) and _speaks(second))


def _speaks(item: Message) -> bool:
    return any(part.type not in ("tool_call", "reasoning") for part in item.parts)


def _join(first: Message, second: Message) -> Message:
    key = ("one answer", first.hash, second.hash, second.finish_reason)
    known = MEMORY.get(key)
    if known is None:
        parts = (*first.parts, *second.parts)
        known = (message("assistant", parts, name=first.name, finish_reason=second.finish_reason),)
        MEMORY.put(key, known)
    return known[0]


def _of_list(elements: list[Any], role: str) -> tuple[Message, ...]:
    found: list[Message] = []
    for element in elements:
        try:
            encoded = orjson.dumps(element)
        except (TypeError, ValueError, RecursionError):
            found.extend(_canonical(element, role))
            continue
        if len(encoded) > _WHOLE_KEY_BYTES_MAX:
            encoded = hashlib.blake2b(encoded, digest_size=16).digest()
        key: Hashable = encoded if isinstance(element, dict) and "role" in element else (role, encoded)
        known = MEMORY.get(key)
        if known is None:
            known = _canonical(element, role)
            MEMORY.put(key, known)
        found.extend(known)
    return one_turn(found)


def _canonical(element: Any, role: str) -> tuple[Message, ...]:
    if isinstance(element, str):
        return (text_message(role, element),) if element else ()
    if isinstance(element, (list, tuple)):
        return tuple(item for inner in cast("list[Any]", element) for item in _canonical(inner, role))
    if not isinstance(element, Mapping):
        return () if element is None else (text_message(role, values.text(element)),)
    body = cast("Mapping[str, Any]", element)
    finish_reason = values.first_word(body, ("finish_reason", "stop_reason", "finishReason", "stopReason"))
    if body.get("lc") is not None and isinstance(body.get("kwargs"), Mapping):
        body = _langchain_constructor(body)
    elif isinstance(body.get("data"), Mapping) and "content" not in body and _role_of(body):
        body = {"type": body.get("type"), **cast("Mapping[str, Any]", body["data"])}
    inner = body.get("message")
    if isinstance(inner, Mapping) and "content" not in body and "parts" not in body:
        # A choice wraps its message; a LangChain generation does too.
        inner_role = _role_of(body) or "assistant"
        found = _canonical(inner, inner_role)
        return tuple(_finished(item, finish_reason) for item in found)
    said_by = _role_of(body)
    if not said_by and not any(key in body for key in _CONTENT_KEYS):
        if is_part(body):
            return _free_standing(body, role)
        return (text_message(role, values.json_text(element)),) if body else ()
    if not said_by and is_part(body):
        return _free_standing(body, role)
    return _split(said_by or role, _content_parts(body, said_by or role), _name_of(body), finish_reason)


def _content_parts(body: Mapping[str, Any], role: str) -> list[Part]:
    content = body.get("content")
    parts: list[Part] = []
    for key in ("reasoning_content", "reasoning", "thinking"):
        reasoning = body.get(key)
        if isinstance(reasoning, str) and reasoning:
            parts.append(Part(type="reasoning", text=reasoning))
            break
    if role == "tool" and not _holds_results(content) and "parts" not in body:
        parts.append(
            Part(
                type="tool_result",
                text=result_text(content) if content is not None else "",
                id=values.first_word(body, ("tool_call_id", "toolCallId", "call_id", "id")),
                extra={"is_error": True} if body.get("status") == "error" or body.get("is_error") is True else {},
            )
        )
        return parts
    pieces: Any = body.get("parts")
    if pieces is None:
        pieces = body.get("contents")
        if pieces is None or pieces == []:
            pieces = content
        elif isinstance(content, str) and content and not any(p.text == content for p in parts_of(pieces)):
            parts.extend(parts_of(content))
    if pieces is None:
        pieces = body.get("text")
    parts.extend(parts_of(pieces))
    refusal = body.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(Part(type="text", text=refusal, extra={"refusal": True}))
    calls = body.get("tool_calls", body.get("toolCalls"))
    if isinstance(calls, str):
        calls = values.structure(calls)
    if isinstance(calls, (list, tuple)):
        parts.extend(_missing_calls(cast("list[Any]", calls), parts))
    function_call = body.get("function_call")
    if isinstance(function_call, Mapping) and function_call:
        parts.append(call_part(cast("Mapping[str, Any]", function_call)))
    audio = body.get("audio")
    if isinstance(audio, Mapping) and audio:
        parts.extend(parts_of({"type": "audio", "audio": audio}))
    return parts


def _missing_calls(calls: list[Any], parts: list[Part]) -> list[Part]:
    """The calls that the content does not hold already: LangChain repeats Anthropic's tool_use blocks."""
    present = {part.id for part in parts if part.type == "tool_call" and part.id}
    found: list[Part] = []
    for call in calls:
        if not isinstance(call, Mapping):
            continue
        body = cast("Mapping[str, Any]", call)
        inner = body.get("tool_call")
        part = call_part(cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else body)
        if not part.id or part.id not in present:
            found.append(part)
    return found


def _split(role: str, parts: list[Part], name: str, finish_reason: str) -> tuple[Message, ...]:
    if role == "assistant" or not any(part.type == "tool_result" for part in parts):
        return (message(role, tuple(parts), name=name, finish_reason=finish_reason),) if parts else ()
    found: list[Message] = []
    group: list[Part] = []
    group_role = ""

    def close() -> None:
        if group:
            tool = group_role == "tool"
            said_by = (group[0].name if tool else "") or name
            kept = tuple(_nameless(part) if part.type == "tool_result" else part for part in group)
            found.append(message(group_role, kept, name=said_by))
            group.clear()

    for part in parts:
        if part.type == "tool_result":
            close()
            group_role = "tool"
        elif group_role == "tool" and part.type != "media":
            close()
            group_role = "user" if role == "tool" else role
        elif not group_role:
            group_role = "user" if role == "tool" else role
        group.append(part)
    close()
    return tuple(found)


def _nameless(part: Part) -> Part:
    return part if not part.name else Part(type=part.type, text=part.text, id=part.id, extra=part.extra)


def _free_standing(body: Mapping[str, Any], role: str) -> tuple[Message, ...]:
    parts = parts_of(body)
    if not parts:
        return ()
    first = parts[0].type
    said_by = "tool" if first == "tool_result" else "assistant" if first in ("tool_call", "reasoning") else role
    return _split(said_by, parts, "", "")


def _role_of(body: Mapping[str, Any]) -> str:
    role = body.get("role")
    if role is None:
        event = body.get("event.name")
        if isinstance(event, str) and event in _EVENT_ROLES:
            return _EVENT_ROLES[event]
        role = body.get("type")
        if not isinstance(role, str) or role.lower() not in (*_ROLES, "system", "user", "assistant", "tool"):
            return ""
    named = values.word(role).lower()
    return _ROLES.get(named, named)


def _name_of(body: Mapping[str, Any]) -> str:
    return values.word(body.get("name")) or values.word(body.get("tool_name"))


def _langchain_constructor(body: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = cast("Mapping[str, Any]", body["kwargs"])
    path = body.get("id")
    kind = cast("list[Any]", path)[-1] if isinstance(path, list) and path else ""
    return {"type": values.word(kind), **inner}


def _finished(item: Message, finish_reason: str) -> Message:
    if not finish_reason or item.finish_reason:
        return item
    return Message(role=item.role, parts=item.parts, name=item.name, finish_reason=finish_reason, hash=item.hash)


def _holds_results(content: Any) -> bool:
    return isinstance(content, (list, tuple)) and any(
        isinstance(piece, Mapping)
        and (
            cast("Mapping[str, Any]", piece).get("type") in ("tool_result", "tool-result", "tool_call_response")
            or "toolResult" in piece
        )
        for piece in cast("list[Any]", content)
    )


def _unwrapped(body: Mapping[str, Any]) -> Any:
    """The list of messages in an object that holds one and little else."""
    if "role" in body:
        return body
    for key in ("messages", "message"):
        inner = body.get(key)
        if isinstance(inner, (list, tuple)):
            return cast("list[Any]", inner)
    return body


def _is_message(element: Any) -> bool:
    if not isinstance(element, Mapping):
        return False
    body = cast("Mapping[str, Any]", element)
    if isinstance(body.get("role"), str):
        return any(key in body for key in ("content", "parts", "tool_calls", "contents"))
    if body.get("lc") is not None and isinstance(body.get("kwargs"), Mapping):
        return True
    if body.get("event.name") in _EVENT_ROLES:
        return True
    if _role_of(body) and isinstance(body.get("data"), Mapping):
        return True
    return (_role_of(body) != "" and "content" in body) or (is_part(body) and len(body) > 1)
