"""The trace diff on traces of known difference: where they part, and what led to it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.records import BadRequest, Message, NotFound, Part, message
from pilothouse.store import TraceStore
from pilothouse.traces.diff import fold
from pilothouse.traces.model import DiffRow, DiffRun, TraceDiff

from .recorded import ingest_captures, scripted_agent
from .support import PROJECT, TraceBuilder, said, trace_id

SYSTEM = said("system", "You are a clerk.")
QUESTION = said("user", "Refund order 4411, please")
FLIP = {"only_a": "only_b", "only_b": "only_a"}


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One round of an agent: it calls a tool and is told a result, or answers."""

    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    result: str = ""
    text: str = ""


def build(number: int, turns: Sequence[Turn], *, system: Message = SYSTEM, **columns: Any) -> TraceBuilder:
    """A trace of model and tool steps; ids of calls differ from trace to trace, as they do in life."""
    trace = TraceBuilder(trace_id(number))
    first = number * 100_000
    trace.span(first, "agent", agent="clerk", ms=1e7, input=[QUESTION])
    window = [system, QUESTION]
    place = first
    for turn in turns:
        place += 1
        call = Part(type="tool_call", id=f"call_{place}", name=turn.tool, arguments=turn.arguments)
        answer = message("assistant", (call,)) if turn.tool else said("assistant", turn.text)
        trace.span(
            place, "model", parent=first, at_ms=10 * (place - first), ms=5, input=window, output=[answer],
            tokens={"input_uncached": 100, "output_text": 10}, cost="0.001",
            **{"model": "gpt-4o", "provider": "openai", "agent": "clerk", **columns},
        )  # fmt: skip
        window = [*window, answer]
        if turn.tool:
            place += 1
            trace.span(
                place, "tool", parent=first, at_ms=10 * (place - first), ms=5, tool_name=turn.tool,
                tool_call_id=call.id, input_text=traces.dumps(turn.arguments).decode(), output_text=turn.result,
            )  # fmt: skip
            window.append(message("tool", (Part(type="tool_result", id=call.id, text=turn.result),)))
    return trace


STEADY = [
    Turn(tool="get_order", arguments={"id": 4411}, result='{"status": "delivered"}'),
    Turn(tool="get_policy", arguments={"country": "FI"}, result="thirty days"),
    Turn(tool="refund", arguments={"id": 4411, "amount": 20}, result="done"),
    Turn(text="Your money is on its way."),
]


def compare(store: TraceStore, a: TraceBuilder, b: TraceBuilder, step: str = "") -> TraceDiff:
    return traces.diff(store, PROJECT, a.store(store), b.store(store), step)


def sides(row: DiffRow) -> tuple[int | None, int | None]:
    return (row.a.step if row.a else None, row.b.step if row.b else None)


def test_a_trace_does_not_differ_from_itself(store: TraceStore) -> None:
    a = build(1, STEADY)
    found = compare(store, a, a)
    assert found.divergence is None and found.detail is None and found.exact
    assert {row.state for row in found.rows} == {"same"} and found.same == 8
    assert all(total.delta == 0 for total in found.totals)
    assert found.notes == ("both are the same trace",)


def test_the_same_work_with_other_ids_is_the_same(store: TraceStore) -> None:
    """Span ids, call ids and moments differ between any two runs: they are no difference."""
    found = compare(store, build(1, STEADY), build(2, STEADY))
    assert [row.state for row in found.rows] == ["same"] * 8 and found.divergence is None


def test_another_tool_is_where_they_part(store: TraceStore) -> None:
    other = [STEADY[0], Turn(tool="ask_human", arguments={"why": "amount"}, result="yes"), *STEADY[2:]]
    found = compare(store, build(1, STEADY), build(2, other))
    assert found.divergence is not None
    assert (found.divergence.kind, found.divergence.what) == ("tool", "a calls get_policy, b calls ask_human")
    row = found.rows[found.divergence.row - 1]
    assert sides(row) == (4, 4) and row.differs == ("decision",)
    assert found.action_divergence == found.divergence
    assert found.detail is not None and found.detail.row == row
    assert (found.divergence.a_step, found.divergence.b_step) == (4, 4)
    assert "".join(s.text for s in found.detail.decision if s.op != "b").startswith("get_policy(")
    assert {e.op for e in found.detail.prompt} == {"same"} and sum(e.count for e in found.detail.prompt) == 4
    later = [row for row in found.rows if "prompt" in row.differs]
    assert [sides(row) for row in later] == [(6, 6), (8, 8)]


def test_other_arguments_are_where_they_part(store: TraceStore) -> None:
    other = [*STEADY[:2], replace(STEADY[2], arguments={"amount": 200, "id": 4411}), STEADY[3]]
    found = compare(store, build(1, STEADY), build(2, other))
    assert found.divergence is not None and found.divergence.kind == "arguments"
    assert sides(found.rows[found.divergence.row - 1]) == (6, 6)
    tool = traces.diff(store, PROJECT, trace_id(1), trace_id(2), "7").detail
    assert tool is not None and tool.row.differs == ("arguments",)
    changed = [(s.op, s.text) for s in tool.arguments if s.op != "same"]
    assert changed == [("a", "20"), ("b", "200")]
    assert tool.result == () or {s.op for s in tool.result} == {"same"}


def test_arguments_in_another_order_are_the_same(store: TraceStore) -> None:
    other = [*STEADY[:2], replace(STEADY[2], arguments={"amount": 20.0, "id": 4411}), STEADY[3]]
    other[2].arguments["amount"] = 20
    assert compare(store, build(1, STEADY), build(2, other)).divergence is None


def test_another_result_led_to_another_decision(store: TraceStore) -> None:
    """The result differs a step before the decision does: the row is named as what stands before."""
    other = [replace(STEADY[0], result='{"status": "lost"}'), Turn(tool="trace_parcel", arguments={}, result="?")]
    found = compare(store, build(1, STEADY), build(2, other))
    assert found.divergence is not None and found.divergence.kind == "tool"
    before = [found.rows[row - 1] for row in found.before]
    assert [(sides(row), row.differs) for row in before] == [((3, 3), ("result",))]
    assert found.detail is not None
    (entry,) = [entry for entry in found.detail.prompt if entry.op == "changed"]
    assert [(s.op, s.text) for s in entry.text if s.op != "same"] == [("a", "delivered"), ("b", "lost")]


def test_a_changed_prompt_is_shown_word_by_word(store: TraceStore) -> None:
    system = said("system", "You are a strict clerk.")
    found = compare(store, build(1, STEADY), build(2, STEADY, system=system), "2")
    assert found.divergence is None
    assert found.detail is not None and found.detail.row.differs == ("prompt",)
    first, rest = found.detail.prompt
    assert [(s.op, s.text) for s in first.text if s.op != "same"] == [("b", "strict ")]
    assert (rest.op, rest.count) == ("same", 1)


def test_a_step_more_and_a_step_less(store: TraceStore) -> None:
    found = compare(store, build(1, STEADY), build(2, [STEADY[0], *STEADY[2:]]))
    assert found.divergence is not None
    assert found.divergence.kind in ("only_a", "tool")
    lonely = [row.a.label for row in found.rows if row.state == "only_a" and row.a]
    assert lonely == ["gpt-4o", "get_policy"]
    assert not [row for row in found.rows if row.state == "only_b"]
    assert found.rows[-1].a is not None and found.rows[-1].b is not None


def test_other_words_are_told_from_other_actions(store: TraceStore) -> None:
    other = [*STEADY[:3], Turn(text="We have sent your money.")]
    found = compare(store, build(1, STEADY), build(2, other))
    assert found.divergence is not None and found.divergence.kind == "text" and found.action_divergence is None


def test_models_tools_and_parameters_are_compared(store: TraceStore) -> None:
    a = build(1, STEADY, tools_offered=["refund", "get_order"], parameters='{"temperature":0}')
    b = build(2, STEADY, model="gpt-4o-mini", tools_offered=["refund"], parameters='{"temperature":1}')
    found = compare(store, a, b, "b2")
    assert found.divergence is None
    assert found.detail is not None and found.detail.row.differs == ("tools", "model", "parameters")
    assert [(c.name, c.a, c.b) for c in found.detail.parameters] == [
        ("model", "gpt-4o", "gpt-4o-mini"),
        ("temperature", 0, 1),
    ]


def test_totals_and_signals(store: TraceStore) -> None:
    a, b = build(1, STEADY), build(2, STEADY[:2])
    a.store(store)
    b.store(store, signals=["no_answer"])
    found = traces.diff(store, PROJECT, a.id, b.id)
    totals = {total.name: total for total in found.totals}
    assert (totals["model calls"].a, totals["model calls"].b, totals["model calls"].delta) == (4, 2, -2)
    assert totals["tokens"].delta == -220 and totals["cost"].delta == pytest.approx(-0.002)
    assert (found.signals_gained, found.signals_lost) == (("no_answer",), ())


def crowd(number: int, order: Sequence[int], *, odd: int = -1) -> TraceBuilder:
    """An agent with four workers at once, started in this order; each looks something up."""
    trace = TraceBuilder(trace_id(number))
    first = number * 1_000
    trace.span(first, "agent", agent="manager", ms=10_000)
    for rank, worker in enumerate(order):
        own = first + 10 * (worker + 1)
        at = 100 + rank
        trace.span(
            own, "agent", agent="worker", parent=first, at_ms=at, ms=5_000, input=[said("user", f"part {worker}")]
        )
        answer = said("assistant", "odd" if worker == odd else f"found {worker}")
        trace.span(own + 1, "model", parent=own, at_ms=at + 10, ms=10, output=[answer], model="gpt-4o")
        trace.span(own + 2, "tool", parent=own, at_ms=at + 30, ms=10, tool_name="look", input_text=f'{{"n":{worker}}}')
    return trace


def test_parallel_branches_may_start_in_any_order(store: TraceStore) -> None:
    found = compare(store, crowd(1, [0, 1, 2, 3]), crowd(2, [3, 1, 0, 2]))
    assert {row.state for row in found.rows} == {"same"} and len(found.rows) == 13
    assert found.divergence is None


def test_the_branch_that_differs_is_found_in_a_crowd(store: TraceStore) -> None:
    found = compare(store, crowd(1, [0, 1, 2, 3]), crowd(2, [2, 3, 0, 1], odd=2))
    changed = [row for row in found.rows if row.state != "same"]
    assert [row.differs for row in changed] == [("decision",)]
    assert changed[0].b is not None and changed[0].b.head == "odd"


def test_what_ran_at_once_and_what_ran_in_turn(store: TraceStore) -> None:
    """Tools called at once in one trace and one after the other in the other: the same steps, none missing."""

    def tools(number: int, order: Sequence[str], gap_ms: float) -> TraceBuilder:
        trace = TraceBuilder(trace_id(number))
        first = number * 100
        trace.span(first, "agent", agent="clerk", ms=10_000)
        for rank, name in enumerate(order, 1):
            trace.span(first + rank, "tool", parent=first, at_ms=10 + gap_ms * rank, ms=50, tool_name=name)
        return trace

    found = compare(store, tools(1, ["c", "a", "b"], 100), tools(2, ["b", "c", "a"], 1))
    assert found.divergence is None and len(found.rows) == 4
    assert {row.state for row in found.rows} <= {"same", "moved"}


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 12))])
def test_an_injected_divergence_is_found_where_it_is(store: TraceStore, seed: int) -> None:
    """Long random runs; one decision is changed, dropped or put in: it is the first divergence, and mirrored it is too."""
    rnd = random.Random(seed)
    names = ["get_order", "refund", "search", "send_mail"]
    turns = [Turn(tool=rnd.choice(names), arguments={"n": rnd.randrange(6)}, result=str(n)) for n in range(60)]
    turns.append(Turn(text="done"))
    at, how = rnd.randrange(5, 55), rnd.choice(["tool", "arguments", "more", "less"])
    other = list(turns)
    if how == "tool":
        other[at] = replace(turns[at], tool="escalate")
    elif how == "arguments":
        other[at] = replace(turns[at], arguments={"n": 99})
    elif how == "more":
        other.insert(at, Turn(tool="escalate", arguments={"n": -1}, result="new"))
    else:
        other[at : at + 1] = []
    a, b = build(1, turns), build(2, other)
    found = compare(store, a, b)
    assert found.divergence is not None, (seed, how, at)
    step = 2 + 2 * at
    row = found.rows[found.divergence.row - 1]
    assert step in sides(row), (seed, how, at, sides(row), found.divergence)
    if how in ("tool", "arguments"):
        assert found.divergence.kind == how, (seed, at)
    mirrored = traces.diff(store, PROJECT, b.id, a.id)
    assert_mirrored(found, mirrored)
    assert_covered(found, 2 * len(turns), 2 * len(other))


def assert_mirrored(forth: TraceDiff, back: TraceDiff) -> None:
    assert [(r.b, r.a, FLIP.get(r.state, r.state), r.differs) for r in back.rows] == [
        (r.a, r.b, r.state, r.differs) for r in forth.rows
    ]
    assert (forth.divergence and forth.divergence.row) == (back.divergence and back.divergence.row)
    assert (forth.signals_gained, forth.signals_lost) == (back.signals_lost, back.signals_gained)
    assert [total.delta for total in forth.totals] == [
        None if total.delta is None else pytest.approx(-total.delta) for total in back.totals
    ]


def assert_covered(found: TraceDiff, steps_a: int, steps_b: int) -> None:
    """Every step of both is in one row."""
    assert sorted(row.a.step for row in found.rows if row.a) == list(range(1, steps_a + 1))
    assert sorted(row.b.step for row in found.rows if row.b) == list(range(1, steps_b + 1))


def test_rows_are_folded_around_what_differs(store: TraceStore) -> None:
    turns = [Turn(tool="look", arguments={"n": n}, result="x") for n in range(20)]
    other = [*turns[:10], replace(turns[10], arguments={"n": 99}), *turns[11:]]
    # The results are the same, so of what follows only the prompts differ.
    found = compare(store, build(1, turns), build(2, turns))
    assert fold(found.rows) == (DiffRun(first_row=1, last_row=41, same=41),)
    assert len(fold(found.rows, keep=[20])) == 7
    found = compare(store, build(1, turns), build(2, other))
    runs = [item for item in fold(found.rows) if isinstance(item, DiffRun)]
    assert runs[0] == DiffRun(first_row=1, last_row=19, same=19)
    shown = [item.row for item in fold(found.rows) if isinstance(item, DiffRow)]
    assert len(shown) + sum(run.same for run in runs) == 41


def test_steps_are_asked_for_by_side(store: TraceStore) -> None:
    a, b = build(1, STEADY).store(store), build(2, STEADY[1:]).store(store)
    for step, side in (("5", "a"), ("a5", "a"), ("b5", "b")):
        detail = traces.diff(store, PROJECT, a, b, step).detail
        assert detail is not None and getattr(detail.row, side).step == 5
    with pytest.raises(NotFound, match="no step of b"):
        traces.diff(store, PROJECT, a, b, "b90")
    with pytest.raises(BadRequest, match="a step is a number"):
        traces.diff(store, PROJECT, a, b, "last")
    with pytest.raises(NotFound, match="no trace"):
        traces.diff(store, PROJECT, a, "f" * 32)


def test_a_circle_of_parents_does_no_harm(store: TraceStore) -> None:
    a = TraceBuilder(trace_id(1))
    for number in (1, 2, 3):
        a.span(number, "tool", tool_name=f"t{number}", parent=number % 3 + 1, at_ms=number)
    found = compare(store, a, build(2, STEADY))
    assert sorted(row.a.step for row in found.rows if row.a) == [1, 2, 3]


def test_long_values_are_compared_by_what_they_say(store: TraceStore) -> None:
    a, b = TraceBuilder(trace_id(1)), TraceBuilder(trace_id(2))
    words = "word " * 400
    for trace, text in ((a, f'{{"a": 1, "text": "{words}"}}'), (b, f'{{"text":"{words}","a":1}}')):
        number = 1 if trace is a else 2
        ref = trace.value(f"{number}" * 32, text)
        trace.span(number, "tool", tool_name="write", input_text=text[:500] + "…", input_refs=[ref])
    assert compare(store, a, b).divergence is None


def test_two_frameworks_that_did_the_same(store: TraceStore) -> None:
    """The same conversation as seven instrumentations recorded it: no action differs, whatever wraps it."""
    found = ingest_captures(store)
    first = {project: next(id for p, id in found if p == project) for project, _ in found}
    base = "openai-openinference"
    others = ("openai-otel", "openai-openllmetry", "langgraph", "pydantic-ai", "openai-agents", "vercel-ai")
    for place, other in enumerate(others):
        id = moved_to(store, other, first[other], base, f"c{place:07d}")
        compared = traces.diff(store, base, first[base], id)
        assert compared.action_divergence is None, (other, compared.action_divergence)
        assert sum(row.a is not None and row.b is not None for row in compared.rows) == 5, other


def moved_to(store: TraceStore, project: str, id: str, target: str, begins: str) -> str:
    """Copy a trace into another project under an id of its own."""
    copy = begins + id[8:]
    for table in ("span", "trace", "message"):
        store.command(
            f"INSERT INTO {{db}}.{table} SELECT * REPLACE ({{t:String}} AS project_id, {{c:String}} AS trace_id) "
            f"FROM (SELECT * FROM {{db}}.{table} WHERE project_id = {{p:String}} AND trace_id = {{i:String}})",
            {"t": target, "c": copy, "p": project, "i": id},
        )
    return copy


def test_two_runs_on_the_real_sdk(store: TraceStore) -> None:
    """The same question to two versions of a tool: the changed result is found before the changed decision."""
    script = {
        "rules": [
            {"after_tool": "", "reply": {"calls": [{"name": "get_order", "arguments": {"id": 7}}]}},
            {"result": "lost", "reply": {"calls": [{"name": "ask_human", "arguments": {"why": "lost"}}]}},
            {"result": "delivered", "reply": {"text": "It was delivered."}},
            {"result": ".", "reply": {"text": "A person looks into it."}},
        ]
    }
    with scripted_agent(script) as agent:
        for status in ("delivered", "lost"):
            tools = {"get_order": lambda id, s=status: f"order {id}: {s}", "ask_human": lambda why: "ok"}
            agent.run("Where is order 7?", tools, system="You find parcels.")
        a, b = agent.store(store, PROJECT)
    found = traces.diff(store, PROJECT, a, b)
    assert found.divergence is not None
    assert (found.divergence.kind, found.divergence.what) == ("tool", "a answers, b calls ask_human")
    assert [found.rows[row - 1].differs for row in found.before][-1] == ("result",)
