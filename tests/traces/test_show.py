"""One trace: loading it, one step of it, what was said in it, and the ids people type."""

from __future__ import annotations

import pytest

from pilothouse import traces
from pilothouse.records import BadRequest, NotFound, message
from pilothouse.records.message import Part
from pilothouse.store import TraceStore
from pilothouse.traces.fields import field_text
from pilothouse.traces.text import Fence

from .support import MINUTE_NS, NOW_NS, PROJECT, TraceBuilder, said, span_id, support_trace, trace_id


def test_a_trace_loads_with_its_steps_in_order(store: TraceStore) -> None:
    id = support_trace(1).store(store)
    trace = traces.load(store, PROJECT, id)
    assert [span.step for span in trace.spans] == [1, 2, 3, 4, 5, 6]
    assert [span.kind for span in trace.spans] == ["agent", "model", "tool", "model", "tool", "model"]
    assert [span.depth for span in trace.spans] == [0, 1, 1, 1, 1, 1]
    model, refund = trace.spans[1], trace.spans[4]
    assert (model.label, str(model.cost_usd), model.counted, model.offset_ms) == ("gpt-x", "0.000632", True, 100)
    assert model.tokens is not None and (model.tokens.input_total, model.tokens.output_total) == (1300, 40)
    assert (refund.failed, refund.error_type, refund.input_head) == (True, "LimitError", '{"id":4411}')
    assert trace.row.root_name == "invoke refunds" and trace.cut == 0


def test_steps_do_not_depend_on_what_the_store_says(store: TraceStore) -> None:
    trace = support_trace(1)
    for row in trace.spans:
        row["step"] = 999
    id = trace.store(store)
    assert [span.step for span in traces.load(store, PROJECT, id).spans] == [1, 2, 3, 4, 5, 6]
    assert traces.span(store, PROJECT, id, "005").span.label == "refund"


def test_a_missing_parent_keeps_its_step_free(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "tool", parent=77, tool_name="a")
    trace.span(2, "tool", parent=77, at_ms=5, tool_name="b")
    loaded = traces.load(store, PROJECT, trace.store(store))
    assert [(span.step, span.depth) for span in loaded.spans] == [(2, 0), (3, 0)]
    with pytest.raises(NotFound, match="no such step"):
        traces.span(store, PROJECT, loaded.row.trace_id, 1)


def test_the_newest_version_of_a_span_is_shown_once(store: TraceStore) -> None:
    trace = support_trace(1)
    trace.store(store)
    trace.spans[4]["status"] = "ok"
    id = trace.store(store, version=2)
    loaded = traces.load(store, PROJECT, id)
    assert len(loaded.spans) == 6 and loaded.spans[4].status == "ok"
    assert traces.span(store, PROJECT, id, 5).span.status == "ok"
    assert traces.waterfall(store, PROJECT, id).status[4] == 0


def test_a_waterfall_says_the_same_in_columns(store: TraceStore) -> None:
    id = support_trace(1).store(store)
    trace, chart = traces.load(store, PROJECT, id), traces.waterfall(store, PROJECT, id)
    assert chart.spans == 6 and chart.step == tuple(span.step for span in trace.spans)
    assert chart.parent == (-1, 0, 0, 0, 0, 0) and chart.depth == (0, 1, 1, 1, 1, 1)
    assert [chart.kinds[kind] for kind in chart.kind] == [span.kind for span in trace.spans]
    assert [chart.names[name] for name in chart.name] == [span.label for span in trace.spans]
    assert chart.start_ms == tuple(span.offset_ms for span in trace.spans)
    assert chart.duration == tuple(span.duration_ms for span in trace.spans)
    assert chart.status == (0, 0, 0, 0, 1, 0) and chart.tokens[1] == 1340
    assert chart.cost_usd[1] == pytest.approx(0.000632) and chart.critical[0] == 1


def test_a_step_has_all_its_content(store: TraceStore) -> None:
    trace = support_trace(1, session="s1")
    trace.spans[1].update(
        attributes={"gen_ai.request.temperature": "0.5", "plain": "7"},
        typed_attributes=["gen_ai.request.temperature"],
        parameters='{"temperature":0.5}',
        resource={"service.name": "svc"},
        links='[{"trace_id":"a","span_id":"b","attributes":{}}]',
        error_stack="Traceback …",
        tools_ref=trace.value("f" * 32, '[{"name":"refund","description":"give money back"}]'),
    )
    trace.event(102, "exception", type="ValueError")
    trace.score("resolved", 0.25)
    trace.score("tone", 1.0, number=102)
    trace.score("other", 1.0, number=103)
    id = trace.store(store)
    step = traces.span(store, PROJECT, id, 2)
    assert [message.role for message in step.input] == ["system", "user"]
    assert step.input[1].text == "I want my money back for order 4401"
    assert step.output[0].text == "Let me look that order up." and step.output_value == ""
    assert step.attributes == {"gen_ai.request.temperature": 0.5, "plain": "7"}
    assert step.parameters == {"temperature": 0.5} and step.resource == {"service.name": "svc"}
    assert step.tools[0]["name"] == "refund" and step.links[0]["span_id"] == "b"
    assert [event.name for event in step.events] == ["exception"]
    assert [score.name for score in step.scores] == ["resolved", "tone"]
    tool = traces.span(store, PROJECT, id, span_id(103))
    assert (tool.input_value, tool.output_value) == ('{"id":4411}', '{"id": 4411, "status": "delivered"}')
    assert tool.input == () and tool.output == ()


def test_a_long_value_is_fetched_whole(store: TraceStore) -> None:
    trace = support_trace(1)
    long = "x" * 5000
    trace.spans[2].update(output_text="x" * 500 + "…", output_refs=[trace.value("e" * 32, long)])
    step = traces.span(store, PROJECT, trace.store(store), 3)
    assert step.output_value == long and step.span.output_head == "x" * 120


def test_content_that_is_gone_is_said_to_be_gone(store: TraceStore) -> None:
    trace = support_trace(1)
    trace.messages.clear()
    id = trace.store(store)
    assert all(message.missing for message in traces.span(store, PROJECT, id, 2).input)
    assert "is not stored" in traces.render(store, PROJECT, traces.load(store, PROJECT, id), "transcript")


def test_a_transcript_has_each_message_once_where_it_was_said(store: TraceStore) -> None:
    id = support_trace(1).store(store)
    script = traces.transcript(store, PROJECT, id)
    said_by = {step.span.step: [view.text for view in step.said] for step in script.steps}
    output = {step.span.step: [view.text for view in step.output] for step in script.steps}
    assert said_by == {
        1: ["I want my money back for order 4401"],
        2: ["You are a patient support agent."],
        3: [], 4: [], 5: [], 6: [],
    }  # fmt: skip
    # The agent's answer belongs to the model call that gave it, the tool's result to the tool's own step.
    assert output == {
        1: [], 2: ["Let me look that order up."], 3: [], 4: ["Now the refund."], 5: [],
        6: ["A person must approve this refund; I have asked one."],
    }  # fmt: skip
    assert script.steps[2].output_value == '{"id": 4411, "status": "delivered"}'
    assert (script.total, script.next_step) == (6, None)
    first = traces.transcript(store, PROJECT, id, limit=4)
    second = traces.transcript(store, PROJECT, id, after_step=first.next_step or 0)
    assert first.steps + second.steps == script.steps


def test_the_text_of_a_transcript_can_be_read_and_searched(store: TraceStore) -> None:
    call = message("assistant", (Part(type="tool_call", id="c1", name="get", arguments={"a": 1}),))
    trace = support_trace(1)
    trace.span(107, "model", parent=101, at_ms=3000, ms=50, model="gpt-x", output=[call])
    text = traces.render(store, PROJECT, traces.load(store, PROJECT, trace.store(store)), "transcript")
    assert "## 005 tool refund span=00000069cdcdcdcd parent=00000065cdcdcdcd status=error" in text
    assert '-> get({"a":1}) id=c1' in text and "LimitError amount is over the limit" in text
    assert text.count("I want my money back") == 1
    assert text.index("patient support agent") < text.index("Let me look") < text.index("A person must approve")


def test_one_field_is_fetched_in_pieces_that_join(store: TraceStore) -> None:
    trace = support_trace(1)
    body = "".join(f"{number:05d}," for number in range(3000))
    trace.spans[2].update(output_text=body[:500] + "…", output_refs=[trace.value("e" * 32, body)])
    step = traces.span(store, PROJECT, trace.store(store), 3)
    joined, offset = "", 0
    while True:
        fence = Fence()
        text = field_text(store, PROJECT, step, "output", offset=offset, budget=4000, fence=fence)
        assert len(text) <= 4000
        joined += text.split(f"«{fence.marker}\n")[1].split(f"\n{fence.marker}»")[0]
        if "--offset" not in text:
            break
        offset = int(text.rsplit("--offset ", 1)[1])
    assert joined == body


def test_a_shortened_attribute_is_fetched_whole(store: TraceStore) -> None:
    trace = support_trace(1)
    digest = "ab" * 16
    trace.value(digest, "long " * 3000)
    trace.spans[1]["attributes"] = {"raw": f"long long… [15000 characters: content {digest}]"}
    step = traces.span(store, PROJECT, trace.store(store), 2)
    text = field_text(store, PROJECT, step, "attributes.raw", offset=0, budget=50_000, fence=Fence())
    assert text.count("long ") == 3000
    with pytest.raises(NotFound, match="no such attribute"):
        field_text(store, PROJECT, step, "attributes.nope", offset=0, budget=5000, fence=Fence())
    with pytest.raises(BadRequest, match="no such part"):
        field_text(store, PROJECT, step, "colour", offset=0, budget=5000, fence=Fence())


def test_short_ids_stand_for_what_begins_so(store: TraceStore) -> None:
    support_trace(1, session="chat-1", start_ns=NOW_NS - 50 * MINUTE_NS).store(store)
    other = TraceBuilder(trace_id(0x22), NOW_NS - 40 * MINUTE_NS, session="chat-2")
    other.span(900, "model", ms=5)
    other.store(store)
    assert traces.resolve(store, PROJECT, trace_id(1)).trace_id == trace_id(1)
    assert traces.resolve(store, PROJECT, "00000001AB").id == trace_id(1)
    found = traces.resolve(store, PROJECT, span_id(103))
    assert (found.kind, found.id, found.trace_id) == ("span", span_id(103), trace_id(1))
    assert traces.resolve(store, PROJECT, "chat-2").kind == "session"
    assert traces.resolve(store, PROJECT, "last").trace_id == trace_id(0x22)
    assert traces.resolve(store, PROJECT, "last-error").trace_id == trace_id(1)
    with pytest.raises(BadRequest, match="several trace ids") as caught:
        traces.resolve(store, PROJECT, "000000")
    assert set(caught.value.allowed) == {trace_id(1), trace_id(0x22)}
    with pytest.raises(BadRequest, match="several session ids"):
        traces.resolve(store, PROJECT, "chat")
    for unknown in ("ffff", "nope", span_id(999)):
        with pytest.raises(NotFound):
            traces.resolve(store, PROJECT, unknown)
    with pytest.raises(NotFound, match="recorded yet"):
        traces.resolve(store, "prj_other", "last")


def test_another_projects_trace_is_not_found(store: TraceStore) -> None:
    id = support_trace(1).store(store)
    for read in (traces.load, traces.waterfall):
        with pytest.raises(NotFound):
            read(store, "prj_other", id)
    with pytest.raises(NotFound):
        traces.span(store, "prj_other", id, 1)


def test_a_circle_of_parents_is_still_shown(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "tool", parent=2, tool_name="a")
    trace.span(2, "tool", parent=1, at_ms=5, tool_name="b")
    trace.span(3, "tool", parent=3, at_ms=6, tool_name="c")
    loaded = traces.load(store, PROJECT, trace.store(store))
    text = traces.render(store, PROJECT, loaded, "tree")
    assert all(f"tool   {name} " in text for name in "abc")
    assert traces.waterfall(store, PROJECT, loaded.row.trace_id).spans == 3
    traces.breakdown(loaded)
    traces.critical_path(loaded)
    traces.graph(loaded)


def test_words_are_found_where_they_were_said_or_given_to_a_tool(store: TraceStore) -> None:
    support_trace(1, start_ns=NOW_NS - 50 * MINUTE_NS).store(store)
    later = TraceBuilder(trace_id(2), NOW_NS - 5 * MINUTE_NS)
    later.span(201, "tool", tool_name="get", input_text='{"note":"Zebra crossing"}', output_text="none")
    later.span(202, "model", output=[said("assistant", "A zebra crossed.")])
    later.store(store)
    page = traces.text_search(store, PROJECT, "zebra")
    assert [(hit.trace_id, hit.role) for hit in page.items] == [
        (trace_id(2), "tool input or output"), (trace_id(2), "assistant"),
    ] or {hit.role for hit in page.items} == {"tool input or output", "assistant"}  # fmt: skip
    assert "Zebra crossing" in {hit.role: hit.snippet for hit in page.items}["tool input or output"]
    (hit,) = traces.text_search(store, PROJECT, "patient support").items
    assert (hit.role, hit.span_id) == ("system", span_id(102))
    assert traces.text_search(store, PROJECT, "support patient").items == ()
    assert traces.text_search(store, PROJECT, "zeb").items == ()
    assert traces.text_search(store, PROJECT, "zebra", until_ns=NOW_NS - 10 * MINUTE_NS).items == ()
    assert traces.text_search(store, "prj_other", "zebra").items == ()
    for wrong in ("", "  ", "--", "x\x00"):
        with pytest.raises(BadRequest):
            traces.text_search(store, PROJECT, wrong)


def test_pages_of_hits_follow_each_other(store: TraceStore) -> None:
    for number in range(1, 12):
        trace = TraceBuilder(trace_id(number), NOW_NS - number * 20 * MINUTE_NS)
        trace.span(number, "model", output=[said("assistant", f"pelican {number}")])
        trace.store(store)
        trace.store(store, version=2)
    seen: list[str] = []
    cursor = ""
    while True:
        page = traces.text_search(store, PROJECT, "pelican", limit=4, cursor=cursor)
        seen += [hit.snippet for hit in page.items]
        cursor = page.next
        if not page.more:
            break
    assert seen == [f"pelican {number}" for number in range(1, 12)]


def test_a_page_of_a_transcript_stays_small_and_the_text_form_is_whole(store: TraceStore) -> None:
    arguments = {"body": "y" * 9_000}
    call = message("assistant", (Part(type="tool_call", id="c", name="send", arguments=arguments),))
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "model", model="m", input=[said("user", "x" * 50_000)], output=[call])
    id = trace.store(store)
    (step,) = traces.transcript(store, PROJECT, id).steps
    assert len(step.said[0].text) == 4_000 and step.said[0].chars == 50_000
    assert len(str(step.output[0].parts[0]["arguments"])) == 4_001
    loaded = traces.load(store, PROJECT, id)
    whole = traces.render(store, PROJECT, loaded, "transcript", 200_000)
    assert whole.count("x" * 50_000) == 1 and whole.count("y" * 9_000) == 1 and "cut:" not in whole
    assert len(traces.span(store, PROJECT, id, 1).input[0].text) == 50_000
