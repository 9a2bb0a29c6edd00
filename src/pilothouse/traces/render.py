"""The text forms of a trace, each within a hard budget of characters."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.records import BadRequest
from pilothouse.store import TraceStore

from .atif import atif_text
from .cards import CardContent, card
from .detail import trace_notes, trace_scores
from .jsons import as_json, dumps, fit
from .load import head
from .model import DEFAULT_BUDGET, FORMS, Form, NoteView, ScoreView, Span, Trace, TranscriptStep
from .scripts import transcript_text
from .text import line
from .transcripts import said_steps
from .trees import step_text, tree

BUDGET_MIN = 500
BUDGET_MAX = 20_000_000
_SHOWN_WHOLE = 400
"""Steps of a trace whose texts are all fetched; of longer ones head and tail are, as far as the budget can show them."""


def render(
    store: TraceStore,
    project: str,
    trace: Trace,
    as_: Form = "tree",
    budget: int = DEFAULT_BUDGET,
    *,
    marker: str = "",
) -> str:
    """A trace as text: tree, card, transcript, preview, json, md or atif, in at most ``budget`` characters.

    Whatever is cut is named in the last line (in JSON: under ``cut``) with the command that fetches it. ``marker``
    fences content with this instead of a random word.
    """
    check_form(as_, budget)
    if as_ == "tree":
        trace_id = trace.row.trace_id
        return _tree(trace, budget, trace_scores(store, project, trace_id), trace_notes(store, project, trace_id))
    if as_ == "transcript":
        spans = _chosen(trace.spans, budget)
        top = head(store, project, trace.row.trace_id)
        return transcript_text(trace, said_steps(store, project, top, spans, chars=budget), budget, marker=marker)
    if as_ in ("card", "md"):
        return card(trace, _card_content(store, project, trace), budget, markdown=as_ == "md", marker=marker)
    if as_ == "json":
        return _json(trace, budget)
    if as_ == "atif":
        return atif_text(store, project, trace, budget)
    return _preview(trace, budget)


def check_form(as_: str, budget: int) -> None:
    """Refuse a form or a budget there is not."""
    if as_ not in FORMS:
        raise BadRequest("no such form", got=as_, allowed=list(FORMS), fix="pilothouse show last --as card")
    if not BUDGET_MIN <= budget <= BUDGET_MAX:
        raise BadRequest(f"a budget has {BUDGET_MIN} to {BUDGET_MAX:,} characters", got=budget)


def media_type(as_: Form) -> str:
    """The media type of a form."""
    return {
        "json": "application/json",
        "preview": "application/json",
        "atif": "application/json",
        "md": "text/markdown; charset=utf-8",
    }.get(as_, "text/plain; charset=utf-8")


def _chosen(spans: Sequence[Span], budget: int) -> Sequence[Span]:
    """The steps whose texts a budget can show at all: a heading alone takes some sixty characters."""
    room = max(_SHOWN_WHOLE, budget // 60)
    if len(spans) <= room:
        return spans
    return [*spans[: room // 2], *spans[len(spans) - room // 2 :]]


def render_loaded(
    trace: Trace,
    steps: Sequence[TranscriptStep],
    as_: Form,
    budget: int,
    *,
    marker: str,
    scores: Sequence[ScoreView] = (),
    notes: Sequence[NoteView] = (),
) -> str:
    """The same of a trace whose steps are all in memory (see ``transcripts.loaded_steps``); json excepted."""
    if as_ == "tree":
        return _tree(trace, budget, scores, notes)
    if as_ == "transcript":
        return transcript_text(trace, steps, budget, marker=marker)
    if as_ in ("card", "md"):
        ends = {span.span_id for span in _ends_of(trace)}
        shown = [step for step in steps if step.span.span_id in ends]
        content = _with_whole_texts(trace, shown, tuple(scores), tuple(notes))
        return card(trace, content, budget, markdown=as_ == "md", marker=marker)
    return _preview(trace, budget)


def _card_content(store: TraceStore, project: str, trace: Trace) -> CardContent:
    steps: Sequence[TranscriptStep] = ()
    if trace.row.input_text.endswith("…") or trace.row.output_text.endswith("…"):
        top = head(store, project, trace.row.trace_id)
        steps = said_steps(store, project, top, _ends_of(trace), chars=BUDGET_MAX)
    trace_id = trace.row.trace_id
    return _with_whole_texts(
        trace, steps, trace_scores(store, project, trace_id), trace_notes(store, project, trace_id)
    )


def _ends_of(trace: Trace) -> list[Span]:
    """The steps that hold the whole request and the whole answer, where the row has their heads only."""
    models = [span for span in trace.spans if span.kind == "model" and not span.duplicate_of]
    roots = [span for span in trace.spans if not span.parent_span_id]
    return list({span.span_id: span for span in (*roots[:1], *models[:1], *models[-1:])}.values())


def _tree(trace: Trace, budget: int, scores: Sequence[ScoreView], notes: Sequence[NoteView]) -> str:
    """The tree, with a line on what was written to the trace where anything was."""
    written = _written_line(trace, scores, notes)
    return tree(trace, budget, written=written) if written else tree(trace, budget)


def _written_line(trace: Trace, scores: Sequence[ScoreView], notes: Sequence[NoteView]) -> str:
    if not scores and not notes:
        return ""
    labels = sorted({line(note.name, 40) for note in notes if note.kind == "label"})
    said = [
        f"{line(score.name, 40)}={line(score.label, 20) if score.value is None else f'{score.value:g}'}"
        for score in scores
    ]
    parts = [("labels", labels), ("scores", list(dict.fromkeys(said)))]
    shown = [f"{what}={','.join(found[:8])}{',…' if len(found) > 8 else ''}" for what, found in parts if found]
    words = sum(note.kind == "note" for note in notes)
    shown += [f"notes={words}"] if words else []
    return f"{' '.join(shown)}  (pilothouse notes {trace.row.trace_id})"


def _with_whole_texts(
    trace: Trace, steps: Sequence[TranscriptStep], scores: tuple[ScoreView, ...], notes: tuple[NoteView, ...]
) -> CardContent:
    request = _longer(trace.row.input_text, [view.text for step in steps for view in step.said])
    answer = _longer(trace.row.output_text, [view.text for step in steps for view in step.output])
    return CardContent(request=request, answer=answer, scores=scores, notes=notes)


def _longer(head: str, texts: list[str]) -> str:
    if not head.endswith("…"):
        return head
    begins = head.rstrip("…")
    return next((text for text in texts if text.startswith(begins)), head)


def _json(trace: Trace, budget: int) -> str:
    shown, hidden = _ends(trace.spans, budget // 250)
    whole = f"pilothouse show {trace.row.trace_id} --as json --budget {min(BUDGET_MAX, 2_000 + 900 * len(trace.spans))}"
    spans = as_json(shown)
    if hidden:
        spans.insert((len(shown) + 1) // 2, {"cut": hidden})
    data = {"row": as_json(trace.row), "spans": spans, "cut": trace.cut}

    def command(path: tuple[str | int, ...]) -> str:
        if len(path) >= 2 and path[0] == "spans" and isinstance(path[1], int) and "step" in spans[path[1]]:
            return f"pilothouse show {trace.row.trace_id} --step {step_text(spans[path[1]]['step'])} --as json"
        return whole

    smaller, cuts = fit(data, budget - 400, command)
    if not cuts and not hidden:
        return dumps(data).decode()
    return dumps({**smaller, "hidden_spans": hidden, "cuts": as_json(cuts[:2]), "get": whole}).decode()


def _ends(spans: Sequence[Span], room: int) -> tuple[Sequence[Span], int]:
    """Head and tail of very many spans, and how many are left out between: no use in writing what cannot fit."""
    room = max(40, room)
    if len(spans) <= room:
        return spans, 0
    return [*spans[: room - room // 2], *spans[len(spans) - room // 2 :]], len(spans) - room


def _preview(trace: Trace, budget: int) -> str:
    """The whole structure with values of at most 100 characters."""
    row = trace.row
    shown, hidden = _ends(trace.spans, budget // 40)
    steps: list[dict[str, object]] = [_previewed(span) for span in shown]
    if hidden:
        steps.insert((len(shown) + 1) // 2, {"cut": hidden})
    data = {
        "trace": row.trace_id,
        "agent": row.agent,
        "status": row.status,
        "start": row.start_time,
        "duration_ms": row.duration_ms,
        "tokens": row.tokens.total,
        "cost_usd": row.cost_usd,
        "signals": row.signals,
        "input": line(row.input_text, 100),
        "output": line(row.output_text, 100),
        "first_error": line(row.first_error, 100),
        "steps": steps,
    }
    whole = (
        f"pilothouse show {trace.row.trace_id} --as preview --budget {min(BUDGET_MAX, 2_000 + 300 * len(trace.spans))}"
    )
    smaller, cuts = fit(as_json(data), budget - 200, lambda _: whole)
    if not cuts and not hidden:
        return dumps(data).decode()
    return dumps({**smaller, "hidden_steps": hidden, "cuts": len(cuts), "get": whole}).decode()


def _previewed(span: Span) -> dict[str, object]:
    data: dict[str, object] = {"step": step_text(span.step), "kind": span.kind, "name": line(span.label, 100)}
    data["status"] = span.status
    data["ms"] = span.duration_ms
    if span.tokens is not None:
        data["tokens"] = span.tokens.total
    if span.failed:
        data["error"] = line(span.error_message or span.tool_error or span.error_type, 100)
    if span.input_head:
        data["in"] = line(span.input_head, 100)
    if span.output_head:
        data["out"] = line(span.output_head, 100)
    return data
