"""Retention: by age and by size, per environment, whole traces, and what is kept."""

from __future__ import annotations

import time

import pytest

from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.records import SystemClock
from pilothouse.store import TraceStore
from pilothouse.store.control_store import RetentionRule
from pilothouse.store.retention import apply_rules
from tests.intake.test_ingest import span, traces

DAY_MS = 86_400_000


@pytest.fixture
def filled(any_store: TraceStore) -> TraceStore:
    """Twelve traces, one a day back from today; every third in environment test; two share a session."""
    ingest = Ingest(any_store, SystemClock(), read_maskers({}))
    for day in range(12):
        start = -day * DAY_MS - 60_000
        attrs = {"session.id": "shared"} if day in (1, 9) else {}
        item = span(
            day + 1,
            trace_id=f"{day + 1:032x}",
            start=start,
            end=start + 10,
            messages=[("system", "be kind"), ("user", f"question of day {day}")],
            attrs=attrs,
        )
        environment = "test" if day % 3 == 0 else "production"
        ingest.run([traces(item, resource={"service.name": "s", "deployment.environment.name": environment})])
    return any_store


def test_old_traces_go_with_all_that_is_theirs(filled: TraceStore) -> None:
    rules = [RetentionRule(project_id="p", days=5)]
    planned = apply_rules(filled, rules, time.time_ns(), dry_run=True)[0]
    assert counts(filled) == [12, 12, 13]
    deleted = apply_rules(filled, rules, time.time_ns(), dry_run=False)[0]
    assert (
        (planned.traces, planned.spans, planned.messages)
        == (deleted.traces, deleted.spans, deleted.messages)
        == (7, 7, 6)
    )
    # Kept: the system prompt of the project, and what the shared session said, since one of its traces is kept.
    assert counts(filled) == [5, 5, 7]
    assert any("session" in reason for reason in deleted.kept)
    assert apply_rules(filled, rules, time.time_ns(), dry_run=False)[0].traces == 0


def test_a_rule_of_its_own_spares_an_environment_from_the_general_one(filled: TraceStore) -> None:
    rules = [RetentionRule(project_id="p", days=2), RetentionRule(project_id="p", environment="test", days=10)]
    deleted = apply_rules(filled, rules, time.time_ns(), dry_run=False)
    assert [entry.traces for entry in deleted] == [7, 0]
    rows = filled.query(
        "SELECT environment, count() FROM {db}.trace FINAL GROUP BY environment ORDER BY environment"
    ).rows
    assert rows == [["production", 1], ["test", 4]]


def test_a_budget_keeps_the_newest_that_fit(filled: TraceStore) -> None:
    apply_rules(filled, [RetentionRule(project_id="p", budget_bytes=1)], time.time_ns(), dry_run=False)
    left = counts(filled)[0]
    assert left <= 1
    apply_rules(filled, [RetentionRule(project_id="p", budget_bytes=10**12)], time.time_ns(), dry_run=False)
    assert counts(filled)[0] == left


def test_another_project_is_not_touched(filled: TraceStore) -> None:
    apply_rules(filled, [RetentionRule(project_id="q", days=1)], time.time_ns(), dry_run=False)
    assert counts(filled)[0] == 12


def counts(store: TraceStore) -> list[int]:
    return [
        store.query(f"SELECT count() FROM {{db}}.{table} FINAL").rows[0][0] for table in ("trace", "span", "message")
    ]
