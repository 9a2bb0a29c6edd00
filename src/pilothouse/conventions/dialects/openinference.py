"""OpenInference: ``openinference.span.kind``, ``llm.*``, ``input.value`` and flattened message lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.conventions import values
from pilothouse.conventions.bodies import Response, read_response, request_messages, same_messages, take_details
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.emitters import emission_of, habit_of, note_dropped_caches
from pilothouse.conventions.flattened import Flattened
from pilothouse.conventions.messages import read_conversation, read_messages
from pilothouse.conventions.providers import provider_id, provider_of_model
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import CountTable, settle_usage
from pilothouse.records import Document, Kind, RawSpan

NAME: Final = "openinference"

_KINDS: Final[dict[str, Kind]] = {
    "LLM": "model",
    "EMBEDDING": "embedding",
    "CHAIN": "chain",
    "RETRIEVER": "retrieval",
    "RERANKER": "retrieval",
    "TOOL": "tool",
    "AGENT": "agent",
    "GUARDRAIL": "guard",
    "EVALUATOR": "evaluator",
    "PROMPT": "other",
    "UNKNOWN": "other",
}
_LISTS: Final = frozenset(
    {
        "llm.input_messages",
        "llm.output_messages",
        "llm.prompts",
        "llm.choices",
        "llm.tools",
        "retrieval.documents",
        "reranker.output_documents",
    }
)
_USAGE: Final = CountTable(
    (
        ("llm.token_count.prompt", "input"),
        ("llm.token_count.completion", "output"),
        ("llm.token_count.total", "total"),
        ("llm.token_count.prompt_details.cache_read", "cache_read"),
        ("llm.token_count.prompt_details.cache_write", "cache_write"),
        ("llm.token_count.prompt_details.cache_input", "cache_read"),
        ("llm.token_count.prompt_details.audio", "audio_input"),
        ("llm.token_count.completion_details.reasoning", "reasoning"),
        ("llm.token_count.completion_details.audio", "audio_output"),
    )
)
_MODELS: Final = ("llm.response.model_name", "llm.model_name", "embedding.model_name", "reranker.model_name")
_HELD_PARAMETERS: Final = frozenset(
    [
        "tools",
        "functions",
        "messages",
        "input",
        "instructions",
        "model",
        "model_name",
        "id",
        "object",
        "created_at",
        "status",
        "output",
        "usage",
        "error",
        "incomplete_details",
    ]
)
"""Invocation parameters that the reading holds elsewhere: some emitters put whole requests and responses there."""


def read(span: RawSpan, draft: Draft) -> None:
    """Read everything OpenInference names."""
    attributes = span.attributes
    draft.operation = values.word(attributes.get("openinference.span.kind")) or draft.operation
    draft.kind = draft.kind or _KINDS.get(draft.operation.upper())
    _read_model(attributes, draft)
    lists = Flattened(attributes, _LISTS)
    if "llm.tools" in lists:
        schemas = [_json_schema(member) for member in lists.members("llm.tools")]
        if all(schema is not None for schema in schemas):
            draft.tools = tool_definitions(schemas)
            draft.consumed.update(lists.keys("llm.tools"))
    _read_messages(attributes, lists, draft)
    response = _read_values(attributes, draft)
    if draft.kind == "tool" or "tool.name" in attributes:
        _read_tool(span, draft)
    _read_documents(lists, draft)
    _read_agent(span, draft)
    _read_prompt(attributes, draft)
    _read_usage(span, response, draft)
    for event in span.events:
        if event.name == "First Token Stream Event" and draft.ttft_ns is None and event.time_ns >= span.start_ns:
            draft.ttft_ns = event.time_ns - span.start_ns


def _read_model(attributes: Mapping[str, Any], draft: Draft) -> None:
    draft.model = draft.model or values.first_word(attributes, _MODELS)
    parameters = attributes.get("llm.invocation_parameters", attributes.get("embedding.invocation_parameters"))
    if parameters is not None:
        given = values.mapping(parameters)
        draft.request_model = draft.request_model or values.first_word(given, ("model", "model_name", "model_id"))
        if not draft.parameters:
            draft.parameters = {
                key: value for key, value in given.items() if value is not None and key not in _HELD_PARAMETERS
            }
    if not draft.model:
        draft.model = draft.request_model
    if not draft.request_model:
        draft.request_model = values.word(attributes.get("llm.model_name"))
    if not draft.provider:
        for key in ("llm.provider", "llm.system"):
            draft.provider = draft.provider or provider_id(values.word(attributes.get(key)))
    if not draft.provider and draft.model:
        draft.provider = provider_of_model(draft.model)
    draft.finish_reason = draft.finish_reason or values.word(attributes.get("llm.finish_reason"))


def _read_messages(attributes: Mapping[str, Any], lists: Flattened, draft: Draft) -> None:
    if not draft.input:
        if "llm.input_messages" in lists:
            draft.input = lists.messages("llm.input_messages", "user")
            draft.consumed.update(lists.keys("llm.input_messages"))
        elif "llm.prompts" in lists:
            texts = [values.text(_unwrapped(item, "prompt").get("text")) for item in lists.members("llm.prompts")]
            draft.input = read_messages(texts)
            draft.consumed.update(lists.keys("llm.prompts"))
    if not draft.output:
        if "llm.output_messages" in lists:
            draft.output = lists.messages("llm.output_messages", "assistant")
            draft.consumed.update(lists.keys("llm.output_messages"))
        elif "llm.choices" in lists:
            texts = [values.text(_unwrapped(item, "completion").get("text")) for item in lists.members("llm.choices")]
            draft.output = read_messages(texts, "assistant")
            draft.consumed.update(lists.keys("llm.choices"))


def _read_values(attributes: Mapping[str, Any], draft: Draft) -> Response | None:
    """``input.value`` and ``output.value``: for a model call the whole request and response, else what went in and out.

    Where the messages are known from elsewhere, the values repeat them: they are dropped if they hold the same
    messages, and kept raw if they hold anything else.
    """
    got = attributes.get("input.value")
    gave = attributes.get("output.value")
    if draft.kind != "model":
        if got is not None and not draft.input_value:
            if not (draft.input and same_messages(got, draft.input)):
                draft.input_value = values.text(got)
            draft.consumed.add("input.value")
        if gave is not None and not draft.output_value:
            if not (draft.output and same_messages(gave, draft.output, role="assistant")):
                draft.output_value = values.text(gave)
            draft.consumed.add("output.value")
        return None
    if got is not None:
        if not draft.input:
            body = values.mapping(got)
            draft.input = request_messages(body) if body else ()
            if not draft.input:
                draft.input = read_messages(got)
            draft.consumed.add("input.value")
        elif same_messages(got, draft.input):
            draft.consumed.add("input.value")
    return _read_response(gave, draft) if gave is not None else None


def _read_response(value: Any, draft: Draft) -> Response | None:
    body = values.mapping(value)
    response = read_response(body) if body else None
    if response is None:
        if not draft.output:
            draft.output = read_conversation(value) or read_messages(value, "assistant")
            draft.consumed.add("output.value")
        elif same_messages(value, draft.output, role="assistant"):
            draft.consumed.add("output.value")
        return None
    draft.response_id = draft.response_id or response.id
    draft.finish_reason = draft.finish_reason or response.finish_reason
    tier = body.get("service_tier")
    if isinstance(tier, str):
        draft.parameters = {**draft.parameters, "service_tier": tier}
    if not draft.output:
        draft.output = response.messages
        draft.consumed.add("output.value")
    elif [item.hash for item in response.messages] == [item.hash for item in draft.output]:
        draft.consumed.add("output.value")
    return response


def _read_tool(span: RawSpan, draft: Draft) -> None:
    attributes = span.attributes
    draft.tool_name = draft.tool_name or values.word(attributes.get("tool.name"))
    if draft.kind != "tool":
        return
    draft.tool_name = draft.tool_name or span.name
    draft.tool_call_id = draft.tool_call_id or values.first_word(
        attributes, ("tool_call.id", "tool.call_id", "tool.id", "tool_call_id")
    )
    if "tool.parameters" in attributes:
        draft.input_value = draft.input_value or values.text(attributes["tool.parameters"])
        if draft.input_value == values.text(attributes["tool.parameters"]):
            draft.consumed.add("tool.parameters")
    if not draft.tool_call_id and "tool_call_id" in draft.output_value:
        # LangChain gives the whole tool message as the result.
        body = values.mapping(draft.output_value)
        inner = body.get("kwargs", body.get("data"))
        fields = cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else body
        draft.tool_call_id = values.word(fields.get("tool_call_id"))
        if fields.get("status") == "error":
            draft.tool_error = values.text(fields.get("content")) or "status: error"


def _read_documents(lists: Flattened, draft: Draft) -> None:
    for name in ("retrieval.documents", "reranker.output_documents"):
        if name in lists and not draft.documents:
            draft.documents = tuple(_document(member) for member in lists.members(name))
            draft.consumed.update(lists.keys(name))


def _document(member: Mapping[str, Any]) -> Document:
    body = _unwrapped(member, "document")
    extra = {key: value for key, value in body.items() if key not in ("id", "content", "score", "metadata")}
    metadata = values.mapping(body.get("metadata"))
    if body.get("metadata") is not None and not metadata:
        extra["metadata"] = body["metadata"]
    return Document(
        id=values.text(body.get("id")),
        content=values.text(body.get("content")),
        score=values.number(body.get("score")),
        metadata={**metadata, **extra},
    )


def _read_agent(span: RawSpan, draft: Draft) -> None:
    attributes = span.attributes
    draft.agent = draft.agent or values.word(attributes.get("agent.name"))
    draft.agent_id = draft.agent_id or values.word(attributes.get("agent.id"))
    if not draft.agent and "lc_agent_name" in (metadata := values.text(attributes.get("metadata"))):
        # LangChain's agents are graphs to OpenInference; what makes one an agent is in the metadata.
        draft.agent = values.word(values.mapping(metadata).get("lc_agent_name"))
        if draft.agent and draft.kind == "chain" and span.name == draft.agent:
            draft.kind = "agent"
    if draft.kind == "agent" and not draft.agent:
        # The OpenAI Agents instrumentation names the span after the agent and says it nowhere else.
        named = span.name if "openai_agents" in span.emitter.scope_name else ""
        draft.agent = named or values.first_word(attributes, ("graph.node.name", "graph.node.id"))


def _read_prompt(attributes: Mapping[str, Any], draft: Draft) -> None:
    draft.prompt_name = draft.prompt_name or values.first_word(attributes, ("prompt.name", "prompt.id"))
    draft.prompt_version = draft.prompt_version or values.first_word(
        attributes, ("llm.prompt_template.version", "prompt.version")
    )
    template = attributes.get("llm.prompt_template.template")
    if template is not None and not draft.prompt_template:
        draft.prompt_template = values.text(template)
        draft.consumed.add("llm.prompt_template.template")


def _read_usage(span: RawSpan, response: Response | None, draft: Draft) -> None:
    attributes = span.attributes
    if draft.cost_given_usd is None:
        total = values.money(attributes.get("llm.cost.total"))
        pieces = [values.money(attributes.get(f"llm.cost.{name}")) for name in ("prompt", "completion")]
        known = [piece for piece in pieces if piece is not None]
        draft.cost_given_usd = total if total is not None else (sum(known[1:], start=known[0]) if known else None)
    counts = _USAGE.take(attributes)
    if not counts.reported and not counts.malformed:
        return
    take_details(response, counts, "output.value")
    emission = emission_of(span.emitter.scope_name, NAME)
    settle_usage(
        draft,
        counts,
        rule=emission.rule,
        habit=habit_of(emission, draft.provider),
        scope="aggregate" if draft.kind in ("agent", "chain") else "leaf",
    )
    note_dropped_caches(draft, emission, counts)


def _json_schema(member: Mapping[str, Any]) -> Any:
    tool = _unwrapped(member, "tool")
    return tool.get("json_schema") if len(tool) == 1 else None


def _unwrapped(member: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = member.get(key)
    return cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else member
