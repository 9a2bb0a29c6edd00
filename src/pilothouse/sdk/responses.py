"""What a provider's answer says: OpenAI chat completions and responses, Anthropic messages; anything else as text.

Works on plain data, so that it needs no provider's library, and on the pieces of a stream as they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from pilothouse.records import Message

from .contents import Collected
from .jsons import plain, to_text
from .messages import answered

_USAGE: Final = "gen_ai.usage."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an answer says."""

    messages: tuple[Message, ...] = ()
    model: str = ""
    id: str = ""
    finish_reason: str = ""
    provider: str = ""
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    """Token counts as attributes of the GenAI convention: the input holds what came from and went to caches."""


def read_answer(raw: Any) -> Answer:
    """What a raw answer says; ``raw`` is plain data."""
    body = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
    if isinstance(body.get("choices"), list):
        return _chat(body)
    if isinstance(body.get("output"), list) and ("object" in body or "status" in body):
        return _response(body)
    if body.get("role") == "assistant" and "content" in body:
        return _anthropic(body) if body.get("type") == "message" else Answer(messages=tuple(answered([body])))
    if raw is None:
        return Answer()
    return Answer(messages=tuple(answered(to_text(raw))))


def _chat(body: dict[str, Any]) -> Answer:
    messages: list[Message] = []
    reason = ""
    for choice in cast("list[Any]", body["choices"]):
        if not isinstance(choice, dict):
            continue
        one = cast("dict[str, Any]", choice)
        ended = str(one.get("finish_reason") or "")
        reason = reason or ended
        said = one.get("message") if one.get("message") is not None else one.get("text")
        messages += [replace(item, finish_reason=ended) for item in answered([said])]
    usage = _mapping(body.get("usage"))
    given, made = _mapping(usage.get("prompt_tokens_details")), _mapping(usage.get("completion_tokens_details"))
    return Answer(
        messages=tuple(messages),
        model=str(body.get("model") or ""),
        id=str(body.get("id") or ""),
        finish_reason=reason,
        usage=_counts(
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
            cache_read=given.get("cached_tokens"),
            reasoning=made.get("reasoning_tokens"),
            audio_input=given.get("audio_tokens"),
            audio_output=made.get("audio_tokens"),
        ),
    )


def _response(body: dict[str, Any]) -> Answer:
    usage = _mapping(body.get("usage"))
    given, made = _mapping(usage.get("input_tokens_details")), _mapping(usage.get("output_tokens_details"))
    incomplete = _mapping(body.get("incomplete_details")).get("reason")
    return Answer(
        messages=tuple(answered(body["output"])),
        model=str(body.get("model") or ""),
        id=str(body.get("id") or ""),
        finish_reason=str(incomplete or body.get("status") or ""),
        provider="openai",
        usage=_counts(
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            cache_read=given.get("cached_tokens"),
            reasoning=made.get("reasoning_tokens"),
        ),
    )


def _anthropic(body: dict[str, Any]) -> Answer:
    usage = _mapping(body.get("usage"))
    written = _mapping(usage.get("cache_creation"))
    reason = str(body.get("stop_reason") or "")
    read, wrote = _count(usage.get("cache_read_input_tokens")), _count(usage.get("cache_creation_input_tokens"))
    plain_input = _count(usage.get("input_tokens"))
    return Answer(
        messages=tuple(replace(item, finish_reason=reason) for item in answered([body])),
        model=str(body.get("model") or ""),
        id=str(body.get("id") or ""),
        finish_reason=reason,
        provider="anthropic",
        usage=_counts(
            # Anthropic counts cached tokens beside the input; the convention counts them in.
            input_tokens=None if plain_input is None else plain_input + (read or 0) + (wrote or 0),
            output_tokens=usage.get("output_tokens"),
            cache_read=read,
            cache_write=wrote,
            cache_write_5m=written.get("ephemeral_5m_input_tokens"),
            cache_write_1h=written.get("ephemeral_1h_input_tokens"),
        ),
    )


_KEYS: Final = {
    "input_tokens": _USAGE + "input_tokens",
    "output_tokens": _USAGE + "output_tokens",
    "cache_read": _USAGE + "cache_read.input_tokens",
    "cache_write": _USAGE + "cache_creation.input_tokens",
    "cache_write_5m": _USAGE + "cache_creation.ephemeral_5m_input_tokens",
    "cache_write_1h": _USAGE + "cache_creation.ephemeral_1h_input_tokens",
    "reasoning": _USAGE + "reasoning.output_tokens",
    "audio_input": _USAGE + "audio.input_tokens",
    "audio_output": _USAGE + "audio.output_tokens",
}


def _counts(**given: Any) -> dict[str, int]:
    main = ("input_tokens", "output_tokens")
    counted = {name: _count(value) for name, value in given.items()}
    return {_KEYS[name]: value for name, value in counted.items() if value or (value is not None and name in main)}


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


class StreamedAnswer:
    """Puts the pieces of a streamed answer together as they come, in the form of the whole answer."""

    def __init__(self) -> None:
        self._whole: dict[str, Any] = {}
        self._kind = ""
        self._choices: dict[int, dict[str, Any]] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces = Collected()

    def add(self, item: Any) -> None:
        """Take one piece, as the provider's library gave it."""
        if type(item) is str:
            self._pieces.add(item)
            return
        piece = plain(item)
        body = cast("dict[str, Any]", piece) if isinstance(piece, dict) else {}
        kind = str(body.get("type") or "")
        if isinstance(body.get("choices"), list):
            self._chat(body)
        elif kind.startswith("response."):
            self._response(kind, body)
        elif kind in ("message_start", "message_delta", "message_stop") or kind.startswith("content_block_"):
            self._anthropic(kind, body)
        elif body or piece is not None:
            self._pieces.add(piece)

    def value(self) -> Any:
        """The answer so far as plain data; text where the pieces were text."""
        if self._kind == "chat":
            choices = [self._choices[index] for index in sorted(self._choices)]
            return {**self._whole, "object": "chat.completion", "choices": [_joined_choice(one) for one in choices]}
        if self._kind == "anthropic":
            return {**self._whole, "content": [_joined_block(self._blocks[i]) for i in sorted(self._blocks)]}
        if self._kind == "response":
            return self._whole or self._pieces.value()
        return self._pieces.value()

    def _chat(self, body: dict[str, Any]) -> None:
        self._kind = "chat"
        self._whole.update({key: body[key] for key in ("id", "model", "created", "usage") if body.get(key)})
        for given in cast("list[Any]", body["choices"]):
            choice = _mapping(given)
            index = _count(choice.get("index")) or 0
            kept = self._choices.setdefault(index, {"index": index, "text": [], "calls": {}})
            if choice.get("finish_reason"):
                kept["finish_reason"] = choice["finish_reason"]
            delta = _mapping(choice.get("delta"))
            for name in ("content", "refusal", "reasoning_content"):
                if isinstance(delta.get(name), str):
                    kept.setdefault(name, []).append(delta[name])
            calls = delta.get("tool_calls")
            for call in cast("list[Any]", calls) if isinstance(calls, list) else []:
                _take_call(kept["calls"], _mapping(call))

    def _response(self, kind: str, body: dict[str, Any]) -> None:
        self._kind = "response"
        if isinstance(body.get("response"), dict):
            whole = cast("dict[str, Any]", body["response"])
            if whole.get("output") or not self._whole:
                self._whole = whole
        elif kind == "response.output_text.delta" and isinstance(body.get("delta"), str):
            # Only needed where the stream breaks off before the whole answer comes.
            self._pieces.add(body["delta"])

    def _anthropic(self, kind: str, body: dict[str, Any]) -> None:
        self._kind = "anthropic"
        index = _count(body.get("index")) or 0
        if kind == "message_start":
            self._whole = dict(_mapping(body.get("message")))
        elif kind == "content_block_start":
            self._blocks[index] = {"block": dict(_mapping(body.get("content_block"))), "pieces": {}}
        elif kind == "content_block_delta" and index in self._blocks:
            delta = _mapping(body.get("delta"))
            for name in ("text", "partial_json", "thinking", "signature"):
                if isinstance(delta.get(name), str):
                    self._blocks[index]["pieces"].setdefault(name, []).append(delta[name])
        elif kind == "message_delta":
            self._whole.update({k: v for k, v in _mapping(body.get("delta")).items() if v is not None})
            counted = {k: v for k, v in _mapping(body.get("usage")).items() if v is not None}
            self._whole["usage"] = {**_mapping(self._whole.get("usage")), **counted}


def _take_call(calls: dict[int, dict[str, Any]], call: dict[str, Any]) -> None:
    function = _mapping(call.get("function"))
    index = _count(call.get("index"))
    kept = calls.setdefault(len(calls) if index is None else index, {"id": "", "name": "", "pieces": []})
    kept["id"] = kept["id"] or str(call.get("id") or "")
    kept["name"] = kept["name"] or str(function.get("name") or "")
    if isinstance(function.get("arguments"), str):
        kept["pieces"].append(function["arguments"])


def _joined_choice(kept: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    for name in ("content", "refusal", "reasoning_content"):
        if name in kept:
            message[name] = "".join(cast("Sequence[str]", kept[name]))
    calls = cast("dict[int, dict[str, Any]]", kept["calls"])
    if calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": "".join(call["pieces"])},
            }
            for _, call in sorted(calls.items())
        ]
    return {"index": kept["index"], "message": message, "finish_reason": kept.get("finish_reason")}


def _joined_block(kept: dict[str, Any]) -> dict[str, Any]:
    block = dict(cast("dict[str, Any]", kept["block"]))
    for name, pieces in cast("dict[str, list[str]]", kept["pieces"]).items():
        if name == "partial_json":
            block["input"] = "".join(pieces)
        else:
            block[name] = str(block.get(name) or "") + "".join(pieces)
    return block
