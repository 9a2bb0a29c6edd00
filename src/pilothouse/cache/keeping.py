"""Whether an answer may be given again: only one that is whole, that nobody filtered or refused, and that is no stub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from .settings import CacheRule

_CHAT_ENDS: Final = ("stop", "length")
_MESSAGE_ENDS: Final = ("end_turn", "stop_sequence", "max_tokens")
_SHORT: Final = ("length", "max_tokens", "incomplete")
_ITEMS: Final = ("message", "reasoning")


def not_kept(answer: Any, rule: CacheRule, *, operation: str, bounded: bool = False) -> str:
    """Why an answer is not kept; empty where it is. ``answer``: in the form of a whole one.

    ``bounded``: somebody gave it a bound that is not in its request: one that was cut short is not the request's answer.
    """
    if not isinstance(answer, dict):
        return "the answer is no JSON object"
    body = cast("dict[str, Any]", answer)
    if body.get("error"):
        return "the answer is an error"
    if operation == "embeddings":
        return "" if isinstance(body.get("data"), list) and body["data"] else "the answer holds no embeddings"
    if isinstance(body.get("choices"), list):
        why, ends = _chat(body, rule), [choice.get("finish_reason") for choice in _dicts(body["choices"])]
    elif isinstance(body.get("output"), list):
        why, ends = _response(body, rule), [body.get("status")]
    else:
        why, ends = _message(body, rule), [body.get("stop_reason")]
    return why or ("the answer was cut short by a budget" if bounded and any(end in _SHORT for end in ends) else "")


def _chat(body: Mapping[str, Any], rule: CacheRule) -> str:
    choices = _dicts(body["choices"])
    if not choices:
        return "the answer has no choices"
    for choice in choices:
        message = _mapping(choice.get("message"))
        reason = choice.get("finish_reason")
        calls = bool(message.get("tool_calls") or message.get("function_call"))
        if calls or reason in ("tool_calls", "function_call"):
            if not rule.tool_calls:
                return "the answer calls tools"
        elif reason not in _CHAT_ENDS:
            return f"the answer ended by {reason}"
        if message.get("refusal"):
            return "the model refused"
        if message.get("audio"):
            return "the answer holds sound that expires"
    return ""


def _response(body: Mapping[str, Any], rule: CacheRule) -> str:
    why = _mapping(body.get("incomplete_details")).get("reason")
    if body.get("status") != "completed" and why != "max_output_tokens":
        return f"the answer is {why or body.get('status')}"
    for item in _dicts(body["output"]):
        if item.get("type") in ("function_call", "custom_tool_call"):
            if not rule.tool_calls:
                return "the answer calls tools"
        elif item.get("type") not in _ITEMS:
            return f"the answer holds a {item.get('type')}"
        if any(part.get("type") == "refusal" for part in _dicts(item.get("content"))):
            return "the model refused"
    return ""


def _message(body: Mapping[str, Any], rule: CacheRule) -> str:
    reason = body.get("stop_reason")
    blocks = _dicts(body.get("content"))
    if reason == "tool_use" or any(block.get("type") == "tool_use" for block in blocks):
        if not rule.tool_calls:
            return "the answer calls tools"
    elif reason not in _MESSAGE_ENDS:
        return f"the answer ended by {reason}"
    return ""


def names_twice(request: bytes) -> bool:
    """Whether a body says a name twice: who reads the first and who reads the last would see different requests."""
    try:
        json.loads(request, object_pairs_hook=_once)
    except _Twice:
        return True
    except (ValueError, RecursionError):
        return True
    return False


class _Twice(Exception):
    """A name came again."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _Twice


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, dict)]
