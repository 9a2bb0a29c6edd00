"""The OpenTelemetry GenAI convention, its older names, and its span events; most other dialects lean on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.conventions import values
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.emitters import emission_of, habit_of, note_dropped_caches
from pilothouse.conventions.messages import read_messages, read_system, with_system
from pilothouse.conventions.providers import provider_id, provider_of_model
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import CountTable, Slot, settle_usage
from pilothouse.records import Document, Kind, Message, RawEvent, RawSpan

NAME: Final = "otel_genai"

OPERATIONS: Final[dict[str, Kind]] = {
    "chat": "model",
    "generate_content": "model",
    "text_completion": "model",
    "completion": "model",
    "responses": "model",
    "fetch_response": "model",
    "generate_image": "model",
    "image_generation": "model",
    "speech": "model",
    "transcription": "model",
    "embeddings": "embedding",
    "embedding": "embedding",
    "rerank": "retrieval",
    "retrieval": "retrieval",
    "search_memory": "retrieval",
    "create_agent": "agent",
    "invoke_agent": "agent",
    "agent": "agent",
    "execute_tool": "tool",
    "invoke_workflow": "chain",
    "plan": "chain",
    "agent_step": "chain",
    "handoff": "chain",
    "apply_guardrail": "guard",
    "guardrail": "guard",
    "evaluate": "evaluator",
    "create_memory": "other",
    "update_memory": "other",
    "upsert_memory": "other",
    "delete_memory": "other",
    "create_memory_store": "other",
    "delete_memory_store": "other",
}

USAGE_KEYS: Final[tuple[tuple[str, Slot], ...]] = (
    ("gen_ai.usage.input_tokens", "input"),
    ("gen_ai.usage.prompt_tokens", "input"),
    ("gen_ai.usage.output_tokens", "output"),
    ("gen_ai.usage.completion_tokens", "output"),
    ("gen_ai.usage.total_tokens", "total"),
    ("llm.usage.total_tokens", "total"),
    ("gen_ai.usage.cache_read.input_tokens", "cache_read"),
    ("gen_ai.usage.cache_read_input_tokens", "cache_read"),
    ("gen_ai.usage.details.cache_read_tokens", "cache_read"),
    ("gen_ai.usage.details.cache_read_input_tokens", "cache_read"),
    ("gen_ai.usage.details.cached_tokens", "cache_read"),
    ("gen_ai.usage.input_tokens.cached", "cache_read"),
    ("gen_ai.usage.cache_write.input_tokens", "cache_write"),
    ("gen_ai.usage.cache_creation.input_tokens", "cache_write"),
    ("gen_ai.usage.cache_creation_input_tokens", "cache_write"),
    ("gen_ai.usage.details.cache_write_tokens", "cache_write"),
    ("gen_ai.usage.details.cache_creation_input_tokens", "cache_write"),
    ("gen_ai.usage.cache_creation.input_tokens.ephemeral_5m", "cache_write_5m"),
    ("gen_ai.usage.cache_write.input_tokens.ephemeral_5m", "cache_write_5m"),
    ("gen_ai.usage.cache_creation.ephemeral_5m_input_tokens", "cache_write_5m"),
    ("gen_ai.usage.cache_creation.input_tokens.ephemeral_1h", "cache_write_1h"),
    ("gen_ai.usage.cache_write.input_tokens.ephemeral_1h", "cache_write_1h"),
    ("gen_ai.usage.cache_creation.ephemeral_1h_input_tokens", "cache_write_1h"),
    ("gen_ai.usage.reasoning.output_tokens", "reasoning"),
    ("gen_ai.usage.reasoning_tokens", "reasoning"),
    ("gen_ai.usage.details.reasoning_tokens", "reasoning"),
    ("gen_ai.usage.output_tokens.reasoning", "reasoning"),
    ("ai.usage.outputTokenDetails.reasoningTokens", "reasoning"),
    ("gen_ai.usage.audio.input_tokens", "audio_input"),
    ("gen_ai.usage.audio_input_tokens", "audio_input"),
    ("gen_ai.usage.details.input_audio_tokens", "audio_input"),
    ("gen_ai.usage.audio.output_tokens", "audio_output"),
    ("gen_ai.usage.audio_output_tokens", "audio_output"),
    ("gen_ai.usage.details.output_audio_tokens", "audio_output"),
)

_USAGE: Final = CountTable(USAGE_KEYS)

_PARAMETERS: Final = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "seed",
    "choice.count",
    "stream",
    "frequency_penalty",
    "presence_penalty",
    "reasoning.level",
    "reasoning_effort",
    "encoding_formats",
    "service_tier",
)
_OTHER_PARAMETERS: Final = (
    ("gen_ai.output.type", "output_type"),
    ("gen_ai.openai.request.service_tier", "service_tier"),
    ("openai.request.service_tier", "service_tier"),
    ("gen_ai.openai.response.service_tier", "service_tier"),
    ("openai.response.service_tier", "service_tier"),
    ("gen_ai.response.service_tier", "service_tier"),
    ("anthropic.response.service_tier", "service_tier"),
    ("gen_ai.request.batch", "batch"),
)
_PARAMETER_KEYS: Final = (
    *((f"gen_ai.request.{name}", name.replace(".", "_")) for name in _PARAMETERS),
    *_OTHER_PARAMETERS,
)

_MESSAGE_EVENTS: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}


def read(span: RawSpan, draft: Draft) -> None:
    """Read everything the convention names; what is filled already stays."""
    attributes = span.attributes
    operation = values.word(attributes.get("gen_ai.operation.name"))
    draft.operation = draft.operation or operation
    if draft.kind is None:
        draft.kind = _kind(span, operation)
    _read_model(attributes, draft)
    _read_agent(attributes, draft)
    _read_tool(attributes, draft)
    _read_messages(span, draft)
    _read_documents(attributes, draft)
    if not draft.tools and "gen_ai.tool.definitions" in attributes:
        draft.tools = tool_definitions(attributes["gen_ai.tool.definitions"])
        if draft.tools:
            draft.consumed.add("gen_ai.tool.definitions")
    if not draft.prompt_name:
        draft.prompt_name = values.word(attributes.get("gen_ai.prompt.name"))
        draft.prompt_version = draft.prompt_version or values.word(attributes.get("gen_ai.prompt.version"))
    if draft.ttft_ns is None:
        draft.ttft_ns = values.seconds_as_ns(
            attributes.get(
                "gen_ai.response.time_to_first_chunk", attributes.get("gen_ai.client.operation.time_to_first_chunk")
            )
        )
    read_usage(span, draft)
    read_cost(attributes, draft)


def read_usage(span: RawSpan, draft: Draft) -> None:
    """Read the token counts; on an agent or chain they repeat what its calls report, until the trace says otherwise."""
    if draft.usage is not None:
        return
    counts = _USAGE.take(span.attributes)
    if not counts.reported and not counts.malformed:
        return
    emission = emission_of(span.emitter.scope_name, draft.dialect)
    settle_usage(
        draft,
        counts,
        rule=emission.rule,
        habit=habit_of(emission, draft.provider),
        scope="aggregate" if draft.kind in ("agent", "chain") else "leaf",
    )
    note_dropped_caches(draft, emission, counts)


def read_cost(attributes: Mapping[str, Any], draft: Draft) -> None:
    """Read the cost that the emitter states itself."""
    if draft.cost_given_usd is not None:
        return
    for key in ("gen_ai.usage.cost", "operation.cost", "gen_ai.usage.total_cost", "gen_ai.cost.total_cost"):
        if key in attributes:
            draft.cost_given_usd = values.money(attributes[key])
            return
    pieces = [
        values.money(attributes[key])
        for key in ("gen_ai.usage.input_cost", "gen_ai.usage.output_cost")
        if key in attributes
    ]
    known = [piece for piece in pieces if piece is not None]
    if known:
        draft.cost_given_usd = sum(known[1:], start=known[0])


def _kind(span: RawSpan, operation: str) -> Kind | None:
    known = OPERATIONS.get(operation)
    if known is not None:
        return known
    attributes = span.attributes
    method = attributes.get("mcp.method.name")
    if method is not None:
        return "tool" if method == "tools/call" else "other"
    if "gen_ai.tool.name" in attributes or "gen_ai.tool.call.id" in attributes:
        return "tool"
    if "gen_ai.workflow.name" in attributes:
        return "chain"
    if "gen_ai.request.model" in attributes or "gen_ai.response.model" in attributes:
        return "model"
    if "gen_ai.agent.name" in attributes and "invoke_agent" in span.name:
        return "agent"
    return None


def _read_model(attributes: Mapping[str, Any], draft: Draft) -> None:
    get = attributes.get
    if not draft.request_model:
        draft.request_model = values.word(get("gen_ai.request.model"))
    if not draft.model:
        draft.model = values.word(get("gen_ai.response.model")) or draft.request_model
    if not draft.provider:
        named = get("gen_ai.provider.name", get("gen_ai.system"))
        if named is not None:
            draft.provider = provider_id(values.word(named))
    if not draft.provider and draft.model:
        draft.provider = provider_of_model(draft.model)
    if not draft.response_id:
        draft.response_id = values.word(get("gen_ai.response.id"))
    if not draft.finish_reason:
        reasons = get("gen_ai.response.finish_reasons", get("gen_ai.response.finish_reason"))
        if reasons is not None:
            draft.finish_reason = next(iter(values.words(reasons)), "")
    read_parameters(attributes, draft)


def read_parameters(attributes: Mapping[str, Any], draft: Draft) -> None:
    """Read the request parameters, unless some are known."""
    if draft.parameters:
        return
    get = attributes.get
    parameters: dict[str, Any] = {}
    for key, name in _PARAMETER_KEYS:
        value = get(key)
        if value is not None:
            parameters[name] = value
    if parameters:
        draft.parameters = parameters


def _read_agent(attributes: Mapping[str, Any], draft: Draft) -> None:
    get = attributes.get
    if not draft.agent:
        draft.agent = values.word(get("gen_ai.agent.name"))
    if not draft.agent_id:
        draft.agent_id = values.word(get("gen_ai.agent.id"))
    if not draft.agent_version:
        draft.agent_version = values.word(get("gen_ai.agent.version"))
    if not draft.name and draft.kind == "chain":
        draft.name = values.word(get("gen_ai.workflow.name"))


def _read_tool(attributes: Mapping[str, Any], draft: Draft) -> None:
    get = attributes.get
    if not draft.tool_call_id:
        draft.tool_call_id = values.word(get("gen_ai.tool.call.id"))
    if not draft.tool_name:
        draft.tool_name = values.word(get("gen_ai.tool.name"))
    for key in ("gen_ai.tool.call.arguments", "gen_ai.tool.arguments"):
        if not draft.input_value and key in attributes:
            draft.input_value = values.text(attributes[key])
            draft.consumed.add(key)
    for key in ("gen_ai.tool.call.result", "gen_ai.tool.message", "gen_ai.tool.output"):
        if not draft.output_value and key in attributes:
            draft.output_value = values.text(attributes[key])
            draft.consumed.add(key)


def _read_messages(span: RawSpan, draft: Draft) -> None:
    attributes = span.attributes
    if not draft.input:
        for key in ("gen_ai.input.messages", "gen_ai.input_messages"):
            if key in attributes:
                draft.input = read_messages(attributes[key])
                draft.consumed.add(key)
                break
    if "gen_ai.system_instructions" in attributes:
        draft.input = with_system(read_system(attributes["gen_ai.system_instructions"]), draft.input)
        draft.consumed.add("gen_ai.system_instructions")
    if not draft.output:
        for key in ("gen_ai.output.messages", "gen_ai.output_messages"):
            if key in attributes:
                draft.output = read_messages(attributes[key], "assistant")
                draft.consumed.add(key)
                break
    if span.events and not (draft.input and draft.output):
        _read_events(span.events, draft)
    if not draft.finish_reason:
        draft.finish_reason = next((item.finish_reason for item in draft.output if item.finish_reason), "")


def _read_events(events: tuple[RawEvent, ...], draft: Draft) -> None:
    """Messages that older emitters attach as span events."""
    sent: list[Message] = []
    received: list[Message] = []
    for event in events:
        given = event.attributes
        if event.name in _MESSAGE_EVENTS:
            sent.extend(event_message(event.name, given))
        elif event.name == "gen_ai.choice":
            received.extend(event_message(event.name, given))
        elif event.name == "gen_ai.content.prompt":
            sent.extend(read_messages(given.get("gen_ai.prompt")))
        elif event.name == "gen_ai.content.completion":
            received.extend(read_messages(given.get("gen_ai.completion"), "assistant"))
        elif event.name == "gen_ai.client.inference.operation.details":
            sent.extend(
                with_system(
                    read_system(given.get("gen_ai.system_instructions")),
                    read_messages(given.get("gen_ai.input.messages")),
                )
            )
            received.extend(read_messages(given.get("gen_ai.output.messages"), "assistant"))
    draft.input = draft.input or tuple(sent)
    draft.output = draft.output or tuple(received)


def event_message(name: str, body: Any) -> tuple[Message, ...]:
    """The message in one of the older events, whether its fields are attributes or the body of a log record."""
    role = _MESSAGE_EVENTS.get(name, "assistant")
    content = values.structure(body)
    if not isinstance(content, Mapping):
        return read_messages(content, role)
    fields = dict(cast("Mapping[str, Any]", content))
    for key in ("content", "message", "tool_calls", "parts"):
        value = fields.get(key)
        if isinstance(value, str) and value[:1] in ("[", "{"):
            # Attribute values cannot nest, so emitters send structures as JSON here; a tool's own JSON stays text.
            if key == "content" and role == "tool":
                continue
            inner = values.structure(value)
            if key != "content" or isinstance(inner, list):
                fields[key] = inner
    if role == "tool" and "id" in fields and "tool_call_id" not in fields:
        fields["tool_call_id"] = fields.pop("id")
    message = fields.get("message")
    if isinstance(message, str):
        fields["content"] = fields.pop("message")
    if not any(key in fields for key in ("content", "message", "tool_calls", "parts")):
        return ()
    fields.setdefault("role", role)
    return read_messages([fields], role)


def _read_documents(attributes: Mapping[str, Any], draft: Draft) -> None:
    key = "gen_ai.retrieval.documents"
    if not draft.documents and key in attributes:
        found = [_document(piece) for piece in values.items(attributes[key])]
        if found:
            draft.documents = tuple(found)
            draft.consumed.add(key)
    query = attributes.get("gen_ai.retrieval.query.text")
    if query is not None and not draft.input_value:
        draft.input_value = values.text(query)
        draft.consumed.add("gen_ai.retrieval.query.text")


def _document(piece: Any) -> Document:
    if not isinstance(piece, Mapping):
        return Document(content=values.text(piece))
    body = cast("Mapping[str, Any]", piece)
    used = ("id", "content", "text", "score", "metadata")
    metadata = {key: value for key, value in body.items() if key not in used}
    return Document(
        id=values.text(body.get("id")),
        content=values.text(body.get("content", body.get("text"))),
        score=values.number(body.get("score")),
        metadata={**metadata, **values.mapping(body.get("metadata"))},
    )
