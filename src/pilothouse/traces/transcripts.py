"""What was said and done in a trace: each message once, at the step that said it first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pilothouse.records import BadRequest, depths_of
from pilothouse.store import TraceStore
from pilothouse.store.content_reads import FirstUse, StoredContent, contents, first_uses
from pilothouse.store.trace_reads import light_spans, placed_spans, tool_results, whole_texts

from .detail import message_view
from .load import SPANS_MAX, Head, head, light_span, number
from .model import MessageView, Span, Transcript, TranscriptStep

VALUE_CHARS = 4_000
"""How much of a text or value a page of a transcript shows."""
_STEPS_MAX = 1_000
_HEAD = 100
_SPEAKING = ("agent", "model")


def transcript(store: TraceStore, project: str, trace_id: str, *, after_step: int = 0, limit: int = 200) -> Transcript:
    """One page of a trace's transcript: the steps after ``after_step``, at most ``limit`` of them."""
    if not 1 <= limit <= _STEPS_MAX:
        raise BadRequest(f"a page of a transcript has 1 to {_STEPS_MAX} steps", got=limit)
    top = head(store, project, trace_id)
    placed = placed_spans(store, project, trace_id, top.stretch, limit=SPANS_MAX)
    numbers = number(placed)
    later = sorted((step, span_id) for span_id, step in numbers.items() if step > after_step)
    chosen = [span_id for _, span_id in later[:limit]]
    depths = depths_of(dict(zip(placed[0], placed[1], strict=True)))
    columns = light_spans(store, project, trace_id, top.stretch, limit=limit, span_ids=chosen) if chosen else []
    spans = [light_span(row, numbers[row[0]], depths[row[0]], top.start_ns) for row in zip(*columns, strict=True)]
    spans.sort(key=lambda span: span.step)
    return Transcript(
        trace_id=trace_id,
        steps=said_steps(store, project, top, spans),
        next_step=later[limit - 1][0] if len(later) > limit else None,
        total=len(numbers),
    )


def said_steps(
    store: TraceStore, project: str, top: Head, spans: Sequence[Span], *, chars: int = VALUE_CHARS
) -> tuple[TranscriptStep, ...]:
    """What is new in each of these spans of a trace, texts up to ``chars`` characters."""
    if not spans:
        return ()
    trace_id, stretch = top.row.trace_id, top.stretch
    ids = [span.span_id for span in spans]
    uses = first_uses(store, project, trace_id, stretch, span_ids=ids if len(ids) < 2_000 else ())
    stored = contents(store, project, {use.scope for use in uses}, [use.hash for use in uses])
    texts = whole_texts(store, project, trace_id, ids, stretch)
    # A result is known by the call's id, or where the emitter leaves that out by how it begins.
    results = tool_results(store, project, trace_id, stretch, limit=SPANS_MAX)
    answered = {text for texts_of in results for text in texts_of} - {""}
    return _steps(spans, uses, stored, texts, answered, chars)


def loaded_steps(
    spans: Sequence[Span], rows: Mapping[str, Mapping[str, Any]], stored: Mapping[str, StoredContent]
) -> tuple[TranscriptStep, ...]:
    """The same of a trace that is in memory as a whole: whole rows by span id, and every content they refer to."""
    ordered = sorted(rows.values(), key=lambda row: (row["start_ns"], row["span_id"]))
    uses = _first_uses(ordered)
    texts = {
        span_id: (row["input_text"], row["output_text"], len(row["input_refs"]) + len(row["output_refs"]))
        for span_id, row in rows.items()
    }
    tools = [row for row in ordered if row["kind"] == "tool"]
    answered = {text for row in tools for text in (row["tool_call_id"], row["output_text"][:_HEAD])} - {""}
    return _steps(spans, uses, stored, texts, answered, 10**9)


def _first_uses(rows: Sequence[Mapping[str, Any]]) -> list[FirstUse]:
    """As :func:`pilothouse.store.content_reads.first_uses`: an output belongs to the model call that made it."""
    best: dict[str, tuple[tuple[bool, int, bool, int], FirstUse]] = {}
    for row in rows:
        for output, slot in ((False, "input_refs"), (True, "output_refs")):
            around = output and row["kind"] not in ("model", "tool")
            for position, ref in enumerate(row[slot], 1):
                key = (around, row["start_ns"], output, position)
                if ref not in best or key < best[ref][0]:
                    use = FirstUse(
                        hash=ref,
                        span_id=row["span_id"],
                        output=output,
                        position=position,
                        scope=row["message_scope"],
                    )
                    best[ref] = (key, use)
    return [use for _, use in best.values()]


def _steps(
    spans: Sequence[Span],
    uses: Sequence[FirstUse],
    stored: Mapping[str, StoredContent],
    texts: Mapping[str, tuple[str, str, int]],
    answered: set[str],
    chars: int,
) -> tuple[TranscriptStep, ...]:
    by_span: dict[str, list[FirstUse]] = {}
    for use in uses:
        by_span.setdefault(use.span_id, []).append(use)
    return tuple(
        _step(span, by_span.get(span.span_id, []), stored, texts.get(span.span_id, ("", "", 0)), answered, chars)
        for span in spans
    )


def _step(
    span: Span,
    uses: list[FirstUse],
    stored: Mapping[str, StoredContent],
    texts: tuple[str, str, int],
    answered: set[str],
    chars: int,
) -> TranscriptStep:
    uses.sort(key=lambda use: (use.output, use.position))
    said: list[MessageView] = []
    output: list[MessageView] = []
    given, returned = texts[0], texts[1]
    speaking = span.kind in _SPEAKING
    # Without references the row's own text is all there is; with them it only repeats their head.
    input_value, output_value = (given, returned) if not speaking or not texts[2] else ("", "")
    for use in uses:
        content = stored.get(use.hash)
        if content is not None and content.kind != "message":
            if use.output:
                output_value = content.content
            else:
                input_value = content.content
            continue
        view = message_view(use.hash, content, chars)
        if use.output:
            output.append(view)
        elif not _repeats_a_tool_step(view, answered):
            said.append(view)
    return TranscriptStep(
        span=span,
        said=tuple(said),
        output=tuple(output),
        input_value=input_value[:chars],
        input_chars=len(input_value),
        output_value=output_value[:chars],
        output_chars=len(output_value),
    )


def _repeats_a_tool_step(view: MessageView, answered: set[str]) -> bool:
    """True for a tool's result that the tool's own step shows already."""
    results = [part for part in view.parts if part.get("type") == "tool_result" or view.role == "tool"]
    return len(results) == len(view.parts) > 0 and all(
        part.get("id") in answered or str(part.get("text", ""))[:_HEAD] in answered for part in results
    )
