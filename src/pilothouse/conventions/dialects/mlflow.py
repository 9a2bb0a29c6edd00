"""MLflow: ``mlflow.span*`` attributes, every value of them JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.conventions import values
from pilothouse.conventions.bodies import Response, read_response, request_messages, take_details
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_conversation, read_messages
from pilothouse.conventions.providers import provider_id, provider_of_model
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import Counts, settle_usage
from pilothouse.records import Document, Kind, RawSpan

from . import otel_genai

NAME: Final = "mlflow"

_KINDS: Final[dict[str, Kind]] = {
    "LLM": "model",
    "CHAT_MODEL": "model",
    "AGENT": "agent",
    "CHAIN": "chain",
    "WORKFLOW": "chain",
    "TASK": "chain",
    "PARSER": "chain",
    "TOOL": "tool",
    "RETRIEVER": "retrieval",
    "RERANKER": "retrieval",
    "EMBEDDING": "embedding",
    "GUARDRAIL": "guard",
    "EVALUATOR": "evaluator",
    "MEMORY": "other",
}
_HELD: Final = frozenset(["messages", "input", "contents", "prompt", "system", "instructions", "model", "tools"])


def read(span: RawSpan, draft: Draft) -> None:
    """Read MLflow's own names, then what the OTel convention covers."""
    attributes = span.attributes
    draft.operation = _word(attributes, "mlflow.spanType")
    draft.kind = draft.kind or _KINDS.get(draft.operation.upper())
    if draft.kind is None and draft.operation:
        draft.kind = "chain"
    draft.session_id = _word(attributes, "mlflow.trace.session")
    draft.user_id = _word(attributes, "mlflow.trace.user")
    draft.model = _word(attributes, "mlflow.llm.model") or _word(attributes, "mlflow.chat.model")
    draft.provider = provider_id(_word(attributes, "mlflow.llm.provider"))
    _read_inputs(attributes, draft)
    response = _read_outputs(attributes, draft)
    draft.provider = draft.provider or provider_of_model(draft.model)
    if "mlflow.chat.tools" in attributes:
        draft.tools = tool_definitions(attributes["mlflow.chat.tools"])
        if draft.tools:
            draft.consumed.add("mlflow.chat.tools")
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or span.name
    if draft.kind == "agent":
        draft.agent = draft.agent or values.word(attributes.get("gen_ai.agent.name")) or span.name
    _read_usage(attributes, response, draft)
    otel_genai.read(span, draft)


def _read_inputs(attributes: Mapping[str, Any], draft: Draft) -> None:
    key = "mlflow.spanInputs"
    if key not in attributes:
        return
    value = attributes[key]
    if draft.kind != "model":
        draft.input_value = values.text(value)
        draft.consumed.add(key)
        return
    body = values.mapping(value)
    draft.request_model = draft.request_model or values.word(body.get("model"))
    draft.model = draft.model or draft.request_model
    draft.parameters = draft.parameters or {
        name: given for name, given in body.items() if name not in _HELD and given is not None
    }
    draft.tools = draft.tools or tool_definitions(body.get("tools"))
    draft.input = request_messages(body) if body else ()
    draft.input = draft.input or read_conversation(value) or read_messages(value)
    draft.consumed.add(key)
    for name in ("messages", "tools", "input", "instructions", "system"):
        # Inputs are repeated one by one under their bare names.
        if name in attributes and name in body and values.structure(attributes[name]) == body[name]:
            draft.consumed.add(name)


def _read_outputs(attributes: Mapping[str, Any], draft: Draft) -> Response | None:
    key = "mlflow.spanOutputs"
    if key not in attributes:
        return None
    value = attributes[key]
    if draft.kind == "model":
        body = values.mapping(value)
        response = read_response(body) if body else None
        if response is not None:
            draft.output = response.messages
            draft.response_id = response.id
            draft.finish_reason = response.finish_reason
            draft.model = response.model or draft.model
        else:
            draft.output = read_conversation(value) or read_messages(value, "assistant")
        draft.consumed.add(key)
        return response
    if draft.kind == "retrieval":
        found = [_document(item) for item in values.items(value)]
        if found and all(found):
            draft.documents = tuple(document for document in found if document is not None)
            draft.consumed.add(key)
            return None
    draft.output_value = values.text(value)
    draft.consumed.add(key)
    return None


def _document(item: Any) -> Document | None:
    if not isinstance(item, Mapping) or "page_content" not in item:
        return None
    body = cast("Mapping[str, Any]", item)
    rest = {name: body[name] for name in body if name not in ("id", "page_content", "metadata", "score")}
    return Document(
        id=values.text(body.get("id")),
        content=values.text(body.get("page_content")),
        score=values.number(body.get("score")),
        metadata={**values.mapping(body.get("metadata")), **rest},
    )


def _read_usage(attributes: Mapping[str, Any], response: Response | None, draft: Draft) -> None:
    cost = values.mapping(attributes.get("mlflow.llm.cost"))
    draft.cost_given_usd = values.money(cost.get("total_cost"))
    given = values.mapping(attributes.get("mlflow.chat.tokenUsage"))
    if not given:
        return
    counts = Counts()
    where = "mlflow.chat.tokenUsage."
    counts.take("input", where + "input_tokens", given.get("input_tokens"))
    counts.take("output", where + "output_tokens", given.get("output_tokens"))
    counts.take("total", where + "total_tokens", given.get("total_tokens"))
    counts.take("cache_read", where + "cache_read_input_tokens", given.get("cache_read_input_tokens"))
    counts.take("cache_write", where + "cache_creation_input_tokens", given.get("cache_creation_input_tokens"))
    counts.take("reasoning", where + "reasoning_tokens", given.get("reasoning_tokens"))
    take_details(response, counts, "mlflow.spanOutputs")
    scope = "aggregate" if draft.kind in ("agent", "chain") else "leaf"
    settle_usage(draft, counts, rule="mlflow", habit="inclusive", scope=scope)


def _word(attributes: Mapping[str, Any], key: str) -> str:
    return values.word(values.structure(attributes.get(key)))
