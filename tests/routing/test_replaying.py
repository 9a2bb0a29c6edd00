"""Stored calls asked of another model through the gateway: what agrees, what it costs, and what happens in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pilothouse.costs import PriceBook
from pilothouse.records import BadRequest, Message, NotFound, Part, message, text_message
from pilothouse.routing import Asker, Replay, ReplayReport, Replays
from pilothouse.routing.asking import request_of
from pilothouse.routing.comparing import agreement
from pilothouse.server.routing import make_asker
from pilothouse.store import TraceStore
from pilothouse.store.routing_store import routing_of
from pilothouse.testing.model_server import ModelServer
from tests.gateway.harness import Running, running_gateway
from tests.traces.support import MINUTE_NS, NOW_NS, PROJECT, TraceBuilder, store_rows, trace_id

HOUR_NS = 60 * MINUTE_NS
PRICES = PriceBook([{"model": "small", "input": 1.0, "output": 4.0}, {"model": "large", "input": 10.0, "output": 40.0}])
RULES = {
    "rules": [
        {"user": "parcel", "reply": {"text": "Your parcel 17 is in Lyon."}},
        {"user": "count", "reply": {"text": '{"total": 3, "open": 1}'}},
        {"user": "refund", "reply": {"calls": [{"name": "refund", "arguments": {"order": 7, "usd": 12}}]}},
        {"user": "broken", "reply": {"fault": {"status": 400, "message": "no"}}},
    ]
}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(RULES, seed=3) as found:
        yield found


@pytest.fixture(scope="module")
def gateway(server: ModelServer) -> Iterator[Running]:
    upstreams = {
        "up": {"wire": "openai", "url": server.openai_url},
        "claude": {"wire": "anthropic", "url": f"{server.anthropic_url}/v1"},
    }
    routes = [
        {"model": "auto", "upstream": "up", "send_as": "large", "by": [{"when": "turns <= 2", "send_as": "small"}]},
        {"model": "*", "upstream": "up"},
        {"model": "*", "upstream": "claude"},
    ]
    with running_gateway({"upstreams": upstreams, "routes": routes}) as found:
        yield found


@pytest.fixture
def desk(store: TraceStore, gateway: Running, tmp_path: Path) -> Iterator[Replays]:
    gateway.forget()
    found = Replays(store, routing_of("", tmp_path), PRICES, lambda: make_asker(gateway.gateway))
    yield found
    found.close()


def stored(store: TraceStore, *answers: tuple[str, Message], times: int = 1, **columns: Any) -> None:
    rows: list[dict[str, list[list[object]]]] = []
    for number, (question, answer) in enumerate(answers * times):
        trace = TraceBuilder(trace_id(number + 1), start_ns=NOW_NS - HOUR_NS + number * 1_000_000_000)
        trace.span(
            number + 1, "model", model="large", provider="openai", agent="helper", ms=800,
            input=[text_message("system", "Be kind."), text_message("user", f"{question} {number}?")], output=[answer],
            tokens={"input_uncached": 1_000, "output_text": 100}, cost="0.014", **columns,
        )  # fmt: skip
        rows.append(trace.rows())
    store_rows(store, rows)


def calls(*parts: tuple[str, Any]) -> Message:
    return message(
        "assistant", tuple(Part(type="tool_call", id="c", name=name, arguments=given) for name, given in parts)
    )


SAME = ("parcel", text_message("assistant", "Your parcel 17 is in Lyon."))
OTHER_NUMBER = ("parcel", text_message("assistant", "Your parcel 18 is in Lyon."))
DATA = ("count", text_message("assistant", '{"open": 1,\n "total": 3}'))
TOOL = ("refund", calls(("refund", {"usd": 12, "order": 7})))
OTHER_TOOL = ("refund", calls(("refund", {"usd": 13, "order": 7})))
WINDOW: dict[str, Any] = {"since_ns": NOW_NS - 2 * HOUR_NS, "until_ns": NOW_NS + HOUR_NS, "wire": "openai"}


def ended(desk: Replays, found: ReplayReport) -> ReplayReport:
    deadline = time.monotonic() + 30
    while found.state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
        found = desk.report(PROJECT, found.replay_id)
    return found


def test_tools_data_and_facts_are_compared_and_the_cost_is_told(
    store: TraceStore, desk: Replays, gateway: Running
) -> None:
    stored(store, SAME, OTHER_NUMBER, DATA, TOOL, OTHER_TOOL)
    found = ended(desk, desk.start(PROJECT, Replay(model="small", floor=0.8, **WINDOW)))
    assert (found.state, found.done, found.unfit, found.verdict) == ("done", 5, 0, "not enough data")
    assert (found.all.same, found.all.calls, found.all.errors) == (3, 5, 0)
    assert found.all.low < 0.6 < found.all.high and found.all.needed > 0
    assert {one.kind: one.why for one in found.examples} == {"text": "other numbers", "tools": "refund, then refund"}
    assert Decimal(found.all.cost_before_usd) == Decimal("0.07") > Decimal(found.spent_usd) > 0
    assert found.estimate is not None and (found.estimate.calls, found.estimate.by_model) == (5, {"small": 5})
    assert (found.estimate.before_usd, found.estimate.after_usd) == ("0.07", "0.007")
    asides = {span.attributes["pilothouse.gateway.aside"] for span in gateway.raw(5)}
    assert asides == {"replay"}, "traced, and told apart from what callers asked"


def test_verdicts_have_three_values(store: TraceStore, desk: Replays) -> None:
    stored(store, SAME, times=40)
    good = ended(desk, desk.start(PROJECT, Replay(model="small", **WINDOW)))
    assert good.verdict == "ok" and good.all.low >= 0.9 and good.all.needed == 0
    bad = desk._report(desk._row(PROJECT, good.replay_id), {n: {**b, "same": n % 2 == 0} for n, b in desk._kept.calls(good.replay_id).items()})  # fmt: skip
    assert bad.verdict == "worse" and [one.verdict for one in bad.classes] == ["worse"]


def test_a_free_look_asks_nobody_and_goes_by_the_rules_of_the_route(
    store: TraceStore, desk: Replays, server: ModelServer
) -> None:
    stored(store, SAME, DATA)
    before = len(server.requests)
    found = desk.start(PROJECT, Replay(model="auto", **WINDOW), free=True)
    assert found.state == "estimate" and found.estimate is not None and found.estimate.by_model == {"small": 2}
    assert len(server.requests) == before and desk.list(PROJECT) == []


def test_the_cap_on_money_is_never_passed(store: TraceStore, desk: Replays) -> None:
    stored(store, SAME, times=10, parameters='{"max_completion_tokens": 500}')
    found = ended(desk, desk.start(PROJECT, Replay(model="small", usd="0.0025", **WINDOW)))
    assert found.state == "capped" and 0 < found.done < 10
    assert Decimal(found.spent_usd) <= Decimal("0.0025")
    with pytest.raises(BadRequest, match="no known price"):
        desk.start(PROJECT, Replay(model="nobody-knows-it", **WINDOW))
    with pytest.raises(BadRequest, match="an amount in US dollars"):
        desk.start(PROJECT, Replay(model="small", usd="NaN", **WINDOW))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_was_killed_goes_on_where_it_was(
    store: TraceStore, desk: Replays, gateway: Running, server: ModelServer, tmp_path: Path
) -> None:
    stored(store, SAME, times=6)
    real = make_asker(gateway.gateway)
    asked = 0

    class Killed(BaseException):
        pass

    def ask(*given: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 4:
            raise Killed
        return real.ask(*given)

    kept = routing_of("", tmp_path)
    dying = Replays(store, kept, PRICES, lambda: Asker(real.target, ask))
    kept.move_replay = lambda *_: True  # type: ignore[method-assign]  # a process that is gone writes nothing
    begun = dying.start(PROJECT, Replay(model="small", **WINDOW))
    dying._threads[begun.replay_id].join(20)
    assert dying.report(PROJECT, begun.replay_id).state == "running"
    again = Replays(store, routing_of("", tmp_path), PRICES, lambda: real)
    half = again.report(PROJECT, begun.replay_id)
    assert (half.state, half.done) == ("stopped", 3)
    before = len(server.requests)
    whole = ended(again, again.resume(PROJECT, begun.replay_id))
    assert (whole.state, whole.done, whole.all.same) == ("done", 6, 6)
    assert len(server.requests) == before + 3, "what was answered is not asked again"
    with pytest.raises(BadRequest, match="not one that stopped"):
        again.resume(PROJECT, begun.replay_id)
    with pytest.raises(NotFound):
        again.report("prj_another", begun.replay_id)


def test_errors_count_as_not_the_same_and_end_a_replay_that_nobody_answers(store: TraceStore, desk: Replays) -> None:
    stored(store, ("broken", text_message("assistant", "Well.")), times=8)
    found = ended(desk, desk.start(PROJECT, Replay(model="small", **WINDOW)))
    assert (found.state, found.done, found.all.errors, found.spent_usd) == ("failed", 5, 5, "0")


def test_anthropic_is_asked_in_its_own_words(store: TraceStore, desk: Replays, server: ModelServer) -> None:
    stored(store, SAME, TOOL)
    found = ended(desk, desk.start(PROJECT, Replay(model="small", **{**WINDOW, "wire": "anthropic"})))
    assert (found.state, found.all.same, found.all.errors) == ("done", 2, 0), found.examples
    assert server.requests[-1].path.endswith("/messages")


def test_pictures_are_not_asked_again_as_something_else() -> None:
    picture = message("user", (Part(type="media", mime="image/png", uri="data:…"),))
    with pytest.raises(BadRequest, match="more than text and tools"):
        request_of([picture], [], {}, model="m", wire="openai")


def test_a_conversation_with_tools_is_sent_as_it_was() -> None:
    talk = [
        text_message("user", "refund 7"),
        calls(("look", {"order": 7})),
        message("tool", (Part(type="tool_result", id="c", text="paid"),)),
    ]
    tool = {"name": "look", "description": "d", "input_schema": {"type": "object"}}
    body = request_of(talk, [tool], {"temperature": 0, "max_tokens": 9}, model="m", wire="openai")
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "tool"]
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"order": 7}'}
    assert body["tools"][0]["function"]["name"] == "look" and body["max_completion_tokens"] == 9
    other = request_of(talk, [{"type": "function", "function": {"name": "look"}}], {}, model="m", wire="anthropic")
    assert other["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": "paid"}]
    assert other["tools"][0]["name"] == "look" and other["max_tokens"] > 0


def test_arguments_agree_whatever_their_order_and_form() -> None:
    assert agreement([calls(("f", {"a": 1, "b": [2]}))], [calls(("f", '{"b": [2], "a": 1}'))]).same
    assert not agreement([calls(("f", {}))], [text_message("assistant", "I call f")]).same
    assert agreement(
        [text_message("assistant", "It costs 12 euros.")], [text_message("assistant", "it costs 12 euros.")]
    ).same
