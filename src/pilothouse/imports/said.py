"""Messages of a conversation, encoded once, and the conversation as it grows from call to call.

The form is that of the GenAI convention (gen-ai-input-messages.json): a role and parts of type text, reasoning,
tool_call, tool_call_response, blob and uri.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from .trajectory import Said

TEXT_CHARS_MAX = 1_000_000
"""A text longer than this keeps its beginning: no model read more of it in one piece, and a request has its bounds."""
MEDIA_CHARS_MAX = 256_000
"""Media longer than this, in base64, are named by their hash: every later call would carry them again."""
CONVERSATION_BYTES_MAX = 4 << 20
"""What one call may carry; beyond, the oldest messages but the instructions are left out."""

Part = dict[str, Any]


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8; a lone surrogate, which UTF-8 does not know, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def clipped(text: str) -> str:
    """The text, or its beginning and how much is left out."""
    if len(text) <= TEXT_CHARS_MAX:
        return text
    return f"{text[:TEXT_CHARS_MAX]}… [{len(text) - TEXT_CHARS_MAX:,} characters left out by the import]"


def text_part(text: str) -> Part:
    """What somebody said."""
    return {"type": "text", "content": clipped(text)}


def reasoning_part(text: str) -> Part:
    """What a model thought."""
    return {"type": "reasoning", "content": clipped(text)}


def call_part(id: str, name: str, arguments: Any) -> Part:
    """A call the model asked for."""
    return {"type": "tool_call", "id": id, "name": name, "arguments": arguments}


def result_part(id: str, text: str, *, failed: bool = False) -> Part:
    """What a tool gave."""
    part: Part = {"type": "tool_call_response", "id": id, "response": clipped(text)}
    return {**part, "is_error": True} if failed else part


def media_part(modality: str, mime: str, *, data: str = "", uri: str = "") -> Part:
    """An image, a sound or a file: by address where there is one, else its content in base64."""
    if uri or not data:
        return {"type": "uri", "modality": modality, "mime_type": mime, "uri": clipped(uri)}
    if len(data) > MEDIA_CHARS_MAX:
        digest = hashlib.sha256(data.encode("utf-8", "replace")).hexdigest()
        return {"type": "uri", "modality": modality, "mime_type": mime, "uri": f"sha256:{digest}"}
    return {"type": "blob", "modality": modality, "mime_type": mime, "content": data}


def said(role: str, parts: Iterable[Mapping[str, Any]], *, finish_reason: str = "") -> Said:
    """One message."""
    message: dict[str, Any] = {"role": role, "parts": list(parts)}
    if finish_reason:
        message["finish_reason"] = finish_reason
    return dumps(message)


def said_text(role: str, text: str) -> Said:
    """One message of one text."""
    return said(role, [text_part(text)])


class Conversation:
    """What the next call will carry."""

    def __init__(self, bytes_max: int = CONVERSATION_BYTES_MAX) -> None:
        self._messages: list[Said] = []
        self._bytes = 0
        self._bytes_max = bytes_max
        self.left_out = 0
        """Messages that no longer fitted."""

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Said) -> None:
        """Say one thing more."""
        self._messages.append(message)
        self._bytes += len(message)
        if self._bytes > self._bytes_max:
            self._shrink()

    def go_back(self, length: int) -> None:
        """Forget what was said after the first ``length`` messages: somebody went on from an earlier point."""
        if 0 <= length < len(self._messages):
            del self._messages[length:]
            self._bytes = sum(map(len, self._messages))

    def clear(self) -> None:
        """Begin anew."""
        self._messages, self._bytes, self.left_out = [], 0, 0

    def now(self) -> tuple[Said, ...]:
        """All of it."""
        return tuple(self._messages)

    def _shrink(self) -> None:
        # To three quarters, so that a conversation at its bound is not rebuilt with every message.
        room = self._bytes_max * 3 // 4
        kept: list[Said] = []
        first = [m for m in self._messages[:4] if m.startswith(b'{"role":"system"') and len(m) < room // 2]
        used = sum(map(len, first))
        rest = self._messages[len(first) :] if self._messages[: len(first)] == first else self._messages
        for message in reversed(rest):
            if kept and used + len(message) > room:
                break
            kept.append(message)
            used += len(message)
        before = len(self._messages)
        self._messages = [*first, *reversed(kept)]
        self._bytes = used
        self.left_out += before - len(self._messages)
