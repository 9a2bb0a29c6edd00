"""Genkit: ``genkit:*`` attributes with requests and responses as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilothouse.conventions import values
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_messages
from pilothouse.conventions.providers import provider_id, provider_of_model
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import Counts, settle_usage
from pilothouse.records import Kind, RawSpan

from . import otel_genai

NAME: Final = "genkit"

_KINDS: Final[dict[str, Kind]] = {
    "model": "model",
    "background-model": "model",
    "tool": "tool",
    "tool.v2": "tool",
    "retriever": "retrieval",
    "reranker": "retrieval",
    "embedder": "embedding",
    "evaluator": "evaluator",
    "agent": "agent",
    "flow": "chain",
    "flowStep": "chain",
    "prompt": "other",
    "util": "chain",
}


def read(span: RawSpan, draft: Draft) -> None:
    """Read Genkit's own names, then what the OTel convention covers."""
    attributes = span.attributes
    subtype = values.word(attributes.get("genkit:metadata:subtype")) or values.word(attributes.get("genkit:type"))
    name = values.word(attributes.get("genkit:name"))
    draft.operation = subtype
    draft.kind = _KINDS.get(subtype)
    if draft.kind is None and subtype:
        draft.kind = "chain"
    draft.name = name
    draft.session_id = values.word(attributes.get("genkit:sessionId"))
    given = attributes.get("genkit:input")
    gave = attributes.get("genkit:output")
    if draft.kind == "model":
        draft.model = name.rsplit("/", 1)[-1]
        draft.provider = provider_of_model(draft.model) or provider_id(name.split("/", 1)[0])
        _read_model(values.mapping(given), values.mapping(gave), draft)
    else:
        draft.input_value = values.text(given)
        draft.output_value = values.text(gave)
        draft.consumed.update(key for key in ("genkit:input", "genkit:output") if key in attributes)
    if draft.kind == "tool":
        draft.tool_name = name
    if draft.kind == "agent":
        draft.agent = name
    otel_genai.read(span, draft)


def _read_model(request: Mapping[str, Any], response: Mapping[str, Any], draft: Draft) -> None:
    draft.input = read_messages(request.get("messages"))
    draft.tools = tool_definitions(request.get("tools"))
    draft.parameters = values.mapping(request.get("config"))
    draft.output = read_messages(response.get("message"), "assistant")
    draft.finish_reason = values.word(response.get("finishReason"))
    given = values.mapping(response.get("usage"))
    counts = Counts()
    where = "genkit:output.usage."
    counts.take("input", where + "inputTokens", given.get("inputTokens"))
    counts.take("output", where + "outputTokens", given.get("outputTokens"))
    counts.take("total", where + "totalTokens", given.get("totalTokens"))
    counts.take("cache_read", where + "cachedContentTokens", given.get("cachedContentTokens"))
    counts.take("reasoning", where + "thoughtsTokens", given.get("thoughtsTokens"))
    habit = "exclusive" if draft.provider == "anthropic" else "inclusive"
    settle_usage(draft, counts, rule="genkit", habit=habit, reasoning_apart=draft.provider == "google")
