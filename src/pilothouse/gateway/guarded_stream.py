"""A streamed answer behind the gates: its words go on as they are checked, the last few wait.

For chat completions and messages that call no tools which a gate has to read; what else is streamed is held until it is
whole. Nothing leaves before the first words were checked, so that an answer that is refused from its beginning is refused
with a status.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from pilothouse.guards import Guard, StreamGuard

from . import guarding
from .call import Call
from .request_body import parsed


def streams(guard: Guard, call: Call) -> bool:
    """Whether this call's stream can go on in pieces."""
    if call.endpoint.operation != "chat" or "text/event-stream" not in call.content_type:
        return False
    body = cast("dict[str, Any]", parsed(call.request))
    reads_calls = bool(guard.settings.gates["tool_arguments"]) and bool(body.get("tools") or body.get("functions"))
    return not reads_calls and not StreamGuard(guard).holds_all


class GuardedStream:
    """One stream. Blocks for as long as the checks take, so it is called in a thread, one call after the other."""

    def __init__(self, guard: Guard, call: Call) -> None:
        self._guard, self._call = guard, call
        self._texts: dict[int, StreamGuard] = {}
        self._ended: set[int] = set()
        self._rest = b""
        self._held: list[bytes] = []
        self._begun = False

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; gives what may go on.

        Raises:
            GuardBlocked: a gate does not let the answer through.
        """
        *events, self._rest = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            self._held += self._event(event)
        return self._out()

    def finish(self) -> bytes:
        """The stream has ended: gives the rest.

        Raises:
            GuardBlocked: a gate does not let the answer through.
        """
        if self._rest.strip():
            self._held += self._event(self._rest)
        self._begun = True
        return self._out()

    def _out(self) -> bytes:
        if not self._begun:
            return b""
        held, self._held = self._held, []
        return b"".join(held)

    def _event(self, event: bytes) -> list[bytes]:
        lines = event.split(b"\n")
        data = next((line[5:].strip() for line in lines if line.startswith(b"data:")), b"")
        if data == b"[DONE]":
            return [*self._ends({}), event + b"\n\n"]
        try:
            body: Any = parsed(data) if data else None
        except (ValueError, RecursionError):
            # What cannot be read cannot be checked.
            why = "an event of the stream cannot be read, so that no gate can decide"
            raise guarding.unreadable(self._call, "output", why) from None
        if not isinstance(body, dict):
            return [event + b"\n\n"]
        fields = cast("dict[str, Any]", body)
        if self._call.endpoint.wire == "anthropic":
            return self._block(fields, event)
        return self._chunk(fields, event)

    def _chunk(self, body: dict[str, Any], event: bytes) -> list[bytes]:
        before: list[bytes] = []
        changed = empty = False
        for choice in cast("list[dict[str, Any]]", body.get("choices") or []):
            index, delta = int(choice.get("index") or 0), cast("dict[str, Any]", choice.get("delta") or {})
            if delta.get("tool_calls") or delta.get("function_call"):
                self._calls()
            if isinstance(delta.get("content"), str) and delta["content"]:
                text = self._checked(index, delta["content"])
                changed = changed or text != delta["content"]
                empty = not text and set(delta) <= {"content", "role"} and not choice.get("finish_reason")
                delta["content"] = text
            if choice.get("finish_reason") and (text := self._end(index)):
                piece = {**choice, "delta": {"content": text}, "finish_reason": None}
                before.append(_data({**body, "choices": [piece]}))
        if empty and len(body["choices"]) == 1 and "role" not in body["choices"][0]["delta"]:
            return before
        return [*before, _data(body) if changed else event + b"\n\n"]

    def _block(self, body: dict[str, Any], event: bytes) -> list[bytes]:
        index, delta = int(body.get("index") or 0), cast("dict[str, Any]", body.get("delta") or {})
        if body.get("type") == "content_block_delta" and isinstance(delta.get("text"), str):
            text = self._checked(index, delta["text"])
            return [_named({**body, "delta": {**delta, "text": text}})] if text else []
        begun = cast("dict[str, Any]", body.get("content_block") or {})
        if begun.get("type") == "tool_use":
            self._calls()
        if body.get("type") == "content_block_stop":
            return [*self._ends({"only": index}), event + b"\n\n"]
        return [event + b"\n\n"]

    def _ends(self, given: Mapping[str, int]) -> list[bytes]:
        """What still waits of texts whose end was not said."""
        found: list[bytes] = []
        for index in [one for one in self._texts if given.get("only", one) == one]:
            text = self._end(index)
            if text and self._call.endpoint.wire == "anthropic":
                delta = {"type": "text_delta", "text": text}
                found.append(_named({"type": "content_block_delta", "index": index, "delta": delta}))
            elif text:
                choice = {"index": index, "delta": {"content": text}, "finish_reason": None}
                found.append(_data({"object": "chat.completion.chunk", "choices": [choice]}))
        return found

    def _checked(self, index: int, text: str) -> str:
        stream = self._texts.get(index)
        if stream is None:
            stream = self._texts[index] = StreamGuard(self._guard, "output", guarding.about(self._call))
        given = stream.feed(text)
        self._stop(stream)
        self._begun = self._begun or bool(given)
        return given

    def _end(self, index: int) -> str:
        stream = self._texts.get(index)
        if stream is None or index in self._ended:
            return ""
        self._ended.add(index)
        text = stream.finish()
        if stream.verdict is not None:
            guarding.note(self._call, stream.verdict)
        self._stop(stream)
        return text

    def _calls(self) -> None:
        """A tool is called. Where arguments are to be read, none was offered, else the answer would have been held."""
        if self._guard.settings.gates["tool_arguments"]:
            raise guarding.unreadable(self._call, "tool_arguments", "the answer calls a tool that was not offered")

    def _stop(self, stream: StreamGuard) -> None:
        if stream.stopped is not None:
            guarding.note(self._call, stream.stopped)


def _data(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _named(body: Mapping[str, Any]) -> bytes:
    return f"event: {body['type']}\n".encode() + _data(body)
