"""One step of a trace with all its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson

from pilothouse.records import Annotation, BadRequest, NotFound, decode_message, depths_of, iso, names, part_as_dict
from pilothouse.store import TraceStore
from pilothouse.store.annotation_rows import notes_of
from pilothouse.store.content_reads import StoredContent, contents
from pilothouse.store.trace_reads import (
    LIGHT_COLUMNS,
    events,
    placed_spans,
    scores,
    whole_span,
)

from .code_places import above, code_place, places
from .failures import led_by
from .jsons import dumps
from .load import SPANS_MAX, Head, head, light_span, number
from .model import CodePlace, EventView, MessageView, NoteView, ScoreView, SpanDetail
from .rows import money


def span(store: TraceStore, project: str, trace_id: str, key: str | int) -> SpanDetail:
    """A step by its number (``14`` or ``014``) or its span id.

    Raises:
        NotFound: the trace has no such step.
    """
    top = head(store, project, trace_id)
    placed = placed_spans(store, project, trace_id, top.stretch, limit=SPANS_MAX)
    numbers = number(placed)
    span_id = find_span(str(key).strip().lower(), trace_id, numbers)
    row = whole_span(store, project, trace_id, span_id, top.stretch)
    if row is None:
        raise NotFound("the span is gone", got=span_id, fix=f"pilothouse show {trace_id}")
    parents: dict[str, str] = dict(zip(placed[0], placed[1], strict=True))
    found = _detail(store, project, top, row, numbers, depths_of(parents)[span_id])
    return replace(found, code=_code(store, project, top, row, numbers, parents))


def find_span(key: str, trace_id: str, numbers: Mapping[str, int]) -> str:
    """The span id behind a step number, a span id or its unique beginning, given each span's number."""
    if key in numbers:
        return key
    if key.isascii() and key.isdigit() and len(key) <= 8:
        wanted = int(key)
        for span_id, number in numbers.items():
            if number == wanted:
                return span_id
        taken = sorted(numbers.values())
        raise NotFound(
            "the trace has no such step",
            got=key,
            allowed=f"{taken[0]} to {taken[-1]}" if taken else "none",
            fix=f"pilothouse show {trace_id} --as tree",
        )
    fits = [span_id for span_id in numbers if key and span_id.startswith(key)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise BadRequest("several spans begin so", got=key, allowed=fits[:10], fix=f"pilothouse show {fits[0]}")
    raise NotFound("the trace has no such span", got=key[:100], fix=f"pilothouse show {trace_id} --as tree")


def _code(
    store: TraceStore,
    project: str,
    top: Head,
    row: Mapping[str, Any],
    numbers: Mapping[str, int],
    parents: Mapping[str, str],
) -> CodePlace | None:
    """Where the step was made, else the nearest step around it of which that is known."""
    own = code_place(row["attributes"], row["resource"], row["error_stack"])
    around = above(row["span_id"], parents)
    if own is not None or not around:
        return own
    made = places(store, project, top.row.trace_id, top.stretch, around)
    return next(
        (replace(made[id], step=numbers[id]) for id in around if id in made and made[id].found == "attributes"), None
    )


def _detail(
    store: TraceStore, project: str, top: Head, row: dict[str, Any], numbers: Mapping[str, int], depth: int
) -> SpanDetail:
    trace_id = top.row.trace_id
    step = numbers[row["span_id"]]
    typed = set(cast(list[str], row["typed_attributes"]))
    refs = [*row["input_refs"], *row["output_refs"]]
    found = contents(
        store, project, [row["message_scope"]], [*refs, *(r for r in (row["tools_ref"], row["documents_ref"]) if r)]
    )
    conversation = row["kind"] in ("model", "agent") or any(
        found[ref].kind == "message" for ref in refs if ref in found
    )
    light = light_span(light_values(row), step, depth, top.start_ns)
    has_refs = bool(refs)
    return SpanDetail(
        trace_id=trace_id,
        span=light,
        input=messages(row["input_refs"], found) if conversation else (),
        output=messages(row["output_refs"], found) if conversation else (),
        input_value=value(row["input_refs"], row["input_text"], found) if not conversation or not has_refs else "",
        output_value=value(row["output_refs"], row["output_text"], found) if not conversation or not has_refs else "",
        tools=_listed(found.get(row["tools_ref"])),
        documents=_listed(found.get(row["documents_ref"])),
        parameters=_parsed(row["parameters"], {}),
        error_message=row["error_message"],
        error_stack=row["error_stack"],
        attributes={
            key: _parsed(text, text) if key in typed else text
            for key, text in sorted(cast(dict[str, str], row["attributes"]).items())
        },
        resource=dict(sorted(cast(dict[str, str], row["resource"]).items())),
        scope_name=row["scope_name"],
        scope_version=row["scope_version"],
        session_id=row["session_id"],
        user_id=row["user_id"],
        environment=row["environment"],
        service=row["service"],
        feature=row["feature"],
        tags=tuple(row["tags"]),
        prompt_name=row["prompt_name"],
        prompt_version=row["prompt_version"],
        operation=row["operation"],
        request_model=row["request_model"],
        response_id=row["response_id"],
        usage_rule=row["usage_rule"],
        usage_ambiguous=bool(row["usage_ambiguous"]),
        cost_source=row["cost_source"],
        cost_given_usd=money(row["cost_given_usd"]),
        links=tuple(_parsed(row["links"], [])),
        events=tuple(
            EventView(time=iso(event["time_ns"]), name=event["name"], attributes=event["attributes"])
            for event in events(store, project, trace_id, row["span_id"])
        ),
        scores=tuple(
            score for score in trace_scores(store, project, trace_id) if score.span_id in ("", row["span_id"])
        ),
        received_at=_iso_text(row["received_at"]),
        notes_left=tuple(
            note for note in trace_notes(store, project, trace_id) if note.span_id in ("", row["span_id"])
        ),
        error_inputs=str(row["attributes"].get(names.INPUTS, "")),
        led_by=led_by(store, project, top, row, numbers),
    )


def trace_notes(store: TraceStore, project: str, trace_id: str) -> tuple[NoteView, ...]:
    """The notes and labels of a trace and of its spans, oldest first."""
    return tuple(note_view(one) for one in notes_of(store, project, trace_ids=[trace_id]))


def note_view(one: Annotation) -> NoteView:
    """A note or label as it is shown."""
    return NoteView(
        annotation_id=one.annotation_id,
        kind=one.kind,
        name=one.name,
        text=one.text,
        actor=one.actor,
        actor_kind=one.actor_kind,
        run=one.run,
        time=iso(one.time_ns),
        span_id=one.target.span_id,
        session_id=one.target.session_id,
    )


def trace_scores(store: TraceStore, project: str, trace_id: str) -> tuple[ScoreView, ...]:
    """The scores of a trace and of its spans, oldest first."""
    return tuple(score_view(row) for row in scores(store, project, trace_id))


def score_view(row: Mapping[str, Any]) -> ScoreView:
    """A score from its row."""
    return ScoreView(
        name=row["name"],
        value=row["value"],
        label=row["label"],
        explanation=row["explanation"],
        source=row["judge"],
        time=iso(row["time_ns"]),
        span_id=row["span_id"],
        score_id=row["written_id"],
        actor_kind=row["actor_kind"],
        run=row["run"],
    )


def messages(refs: Sequence[str], found: Mapping[str, StoredContent]) -> tuple[MessageView, ...]:
    """Messages by reference, in order; those that are not stored are marked missing."""
    return tuple(message_view(ref, found.get(ref)) for ref in refs)


def message_view(ref: str, stored: StoredContent | None, chars: int | None = None) -> MessageView:
    """A stored content as a message; with ``chars``, texts and arguments longer than that show their head."""
    if stored is None:
        return MessageView(role="", text="", parts=(), hash=ref, missing=True)
    role = stored.role if stored.kind == "message" else ""
    parts: list[dict[str, Any]] = [{"type": "text", "text": stored.content}]
    text = stored.content
    if stored.kind == "message":
        try:
            item = decode_message(stored.role, stored.content, stored.envelope)
            text, parts = item.text, [part_as_dict(part) for part in item.parts]
        except (ValueError, TypeError, KeyError):
            pass  # an envelope of another version: the words are still there
    if chars is not None:
        text, parts = text[:chars], [_headed(part, chars) for part in parts]
    return MessageView(role=role, text=text, parts=tuple(parts), hash=ref, chars=len(stored.content))


def _headed(part: dict[str, Any], chars: int) -> dict[str, Any]:
    short = {name: value[:chars] if isinstance(value, str) else value for name, value in part.items()}
    for name in ("arguments", "extra"):
        if name in short and not isinstance(short[name], str) and len(dumps(short[name])) > chars:
            short[name] = dumps(short[name]).decode()[:chars] + "…"
    return short


def value(refs: Sequence[str], inline: str, found: Mapping[str, StoredContent]) -> str:
    """A value that is no conversation: the stored one where it was long, else what the row holds."""
    if len(refs) == 1 and refs[0] in found:
        return found[refs[0]].content
    return inline


def light_values(row: Mapping[str, Any]) -> list[Any]:
    """The values of ``LIGHT_COLUMNS``, from a whole row."""
    return [_light(row, column) for column in LIGHT_COLUMNS]


def _light(row: Mapping[str, Any], column: str) -> Any:
    if column == "input_head":
        return row["input_text"][:120]
    if column == "output_head":
        return row["output_text"][:120]
    if column in ("error_message", "tool_error"):
        return row[column][:300]
    return row[column]


def _listed(stored: StoredContent | None) -> tuple[Mapping[str, Any], ...]:
    if stored is None:
        return ()
    items = cast(list[Any], _parsed(stored.content, []))
    return tuple(cast(dict[str, Any], item) if isinstance(item, dict) else {"value": item} for item in items)


def _parsed(text: str, otherwise: Any) -> Any:
    if not text:
        return otherwise
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return otherwise
    return parsed if type(parsed) is type(otherwise) or isinstance(otherwise, str) else otherwise


def _iso_text(text: str) -> str:
    return text.replace(" ", "T") + "Z"
