"""The context inspector and the trace diff over the sample: just enough of each for a page to show something true."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.records import BadRequest
from pilothouse.traces.model import (
    Context,
    ContextCall,
    ContextMessage,
    ContextPart,
    ContextStep,
    ContextThread,
    DiffDetail,
    DiffRow,
    DiffSide,
    Divergence,
    PromptEntry,
    Question,
    Segment,
    Span,
    Total,
    Trace,
    TraceDiff,
    ValueChange,
)

_WINDOW = 128_000


def sample_context(trace: Trace, step: int) -> Context:
    """Each model call one message longer than the last; the question falls out in the middle."""
    spans = [span for span in trace.spans if span.kind == "model"]
    calls = tuple(_call(place, span, spans) for place, span in enumerate(spans))
    if not calls:
        return Context(
            trace_id=trace.row.trace_id, threads=(), calls=(), detail=None, duplicates=0, left_out=0,
            notes=("this trace has no model call",),
        )  # fmt: skip
    chosen = [call for call in calls if step in (0, call.step)]
    if not chosen:
        raise BadRequest("no model call", got=step)
    gone = next((call.step for call in calls if call.question_lost), None)
    words = trace.row.input_text
    thread = ContextThread(
        number=1,
        agent=spans[0].agent,
        steps=tuple(call.step for call in calls),
        peak_tokens=max(call.tokens for call in calls),
        peak_full=max(call.full or 0 for call in calls),
        wasted_tokens=0,
        compactions=0,
        questions=(Question(head=words[:160], hash="a" * 32, first_step=calls[0].step, last_step=1, gone_step=gone),),
        question_gone_step=gone,
    )
    message = ContextMessage(role="user", kind="question", tokens=20, chars=80, head=words[:160], hash="a" * 32)
    detail = ContextStep(messages=(message,), dropped=(), tools=("search",)) if step else None
    return Context(
        trace_id=trace.row.trace_id,
        threads=(thread,),
        calls=tuple(chosen),
        detail=detail,
        duplicates=0,
        left_out=0,
        notes=(),
    )


def _call(place: int, span: Span, spans: Sequence[Span]) -> ContextCall:
    size = 400 + 150 * place
    half = len(spans) // 2
    return ContextCall(
        step=span.step,
        span_id=span.span_id,
        thread=1,
        agent=span.agent,
        model=span.model,
        start_time=span.start_time,
        offset_ms=span.offset_ms,
        tokens=size,
        tokens_are="reported",
        window=_WINDOW,
        full=size / _WINDOW,
        parts=(
            ContextPart(kind="system", tokens=100, share=100 / size, messages=1, chars=400),
            ContextPart(kind="tool_output", tokens=size - 100, share=1 - 100 / size, messages=place, chars=4 * size),
        ),
        messages=place + 2,
        previous_step=spans[place - 1].step if place else None,
        grew=150 if place else None,
        new_messages=1,
        new_tokens=150,
        dropped_messages=int(0 < half == place),
        dropped_tokens=20 if 0 < half == place else 0,
        dropped=(),
        compacted="",
        summary=None,
        question="gone" if 0 < half <= place else "in_view",
        question_lost=0 < half == place,
        repeats=(),
        wasted_tokens=0,
        content=True,
        server_state=False,
        notes=(),
    )


def sample_diff(a: Trace, b: Trace, step: str) -> TraceDiff:
    """Step by step by place; they part at the first step whose names differ."""
    length = max(len(a.spans), len(b.spans))
    rows: list[DiffRow] = []
    for place in range(length):
        left = a.spans[place] if place < len(a.spans) else None
        right = b.spans[place] if place < len(b.spans) else None
        same = bool(left and right and (left.kind, left.label) == (right.kind, right.label))
        rows.append(
            DiffRow(
                row=place + 1,
                state="same" if same else "changed" if left and right else "only_a" if left else "only_b",
                differs=() if same or not (left and right) else ("tool",),
                depth=min((left or right).depth, 5) if left or right else 0,
                a=_side(left) if left else None,
                b=_side(right) if right else None,
            )
        )
    first = next((row for row in rows if row.state != "same"), None)
    parting = None
    if first is not None:
        steps = (first.a.step if first.a else None, first.b.step if first.b else None)
        parting = Divergence(row=first.row, kind="tool", what="another tool", a_step=steps[0], b_step=steps[1])
    shown = rows[int(step.lstrip("ab")) - 1] if step else first
    return TraceDiff(
        a=a.row,
        b=b.row,
        totals=(Total(name="spans", unit="count", a=len(a.spans), b=len(b.spans), delta=len(b.spans) - len(a.spans)),),
        signals_gained=b.row.signals,
        signals_lost=a.row.signals,
        divergence=parting,
        action_divergence=parting,
        before=(),
        rows=tuple(rows),
        same=sum(row.state == "same" for row in rows),
        detail=_detail(shown) if shown else None,
        exact=True,
        left_out_a=0,
        left_out_b=0,
        notes=(),
    )


def _detail(row: DiffRow) -> DiffDetail:
    texts = (Segment(op="a", text=row.a.head if row.a else ""), Segment(op="b", text=row.b.head if row.b else ""))
    entry = PromptEntry(op="changed", count=1, role="user", head="", chars_a=1, chars_b=1, text=texts)
    return DiffDetail(
        row=row,
        decision=texts,
        arguments=(),
        result=(),
        prompt=(entry,),
        tools=(ValueChange(name="search", a=None, b={"name": "search"}),),
        parameters=(ValueChange(name="temperature", a=0, b=1),),
        facts={},
        notes=(),
    )


def _side(span: Span) -> DiffSide:
    return DiffSide(
        step=span.step,
        span_id=span.span_id,
        kind=span.kind,
        label=span.label,
        agent=span.agent,
        head=span.input_head,
        result=span.output_head,
        status=span.status,
        failed=span.failed,
        tokens=span.tokens.total if span.tokens else 0,
        cost_usd=span.cost_usd,
        duration_ms=span.duration_ms,
    )
