"""The card: a trace on one screen. Header, flags, the head of the tree, the first error, the final answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .model import NoteView, ScoreView, Span, Trace
from .paths import breakdown
from .text import Fence, cut, dollars, duration, label, line
from .trees import headline, step_text, tree


@dataclass(frozen=True, slots=True, kw_only=True)
class CardContent:
    """The long texts a card shows, fetched for it."""

    request: str
    answer: str
    scores: tuple[ScoreView, ...]
    notes: tuple[NoteView, ...] = ()


def card(trace: Trace, content: CardContent, budget: int, *, markdown: bool = False, marker: str = "") -> str:
    """A trace in at most ``budget`` characters, as plain text or as markdown."""
    fence = Fence(marker)
    row = trace.row
    show = f"pilothouse show {row.trace_id}"
    first = first_error(trace)
    fixed = [headline(row), *_facts(trace), fence.note, ""]
    written = _written(trace, content, fence)
    space = budget - sum(len(part) + 1 for part in (*fixed, *written)) - 500
    # The tree gets half: it is the map. The texts share the rest, an error before an answer before the request.
    tree_space = max(200, space // 2)
    text_space = max(100, (space - tree_space) // (3 if first else 2) - 60)
    parts = list(fixed)
    parts += [_heading("request"), fence.around(cut(content.request, text_space)), ""]
    drawn = tree(trace, tree_space, title=False)
    parts += [_heading("steps"), f"```text\n{drawn}\n```" if markdown else drawn, ""]
    if first is not None:
        parts += [
            _heading(f"first error: step {step_text(first.step)} {first.kind} {label(first.label, 80)}"),
            fence.around(cut(f"{first.error_type} {first.error_message or first.tool_error}".strip(), text_space)),
            "",
        ]
    parts += written
    parts += [_heading("final answer"), fence.around(cut(content.answer, text_space)), ""]
    parts.append(f"more: {show} --as transcript | {show} --step 001")
    text = "\n".join(parts)
    if len(text) <= budget:
        return text
    # So small a budget shows no content at all rather than a fence that is not closed.
    form = "md" if markdown else "card"
    note = f"cut: all but this head; all: {show} --as {form} --budget {max(2_000, len(text) + 500)}"
    return f"{cut(headline(row), budget - len(note) - 40)}\n{note}"


def first_error(trace: Trace) -> Span | None:
    """The failure that came first: of those that ended first, the innermost."""
    failed = [span for span in trace.spans if span.failed]
    if not failed:
        return None
    return min(failed, key=lambda span: (span.offset_ms + span.duration_ms, -span.offset_ms))


def _facts(trace: Trace) -> list[str]:
    row = trace.row
    pairs = [("user", row.user_id), ("env", row.environment), ("service", row.service), ("feature", row.feature)]
    pairs += [("tags", ",".join(row.tags)), ("models", ",".join(row.models)), ("tools", ",".join(row.tools))]
    facts = [" ".join(f"{name}={label(value, 120)}" for name, value in pairs if value)]
    usage = row.tokens
    facts.append(
        f"tokens: input={usage.input_uncached:,} cache_read={usage.cache_read:,} cache_write={usage.cache_write:,} "
        f"output={usage.output:,} reasoning={usage.reasoning:,}; calls: model={row.model_calls} tool={row.tool_calls}"
    )
    spent = breakdown(trace).by_kind[:6]
    if spent:
        facts.append("time: " + " ".join(f"{share.what}={duration(share.self_ms)}" for share in spent))
    if row.cost_unknown:
        known = "a lower bound" if row.cost_usd is not None else "unknown"
        facts.append(f"cost is {known} ({dollars(row.cost_usd)}): {row.cost_unknown} calls without a known price")
    if row.duplicates:
        facts.append(f"double instrumented: {row.duplicates} spans are seen twice and counted once")
    return [fact for fact in facts if fact]


_WRITTEN_MAX = 12
"""Notes, scores and labels that a card shows."""


def _written(trace: Trace, content: CardContent, fence: Fence) -> list[str]:
    """What people, agents and evaluators wrote to it, fenced: it is data like all the rest."""
    if not content.scores and not content.notes:
        return []
    steps = {span.span_id: span.step for span in trace.spans}
    lines = [_judged(score, steps) for score in content.scores] + [_noted(note, steps) for note in content.notes]
    shown, more = lines[:_WRITTEN_MAX], len(lines) - _WRITTEN_MAX
    if more > 0:
        shown.append(f"{more} more: pilothouse notes {trace.row.trace_id[:12]}")
    return [_heading("notes, scores, labels"), fence.around("\n".join(shown)), ""]


def _judged(score: ScoreView, steps: Mapping[str, int]) -> str:
    said = " ".join(filter(None, ("" if score.value is None else f"{score.value:g}", score.label)))
    why = f": {line(score.explanation, 160)}" if score.explanation else ""
    return (
        f"score {line(score.name, 60)}={line(said, 60)}{_where(score.span_id, steps)} by {line(score.source, 40)}{why}"
    )


def _noted(note: NoteView, steps: Mapping[str, int]) -> str:
    what = f"label {note.name}" if note.kind == "label" else "note"
    words = f": {line(note.text, 200)}" if note.text else ""
    return f"{what}{_where(note.span_id, steps)} by {line(note.actor, 40)} ({note.actor_kind}){words}"


def _where(span_id: str, steps: Mapping[str, int]) -> str:
    return f" step {step_text(steps[span_id])}" if span_id in steps else ""


def _heading(text: str) -> str:
    return f"## {text}"
