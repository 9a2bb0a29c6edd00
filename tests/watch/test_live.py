"""Who runs, waits, is held up, is stuck, has died: judged from real exports, at a moment of the test's choice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.traces.model import Live, LiveRow
from tests.watch.process import SECOND, Agent, record, records


class Clock:
    """The worker's clock: what arrives, arrives at this moment."""

    def __init__(self) -> None:
        self.at = time.time_ns()

    def now_ns(self) -> int:
        self.at += 1_000_000  # no two batches are stored within a millisecond
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ingest(store: TraceStore, clock: Clock) -> Ingest:
    return Ingest(store, clock, read_maskers({}))


@pytest.fixture
def look(store: TraceStore, clock: Clock) -> Callable[..., Live]:
    """The live view, some seconds after the last arrival."""

    def view(after_s: float = 0.0, **options: Any) -> Live:
        return traces.live(store, "p", now_ns=clock.at + int(after_s * SECOND), **options)

    return view


def only(live: Live) -> LiveRow:
    assert len(live.rows) == 1
    return live.rows[0]


def test_a_running_trace_says_what_it_is_doing(ingest: Ingest, look: Callable[..., Live], clock: Clock) -> None:
    agent = Agent(start_ns=clock.at - 20 * SECOND)
    root = agent.begin("agent", "refunds")
    call = agent.begin("model", "gpt-5-mini", at_s=1)
    ingest.run([record(agent.spans(root, call))])
    agent.end(call, at_s=4)
    tool = agent.begin("tool", "get_order", at_s=5)
    ingest.run(records([agent.spans(call), agent.spans(tool), agent.beat()]))
    row = only(look(2))
    assert (row.state, row.status, row.heartbeat) == ("running", "running", "alive")
    assert row.doing and (row.doing.kind, row.doing.name, row.doing.status) == ("tool", "get_order", "running")
    assert row.last and (row.last.kind, row.last.name, row.last.status) == ("model", "gpt-5-mini", "ok")
    assert 21_000 < row.elapsed_ms < 23_500
    assert (row.agent, row.environment, row.service, row.spans, row.attention) == (
        "refunds",
        "production",
        "desk",
        3,
        False,
    )


def test_what_a_heartbeat_names_before_its_span_arrived(
    ingest: Ingest, look: Callable[..., Live], clock: Clock
) -> None:
    agent = Agent(start_ns=clock.at - 2 * SECOND)
    root = agent.begin("agent", "refunds")
    agent.begin("tool", "slow_export", at_s=1)
    ingest.run(records([agent.spans(root), agent.beat()]))
    row = only(look())
    assert row.doing and (row.doing.name, row.doing.step) == ("slow_export", 0)


def test_an_orderly_end_stays_for_a_minute(ingest: Ingest, look: Callable[..., Live], clock: Clock) -> None:
    agent = Agent(start_ns=clock.at - 3 * SECOND)
    root = agent.begin("agent", "refunds")
    ingest.run(records([agent.spans(root), agent.beat()]))
    agent.end(root, at_s=3, error="the card was declined")
    ingest.run(records([agent.spans(root), agent.beat(goodbye=True)]))
    row = only(look(10))
    assert (row.state, row.status, row.reason) == ("ended", "error", "it failed: the card was declined")
    assert row.doing is None
    assert look(70).rows == ()


def test_heartbeats_that_stop_mean_death(ingest: Ingest, look: Callable[..., Live], clock: Clock) -> None:
    agent = Agent(start_ns=clock.at - 5 * SECOND)
    steps = [agent.begin("agent", "refunds"), agent.begin("tool", "get_order", at_s=1)]
    ingest.run(records([agent.spans(*steps), agent.beat()]))
    assert only(look(10)).state == "running"
    row = only(look(40))
    assert (row.state, row.heartbeat, row.attention) == ("died", "stopped", True)
    assert "no heartbeat for 40" in row.reason
    assert row.since == row.sign_of_life
    # Another one comes after all.
    clock.at += 45 * SECOND
    ingest.run([record(agent.beat())])
    assert only(look(1)).state == "running"


def test_heartbeats_that_go_on_mean_work_until_it_is_far_too_long(
    ingest: Ingest, look: Callable[..., Live], clock: Clock
) -> None:
    agent = Agent(start_ns=clock.at - 5 * SECOND)
    steps = [agent.begin("agent", "refunds"), agent.begin("tool", "get_order", at_s=1)]
    ingest.run([record(agent.spans(*steps))])
    for _ in range(3):
        clock.at += 40 * SECOND
        ingest.run([record(agent.beat())])
    row = only(look(1))
    assert (row.state, row.heartbeat) == ("quiet", "alive")
    clock.at += 1080 * SECOND
    ingest.run([record(agent.beat())])
    row = only(look(1))
    assert (row.state, row.heartbeat, row.attention) == ("stalled", "alive", True)
    assert row.reason.startswith("no span for 20 min 1 s; its process is alive in tool get_order")


def test_a_goodbye_with_something_open_is_no_death(ingest: Ingest, look: Callable[..., Live], clock: Clock) -> None:
    agent = Agent(start_ns=clock.at - 5 * SECOND)
    steps = [agent.begin("agent", "refunds"), agent.begin("tool", "get_order", at_s=1)]
    ingest.run(records([agent.spans(*steps), agent.beat(goodbye=True)]))
    assert only(look(1)).state == "running"
    row = only(look(10))
    assert (row.state, row.heartbeat) == ("stalled", "stopped")
    assert row.reason == "its process ended in order while get_order was open"


@pytest.mark.parametrize(
    ("wait_for", "state"),
    [
        ("human", "waiting_human"),
        ("rate_limit", "rate_limited"),
        ("queue", "queued"),
        ("retry", "retrying"),
        ("other", "queued"),
    ],
)
@pytest.mark.parametrize("told_by", ["span", "heartbeat"])
def test_waiting_says_for_what(
    wait_for: str, state: str, told_by: str, ingest: Ingest, look: Callable[..., Live], clock: Clock
) -> None:
    agent = Agent(start_ns=clock.at - 5 * SECOND)
    root = agent.begin("agent", "refunds")
    about = {"pilothouse.wait.for": wait_for, "pilothouse.wait.reason": "refund of $900"} if told_by == "span" else {}
    wait = agent.begin("waiting", "approval", at_s=1, **about)
    sent = [agent.spans(root, wait)]
    if told_by == "heartbeat":
        sent.append(agent.beat(wait_for=wait_for))
    ingest.run(records(sent))
    row = only(look(1))
    assert row.state == state
    assert row.reason.startswith("waits ")
    assert row.reason.endswith("refund of $900") == (told_by == "span")
    assert row.attention == (state in ("waiting_human", "rate_limited"))


def test_hours_of_waiting_for_a_person_are_no_stall(ingest: Ingest, look: Callable[..., Live], clock: Clock) -> None:
    agent = Agent(start_ns=clock.at - 5 * SECOND)
    steps = [agent.begin("agent"), agent.begin("waiting", "approval", at_s=1, **{"pilothouse.wait.for": "human"})]
    ingest.run([record(agent.spans(*steps))])
    clock.at += 30 * 3600 * SECOND
    ingest.run([record(agent.beat(wait_for="human"))])
    assert only(look(1)).state == "waiting_human"


@pytest.mark.parametrize("error", ["429 Too Many Requests", "RateLimitError: slow down", "Overloaded"])
def test_a_refused_model_call_is_a_rate_limit_until_it_is_tried_again(
    error: str, ingest: Ingest, look: Callable[..., Live], clock: Clock
) -> None:
    agent = Agent(start_ns=clock.at - 5 * SECOND)
    root = agent.begin("agent", "refunds")
    call = agent.begin("model", "gpt-5", at_s=1)
    agent.end(call, at_s=2, error=error)
    ingest.run(records([agent.spans(root, call), agent.beat()]))
    row = only(look(1))
    assert (row.state, row.last_error) == ("rate_limited", error)
    again = agent.begin("model", "gpt-5", at_s=4)
    ingest.run([record(agent.spans(again))])
    row = only(look(1))
    assert row.state == "retrying"
    agent.end(again, at_s=5)
    ingest.run([record(agent.spans(again))])
    assert only(look(1)).state == "running"


def test_a_foreign_sdk_without_heartbeats(ingest: Ingest, look: Callable[..., Live], clock: Clock) -> None:
    """It sends spans when they end, and the root last of all."""
    agent = Agent(beats=False, start_ns=clock.at - 5 * SECOND)
    agent.begin("agent", "refunds")
    call = agent.begin("model", "gpt-5", at_s=1)
    agent.end(call, at_s=2)
    ingest.run([record(agent.spans(call))])
    assert only(look(2)).state == "running"
    assert only(look(90)).state == "quiet"
    row = only(look(400))
    assert (row.state, row.heartbeat) == ("stalled", "none")
    assert row.reason.endswith("its SDK sends no heartbeats")


def test_what_is_usual_for_an_agent_decides_when_it_is_stuck(
    ingest: Ingest, look: Callable[..., Live], clock: Clock
) -> None:
    done: list[dict[str, Any]] = []
    for _ in range(40):
        before = Agent(start_ns=clock.at - 600 * SECOND)
        root, call = before.begin("agent", "refunds"), before.begin("model", "gpt-5", at_s=0.5)
        before.end(call, at_s=1)
        before.end(root, at_s=2)
        done.append(before.spans(root, call))
    ingest.run(records(done))
    clock.at += 120 * SECOND
    agent = Agent(beats=False, start_ns=clock.at - 5 * SECOND)
    call = agent.begin("model", "gpt-5", at_s=1)
    agent.end(call, at_s=2)
    call.parent = "f" * 16
    call.attributes = {"gen_ai.agent.name": "refunds"}
    ingest.run([record(agent.spans(call))])
    row = only(look(1))
    assert (row.usual_p50_ms, row.usual_p95_ms) == (2000, 2000)
    # A gap of a second is usual: after two minutes, not after five, it is stuck.
    assert only(look(130)).state == "stalled"


def test_those_that_need_somebody_come_first(ingest: Ingest, look: Callable[..., Live], clock: Clock) -> None:
    dead, waiting, busy = (Agent(name=name, start_ns=clock.at - 5 * SECOND) for name in ("dead", "waits", "busy"))
    sent = [dead.spans(dead.begin("agent", "dead")), dead.beat()]
    ingest.run(records(sent))
    clock.at += 60 * SECOND
    root, wait = waiting.begin("agent", "waits"), waiting.begin("waiting", **{"pilothouse.wait.for": "human"})
    sent = [waiting.spans(root, wait), waiting.beat(wait_for="human"), busy.spans(busy.begin("agent", "busy"))]
    ingest.run(records([*sent, busy.beat()]))
    live = look(1)
    assert [(row.agent, row.state) for row in live.rows] == [
        ("dead", "died"),
        ("waits", "waiting_human"),
        ("busy", "running"),
    ]
    assert (live.counts, live.attention, live.total) == ({"died": 1, "waiting_human": 1, "running": 1}, 2, 3)
    assert [row.agent for row in look(1, states=("running", "died")).rows] == ["dead", "busy"]
    assert [row.agent for row in look(1, text="agent:waits").rows] == ["waits"]
    cut = look(1, limit=1)
    assert (len(cut.rows), cut.total) == (1, 3)


def test_history_that_is_sent_late_does_not_run(ingest: Ingest, look: Callable[..., Live], clock: Clock) -> None:
    agent = Agent(beats=False, start_ns=clock.at - 86_400 * SECOND)
    call = agent.begin("model", "gpt-5")
    agent.end(call, at_s=1)
    call.parent = "f" * 16
    ingest.run([record(agent.spans(call))])
    assert look(1).rows == ()


def test_what_does_not_exist_is_refused(look: Callable[..., Live]) -> None:
    with pytest.raises(BadRequest, match="no such state"):
        look(states=("asleep",))
    with pytest.raises(BadRequest, match="1 to 500"):
        look(limit=0)
    with pytest.raises(BadRequest, match="no field"):
        look(text="agnt:x")
    assert look().rows == ()
