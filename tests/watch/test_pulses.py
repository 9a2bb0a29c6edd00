"""Heartbeats: the last one of each process is kept, and none of them is among the logs a person reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.intake.pulses import OPEN_MAX, pulse_row
from pilothouse.records import Emitter, RawLog, SystemClock
from pilothouse.records.names import HEARTBEAT_EVENT
from pilothouse.store import TraceStore
from pilothouse.store.live_reads import pulses
from pilothouse.store.schema import PULSE
from tests.watch.process import Agent, record


@pytest.fixture
def ingest(store: TraceStore) -> Ingest:
    return Ingest(store, SystemClock(), read_maskers({}))


def test_only_the_last_heartbeat_of_a_process_is_kept(ingest: Ingest, store: TraceStore) -> None:
    one, two = Agent(), Agent()
    one.begin("agent", "refunds")
    tool = one.begin("tool", "get_order", at_s=1)
    two.begin("agent", "refunds")
    ingest.run([record(one.beat()), record(two.beat()), record(one.beat())])
    one.end(tool, at_s=2)
    ingest.run([record(one.beat())])
    found = {pulse.instance: pulse for pulse in pulses(store, "p", 0)}
    assert set(found) == {one.instance, two.instance}
    assert [span["name"] for span in found[one.instance].open] == ["refunds"]
    assert found[one.instance].interval_s == 5
    assert not found[one.instance].goodbye
    ingest.run([record(one.beat(goodbye=True))])
    assert {pulse.instance for pulse in pulses(store, "p", 0) if pulse.goodbye} == {one.instance}


def test_heartbeats_are_no_logs(ingest: Ingest, store: TraceStore) -> None:
    agent = Agent()
    agent.begin("agent")
    tally = ingest.run([record(agent.beat())] * 5)
    assert tally.logs == 0
    assert store.query("SELECT count() FROM {db}.log").rows == [[0]]
    assert pulses(store, "another project", 0) == []


def test_a_project_sees_its_own_heartbeats_alone(ingest: Ingest, store: TraceStore) -> None:
    agent = Agent()
    agent.begin("agent")
    ingest.run([record(agent.beat(), project="theirs")])
    assert pulses(store, "p", 0) == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["interval_s", "open", "instance", "trace_id", "since_ns", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(body=anything)
def test_any_body_makes_a_row(body: Any) -> None:
    log = RawLog(time_ns=1, event_name=HEARTBEAT_EVENT, body=body, emitter=Emitter(scope_name="s"))
    row = dict(zip(PULSE.column_names, pulse_row("p", log, 1, received="", day="", version=1), strict=True))
    assert 0 < row["interval_s"] <= 3600
    assert isinstance(row["open"], str)


def test_an_endless_list_of_open_spans_is_cut() -> None:
    log = RawLog(time_ns=1, event_name=HEARTBEAT_EVENT, body={"open": [{"name": "n"}] * 5000})
    row = dict(zip(PULSE.column_names, pulse_row("p", log, 1, received="", day="", version=1), strict=True))
    assert row["open"].count('"name"') == OPEN_MAX
