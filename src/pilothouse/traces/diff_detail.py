"""One row of a comparison in full: both steps with all their content, message by message and word by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from pilothouse.store import TraceStore

from .detail import span
from .diff_align import align
from .diff_steps import canonical
from .diff_text import CHARS_MAX, text_diff
from .jsons import as_json
from .model import MessageView, SpanDetail
from .model.diff import DiffDetail, DiffRow, PromptEntry, Segment, ValueChange
from .text import line

_ENTRIES_MAX = 400
_HEAD = 160


def detail_of(store: TraceStore, project: str, trace_a: str, trace_b: str, row: DiffRow, *, across: bool) -> DiffDetail:
    """Both sides of a row in full; ``across`` frameworks, whose request parameters have other names."""
    a = span(store, project, trace_a, row.a.span_id) if row.a else None
    b = span(store, project, trace_b, row.b.span_id) if row.b else None
    kind = (row.a or row.b).kind if row.a or row.b else ""  # type: ignore[union-attr]
    conversation = kind == "model"
    return DiffDetail(
        row=row,
        decision=_decisions(a, b) if conversation else (),
        arguments=() if conversation else text_diff(_given(a), _given(b)),
        result=() if conversation else text_diff(_result(a), _result(b)),
        prompt=_prompt(a.input, b.input) if conversation and a and b else (),
        tools=_tools(a, b) if a and b else (),
        parameters=_parameters(a, b, across) if a and b else (),
        facts=_facts(row),
        notes=_notes(a, b, conversation),
    )


def _decisions(a: SpanDetail | None, b: SpanDetail | None) -> tuple[Segment, ...]:
    left, right = _decision(a), _decision(b)
    if _called(a) == _called(b) or not (left and right):
        return text_diff(left, right)
    # What two tools' arguments have in common says nothing.
    return Segment(op="a", text=left[:CHARS_MAX]), Segment(op="b", text=right[:CHARS_MAX])


def _called(detail: SpanDetail | None) -> list[str]:
    parts = [part for message in detail.output for part in message.parts] if detail else []
    return sorted(str(part.get("name", "")) for part in parts if part.get("type") == "tool_call")


def _notes(a: SpanDetail | None, b: SpanDetail | None, conversation: bool) -> tuple[str, ...]:
    notes: list[str] = []
    for name, detail in (("a", a), ("b", b)):
        if detail is None:
            continue
        if conversation and not detail.input and not detail.input_value:
            notes.append(f"no prompt was recorded for step {detail.span.step} of {name}")
        if conversation and not detail.output and not detail.output_value:
            notes.append(f"no answer was recorded for step {detail.span.step} of {name}")
        if max(len(_decision(detail)), len(_given(detail)), len(_result(detail))) > CHARS_MAX:
            notes.append(f"texts of step {detail.span.step} of {name} are compared up to {CHARS_MAX:,} characters")
    return tuple(notes)


def _decision(detail: SpanDetail | None) -> str:
    """A model's words and calls as text, calls last and in an order of their own."""
    if detail is None:
        return ""
    words = [str(part.get("text", "")) for m in detail.output for part in m.parts if part.get("type") == "text"]
    calls = sorted(
        f"{part.get('name', '')}({_pretty(part.get('arguments'))})"
        for message in detail.output
        for part in message.parts
        if part.get("type") == "tool_call"
    )
    return "\n".join([*(word for word in words if word), *calls]) or detail.output_value


def _given(detail: SpanDetail | None) -> str:
    if detail is None:
        return ""
    return _laid_out(detail.input_value) or "\n".join(message.text for message in detail.input)


def _result(detail: SpanDetail | None) -> str:
    if detail is None:
        return ""
    failure = detail.span.tool_error or detail.error_message
    said = _laid_out(detail.output_value) or "\n".join(message.text for message in detail.output)
    return "\n".join(text for text in (failure, said) if text)


def _laid_out(text: str) -> str:
    """JSON line by line with its keys in order, so that what differs stands alone; other text as it is."""
    plain = canonical(text)
    if plain[:1] in ("{", "["):
        try:
            return _pretty(orjson.loads(plain))
        except orjson.JSONDecodeError:
            pass
    return text


def _pretty(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return value or ""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS, default=str).decode()


def _spoken(message: MessageView) -> str:
    """A message as text: words, calls and results; the ids of calls left out, since every run draws its own."""
    lines: list[str] = []
    for part in message.parts:
        kind = part.get("type")
        if kind == "tool_call":
            lines.append(f"{part.get('name', '')}({_pretty(part.get('arguments'))})")
        elif kind == "media":
            lines.append(f"[{part.get('mime') or 'media'} {str(part.get('uri', ''))[:80]}]")
        else:
            lines.append(str(part.get("text", "")) or _pretty(part.get("extra")))
    return "\n".join(lines)


def _prompt(a: Sequence[MessageView], b: Sequence[MessageView]) -> tuple[PromptEntry, ...]:
    texts_a, texts_b = [_spoken(message) for message in a], [_spoken(message) for message in b]
    keys_a = [f"{message.role}\0{text}" for message, text in zip(a, texts_a, strict=True)]
    keys_b = [f"{message.role}\0{text}" for message, text in zip(b, texts_b, strict=True)]

    def alike(i: int, j: int) -> int:
        if keys_a[i] == keys_b[j]:
            return 8
        return 3 if a[i].role == b[j].role else 0

    entries: list[PromptEntry] = []
    for left, right in align(keys_a, keys_b, alike).pairs:
        shown = a[left] if left is not None else b[right or 0]
        text_a = texts_a[left] if left is not None else ""
        text_b = texts_b[right] if right is not None else ""
        equal = left is not None and right is not None and keys_a[left] == keys_b[right]
        if equal and entries and entries[-1].op == "same":
            last = entries.pop()
            entries.append(_entry("same", last.count + 1, last.role, last.head, last.chars_a + len(text_a)))
            continue
        head = line(text_a or text_b, _HEAD)
        if equal:
            entries.append(_entry("same", 1, shown.role, head, len(text_a)))
            continue
        op = "changed" if left is not None and right is not None else "only_a" if left is not None else "only_b"
        entries.append(
            PromptEntry(
                op=op,
                count=1,
                role=shown.role,
                head=head,
                chars_a=len(text_a),
                chars_b=len(text_b),
                text=text_diff(text_a, text_b),
            )
        )
    return tuple(entries[:_ENTRIES_MAX])


def _entry(op: str, count: int, role: str, head: str, chars: int) -> PromptEntry:
    return PromptEntry(
        op="same" if op == "same" else "changed",
        count=count,
        role=role,
        head=head,
        chars_a=chars,
        chars_b=chars,
        text=(),
    )


def _tools(a: SpanDetail, b: SpanDetail) -> tuple[ValueChange, ...]:
    left, right = _by_name(a.tools), _by_name(b.tools)
    return tuple(
        ValueChange(name=name, a=left.get(name), b=right.get(name))
        for name in sorted({*left, *right})
        if canonical(_pretty(left.get(name))) != canonical(_pretty(right.get(name)))
    )


def _by_name(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for place, tool in enumerate(tools):
        inner: object = tool.get("function")
        within = cast("Mapping[str, Any]", inner) if isinstance(inner, dict) else tool
        named[str(within.get("name") or f"tool {place + 1}")] = as_json(tool)
    return named


def _parameters(a: SpanDetail, b: SpanDetail, across: bool) -> tuple[ValueChange, ...]:
    left: dict[str, Any] = {"model": a.span.model, "provider": a.span.provider}
    right: dict[str, Any] = {"model": b.span.model, "provider": b.span.provider}
    if not across:
        left |= {**a.parameters, "prompt": f"{a.prompt_name} {a.prompt_version}".strip()}
        right |= {**b.parameters, "prompt": f"{b.prompt_name} {b.prompt_version}".strip()}
    return tuple(
        ValueChange(name=name, a=left.get(name), b=right.get(name))
        for name in dict.fromkeys((*left, *right))
        if left.get(name) != right.get(name)
    )


def _facts(row: DiffRow) -> Mapping[str, ValueChange]:
    a, b = row.a, row.b
    return {
        name: ValueChange(name=name, a=getattr(a, name) if a else None, b=getattr(b, name) if b else None)
        for name in ("status", "tokens", "cost_usd", "duration_ms")
    }
