"""How a message is stored: the plain words, which are searched and compressed well, and an envelope for the rest.

The envelope is JSON: ``{"parts": […], "name"?}``. A part's text is not repeated in it: ``at: [start, end]`` points into
the words. Decoding gives the message back exactly, hash included.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .message import Message, Part, message, part_as_dict

# Made once: building an encoder costs more than most messages.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Stored(NamedTuple):
    """The two stored halves of a message."""

    content: str
    envelope: str


def encode_message(item: Message) -> Stored:
    """Split a message into words and envelope. A message of one text part has an empty envelope."""
    if len(item.parts) == 1 and not item.name:
        only = item.parts[0]
        if only == Part(type="text", text=only.text):
            return Stored(only.text, "")
    words: list[str] = []
    parts: list[dict[str, Any]] = []
    position = 0
    for part in item.parts:
        data = part_as_dict(part)
        text = data.pop("text", "")
        if text:
            if words:
                position += 1  # the line break between two parts
            data["at"] = [position, position + len(text)]
            words.append(text)
            position += len(text)
        parts.append(data)
    envelope: dict[str, Any] = {"parts": parts}
    if item.name:
        envelope["name"] = item.name
    return Stored("\n".join(words), _encode(envelope))


def decode_message(role: str, content: str, envelope: str) -> Message:
    """The inverse of :func:`encode_message`."""
    if not envelope:
        return message(role, (Part(type="text", text=content),))
    data = json.loads(envelope)
    parts: list[Part] = []
    for entry in data["parts"]:
        start, end = entry.pop("at", (0, 0))
        parts.append(Part(text=content[start:end], **entry))
    return message(role, tuple(parts), name=data.get("name", ""))
