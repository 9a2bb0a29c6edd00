"""Langfuse's SDKs: ``langfuse.observation.*`` and ``langfuse.trace.*``, with usage in given buckets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from pilothouse.conventions import values
from pilothouse.conventions.bodies import read_response, request_messages
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_conversation, read_messages
from pilothouse.conventions.providers import provider_of_model
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import Counts, Slot, settle_usage
from pilothouse.records import Kind, RawSpan

from . import openinference, otel_genai

NAME: Final = "langfuse"

_O: Final = "langfuse.observation."
_KINDS: Final[dict[str, Kind]] = {
    "generation": "model",
    "embedding": "embedding",
    "agent": "agent",
    "tool": "tool",
    "chain": "chain",
    "retriever": "retrieval",
    "evaluator": "evaluator",
    "guardrail": "guard",
    "event": "other",
}
_BUCKETS: Final[dict[str, Slot]] = {
    "input": "input",
    "input_tokens": "input",
    "prompt_tokens": "input",
    "promptTokens": "input",
    "output": "output",
    "output_tokens": "output",
    "completion_tokens": "output",
    "completionTokens": "output",
    "total": "total",
    "total_tokens": "total",
    "totalTokens": "total",
    "input_cached_tokens": "cache_read",
    "input_cache_read": "cache_read",
    "cache_read_input_tokens": "cache_read",
    "input_cached": "cache_read",
    "input_cache_creation": "cache_write",
    "cache_creation_input_tokens": "cache_write",
    "input_cache_creation_5m": "cache_write_5m",
    "input_cache_creation_1h": "cache_write_1h",
    "input_audio": "audio_input",
    "input_audio_tokens": "audio_input",
    "output_audio": "audio_output",
    "output_audio_tokens": "audio_output",
    "output_reasoning": "reasoning",
    "output_reasoning_tokens": "reasoning",
}
_IGNORED: Final = frozenset({"input_text", "output_text", "input_text_tokens", "output_text_tokens"})


def read(span: RawSpan, draft: Draft) -> None:
    """Read Langfuse's own names; a type of ``span`` says nothing, so other conventions may decide the kind."""
    attributes = span.attributes
    get = attributes.get
    kind = values.word(get(f"{_O}type")).lower()
    draft.operation = kind
    draft.kind = draft.kind or _KINDS.get(kind)
    if draft.kind is None and any(f"{_O}{name}" in attributes for name in ("model.name", "usage_details")):
        # The Python SDK up to 3.3 calls every observation a span.
        draft.kind = "model"
    if not span.parent_span_id:
        draft.name = draft.name or values.word(get("langfuse.trace.name"))
    draft.model = draft.model or values.word(get(f"{_O}model.name"))
    draft.provider = draft.provider or provider_of_model(draft.model)
    if not draft.parameters and f"{_O}model.parameters" in attributes:
        draft.parameters = values.mapping(attributes[f"{_O}model.parameters"])
    draft.prompt_name = draft.prompt_name or values.word(get(f"{_O}prompt.name"))
    draft.prompt_version = draft.prompt_version or values.word(get(f"{_O}prompt.version"))
    draft.ttft_ns = _time_to_first_token(get(f"{_O}completion_start_time"), span.start_ns)
    if values.word(get(f"{_O}level")).upper() == "ERROR":
        draft.error_message = values.text(get(f"{_O}status_message"))
        draft.error_type = "error"
    if "openinference.span.kind" in attributes:
        openinference.read(span, draft)
    elif "gen_ai.operation.name" in attributes:
        otel_genai.read(span, draft)
    _read_content(attributes, draft)
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or span.name
    if draft.kind == "agent":
        draft.agent = draft.agent or span.name
    _read_usage(attributes, draft)
    otel_genai.read(span, draft)
    draft.kind = draft.kind or "chain"


def _read_content(attributes: Mapping[str, Any], draft: Draft) -> None:
    for key in (f"{_O}input", "langfuse.trace.input"):
        if key in attributes and not draft.input and not draft.input_value:
            value = attributes[key]
            if draft.kind == "model":
                draft.input = _conversation(value, draft)
            else:
                draft.input_value = values.text(value)
            draft.consumed.add(key)
    for key in (f"{_O}output", "langfuse.trace.output"):
        if key in attributes and not draft.output and not draft.output_value:
            value = attributes[key]
            if draft.kind == "model":
                body = values.mapping(value)
                response = read_response(body) if body else None
                draft.output = response.messages if response else read_messages(value, "assistant")
            else:
                draft.output_value = values.text(value)
            draft.consumed.add(key)


def _conversation(value: Any, draft: Draft) -> Any:
    content = values.structure(value)
    if isinstance(content, Mapping):
        body = cast("Mapping[str, Any]", content)
        if not draft.tools and body.get("tools"):
            draft.tools = tool_definitions(body["tools"])
        return request_messages(body) or read_messages(value)
    if isinstance(content, (list, tuple)):
        # The LangChain handler appends the tools on offer to the conversation, as messages of role tool.
        elements = cast("list[Any]", content)
        offered = [element["content"] for element in elements if _is_definition(element)]
        if offered:
            draft.tools = draft.tools or tool_definitions(offered)
            return read_messages([element for element in elements if not _is_definition(element)])
    return read_conversation(value) or read_messages(value)


def _is_definition(element: Any) -> bool:
    if not isinstance(element, Mapping):
        return False
    content = cast("Mapping[str, Any]", element).get("content")
    return (
        cast("Mapping[str, Any]", element).get("role") == "tool"
        and isinstance(content, Mapping)
        and cast("Mapping[str, Any]", content).get("type") == "function"
        and "function" in content
    )


def _read_usage(attributes: Mapping[str, Any], draft: Draft) -> None:
    costs = values.mapping(attributes.get(f"{_O}cost_details"))
    if costs and draft.cost_given_usd is None:
        amounts = {key: amount for key, value in costs.items() if (amount := values.money(value)) is not None}
        if amounts:
            parts = [amount for key, amount in amounts.items() if key != "total"]
            draft.cost_given_usd = amounts.get("total") or sum(parts[1:], start=parts[0]) if parts else amounts["total"]
    details = values.mapping(attributes.get(f"{_O}usage_details"))
    if not details or draft.usage is not None:
        return
    counts = Counts()
    inclusive = _take(details, counts, draft)
    extra = sum(
        count or 0
        for count in (
            counts.cache_read,
            counts.cache_write,
            counts.cache_write_5m,
            counts.cache_write_1h,
            counts.audio_input,
            counts.reasoning,
            counts.audio_output,
        )
    )
    plain = (counts.input or 0) + (counts.output or 0)
    if not inclusive and extra and counts.total == plain:
        draft.note("the buckets add up to the total only if input and output include the others: read that way")
        inclusive = True
    rule = "langfuse: the provider's usage, details included" if inclusive else "langfuse: disjoint buckets"
    if not inclusive:
        _widen(counts)
    settle_usage(draft, counts, rule=rule, habit="inclusive", scope="aggregate" if draft.kind == "agent" else "leaf")


def _take(details: Mapping[str, Any], counts: Counts, draft: Draft) -> bool:
    """Take every bucket; true where the provider's own usage object was passed on, whose counts include the details."""
    inclusive = False
    for key, value in details.items():
        where = f"{_O}usage_details.{key}"
        slot = _BUCKETS.get(key)
        if slot is not None:
            counts.take(slot, where, value)
        elif isinstance(value, Mapping):
            inclusive = True
            inner = cast("Mapping[str, Any]", value)
            given = key.startswith(("prompt", "input"))
            counts.take("cache_read", f"{where}.cached_tokens", inner.get("cached_tokens", inner.get("cache_read")))
            counts.take("audio_input" if given else "audio_output", f"{where}.audio_tokens", inner.get("audio_tokens"))
            counts.take("cache_write", f"{where}.cache_write_tokens", inner.get("cache_write_tokens"))
            counts.take("reasoning", f"{where}.reasoning_tokens", inner.get("reasoning_tokens"))
        elif key not in _IGNORED and values.count(value):
            draft.note(f"usage bucket {key} ({values.count(value)} tokens) has no place and was left out")
    return inclusive


def _widen(counts: Counts) -> None:
    """Turn disjoint buckets into counts that include each other, as the one rule for all emitters wants them."""
    read = counts.cache_read or 0
    written = (counts.cache_write or 0) + (counts.cache_write_5m or 0) + (counts.cache_write_1h or 0)
    if counts.input is not None:
        counts.input += read + written + (counts.audio_input or 0)
    if counts.output is not None:
        counts.output += (counts.reasoning or 0) + (counts.audio_output or 0)
    if counts.cache_write is not None:
        counts.cache_write = written


def _time_to_first_token(value: Any, start_ns: int) -> int | None:
    text = values.word(value).strip('"')
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    found = round(moment.timestamp() * 1_000_000) * 1000 - start_ns
    return found if 0 <= found <= 86_400_000_000_000 else None
