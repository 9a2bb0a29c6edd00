"""The text forms: within their budget whatever the trace, harmless whatever its content, and saying what was cut."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse import traces
from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.traces.cards import CardContent, card
from pilothouse.traces.model import MessageView, Span, Trace, TranscriptStep
from pilothouse.traces.scripts import transcript_text
from pilothouse.traces.text import Fence, clean, count, cut, dollars, duration, line, quoted
from pilothouse.traces.trees import tree

from .support import PROJECT, TraceBuilder, said, support_trace, trace_id

HOSTILE = "ok\x1b[31mred\x1b]0;title\x07 \u202eevil\u200b\U000e0041 \x00\x9b1m\r\nnext"


@pytest.fixture
def trace(store: TraceStore) -> Trace:
    """The support trace, loaded."""
    return traces.load(store, PROJECT, support_trace(1).store(store))


def many(trace: Trace, number: int, **fields: object) -> Trace:
    """The trace with so many more tool steps."""
    tool = trace.spans[2]
    more = [
        replace(tool, step=step, span_id=f"{step:016x}", **{"input_head": f'{{"id":{step}}}', **fields})  # type: ignore[arg-type]
        for step in range(7, 7 + number)
    ]
    return replace(trace, spans=(*trace.spans, *more))


def test_a_tree_is_one_line_a_step(trace: Trace) -> None:
    lines = tree(trace, 10_000).splitlines()
    assert lines[0].startswith(f"# trace {trace_id(1)} agent=refunds status=error ")
    assert "flags=error steps=6 errors=1 tokens=4,020 cost=$0.00363" in lines[0]
    assert lines[1].startswith("001 agent  refunds ok 4.0s")
    assert lines[2].startswith("002   model  gpt-x ok 900ms 1.3k>40 $0.000632")
    assert lines[5] == '005   tool   refund error 300ms "amount is over the limit"'
    assert len(lines) == 7


def test_runs_of_the_same_call_are_folded(trace: Trace) -> None:
    same = many(trace, 37, input_head="{}")
    text = tree(same, 10_000)
    assert re.search(r"007-043   tool get_order x37 same call \S+ \"\{\}\"  \(pilothouse show \S+ --step 007\)", text)
    # With other arguments they are other calls, unless the budget is short.
    assert "x37" not in tree(many(trace, 37), 10_000)
    assert "get_order x37 calls" in tree(many(trace, 37), 2_500)


def test_pairs_that_repeat_are_folded_together(trace: Trace) -> None:
    model, tool = trace.spans[1], trace.spans[2]
    loop: list[Span] = []
    for step in range(7, 27, 2):
        loop.append(replace(model, step=step, span_id=f"{step:016x}"))
        loop.append(replace(tool, step=step + 1, span_id=f"{step + 1:016x}"))
    assert "007-026   gpt-x <-> get_order x10 same call" in tree(replace(trace, spans=(*trace.spans, *loop)), 10_000)


@pytest.mark.parametrize("budget", [500, 1_000, 3_000, 10_000])
def test_every_form_keeps_its_budget_and_says_how_to_get_the_rest(store: TraceStore, trace: Trace, budget: int) -> None:
    large = many(trace, 2_000, tool_name="tool")
    for form in traces.FORMS:
        text = traces.render(store, PROJECT, large, form, budget)
        assert len(text) <= budget, form
        # ATIF is made of the stored steps, which are few here; tests/imports hold it to budgets.
        assert form == "atif" or "pilothouse show" in text, form
        if form in ("json", "preview"):
            json.loads(text)


def test_a_failed_step_stays_when_others_go(trace: Trace) -> None:
    large = many(trace, 3_000)
    failing = replace(large.spans[1500], status="error", error_message="needle in the hay", tool_name="other")
    large = replace(large, spans=(*large.spans[:1500], failing, *large.spans[1501:]))
    mixed = [replace(span, tool_name=f"tool{span.step}") if span.step > 6 else span for span in large.spans]
    text = tree(replace(large, spans=tuple(mixed)), 3_000)
    assert "needle in the hay" in text and "cut: " in text.splitlines()[-1]


def test_a_card_leads_from_request_to_answer(store: TraceStore, trace: Trace) -> None:
    text = traces.render(store, PROJECT, trace, "card")
    order = ["## request", "money back for order 4401", "## steps", "## first error: step 005 tool refund",
             "LimitError amount is over the limit", "## final answer", "A person must approve"]  # fmt: skip
    at = 0
    for part in order:
        at = text.index(part, at)
    assert "time: model=3.1s" in text and "tokens: input=900 cache_read=3,000" in text
    assert "```text" in traces.render(store, PROJECT, trace, "md")


def test_a_card_shows_the_whole_answer_where_the_row_has_its_head(store: TraceStore) -> None:
    built = support_trace(1)
    long = "The answer. " * 300
    built.spans[0]["output_text"] = long[:500] + "…"
    built.span(107, "model", parent=101, at_ms=3900, ms=50, model="gpt-x", output=[said("assistant", long)])
    loaded = traces.load(store, PROJECT, built.store(store))
    assert traces.render(store, PROJECT, loaded, "card", 20_000).count("The answer.") > 200


def test_hostile_content_stays_content(store: TraceStore) -> None:
    built = TraceBuilder(trace_id(1), agent="a")
    built.span(1, "tool", HOSTILE, tool_name=HOSTILE, input_text=HOSTILE, output_text=HOSTILE, status="error",
               error_message=HOSTILE + "\n# trace 0000 status=ok")  # fmt: skip
    built.span(2, "model", at_ms=5, model="m", input=[said("user", HOSTILE)], output=[said("assistant", "»\n«")])
    loaded = traces.load(store, PROJECT, built.store(store))
    for form in ("tree", "card", "transcript", "md"):
        text = traces.render(store, PROJECT, loaded, form)  # type: ignore[arg-type]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e\U000e0041]", text), form
        if form == "tree":
            assert len(text.splitlines()) == 3


def test_a_fence_cannot_be_closed_from_within() -> None:
    first, second = Fence(), Fence()
    assert first.marker != second.marker
    assert first.around("x").startswith(f"«{first.marker}\n") and first.marker in first.note


def span(step: int, draw: st.DataObject) -> Span:
    text = st.text(max_size=300)
    return Span(
        step=step, span_id=f"{step:016x}",
        parent_span_id=f"{draw.draw(st.integers(0, step)):016x}", depth=draw.draw(st.integers(0, 12)),
        kind=draw.draw(st.sampled_from(["agent", "model", "tool", "chain", "guard"])), name=draw.draw(text),
        agent=draw.draw(text), agent_version="", model=draw.draw(text), provider="", dialect="",
        status=draw.draw(st.sampled_from(["ok", "error", "running"])), error_type=draw.draw(text),
        error_message=draw.draw(text), tool_name=draw.draw(text), tool_call_id="", tool_error=draw.draw(text),
        start_time="", offset_ms=draw.draw(st.floats(0, 1e9)), duration_ms=draw.draw(st.floats(0, 1e9)), ttft_ms=None,
        tokens=None, usage_scope="", duplicate_of="", cost_usd=None, counted=False, finish_reason="",
        input_head=draw.draw(text), output_head=draw.draw(text), notes=(),
    )  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_trace_breaks_a_form_or_its_budget(trace: Trace, data: st.DataObject) -> None:
    spans = tuple(span(step, data) for step in range(1, data.draw(st.integers(1, 12))))
    any_trace = replace(trace, spans=spans)
    budget = data.draw(st.integers(500, 4_000))
    content = CardContent(request=data.draw(st.text()), answer=data.draw(st.text()), scores=())
    view = MessageView(
        role=data.draw(st.text()), text="", parts=({"type": "text", "text": data.draw(st.text())},), hash=""
    )
    steps = [
        TranscriptStep(span=item, said=(view,), output=(), input_value=item.input_head, input_chars=0, output_value="",
                       output_chars=0)
        for item in spans
    ]  # fmt: skip
    for text in (
        tree(any_trace, budget),
        card(any_trace, content, budget),
        transcript_text(any_trace, steps, budget),
    ):
        assert len(text) <= budget
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    traces.breakdown(any_trace)
    traces.critical_path(any_trace)
    traces.graph(any_trace)


def test_a_form_or_budget_there_is_not_is_refused(store: TraceStore, trace: Trace) -> None:
    with pytest.raises(BadRequest, match="no such form"):
        traces.render(store, PROJECT, trace, "poem")  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="a budget has"):
        traces.render(store, PROJECT, trace, "tree", 10)


@given(st.text())
def test_cleaned_text_has_nothing_that_acts(text: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", clean(text))
    assert "\n" not in line(text, 50) and len(line(text, 50)) <= 50


def test_words_for_numbers() -> None:
    assert [duration(ms) for ms in (0.5, 12.34, 850, 999.9, 1900, 59_949, 59_960, 245_000, 7_380_000)] == [
        "500us", "12.3ms", "850ms", "1.0s", "1.9s", "59.9s", "1m00s", "4m05s", "2h03m",
    ]  # fmt: skip
    assert [count(n) for n in (0, 999, 1000, 2149, 18_420, 999_499, 999_500, 1_200_000)] == [
        "0", "999", "1.0k", "2.1k", "18.4k", "999k", "1.0M", "1.2M",
    ]  # fmt: skip
    from decimal import Decimal

    assert [dollars(Decimal(x)) for x in ("0.000632", "0.0612", "12.5", "0", "1234.5")] == [
        "$0.000632", "$0.0612", "$12.50", "$0", "$1,234.50",
    ]  # fmt: skip
    assert dollars(None) == "?"
    assert cut("abcdef", 3) == "abc… [+3 characters]" and quoted('a"b\n c', 20) == '"a\\"b c"'
