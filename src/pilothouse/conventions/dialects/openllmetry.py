"""OpenLLMetry (Traceloop): ``traceloop.*``, ``llm.request.type`` and flattened ``gen_ai.prompt`` lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.conventions import values
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.flattened import Flattened
from pilothouse.conventions.tools import tool_definitions
from pilothouse.records import Document, Kind, RawSpan

from . import otel_genai

NAME: Final = "openllmetry"

_SPAN_KINDS: Final[dict[str, Kind]] = {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"}
_REQUEST_TYPES: Final[dict[str, Kind]] = {
    "chat": "model",
    "completion": "model",
    "embedding": "embedding",
    "rerank": "retrieval",
}
_LISTS: Final = frozenset({"gen_ai.prompt", "gen_ai.completion", "llm.request.functions"})
_VECTOR_STORES: Final = frozenset({"chroma", "pinecone", "qdrant", "weaviate", "milvus", "lancedb", "marqo"})


def read(span: RawSpan, draft: Draft) -> None:
    """Read Traceloop's own names, then what the OTel convention covers."""
    attributes = span.attributes
    get = attributes.get
    entity = values.word(get("traceloop.entity.name"))
    span_kind = values.word(get("traceloop.span.kind")).lower()
    request_type = values.word(get("llm.request.type")).lower()
    draft.operation = draft.operation or request_type or span_kind
    draft.kind = draft.kind or _SPAN_KINDS.get(span_kind) or _REQUEST_TYPES.get(request_type)
    if draft.kind is None and values.word(get("db.system")).lower() in _VECTOR_STORES:
        draft.kind = "retrieval" if values.word(get("db.operation")).lower() in ("query", "search") else "other"
    if span_kind:
        draft.name = draft.name or entity
    if draft.kind == "agent":
        draft.agent = draft.agent or values.word(get("gen_ai.agent.name")) or entity
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or values.word(get("gen_ai.tool.name")) or entity
    draft.agent_version = draft.agent_version or (
        values.word(get("traceloop.entity.version")) if draft.kind == "agent" else ""
    )
    lists = Flattened(attributes, _LISTS)
    _read_messages(lists, draft)
    for key, slot in (("traceloop.entity.input", "input_value"), ("traceloop.entity.output", "output_value")):
        if key in attributes and not getattr(draft, slot):
            setattr(draft, slot, _plain(values.text(attributes[key])))
            draft.consumed.add(key)
    if "llm.request.functions" in lists and not draft.tools:
        draft.tools = tool_definitions([_function(member) for member in lists.members("llm.request.functions")])
        draft.consumed.update(lists.keys("llm.request.functions"))
    draft.prompt_name = draft.prompt_name or values.word(get("traceloop.prompt.key"))
    draft.prompt_version = draft.prompt_version or values.first_word(
        attributes, ("traceloop.prompt.version", "traceloop.prompt.version_name", "traceloop.prompt.version_hash")
    )
    draft.prompt_template = draft.prompt_template or values.text(get("traceloop.prompt.template"))
    draft.finish_reason = draft.finish_reason or values.first_word(
        attributes, ("llm.response.finish_reason", "llm.response.stop_reason")
    )
    if draft.kind == "retrieval":
        _read_documents(span, draft)
    otel_genai.read(span, draft)


def _plain(value: str) -> str:
    """What a decorated function got or gave, without the wrapping of the decorator.

    Arguments come as ``{"args": [...], "kwargs": {...}}``: where only one of the two holds something, that is the
    input. A text comes as a JSON string.
    """
    if value[:1] not in ('"', "{"):
        return value
    found = values.structure(value)
    if isinstance(found, str):
        return found
    given = values.mapping(found)
    if set(given) != {"args", "kwargs"}:
        return value
    args, named = given["args"], values.mapping(given["kwargs"])
    if named and not args:
        return values.text(named)
    if isinstance(args, list) and len(cast("list[Any]", args)) == 1 and not named:
        return values.text(cast("list[Any]", args)[0])
    return value


def _read_messages(lists: Flattened, draft: Draft) -> None:
    if not draft.input and "gen_ai.prompt" in lists:
        draft.input = lists.messages("gen_ai.prompt", "user")
        draft.consumed.update(lists.keys("gen_ai.prompt"))
    if not draft.output and "gen_ai.completion" in lists:
        draft.output = lists.messages("gen_ai.completion", "assistant")
        draft.consumed.update(lists.keys("gen_ai.completion"))
        draft.finish_reason = next((item.finish_reason for item in draft.output if item.finish_reason), "")


def _function(member: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(member)
    for key in ("parameters", "input_schema"):
        if key in function:
            function[key] = values.structure(function[key])
    return function


def _read_documents(span: RawSpan, draft: Draft) -> None:
    found: list[Document] = []
    for event in span.events:
        if event.name == "db.query.result":
            given = event.attributes
            found.append(
                Document(
                    id=values.text(given.get("db.query.result.id")),
                    content=values.text(given.get("db.query.result.document")),
                    score=values.number(given.get("db.query.result.score", given.get("db.query.result.distance"))),
                    metadata=values.mapping(given.get("db.query.result.metadata")),
                )
            )
    draft.documents = draft.documents or tuple(found)
