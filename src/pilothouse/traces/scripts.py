"""The transcript form: each message once, in order, under the heading of its step, within a budget."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from .model import MessageView, Trace, TranscriptStep
from .text import Fence, clean, count, dollars, duration, label
from .trees import headline, step_text

_QUIET = ("chain", "other", "embedding", "guard", "evaluator")
"""Kinds that speak only where they fail or the trace has nothing else to say."""


class _Block:
    """A heading and the pieces of content under it."""

    def __init__(self, heading: str, pieces: list[tuple[str, str, str]], step: int, failed: bool) -> None:
        self.heading = heading
        self.pieces = pieces
        self.step = step
        self.failed = failed

    def text(self, fence: Fence, chars: int, command: str) -> str:
        parts = [self.heading]
        for title, content, field in self.pieces:
            shown = content
            note = ""
            if len(content) > chars:
                shown = content[:chars]
                note = (
                    f"… +{len(content) - chars:,} characters: {command} --step {step_text(self.step)} --field {field}"
                )
            parts.append(f"{title}\n{fence.around(shown)}")
            if note:
                parts.append(note)
        return "\n".join(parts)


def transcript_text(trace: Trace, steps: Sequence[TranscriptStep], budget: int, *, marker: str = "") -> str:
    """What was said and done, in at most ``budget`` characters. ``steps`` may be a part of a long trace's steps."""
    fence = Fence(marker)
    command = f"pilothouse show {trace.row.trace_id}"
    blocks = [block for step in steps if (block := _block(step)) is not None]
    top = f"{headline(trace.row)}\n{fence.note}\n\n"
    space = budget - len(top) - 200
    missing = len(trace.spans) - len(steps)
    if not missing:
        for chars in (10**9, 4000, 2000, 1000, 500, 250, 120, 60):
            body = "\n\n".join(block.text(fence, chars, command) for block in blocks)
            if len(body) <= space:
                note = "" if chars == 10**9 else f"\n\ncut: values over {chars} characters; all: {_all(trace)}"
                return f"{top}{body}{note}\n"
    shown, hidden = _head_and_tail(blocks, fence, command, space)
    note = f"cut: {hidden + missing:,} steps in the middle, values over 60 characters; all: {_all(trace)}"
    return f"{top}{shown}\n\n{note}\n"


def _all(trace: Trace) -> str:
    return f"pilothouse show {trace.row.trace_id} --as transcript --budget 20000000"


def _head_and_tail(blocks: list[_Block], fence: Fence, command: str, space: int) -> tuple[str, int]:
    texts = [block.text(fence, 60, command) for block in blocks]
    head, tail, used = 0, 0, 0
    while head + tail < len(texts):
        # Two from the front for one from the back: how it began explains more than how it ended.
        from_back = tail * 2 < head
        length = len(texts[len(texts) - 1 - tail] if from_back else texts[head]) + 2
        if used + length > space - 40:
            break
        used += length
        if from_back:
            tail += 1
        else:
            head += 1
    hidden = len(texts) - head - tail
    parts = texts[:head]
    if hidden or head < len(texts):
        parts.append(f"… {hidden:,} steps")
    parts += texts[len(texts) - tail :] if tail else []
    return "\n\n".join(parts), hidden


def _block(step: TranscriptStep) -> _Block | None:
    span = step.span
    if span.duplicate_of or (span.kind in _QUIET and not span.failed and not step.said and not step.output):
        return None
    pieces: list[tuple[str, str, str]] = []
    for message in step.said:
        pieces.append((f"[{_role(message)}]", message_words(message), "input"))
    if step.input_value:
        pieces.append(("[input]", clean(step.input_value), "input"))
    if step.output_value:
        pieces.append(("[output]", clean(step.output_value), "output"))
    for message in step.output:
        pieces.append((f"[{_role(message) or 'assistant'}]", message_words(message), "output"))
    if span.failed:
        message = f"{span.error_type} {span.error_message or span.tool_error}".strip()
        pieces.append(("[error]", clean(message), "error"))
    if not pieces and span.kind in ("agent", "chain", "other"):
        return _Block(_heading(step), [], span.step, False) if span.kind == "agent" else None
    return _Block(_heading(step), pieces, span.step, span.failed)


def _heading(step: TranscriptStep) -> str:
    span = step.span
    parts = [f"## {step_text(span.step)} {span.kind} {label(span.label, 80)}", f"span={span.span_id}"]
    if span.parent_span_id:
        parts.append(f"parent={span.parent_span_id}")
    parts.append(f"status={'soft_error' if span.tool_error and span.status != 'error' else span.status}")
    parts.append(f"dur={duration(span.duration_ms)}")
    if span.tokens is not None:
        parts.append(f"tokens={count(span.tokens.input_total)}>{count(span.tokens.output_total)}")
    if span.counted and span.cost_usd is not None:
        parts.append(f"cost={dollars(span.cost_usd)}")
    return " ".join(parts)


def _role(message: MessageView) -> str:
    return label(message.role, 40)


def message_words(message: MessageView) -> str:
    """A message as text: words, reasoning, calls and results, cleaned."""
    if message.missing:
        return f"(content {message.hash} is not stored)"
    pieces: list[str] = []
    for part in message.parts:
        kind = part.get("type", "other")
        text = str(part.get("text", ""))
        if kind == "text":
            pieces.append(text)
        elif kind == "reasoning":
            pieces.append(f"(reasoning) {text}" if text else "(reasoning, not shown by the provider)")
        elif kind == "tool_call":
            pieces.append(f"-> {part.get('name', '')}({_compact(part.get('arguments'))}) id={part.get('id', '')}")
        elif kind == "tool_result":
            pieces.append(f"<- {part.get('name', '')} id={part.get('id', '')}: {text}")
        elif kind == "media":
            uri = str(part.get("uri", ""))
            # Of a data: URL its head says all that words can.
            shown = uri.partition(",")[0][:100] + ",…" if uri.startswith("data:") else uri
            pieces.append(f"(media {part.get('mime', '')} {shown if len(shown) < 200 else shown[:40] + '…'})")
        else:
            pieces.append(f"({kind}) {text or _compact(part.get('extra'))}")
    return clean("\n".join(piece for piece in pieces if piece))


def _compact(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
