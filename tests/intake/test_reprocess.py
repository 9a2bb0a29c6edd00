"""Reading history again: nothing changes without a reason, and a new price or rule reaches every number."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path

import pytest

from pilothouse.costs import PriceBook
from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.intake.reprocess import reprocess
from pilothouse.intake.segment import Record
from pilothouse.records import SystemClock
from pilothouse.store import TraceStore

CAPTURES = Path(__file__).parents[1] / "conventions/captures"
EVER = (0, 2**62)


@pytest.fixture
def filled(store: TraceStore) -> TraceStore:
    """What real clients sent."""
    ingest = Ingest(store, SystemClock(), read_maskers({}))
    for path in sorted(CAPTURES.glob("*.json")):
        signal = path.name.split(".")[-2]
        content = json.loads(path.read_text())
        bodies = content if isinstance(content, list) else [content]
        ingest.run([record(path.name.split(".")[0], signal, body) for body in bodies])
    return store


@pytest.mark.slow
def test_reading_again_by_the_same_rules_changes_no_number(filled: TraceStore) -> None:
    for project in projects(filled):
        before = numbers(filled, project)
        result = reprocess(filled, PriceBook(), project=project, since_ns=EVER[0], until_ns=EVER[1], dry_run=False)
        assert numbers(filled, project) == before, (project, result["changed_by_column"])
        again = reprocess(filled, PriceBook(), project=project, since_ns=EVER[0], until_ns=EVER[1], dry_run=True)
        assert again["changed"] == 0, (project, again["changed_by_column"])


def test_a_new_price_reaches_spans_and_traces(filled: TraceStore) -> None:
    prices = PriceBook([{"provider": "openai", "model": "*", "from": "2020-01-01", "input": "1000000", "output": "0"}])
    planned = reprocess(filled, prices, project="openai-otel", since_ns=EVER[0], until_ns=EVER[1], dry_run=True)
    before = numbers(filled, "openai-otel")
    assert planned["changed"] > 0
    assert before == numbers(filled, "openai-otel"), "a dry run wrote"
    reprocess(filled, prices, project="openai-otel", since_ns=EVER[0], until_ns=EVER[1], dry_run=False)
    row = filled.query(
        "SELECT sum(cost_usd), sum(input_uncached_tokens + cache_read_tokens) FROM {db}.traces_of(project = {p:String})",
        {"p": "openai-otel"},
    ).rows[0]
    assert Decimal(row[0]) > 0
    assert Decimal(row[0]) >= Decimal(row[1]) / 2, row
    spans = filled.query("SELECT sum(cost_usd) FROM {db}.spans_of(project = {p:String})", {"p": "openai-otel"}).rows[0]
    assert Decimal(spans[0]) == Decimal(row[0])


def projects(store: TraceStore) -> list[str]:
    return [row[0] for row in store.query("SELECT DISTINCT project_id FROM {db}.span ORDER BY project_id").rows]


def numbers(store: TraceStore, project: str) -> list[list[object]]:
    return store.query(
        "SELECT trace_id, span_id, step, kind, name, agent, model, status, usage_scope, duplicate_of, cost_usd, session_id, "
        "user_id, tool_name, input_uncached_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, "
        "input_text, output_text, length(input_refs) FROM {db}.spans_of(project = {p:String}) ORDER BY trace_id, span_id",
        {"p": project},
    ).rows


def record(project: str, signal: str, body: dict[str, object]) -> Record:
    return Record(
        project_id=project,
        signal=signal,  # pyright: ignore[reportArgumentType]  # file names are signals
        content_type="application/json",
        encoding="",
        received_ns=time.time_ns(),
        body=json.dumps(body).encode(),
    )
