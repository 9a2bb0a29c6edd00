"""A message of a conversation, in one form for every framework, and its content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# Made once: building an encoder costs more than most messages.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode

PartType = Literal["text", "reasoning", "tool_call", "tool_result", "media", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of a message."""

    type: PartType
    """What it is. ``other`` keeps a part no rule knows, whole, in ``extra``."""
    text: str = ""
    """The words: the text, the reasoning, the result of a tool as text (JSON where it was structured)."""
    id: str = ""
    """The tool call's id, on ``tool_call`` and ``tool_result``."""
    name: str = ""
    """The tool's name, on ``tool_call`` (and on ``tool_result`` where the emitter says it)."""
    arguments: Any = None
    """The tool's arguments: parsed where they are JSON, else the string as sent."""
    mime: str = ""
    """The media type, on ``media``."""
    uri: str = ""
    """Where the media is: a URL, a file id, or a ``data:`` URL."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Every key of the original part that has no place above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one participant said: the unit that is stored once and referred to by hash."""

    role: str
    """``system``, ``user``, ``assistant``, ``tool`` or what the emitter says."""
    parts: tuple[Part, ...]
    name: str = ""
    """The participant's name, where there is one."""
    finish_reason: str = ""
    """Why the model stopped, on outputs. Not part of the identity."""
    hash: str = ""
    """32 hex digits over role and parts; filled by :func:`message`."""

    @property
    def text(self) -> str:
        """The words of the message: text and tool results, one after the other; reasoning and calls left out."""
        return "\n".join(p.text for p in self.parts if p.type in ("text", "tool_result") and p.text)


def message(role: str, parts: tuple[Part, ...], *, name: str = "", finish_reason: str = "") -> Message:
    """Make a message and its hash. Equal role and parts give the same hash in every dialect."""
    return Message(role=role, parts=parts, name=name, finish_reason=finish_reason, hash=_hash(role, parts))


def text_message(role: str, text: str, *, name: str = "") -> Message:
    """Make a message of one text part."""
    return message(role, (Part(type="text", text=text),), name=name)


def part_as_dict(part: Part) -> dict[str, Any]:
    """A part as plain data: ``type`` and the fields that are set."""
    data: dict[str, Any] = {"type": part.type}
    if part.text:
        data["text"] = part.text
    if part.id:
        data["id"] = part.id
    if part.name:
        data["name"] = part.name
    if part.arguments is not None:
        data["arguments"] = part.arguments
    if part.mime:
        data["mime"] = part.mime
    if part.uri:
        data["uri"] = part.uri
    if part.extra:
        data["extra"] = dict(part.extra)
    return data


def part_from_dict(data: Mapping[str, Any]) -> Part:
    """The inverse of :func:`part_as_dict`."""
    return Part(**data)


def message_as_dict(item: Message) -> dict[str, Any]:
    """A message as plain data, for JSON."""
    data: dict[str, Any] = {"role": item.role, "parts": [part_as_dict(p) for p in item.parts], "hash": item.hash}
    if item.name:
        data["name"] = item.name
    if item.finish_reason:
        data["finish_reason"] = item.finish_reason
    return data


def _hash(role: str, parts: tuple[Part, ...]) -> str:
    digest = hashlib.blake2b(role.encode("utf-8", "surrogatepass"), digest_size=16)
    for part in parts:
        digest.update(b"\x00" + part.type.encode() + b"\x01" + part.text.encode("utf-8", "surrogatepass"))
        if part.type == "tool_call" or part.id or part.uri or part.extra:
            rest = [part.id, part.name, part.arguments, part.uri, dict(part.extra)]
            encoded = _encode(rest)
            digest.update(b"\x02" + encoded.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
