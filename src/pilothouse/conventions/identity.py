"""Who and where: session, user, environment, version, feature and tags, which every dialect may borrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilothouse.records import RawSpan

from . import values
from .draft import Draft

SESSION_KEYS: Final = (
    "session.id",
    "gen_ai.conversation.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.sessionId",
    "traceloop.association.properties.conversation_id",
    "traceloop.association.properties.thread_id",
    "lmnr.association.properties.session_id",
    "langsmith.metadata.session_id",
    "langsmith.metadata.thread_id",
    "langsmith.metadata.conversation_id",
    "langsmith.trace.session_id",
    "ai.telemetry.metadata.sessionId",
    "ai.telemetry.metadata.session_id",
    "ai.telemetry.metadata.conversationId",
    "ai.telemetry.metadata.threadId",
    "ai.settings.context.sessionId",
    "ai.settings.context.session_id",
    "ai.settings.context.conversationId",
    "ai.settings.context.threadId",
    "gcp.vertex.agent.session_id",
    "mlflow.trace.session",
    "conversation.id",
    "conversation_id",
    "session_id",
    "thread_id",
)
"""``mcp.session.id`` is left out on purpose: it names a connection to a tool server, not a conversation."""

USER_KEYS: Final = (
    "user.id",
    "enduser.id",
    "langfuse.user.id",
    "gen_ai.user",
    "gen_ai.user.id",
    "llm.user",
    "traceloop.association.properties.user_id",
    "traceloop.association.properties.userId",
    "lmnr.association.properties.user_id",
    "langsmith.metadata.user_id",
    "ai.telemetry.metadata.userId",
    "ai.telemetry.metadata.user_id",
    "ai.settings.context.userId",
    "ai.settings.context.user_id",
    "gcp.vertex.agent.user_id",
    "mlflow.trace.user",
    "user_id",
)
TAG_KEYS: Final = (
    "tag.tags",
    "langfuse.trace.tags",
    "langsmith.span.tags",
    "lmnr.association.properties.tags",
    "ai.telemetry.metadata.tags",
    "ai.settings.context.tags",
    "logfire.tags",
    "tags",
)
ENVIRONMENT_KEYS: Final = (
    "langfuse.environment",
    "deployment.environment.name",
    "deployment.environment",
    "environment",
)
FEATURE_KEYS: Final = (
    "pilothouse.feature",
    "feature",
    "feature.name",
    "traceloop.association.properties.feature",
    "ai.telemetry.metadata.feature",
    "langsmith.metadata.feature",
)
VERSION_KEYS: Final = ("gen_ai.agent.version", "agent.version", "langfuse.version", "langfuse.release")

_METADATA_SLOTS: Final = {
    "session_id": "session_id",
    "sessionId": "session_id",
    "conversation_id": "session_id",
    "conversationId": "session_id",
    "thread_id": "session_id",
    "threadId": "session_id",
    "user_id": "user_id",
    "userId": "user_id",
    "feature": "feature",
}
_METADATA_KEYS: Final = ("metadata", "langfuse.trace.metadata")


_SPAN_SLOTS: Final = (
    ("session_id", SESSION_KEYS),
    ("user_id", USER_KEYS),
    ("feature", FEATURE_KEYS),
    ("environment", ENVIRONMENT_KEYS),
    ("agent_version", VERSION_KEYS),
)
_RESOURCE_SLOTS: Final = (
    ("environment", ENVIRONMENT_KEYS),
    ("agent_version", (*VERSION_KEYS, "service.version")),
    ("session_id", ("session.id",)),
    ("user_id", ("user.id", "enduser.id")),
    ("feature", FEATURE_KEYS),
)


def _places(slots: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, tuple[int, str]]:
    """For each key its rank and the field it fills: a span has few of the many keys, so they are looked up once."""
    keys = [(key, slot) for slot, names in slots for key in names]
    return {key: (rank, slot) for rank, (key, slot) in enumerate(keys)}


_SPAN_PLACES: Final = _places(_SPAN_SLOTS)
_RESOURCE_PLACES: Final = _places(_RESOURCE_SLOTS)
_TAG_KEYS: Final = frozenset(TAG_KEYS)


def fill_identity(span: RawSpan, draft: Draft) -> None:
    """Fill what the dialect left empty, from the span's attributes, then from its resource."""
    attributes = span.attributes
    resource = span.emitter.resource
    _fill(attributes, _SPAN_PLACES, draft)
    if not draft.tags and not _TAG_KEYS.isdisjoint(attributes):
        for key in TAG_KEYS:
            if key in attributes and (tags := values.words(attributes[key])):
                draft.tags = tags
                break
    if not draft.session_id or not draft.user_id:
        _fill_from_metadata(attributes, draft)
    _fill(resource, _RESOURCE_PLACES, draft)
    if draft.kind == "agent" and not draft.agent:
        draft.agent = _service_name(resource)


def _fill(attributes: Mapping[str, Any], places: dict[str, tuple[int, str]], draft: Draft) -> None:
    for key in sorted(attributes.keys() & places.keys(), key=places.__getitem__):
        slot = places[key][1]
        if not getattr(draft, slot):
            setattr(draft, slot, values.word(attributes[key]))


def _service_name(resource: Mapping[str, Any]) -> str:
    name = values.word(resource.get("service.name"))
    return "" if name.startswith("unknown_service") else name


def _fill_from_metadata(attributes: Mapping[str, Any], draft: Draft) -> None:
    """Session and user that a caller put into free metadata, as a JSON object."""
    for key in _METADATA_KEYS:
        value = attributes.get(key)
        if value is None:
            continue
        for name, found in values.mapping(value).items():
            slot = _METADATA_SLOTS.get(name)
            if slot is not None and not getattr(draft, slot) and not isinstance(found, (dict, list)):
                setattr(draft, slot, values.word(found))
