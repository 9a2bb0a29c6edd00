"""LangSmith's SDK over OTel: run inputs and outputs as JSON in ``gen_ai.prompt`` and ``gen_ai.completion``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilothouse.conventions import values
from pilothouse.conventions.bodies import read_response, request_messages
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_messages
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import Counts, settle_usage
from pilothouse.records import Kind, Message, RawSpan

from . import openllmetry

NAME: Final = "langsmith"

_KINDS: Final[dict[str, Kind]] = {
    "llm": "model",
    "chain": "chain",
    "tool": "tool",
    "retriever": "retrieval",
    "embedding": "embedding",
    "prompt": "other",
    "parser": "chain",
}


def read(span: RawSpan, draft: Draft) -> None:
    """Read LangSmith's own names, then those of OpenLLMetry and OTel."""
    attributes = span.attributes
    draft.operation = values.word(attributes.get("langsmith.span.kind")).lower()
    draft.kind = _KINDS.get(draft.operation)
    draft.name = values.word(attributes.get("langsmith.trace.name")) if not span.parent_span_id else ""
    draft.request_model = values.first_word(attributes, ("gen_ai.request.model", "langsmith.metadata.ls_model_name"))
    for key, role in (("gen_ai.prompt", "user"), ("gen_ai.completion", "assistant")):
        if key in attributes:
            _read_content(attributes[key], key, role, draft)
    if draft.kind == "tool":
        draft.tool_name = values.word(attributes.get("gen_ai.tool.name")) or span.name
    _read_usage(attributes, draft)
    openllmetry.read(span, draft)


def _read_content(value: Any, key: str, role: str, draft: Draft) -> None:
    draft.consumed.add(key)
    if draft.kind != "model":
        if role == "user":
            draft.input_value = values.text(value)
        else:
            draft.output_value = values.text(value)
        return
    body = values.mapping(value)
    if role == "user":
        draft.input = (request_messages(body) if body else ()) or read_messages(value)
        draft.tools = draft.tools or tool_definitions(body.get("tools"))
    else:
        draft.output = _answers(body) or read_messages(value, "assistant")


def _answers(body: Mapping[str, Any]) -> tuple[Message, ...]:
    response = read_response(body) if body else None
    return response.messages if response is not None else ()


def _read_usage(attributes: Mapping[str, Any], draft: Draft) -> None:
    given = values.mapping(attributes.get("langsmith.usage_metadata"))
    if not given:
        return
    counts = Counts()
    where = "langsmith.usage_metadata."
    sent = values.mapping(given.get("input_token_details"))
    received = values.mapping(given.get("output_token_details"))
    counts.take("input", where + "input_tokens", given.get("input_tokens"))
    counts.take("output", where + "output_tokens", given.get("output_tokens"))
    counts.take("total", where + "total_tokens", given.get("total_tokens"))
    counts.take("cache_read", where + "input_token_details.cache_read", sent.get("cache_read"))
    counts.take("cache_write", where + "input_token_details.cache_creation", sent.get("cache_creation"))
    counts.take("cache_write_5m", where + "…ephemeral_5m_input_tokens", sent.get("ephemeral_5m_input_tokens"))
    counts.take("cache_write_1h", where + "…ephemeral_1h_input_tokens", sent.get("ephemeral_1h_input_tokens"))
    counts.take("audio_input", where + "input_token_details.audio", sent.get("audio"))
    counts.take("audio_output", where + "output_token_details.audio", received.get("audio"))
    counts.take("reasoning", where + "output_token_details.reasoning", received.get("reasoning"))
    draft.cost_given_usd = values.money(given.get("total_cost"))
    scope = "aggregate" if draft.kind == "chain" else "leaf"
    settle_usage(draft, counts, rule="langsmith: LangChain usage", habit="inclusive", scope=scope)
