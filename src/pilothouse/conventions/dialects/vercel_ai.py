"""The Vercel AI SDK: ``ai.*`` on the scope ``ai`` (up to version 6), and the OTel convention on ``gen_ai`` (7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.conventions import values
from pilothouse.conventions.bodies import request_messages
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_messages
from pilothouse.conventions.providers import provider_id, provider_of_model
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import Counts, CountTable, Habit, settle_usage
from pilothouse.records import Kind, RawSpan

from . import otel_genai

NAME: Final = "vercel_ai"

_USAGE: Final = CountTable(
    (
        ("ai.usage.inputTokens", "input"),
        ("ai.usage.promptTokens", "input"),
        ("ai.usage.tokens", "input"),
        ("ai.usage.outputTokens", "output"),
        ("ai.usage.completionTokens", "output"),
        ("ai.usage.totalTokens", "total"),
        ("ai.usage.inputTokenDetails.cacheReadTokens", "cache_read"),
        ("ai.usage.cachedInputTokens", "cache_read"),
        ("ai.usage.inputTokenDetails.cacheWriteTokens", "cache_write"),
        ("ai.usage.outputTokenDetails.reasoningTokens", "reasoning"),
        ("ai.usage.reasoningTokens", "reasoning"),
    )
)
_UNCACHED: Final = "ai.usage.inputTokenDetails.noCacheTokens"


def read(span: RawSpan, draft: Draft) -> None:
    """Read the SDK's own names, then what the OTel convention covers."""
    attributes = span.attributes
    operation = values.word(attributes.get("ai.operationId")) or values.word(attributes.get("operation.name"))
    operation = operation.split(" ", 1)[0]
    if operation.startswith("ai."):
        draft.operation = operation
        draft.kind = draft.kind or _kind(operation)
        _read_names(attributes, draft)
        _read_tool(attributes, draft)
        _read_messages(attributes, draft)
        _read_values(attributes, draft)
        _read_usage(attributes, draft)
    otel_genai.read(span, draft)


def _kind(operation: str) -> Kind:
    if operation.endswith((".doGenerate", ".doStream")):
        return "model"
    if operation.endswith(".doEmbed"):
        return "embedding"
    if operation == "ai.toolCall":
        return "tool"
    if operation.startswith("ai.rerank"):
        return "retrieval"
    if operation.startswith("ai.embed"):
        return "chain"
    return "agent"


def _read_names(attributes: Mapping[str, Any], draft: Draft) -> None:
    get = attributes.get
    function = values.word(get("ai.telemetry.functionId"))
    draft.name = draft.name or (function if draft.kind == "agent" else "")
    draft.agent = draft.agent or function
    draft.request_model = draft.request_model or values.word(get("ai.model.id"))
    draft.model = draft.model or values.word(get("ai.response.model")) or draft.request_model
    draft.provider = draft.provider or provider_id(values.word(get("ai.model.provider")))
    if not draft.provider:
        draft.provider = provider_of_model(draft.request_model) or provider_of_model(draft.model)
    draft.response_id = draft.response_id or values.word(get("ai.response.id"))
    draft.finish_reason = draft.finish_reason or values.word(get("ai.response.finishReason"))
    if draft.ttft_ns is None:
        draft.ttft_ns = values.milliseconds_as_ns(get("ai.response.msToFirstChunk", get("ai.stream.msToFirstChunk")))
    if not draft.parameters:
        settings = {
            key.removeprefix("ai.settings."): value
            for key, value in attributes.items()
            if key.startswith("ai.settings.") and not key.startswith("ai.settings.context.")
        }
        if settings:
            draft.parameters = settings
    if "ai.prompt.tools" in attributes:
        draft.tools = draft.tools or tool_definitions(attributes["ai.prompt.tools"])
        if draft.tools:
            draft.consumed.add("ai.prompt.tools")


def _read_tool(attributes: Mapping[str, Any], draft: Draft) -> None:
    get = attributes.get
    draft.tool_name = draft.tool_name or values.word(get("ai.toolCall.name"))
    draft.tool_call_id = draft.tool_call_id or values.word(get("ai.toolCall.id"))
    for key, slot in (("ai.toolCall.args", "input_value"), ("ai.toolCall.result", "output_value")):
        if key in attributes and not getattr(draft, slot):
            setattr(draft, slot, values.text(attributes[key]))
            draft.consumed.add(key)


def _read_messages(attributes: Mapping[str, Any], draft: Draft) -> None:
    if not draft.input:
        if "ai.prompt.messages" in attributes:
            draft.input = read_messages(attributes["ai.prompt.messages"])
            draft.consumed.add("ai.prompt.messages")
        elif "ai.prompt" in attributes:
            body = values.mapping(attributes["ai.prompt"])
            prompt = body.get("prompt")
            if isinstance(prompt, (list, tuple)) and not body.get("messages"):
                body = {**body, "messages": cast("list[Any]", prompt)}
            draft.input = request_messages(body) if body else read_messages(attributes["ai.prompt"])
            draft.consumed.add("ai.prompt")
    if not draft.output:
        draft.output = read_messages([message], "assistant") if (message := _answer(attributes, draft)) else ()


def _answer(attributes: Mapping[str, Any], draft: Draft) -> dict[str, Any] | None:
    """The answer, which is spread over several attributes, as one message."""
    pieces: list[Any] = []
    for names, kind in (
        (("ai.response.reasoning", "ai.result.reasoning"), "reasoning"),
        (("ai.response.text", "ai.result.text", "ai.response.object", "ai.result.object"), "text"),
    ):
        for name in names:
            text = attributes.get(name)
            if isinstance(text, str):
                draft.consumed.add(name)
                if text:
                    pieces.append({"type": kind, "text": text})
                    break
    for name in ("ai.response.toolCalls", "ai.result.toolCalls"):
        if name in attributes and (calls := values.items(attributes[name])):
            pieces.extend(
                {"type": "tool-call", **cast("dict[str, Any]", call)} for call in calls if isinstance(call, dict)
            )
            draft.consumed.add(name)
            break
    if "ai.response.files" in attributes and (files := values.items(attributes["ai.response.files"])):
        pieces.extend(files)
        draft.consumed.add("ai.response.files")
    if not pieces:
        return None
    return {"role": "assistant", "content": pieces, "finish_reason": draft.finish_reason}


def _read_values(attributes: Mapping[str, Any], draft: Draft) -> None:
    for key in ("ai.value", "ai.values", "ai.documents"):
        if key in attributes and not draft.input_value:
            draft.input_value = values.text(attributes[key])
            draft.consumed.add(key)


def _read_usage(attributes: Mapping[str, Any], draft: Draft) -> None:
    counts = _USAGE.take(attributes)
    if not counts.reported and not counts.malformed:
        return
    habit: Habit = "exclusive" if draft.provider in ("anthropic", "aws") else "inclusive"
    rule = f"ai-sdk/{draft.provider or 'unknown provider'}"
    uncached = values.count(attributes.get(_UNCACHED))
    if uncached is not None:
        # From version 6 on the SDK counts cached tokens in the input and says what is left without them.
        counts.input = uncached
        counts.reported.append((_UNCACHED, uncached))
        habit, rule = "exclusive", "ai-sdk v6: noCacheTokens"
    elif "ai.usage.inputTokenDetails.cacheReadTokens" in attributes:
        habit, rule = "inclusive", "ai-sdk v6"
    _take_provider_metadata(attributes.get("ai.response.providerMetadata"), counts)
    settle_usage(
        draft, counts, rule=rule, habit=habit, scope="aggregate" if draft.kind in ("agent", "chain") else "leaf"
    )


def _take_provider_metadata(value: Any, counts: Counts) -> None:
    """Cache counts that older versions leave to the provider's own metadata."""
    if value is None:
        return
    metadata = values.mapping(value)
    anthropic = values.mapping(metadata.get("anthropic"))
    usage = values.mapping(anthropic.get("usage"))
    split = values.mapping(usage.get("cache_creation"))
    openai = values.mapping(metadata.get("openai"))
    where = "ai.response.providerMetadata."
    counts.take("cache_read", where + "anthropic.cacheReadInputTokens", anthropic.get("cacheReadInputTokens"))
    counts.take("cache_read", where + "anthropic.usage.cache_read_input_tokens", usage.get("cache_read_input_tokens"))
    written = anthropic.get("cacheCreationInputTokens")
    counts.take("cache_write", where + "anthropic.cacheCreationInputTokens", written)
    counts.take("cache_write_5m", where + "…ephemeral_5m_input_tokens", split.get("ephemeral_5m_input_tokens"))
    counts.take("cache_write_1h", where + "…ephemeral_1h_input_tokens", split.get("ephemeral_1h_input_tokens"))
    counts.take("cache_read", where + "openai.cachedPromptTokens", openai.get("cachedPromptTokens"))
    counts.take("reasoning", where + "openai.reasoningTokens", openai.get("reasoningTokens"))
