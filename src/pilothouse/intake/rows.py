"""From one read span to its row and its fact."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from pilothouse.costs import Cost
from pilothouse.guards import Masker
from pilothouse.records import Attributes, Message, RawSpan, Reading, Usage, names
from pilothouse.signals import plans
from pilothouse.store.schema import TOKEN_BUCKETS

from .contents import INLINE_CHARS, PREVIEW_CHARS, Contents, SpanAt, preview
from .moments import Moment, stored_time
from .trace_state import ANSWER_END_CHARS, PLAN_CHARS, Fact

ATTRIBUTE_CHARS = 8_000
"""A raw attribute longer than this is stored by content; the row keeps its head and the reference."""
AGGREGATE_NOTE = "usage: aggregate by its emitter"
_TOKENS_MAX = 10**15


class SpanPlace(NamedTuple):
    """Where a span belongs."""

    project_id: str
    span_id: str
    parent_span_id: str
    received_day: str


def make_fact(raw: RawSpan, reading: Reading, place: SpanPlace, moment: Moment, cost: Cost, masker: Masker) -> Fact:
    """What the worker remembers of a span. Texts are masked here: the summary shows them."""
    usage = reading.usage
    resource = raw.emitter.resource
    asked = newest(reading.kind, reading.input, begins_with_request=reading.begins_with_request)
    said, answered = _said(asked) or reading.input_value, _said(reading.output) or reading.output_value
    kind, tool_name = reading.kind, reading.tool_name[:200]
    purpose = kept = ""
    if kind == "tool":
        purpose = str(raw.attributes.get(names.TOOL_EFFECT, ""))[:20]
        if len(said) > INLINE_CHARS and plans(tool_name):
            kept = said[:PLAN_CHARS]
    elif kind == "model" and len(answered) > INLINE_CHARS:
        kept = answered[-ANSWER_END_CHARS:]
    elif kind == "waiting":
        purpose = str(raw.attributes.get(names.WAIT_FOR, ""))[:20]
    # One scan over all of a span's texts: nearly always it finds nothing.
    texts = (said, answered, reading.error_message, raw.status_message, reading.tool_error)
    mask = masker.mask if masker.touches(texts) else _same
    failed = raw.status_code == 2 or bool(reading.error_type or reading.error_message)
    notes = [*moment.notes, *reading.notes]
    if usage is not None and usage.scope == "aggregate":
        notes.append(AGGREGATE_NOTE)
    return Fact(
        span_id=place.span_id,
        parent_span_id=place.parent_span_id,
        kind=kind,
        name=(reading.name or raw.name)[:500],
        agent=reading.agent[:200],
        agent_version=reading.agent_version[:200],
        model=reading.model[:200],
        provider=reading.provider[:100],
        dialect=reading.dialect,
        status="running" if reading.running else "error" if failed else "ok",
        error_message=mask(reading.error_message or (raw.status_message if failed else ""))[:10_000],
        tool_error=mask(reading.tool_error)[:2_000],
        start_ns=moment.start_ns,
        duration_ns=moment.duration_ns,
        tokens=_tokens(usage),
        declared_scope=usage.scope if usage is not None else "",
        usage_scope=usage.scope if usage is not None else "",
        usage_ambiguous=usage is not None and usage.ambiguous,
        cost_usd=cost.usd,
        cost_source=cost.source,
        duplicate_of="",
        tool_name=tool_name,
        response_id=reading.response_id[:200],
        finish_reason=reading.finish_reason[:100],
        session_id=reading.session_id[:500],
        user_id=reading.user_id[:500],
        environment=reading.environment[:200],
        service=str(resource.get("service.name", ""))[:200],
        feature=reading.feature[:200],
        tags=tuple(tag[:200] for tag in reading.tags[:50]),
        input_text=preview(mask(said)),
        output_text=preview(mask(answered)),
        scope_name=raw.emitter.scope_name,
        notes=tuple(dict.fromkeys(notes)),
        tools_offered=tuple([tool.name for tool in reading.tools]) if reading.tools else (),
        purpose=purpose,
        # Filled when the row is made: only then is it known what is stored by content.
        input_ref="",
        output_ref="",
        received_day=place.received_day,
        kept_text=mask(kept) if kept else "",
    )


def span_row(
    raw: RawSpan,
    reading: Reading,
    fact: Fact,
    cost: Cost,
    contents: Contents,
    masker: Masker,
    resource: Mapping[str, str],
    *,
    project: str,
    received: str,
    version: int,
) -> list[Any]:
    """The values of ``schema.SPAN`` in order. ``fact`` must carry the decisions made with the whole trace in view."""
    scope = fact.session_id or raw.trace_id
    at = SpanAt(scope, raw.trace_id, fact.span_id, fact.start_ns)
    input_refs = contents.put_messages(reading.input, at)
    output_refs = contents.put_messages(reading.output, at)
    if not input_refs and len(reading.input_value) > INLINE_CHARS:
        input_refs = [contents.put_value(reading.input_value, "value", at)]
    if not output_refs and len(reading.output_value) > INLINE_CHARS:
        output_refs = [contents.put_value(reading.output_value, "value", at)]
    if fact.kind == "tool":
        fact.input_ref = input_refs[0] if input_refs else ""
        fact.output_ref = output_refs[-1] if output_refs else ""
    elif fact.kind == "model":
        fact.output_ref = output_refs[-1] if output_refs else ""
    tools_ref = ""
    if reading.tools:
        tools_ref = contents.put_value(to_json([tool.definition for tool in reading.tools]), "tools", at)
    documents_ref = ""
    if reading.documents:
        documents = [
            {"id": d.id, "content": d.content, "score": d.score, "metadata": d.metadata} for d in reading.documents
        ]
        documents_ref = contents.put_value(to_json(documents), "documents", at)
    attributes, typed = text_attributes(raw.attributes, reading.consumed, masker, contents, at)
    if raw.start_ns <= 0 or any(note.startswith("clock:") for note in fact.notes):
        attributes["pilothouse.sent.start_ns"] = str(raw.start_ns)
        attributes["pilothouse.sent.end_ns"] = str(raw.end_ns)
    given = reading.cost_given_usd
    return [
        project,
        raw.trace_id,
        fact.span_id,
        fact.parent_span_id,
        fact.step,
        fact.kind,
        fact.name,
        fact.agent,
        reading.agent_id[:200],
        fact.agent_version,
        reading.operation[:200],
        fact.model,
        reading.request_model[:200],
        fact.provider,
        fact.dialect,
        fact.status,
        reading.error_type[:200],
        fact.error_message,
        masker.mask(reading.error_stack)[:50_000],
        stored_time(fact.start_ns),
        fact.duration_ns,
        reading.ttft_ns,
        *fact.tokens,
        fact.usage_scope,
        reading.usage.rule[:200] if reading.usage else "",
        int(fact.usage_ambiguous),
        money(cost.usd),
        cost.source,
        money(given),
        fact.duplicate_of,
        fact.tool_name,
        reading.tool_call_id[:200],
        fact.tool_error,
        fact.response_id,
        fact.finish_reason,
        fact.session_id,
        fact.user_id,
        fact.environment,
        fact.service,
        fact.feature,
        fact.tags,
        reading.prompt_name[:200],
        reading.prompt_version[:200],
        to_json(reading.parameters) if reading.parameters else "",
        fact.input_text,
        fact.output_text,
        scope,
        input_refs,
        output_refs,
        tools_ref,
        fact.tools_offered,
        documents_ref,
        attributes,
        typed,
        resource,
        raw.emitter.scope_name[:200],
        raw.emitter.scope_version[:100],
        min(max(raw.otel_kind, 0), 255),
        raw.trace_state[:1000],
        to_json([{"trace_id": k.trace_id, "span_id": k.span_id, "attributes": k.attributes} for k in raw.links])
        if raw.links
        else "",
        fact.notes,
        received,
        fact.received_day,
        version,
    ]


def event_rows(
    raw: RawSpan, fact: Fact, masker: Masker, *, project: str, received: str, version: int
) -> list[list[Any]]:
    """The values of ``schema.EVENT`` in order, one row per span event."""
    return [
        [
            project,
            raw.trace_id,
            fact.span_id,
            position,
            stored_time(event.time_ns or fact.start_ns),
            event.name[:500],
            text_attributes(event.attributes, frozenset(), masker)[0],
            received,
            fact.received_day,
            version,
        ]
        for position, event in enumerate(raw.events[:10_000])
    ]


def text_attributes(
    attributes: Attributes,
    left_out: frozenset[str],
    masker: Masker,
    contents: Contents | None = None,
    at: SpanAt | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Attributes as text, and the keys whose text is JSON of a value that was no string."""
    texts: dict[str, str] = {}
    typed: list[str] = []
    # One scan over all short texts together: nearly always it finds nothing, and the texts need no scan of their own.
    together = [value for key, value in attributes.items() if type(value) is str and key not in left_out]
    mask = masker.mask if together and masker.touches(together) else _same
    for key, value in attributes.items():
        if key in left_out:
            continue
        if type(value) is str:
            text = mask(value)
        elif type(value) is int:
            text = str(value)
            typed.append(key)
        else:
            text = to_json(value)
            if not isinstance(value, bool | float):
                text = masker.mask(text)
            typed.append(key)
        if len(text) > ATTRIBUTE_CHARS and contents is not None and at is not None:
            reference = contents.put_value(text, "value", at, name=key[:200])
            text = f"{text[:PREVIEW_CHARS]}… [{len(text)} characters: content {reference}]"
        texts[key] = text
    return texts, typed


def to_json(value: Any) -> str:
    """JSON text of attribute data; bytes become base64, NaN and infinity their names."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        return json.dumps(value, default=_plain, ensure_ascii=True)


def _same(text: str) -> str:
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(value)


def newest(kind: str, messages: Sequence[Message], *, begins_with_request: bool = False) -> Sequence[Message]:
    """What a row shows of the input: of a run the user's request, whatever followed it; else the last message."""
    if kind == "agent":
        asked = [item for item in messages if item.role == "user" and any(part.type == "text" for part in item.parts)]
        if asked:
            return asked[:1] if begins_with_request else asked[-1:]
    return messages[-1:]


def row_text(messages: Sequence[Message], masker: Masker) -> str:
    """What a row shows of messages."""
    return preview(masker.mask(_said(messages)))


def _said(messages: Sequence[Message]) -> str:
    pieces: list[str] = []
    for item in messages:
        pieces.extend(
            f"{part.name}({to_json(part.arguments)})" if part.type == "tool_call" else part.text
            for part in item.parts
            if part.type in ("text", "tool_result", "tool_call")
        )
    return "\n".join(piece for piece in pieces if piece)


def _tokens(usage: Usage | None) -> tuple[int, ...]:
    if usage is None:
        return (0,) * len(TOKEN_BUCKETS)
    return tuple(min(max(int(getattr(usage, bucket)), 0), _TOKENS_MAX) for bucket in TOKEN_BUCKETS)


def money(amount: Decimal | None) -> str | None:
    """An amount for a Decimal(18, 12) column."""
    if amount is None or not amount.is_finite():
        return None
    return f"{min(max(amount, Decimal(-999_999)), Decimal(999_999)):.12f}"
