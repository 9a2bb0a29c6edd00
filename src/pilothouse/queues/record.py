"""What an item shows to who labels it: what was said and done, bounded, and nothing that anybody thought of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pilothouse.records import Fence, NotFound, Target, clean
from pilothouse.records.harmless import label, line
from pilothouse.store import TraceStore
from pilothouse.traces import session, span, transcript
from pilothouse.traces.model import MessageView, TranscriptStep
from pilothouse.traces.resolve import resolve
from pilothouse.traces.scripts import message_words

from .model import Record, RecordPart

STEPS: Final = 200
TURNS: Final = 200
PART_CHARS: Final = 4_000
"""Of one message or value; ten times as much where all is asked for."""
CHARS: Final = 60_000
"""Of a whole record."""


def record_of(store: TraceStore, project: str, target: Target, *, whole: bool = False) -> Record:
    """What stands before who labels it; ``whole``: up to ten times as much of it."""
    room = CHARS * (10 if whole else 1)
    try:
        if target.session_id:
            return _session(store, project, target.session_id, room)
        if target.span_id:
            return _step(store, project, target, room)
        return _trace(store, project, target.trace_id, room)
    except NotFound:
        named = target.session_id or target.trace_id
        return Record(title=label(named, 100), parts=(), left_out="it is not stored any more", gone=True)


def record_text(record: Record, budget: int) -> str:
    """A record as fenced text of at most about so many characters."""
    fence = Fence()
    lines = [f"# {record.title}; {fence.note}"]
    used, shown = len(lines[0]), 0
    for part in record.parts:
        step = "" if part.step is None else f"{part.step:03d} "
        heading = f"[{step}{part.what}]{' <- the step to label' if part.marked else ''}"
        text = part.text if used + len(part.text) < budget else part.text[: max(budget - used, 200)]
        missing = part.cut_chars + len(part.text) - len(text)
        piece = f"{heading}\n{fence.around(text)}" + (f"\n(+{missing:,} characters)" if missing else "")
        lines.append(piece)
        used += len(piece) + 1
        shown += 1
        if used >= budget:
            break
    if shown < len(record.parts):
        lines.append(f"({len(record.parts) - shown} more parts)")
    if record.left_out:
        lines.append(f"({record.left_out})")
    return "\n".join(lines)


def _trace(store: TraceStore, project: str, trace_id: str, room: int) -> Record:
    found = transcript(store, project, trace_id, limit=STEPS)
    row = resolve(store, project, trace_id)
    parts, cut = _bounded((part for step in found.steps for part in _said(step)), room)
    left = [f"{found.total - STEPS:,} later steps"] if found.next_step is not None else []
    agent = next((step.span.agent for step in found.steps if step.span.agent), "")
    title = f"trace {row.trace_id[:12]}" + (f" of {label(agent, 80)}" if agent else "")
    return Record(title=title, parts=parts, left_out=", ".join([*left, *cut]))


def _step(store: TraceStore, project: str, target: Target, room: int) -> Record:
    found = span(store, project, target.trace_id, target.span_id)
    number = found.span.step
    title = (
        f"step {number:03d} of trace {target.trace_id[:12]}: {label(found.span.kind, 40)} {label(found.span.name, 80)}"
    )
    before = [_message(one, number) for one in found.input]
    if found.input_value and not found.input:
        before.append(_part("asked", found.input_value, number))
    after = [_message(one, number, marked=True) for one in found.output]
    if found.output_value and not found.output:
        after.append(_part("answered", found.output_value, number, marked=True))
    failed = found.error_message or found.span.tool_error
    if failed:
        after.append(_part("error", failed, number, marked=True))
    # The end is what is to be judged: it is never what is left out.
    kept = sum(len(one.text) for one in after)
    parts, cut = _bounded(reversed(before), max(room - kept, PART_CHARS))
    return Record(title=title, parts=(*reversed(parts), *after), left_out=", ".join(cut))


def _session(store: TraceStore, project: str, session_id: str, room: int) -> Record:
    found = session(store, project, session_id, cursor="", limit=TURNS)
    told: list[RecordPart] = []
    for place, turn in enumerate(found.turns, 1):
        if turn.input_text:
            told.append(_part("asked", turn.input_text, place))
        if turn.output_text:
            told.append(_part("answered", turn.output_text, place))
    parts, cut = _bounded(told, room)
    left = [f"{found.row.traces - len(found.turns):,} later turns"] if found.next else []
    return Record(title=f"session {label(session_id, 100)}", parts=parts, left_out=", ".join([*left, *cut]))


def _said(step: TranscriptStep) -> Iterable[RecordPart]:
    one = step.span
    for message in step.said:
        yield _message(message, one.step)
    tool = one.kind == "tool"
    if step.input_value:
        yield _part(
            f"call {one.tool_name or one.name}" if tool else "asked", step.input_value, one.step, step.input_chars
        )
    for message in step.output:
        yield _message(message, one.step)
    if step.output_value:
        what = f"result of {one.tool_name or one.name}" if tool else "answered"
        yield _part(what, step.output_value, one.step, step.output_chars)
    failed = one.tool_error or one.error_message
    if failed and one.status == "error":
        yield _part("error", failed, one.step)


def _message(message: MessageView, step: int, *, marked: bool = False) -> RecordPart:
    words = message_words(message)
    return _part(message.role or "value", words, step, max(message.chars, len(words)), marked=marked)


def _part(what: str, text: str, step: int | None, chars: int = 0, *, marked: bool = False) -> RecordPart:
    said = clean(text)
    whole = max(chars, len(said))
    return RecordPart(
        what=line(what, 80),
        text=said[:PART_CHARS],
        cut_chars=whole - min(len(said), PART_CHARS),
        step=step,
        marked=marked,
    )


def _bounded(parts: Iterable[RecordPart], room: int) -> tuple[tuple[RecordPart, ...], list[str]]:
    kept: list[RecordPart] = []
    used = missing = 0
    for part in parts:
        if not part.text.strip():
            continue
        if used >= room:
            missing += 1
            continue
        kept.append(part)
        used += len(part.text)
    return tuple(kept), [f"{missing:,} more messages"] if missing else []
