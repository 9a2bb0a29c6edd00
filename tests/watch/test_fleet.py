"""The fleet: what every agent is doing now, what it spends now and usually, and its course; 300 of them on a page."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.records import SystemClock
from pilothouse.store import TraceStore
from tests.traces.support import PROJECT, TraceBuilder, store_rows, trace_id
from tests.watch.process import SECOND, Agent, records

HOUR = 3_600 * SECOND


@pytest.fixture
def ingest(store: TraceStore) -> Ingest:
    return Ingest(store, SystemClock(), read_maskers({}))


def test_what_agents_are_doing_now(ingest: Ingest, store: TraceStore) -> None:
    now = time.time_ns()
    sent: list[dict[str, Any]] = []
    for number, (name, waits) in enumerate((("asks", "human"), ("limited", "rate_limit"), ("busy", ""), ("busy", ""))):
        agent = Agent(name=name, start_ns=now - (number + 5) * SECOND)
        steps = [agent.begin("agent", name)]
        if waits:
            steps.append(agent.begin("waiting", waits, at_s=1, **{"pilothouse.wait.for": waits}))
        sent += [agent.spans(*steps), agent.beat(wait_for=waits)]
    gone = Agent(name="busy", environment="staging", start_ns=now - 5 * SECOND)
    sent += [gone.spans(gone.begin("agent", "busy")), gone.beat(goodbye=True)]
    ingest.run(records(sent, PROJECT))
    found = {(row.agent, row.environment): row for row in traces.fleet(store, PROJECT).agents}
    assert found["asks", "production"].state == "waiting"
    assert found["limited", "production"].state == "rate_limited"
    assert (found["busy", "production"].state, found["busy", "production"].now) == ("running", {"running": 2})
    assert found["busy", "staging"].state in ("running", "stuck")  # until the goodbye is some seconds old
    order = [row.agent for row in traces.fleet(store, PROJECT).agents if row.environment == "production"]
    assert order == ["asks", "limited", "busy"]


def test_what_it_costs_now_and_how_it_went(store: TraceStore) -> None:
    now = time.time_ns()
    for number, hours in enumerate((0.2, 0.4, 5, 5.2, 20)):
        builder = TraceBuilder(trace_id(number), start_ns=now - int(hours * HOUR))
        builder.span(number, "agent")
        builder.store(store, cost_usd="0.10", status="error" if number == 2 else "ok")
    (row,) = traces.fleet(store, PROJECT, since_ns=now - 24 * HOUR).agents
    assert str(row.spend_now_usd) == "0.2"
    assert abs(float(row.spend_usual_usd or 0) - 0.5 / 24) < 1e-4
    assert (sum(row.runs), sum(row.failures), len(row.runs)) == (5, 1, 25)
    assert row.now == {}
    past = traces.fleet(store, PROJECT, since_ns=now - 24 * HOUR, until_ns=now - 2 * HOUR).agents[0]
    assert (past.traces, past.now) == (3, {})


@pytest.fixture
def three_hundred(store: TraceStore) -> Iterator[None]:
    """300 agents with two traces each over a day."""
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    now = time.time_ns()
    rows: list[dict[str, list[list[Any]]]] = []
    for number in range(300):
        for run in range(2):
            builder = TraceBuilder(
                trace_id(number * 10 + run), start_ns=now - dice.randrange(24 * HOUR), agent=f"agent-{number:03}"
            )
            builder.span(number * 10 + run, "agent")
            failed = dice.random() < 0.2
            rows.append(builder.rows(cost_usd=f"0.{dice.randrange(99):02}", status="error" if failed else "ok"))
    store_rows(store, rows)
    yield


def test_three_hundred_agents(three_hundred: None, store: TraceStore, tmp_path: Path) -> None:
    found = traces.fleet(store, PROJECT)
    assert len(found.agents) == 300
    assert sum(sum(row.runs) for row in found.agents) == 600
