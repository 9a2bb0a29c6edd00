"""Single rules: what they say, by which span, and what they leave alone."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.records import KINDS
from pilothouse.signals import RULES, Baseline, Spread, Thresholds, from_json, to_json
from pilothouse.signals.calls import canonical
from pilothouse.signals.finish import open_items
from tests.signals.facts import Fact, found, model, run, tool

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet='abc é"\\', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="abc", max_size=3), inner, max_size=4),
    max_leaves=12,
)


def test_a_loop_names_tool_count_limit_and_every_step() -> None:
    signal = found(run(*(tool("check", '{"sku": 7}', "counting") for _ in range(5))))["loop"]
    assert "check was called 5 times" in signal.message and "(limit 4)" in signal.message
    assert [item.step for item in signal.evidence] == [2, 3, 4, 5, 6]
    assert (signal.value, signal.limit, signal.unit) == (5.0, 4.0, "calls")


def test_arguments_are_equal_however_they_are_written() -> None:
    written = [
        '{"a": 1, "b": [1, 2]}',
        '{"b":[1,2],"a":1.0}',
        '{ "a" : 1,\n "b" : [1.0, 2] }',
        '{"b": [1, 2], "a": 1e0}',
    ]
    assert "loop" in found(run(*(tool("get", text, "same") for text in written)))


@given(JSON, st.integers(0, 3))
def test_canonical_forgets_the_order_of_keys_and_blanks_and_nothing_else(value: object, indent: int) -> None:
    def turned(item: object) -> object:
        if isinstance(item, dict):
            return {key: turned(item[key]) for key in reversed(item)}
        return [turned(inner) for inner in item] if isinstance(item, list) else item

    assert canonical(json.dumps(value, indent=indent)) == canonical(json.dumps(turned(value)))
    assert canonical(json.dumps(value)) != canonical(json.dumps([value]))


def test_calls_of_workers_side_by_side_are_no_loop_and_no_circle() -> None:
    workers: list[Fact] = []
    for number in range(4):
        worker = Fact(span_id=f"w{number}", parent_span_id="root", kind="agent", agent="worker", start_ns=1, end_ns=90)
        own = [replace(tool("search", '{"q":"x"}'), parent_span_id=worker.span_id, start_ns=10 + number, end_ns=20),
               replace(tool("read", '{"q":"x"}'), parent_span_id=worker.span_id, start_ns=30 + number, end_ns=40),
               replace(model("found"), parent_span_id=worker.span_id, start_ns=50, end_ns=60),
               replace(model("and done"), parent_span_id=worker.span_id, start_ns=60, end_ns=70)]  # fmt: skip
        workers += [worker, *own]
    root = Fact(span_id="root", parent_span_id="", kind="agent", agent="lead", end_ns=100, output_text="done")
    assert found(sorted([root, *workers], key=lambda fact: fact.start_ns)) == {}


def test_turns_that_are_spans_of_their_own_are_one_run() -> None:
    facts = [Fact(span_id="root", parent_span_id="", kind="chain", name="graph", end_ns=1000)]
    for turn in range(6):
        at = 10 + 100 * turn
        facts += [
            Fact(span_id=f"t{turn}", kind="agent", agent="assistant", start_ns=at, end_ns=at + 90),
            replace(model('get({"id": 1})'), parent_span_id=f"t{turn}", start_ns=at + 1, end_ns=at + 20, finish_reason="tool_calls"),
            replace(tool("get", '{"id":1}', "nothing"), parent_span_id=f"t{turn}", start_ns=at + 21, end_ns=at + 30),
        ]  # fmt: skip
    assert found(facts)["loop"].value == 6.0


def test_where_tools_have_no_spans_the_calls_are_read_from_the_answers() -> None:
    asked = [
        replace(
            model('get_stock({"sku":"B-17"})', finish_reason="tool_calls"), input_text="counting" if n else "how many?"
        )
        for n in range(6)
    ]
    signals = found(run(*asked, answer=""))
    assert signals["loop"].evidence[0].span_id == asked[0].span_id
    assert signals["no_answer"].value == 6.0


def test_code_in_an_answer_is_no_call() -> None:
    assert found(run(model('Write this:\nprint({"a": 1})', finish_reason="stop", tools_offered=("search",)))) == {}


def test_a_rule_can_be_switched_off_and_tuned() -> None:
    facts = run(*(tool("check", "{}", "counting") for _ in range(5)))
    assert found(facts, limits=Thresholds(off=("loop",))) == {}
    assert found(facts, limits=Thresholds(loop_calls=6)) == {}


def test_a_write_that_the_wrapper_knows_counts_whatever_its_name() -> None:
    failed = tool("ledger", "{}", "Error: locked", purpose="write")
    assert "premature_finish" in found(run(failed, answer="I have updated the ledger."))
    assert "premature_finish" not in found(run(replace(failed, purpose="read"), answer="I have updated the ledger."))


@pytest.mark.parametrize(
    ("arguments", "items"),
    [
        ('{"todos":[{"content":"a","status":"completed"},{"content":"b","status":"pending"}]}', ["b"]),
        ('{"plan":[{"step":"a","status":"in_progress"}]}', ["a"]),
        ('{"items":[{"task":"a","done":true}]}', []),
        ('[{"title":"a","state":"open"}]', ["a"]),
        ('{"todos":"[{\\"content\\":\\"a\\",\\"status\\":\\"todo\\"}]"}', ["a"]),
        ('{"days":[1,2]}', None),
        ("not json", None),
    ],
)
def test_what_a_plan_has_open(arguments: str, items: list[str] | None) -> None:
    found = open_items(arguments)
    assert (None if found is None else list(found.values())) == items


def test_items_of_a_plan_that_are_closed_one_by_one_are_closed() -> None:
    plan = tool("todo_write", '{"tasks":[{"text":"a","state":"completed"},{"text":"b","state":"pending"},{"text":"c","state":"pending"}]}', "kept")  # fmt: skip
    closing = [tool("todo_update", json.dumps({"id": id, "state": "completed"}), "kept") for id in ("2", "3")]
    assert found(run(plan, *closing, answer="Both are there.")) == {}
    signal = found(run(plan, closing[0], answer="Both are there."))["premature_finish"]
    assert signal.detail["open"] == ["c"]
    again = tool("todo_update", '{"id":"2","state":"in_progress"}', "kept")
    assert found(run(plan, *closing, again, answer="Both are there."))["premature_finish"].detail["open"] == ["b"]
    elsewhere = [tool("TodoUpdate", json.dumps({"taskId": id, "status": "completed"}), "ok") for id in ("x7", "x8")]
    assert found(run(plan, *elsewhere, answer="Both are there.")) == {}, "ids of which the plan says nothing"


def test_cost_and_latency_are_compared_with_what_is_usual() -> None:
    usual = Baseline(traces=50, seconds=Spread(low=8, middle=10, high=12), usd=Spread(low=0.01, middle=0.02, high=0.03))
    facts = run(replace(model("x"), cost_usd=Decimal("0.9"), usage_scope="leaf"), each_s=200)
    signals = found(facts, baseline=usual)
    assert "45.0 times the median of agent a ($0.02 over 50 traces of 7 days" in signals["unexpected_cost"].message
    assert signals["unexpected_latency"].value == 580.0
    assert found(facts, baseline=replace(usual, traces=20)) == {}, "too few traces say nothing"


def test_signals_survive_storing() -> None:
    signals = tuple(found(run(*(tool("check", "{}", "Error: é\u2028") for _ in range(9)))).values())
    assert signals
    assert from_json(to_json(signals)) == signals
    assert from_json("") == ()


def test_nothing_that_arrives_makes_a_rule_raise() -> None:
    """Seeded; every kind of span with every kind of text, cycles and lost parents included."""
    texts = ["", "{}", "[", "null", "a(b)", 'x({"a":1})', "Error: x", '{"error":', "…", "I will now check.", "\u0000", "🙂" * 300, "(" * 900]  # fmt: skip
    names = set[str]()
    for seed in range(300):
        dice = random.Random(seed)
        facts = [
            Fact(
                span_id=str(n), parent_span_id=str(dice.randrange(-1, 14)) if dice.random() < 0.9 else "",
                kind=dice.choice(KINDS), tool_name=dice.choice(["", "a", "todo", "update"]),
                status=dice.choice(["ok", "ok", "error", "running"]), error_message=dice.choice(texts),
                tool_error=dice.choice(["", "", "bad"]), start_ns=dice.randrange(-5, 100), end_ns=dice.randrange(0, 200),
                tokens=tuple(dice.randrange(10**6) for _ in range(9)), finish_reason=dice.choice(["", "stop", "tool_calls", "length"]),
                tools_offered=dice.choice([(), ("a",), ("",)]), input_text=dice.choice(texts), output_text=dice.choice(texts),
                kept_text=dice.choice(texts), duplicate_of=dice.choice(["", "", "3"]), notes=dice.choice([(), ("clock: x",)]),
            )
            for n in range(dice.randrange(1, 14))
        ]  # fmt: skip
        facts.sort(key=lambda fact: fact.start_ns)
        for open_ in (True, False):
            signals = found(facts, open_=open_, received_ns=1, now_ns=10**13)
            for signal in signals.values():
                assert signal.name in RULES and signal.message.endswith((".", '"')), (seed, signal)
                assert len(signal.evidence) <= 20 and all(len(item.note) <= 200 for item in signal.evidence), seed
            names |= set(signals)
    assert len(names) > 8, "the dice show too little"
