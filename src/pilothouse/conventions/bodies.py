"""Whole request and response bodies of model APIs, as some emitters put them into one attribute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.records import Message

from . import values
from .messages import read_conversation, read_messages, read_system, with_system
from .usage import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a response body holds."""

    messages: tuple[Message, ...] = ()
    id: str = ""
    model: str = ""
    finish_reason: str = ""
    usage: Mapping[str, Any] | None = None
    """The provider's own usage object."""


def request_messages(body: Mapping[str, Any]) -> tuple[Message, ...]:
    """The conversation in a request: OpenAI chat and responses, Anthropic, Gemini, Bedrock; empty where none fits."""
    system: Any = None
    config = body.get("config")
    holders = (body, cast("Mapping[str, Any]", config)) if isinstance(config, Mapping) else (body,)
    for holder in holders:
        for key in ("system", "instructions", "system_instruction", "systemInstruction"):
            if system is None and holder.get(key):
                system = holder[key]
    conversation: tuple[Message, ...] = ()
    for key in ("messages", "input", "contents", "prompt"):
        value = body.get(key)
        if isinstance(value, str) and value and key != "messages":
            conversation = read_messages(value) if key != "prompt" else read_messages([value])
            break
        if isinstance(value, (list, tuple)) and value:
            conversation = read_messages(_flattened_once(cast("list[Any]", value)))
            break
        if isinstance(value, Mapping) and key == "contents":
            conversation = read_messages(value)
            break
    if not conversation and system is None:
        return ()
    return with_system(read_system(system) if system is not None else (), conversation)


def read_response(body: Mapping[str, Any]) -> Response | None:
    """What a response says: OpenAI chat and responses, Anthropic, Gemini, Bedrock, LangChain; ``None`` for others."""
    choices = body.get("choices")
    if isinstance(choices, (list, tuple)):
        first = values.mapping(next(iter(cast("list[Any]", choices)), None))
        return _response(body, read_messages(choices, "assistant"), values.word(first.get("finish_reason")))
    if isinstance(body.get("output"), (list, tuple)) and ("object" in body or "status" in body):
        return _response(body, read_messages(body["output"], "assistant"), values.word(body.get("status")))
    if body.get("role") == "assistant" and "content" in body:
        return _response(body, read_messages(body, "assistant"), values.word(body.get("stop_reason")))
    candidates = body.get("candidates")
    if isinstance(candidates, (list, tuple)):
        first = values.mapping(next(iter(cast("list[Any]", candidates)), None))
        contents = [values.mapping(item).get("content") for item in cast("list[Any]", candidates)]
        reason = values.word(first.get("finishReason", first.get("finish_reason")))
        return _response(body, read_messages([c for c in contents if c], "assistant"), reason)
    generations = body.get("generations")
    if isinstance(generations, (list, tuple)) and generations:
        return _langchain(cast("list[Any]", generations))
    content = body.get("content")
    if isinstance(content, Mapping) and "parts" in content:
        reason = values.word(body.get("finishReason", body.get("finish_reason")))
        return _response(body, read_messages(content, "assistant"), reason)
    output = body.get("output")
    if isinstance(output, Mapping) and "message" in output:
        message = cast("Mapping[str, Any]", output)["message"]
        return _response(body, read_messages(message, "assistant"), values.word(body.get("stopReason")))
    return None


def take_details(response: Response | None, counts: Counts, where: str) -> None:
    """Take what the provider's own usage says beyond the attributes: cache lifetimes, reasoning, audio.

    Only details of what is counted already: the totals stay the emitter's.
    """
    if response is None or response.usage is None:
        return
    usage = response.usage
    if counts.cache_write:
        lifetimes = values.mapping(usage.get("cache_creation"))
        where_5m, where_1h = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"
        counts.take("cache_write_5m", f"{where}.usage.cache_creation.{where_5m}", lifetimes.get(where_5m))
        counts.take("cache_write_1h", f"{where}.usage.cache_creation.{where_1h}", lifetimes.get(where_1h))
    for name in ("completion_tokens_details", "output_tokens_details"):
        details = values.mapping(usage.get(name))
        for key in ("reasoning_tokens", "thinking_tokens"):
            counts.take("reasoning", f"{where}.usage.{name}.{key}", details.get(key))


def same_messages(value: Any, known: tuple[Message, ...], *, role: str = "user") -> bool:
    """True where an attribute holds these messages and nothing the canonical form lost."""
    content = values.structure(value)
    found: tuple[Message, ...] = ()
    if isinstance(content, Mapping):
        body = cast("Mapping[str, Any]", content)
        response = read_response(body) if role == "assistant" else None
        found = response.messages if response is not None else request_messages(body)
    elif isinstance(content, str):
        return len(known) == 1 and known[0].text == content
    found = found or read_conversation(content) or ()
    # Instructions may be known from elsewhere, so it is enough that the conversation ends with what is found.
    return bool(found) and [item.hash for item in found] == [item.hash for item in known[-len(found) :]]


def _langchain(generations: list[Any]) -> Response:
    """LangChain's result: a list of candidates for each prompt, of which there is one."""
    first = cast("list[Any]", generations[0]) if isinstance(generations[0], list) else generations
    body = values.mapping(values.mapping(next(iter(first), None)).get("message"))
    inner = values.mapping(body.get("kwargs", body.get("data", body)))
    metadata = values.mapping(inner.get("response_metadata"))
    return Response(
        messages=read_messages(first, "assistant"),
        id=values.word(metadata.get("id")),
        model=values.first_word(metadata, ("model_name", "model")),
        finish_reason=values.first_word(metadata, ("finish_reason", "stop_reason")),
        usage=values.mapping(inner.get("usage_metadata")) or None,
    )


def _response(body: Mapping[str, Any], messages: tuple[Message, ...], finish_reason: str) -> Response:
    usage = body.get("usage", body.get("usageMetadata", body.get("usage_metadata")))
    return Response(
        messages=messages,
        id=values.word(body.get("id", body.get("responseId", body.get("response_id")))),
        model=values.word(body.get("model", body.get("modelVersion", body.get("model_version")))),
        finish_reason=finish_reason,
        usage=cast("Mapping[str, Any]", usage) if isinstance(usage, Mapping) else None,
    )


def _flattened_once(value: list[Any]) -> list[Any]:
    if len(value) == 1 and isinstance(value[0], list):
        return cast("list[Any]", value[0])
    return value
