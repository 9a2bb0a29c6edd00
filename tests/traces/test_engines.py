"""Every verb answers the same on the embedded engine, on a server, and on two servers with Distributed tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.records import Unreachable
from pilothouse.store import StoreError, TraceStore
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.clickhouse_engine import ClickHouseEngine
from pilothouse.store.conditions import LATEST_NS
from pilothouse.store.export_reads import changed_traces, count_traces
from pilothouse.traces import TraceQuery
from tests.conftest import free_port, fresh_store, server_node
from tests.store.test_cluster import CONFIG

from .support import MINUTE_NS, NOW_NS, PROJECT, span_id, support_trace, trace_id

Verb = Callable[[TraceStore], Any]

VERBS: dict[str, Verb] = {
    "search": lambda s: traces.search(s, PROJECT, TraceQuery()).items,
    "filtered": lambda s: traces.search(s, PROJECT, TraceQuery(text="status:error agent:refunds cost>0.001")).total,
    "by span": lambda s: traces.search(s, PROJECT, TraceQuery(text="provider:openai attr.tenant:acme")).total,
    "by words": lambda s: traces.search(s, PROJECT, TraceQuery(text='approve "money back"')).total,
    "by error": lambda s: traces.search(s, PROJECT, TraceQuery(text="error:limit -user:ada")).total,
    "dearest": lambda s: [row.trace_id for row in traces.search(s, PROJECT, TraceQuery(sort="dearest")).items],
    "emptied": lambda s: traces.search(s, PROJECT, TraceQuery(text="user:nobody status:error")).emptied_by,
    "facets": lambda s: traces.facets(s, PROJECT, TraceQuery()),
    "heatmap": lambda s: sum(traces.heatmap(s, PROJECT, TraceQuery()).count),
    "overview": lambda s: traces.overview(s, PROJECT, until_ns=NOW_NS).breakdowns,
    "overview filtered": lambda s: traces.overview(s, PROJECT, text="user:ada").traces,
    "fleet": lambda s: [(row.agent, row.traces, row.versions) for row in traces.fleet(s, PROJECT).agents],
    "map": lambda s: (lambda m: (m.components, m.edges, m.prompts))(traces.system_map(s, PROJECT, until_ns=NOW_NS)),
    "level": lambda s: traces.levels(s, PROJECT, agent="refunds", until_ns=NOW_NS).agents,
    "levels": lambda s: traces.levels(s, PROJECT, until_ns=NOW_NS).agents,
    "audit": lambda s: traces.audit(s, PROJECT, "refunds", until_ns=NOW_NS).checks,
    "costs": lambda s: traces.costs(s, PROJECT, ["agent", "model"]).rows,
    "costs by user": lambda s: traces.costs(s, PROJECT, ["user", "day"]).rows,
    "costs filtered": lambda s: traces.costs(s, PROJECT, ["model"], text="user:ada").rows,
    "text": lambda s: [(hit.role, hit.snippet) for hit in traces.text_search(s, PROJECT, "delivered").items],
    "sessions": lambda s: traces.sessions(s, PROJECT, TraceQuery(text="status:error")).items,
    "session": lambda s: traces.session(s, PROJECT, "chat").turns,
    "by annotation": lambda s: [
        traces.search(s, PROJECT, TraceQuery(text=text)).total for text in ("has:score", "-score.tone:*", "label:none")
    ],
    "annotation facets": lambda s: traces.facets(s, PROJECT, TraceQuery(), ["label", "score"]),
    "changed": lambda s: [
        (item.trace_id, item.version) for item in changed_traces(s, PROJECT, 0, LATEST_NS, (), after=(0, ""), limit=9)
    ],
    "count of changed": lambda s: count_traces(s, PROJECT, 0, LATEST_NS, (), after=(0, "")),
    "resolve": lambda s: [traces.resolve(s, PROJECT, id) for id in ("last", span_id(103), "00000002", "cha")],
    "load": lambda s: traces.load(s, PROJECT, trace_id(1)),
    "span": lambda s: traces.span(s, PROJECT, trace_id(1), "005"),
    "transcript": lambda s: traces.transcript(s, PROJECT, trace_id(2)),
    "context": lambda s: traces.context(s, PROJECT, trace_id(2)),
    "context of a step": lambda s: traces.context(s, PROJECT, trace_id(2), 4).detail,
    "diff": lambda s: traces.diff(s, PROJECT, trace_id(1), trace_id(2)),
    "waterfall": lambda s: traces.waterfall(s, PROJECT, trace_id(2)),
    "cost why": lambda s: traces.cost_why(s, PROJECT, trace_id(1)).spans,
    "doctor": lambda s: [(found.check, found.count) for found in traces.doctor(s, PROJECT).findings],
    "stats": lambda s: traces.stats(s, PROJECT, until_ns=NOW_NS),
    "store stats": lambda s: (traces.store_stats(s, PROJECT).spans, traces.store_stats(s, PROJECT).dedup_share_saved),
}


def fill(store: TraceStore) -> TraceStore:
    """Six traces, each stored twice; two of one session."""
    for number in range(1, 7):
        trace = support_trace(
            number,
            start_ns=NOW_NS - number * MINUTE_NS,
            user="ada" if number % 2 else "bob",
            session="chat" if number < 3 else "",
        )
        trace.spans[1]["attributes"] = {"tenant": "acme" if number < 4 else "umbrella"}
        trace.event(number * 100 + 1, "note")
        trace.score("tone", 1.0)
        trace.store(store)
        trace.store(store, version=2)
    return store


@pytest.fixture(scope="module")
def embedded(chdb_engine: ChdbEngine) -> Iterator[TraceStore]:
    """The embedded store, filled: what the others are compared with."""
    for store in fresh_store(chdb_engine):
        yield fill(store)


@pytest.fixture(scope="module")
def server(clickhouse_url: str) -> Iterator[TraceStore]:
    """A ClickHouse server, filled."""
    for store in fresh_store(ClickHouseEngine(clickhouse_url)):
        yield fill(store)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TraceStore]:
    """Two servers with Distributed tables, filled."""
    folder = tmp_path_factory.mktemp("cluster")
    ports = [free_port(), free_port()]
    config = folder / "config.xml"
    config.write_text(CONFIG.format(*ports))
    folders: list[Path] = [folder / "one", folder / "two"]
    for each in folders:
        each.mkdir()
    with (
        server_node(folders[0], "--config-file", str(config), tcp_port=ports[0]) as first,
        server_node(folders[1], "--config-file", str(config), tcp_port=ports[1]) as second,
    ):
        store = TraceStore(ClickHouseEngine(f"clickhouse://127.0.0.1:{first},127.0.0.1:{second}/?cluster=two"))
        store.migrate()
        yield fill(store)


@pytest.mark.clickhouse
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_answers_on_a_server_as_on_the_embedded_engine(
    embedded: TraceStore, server: TraceStore, verb: str
) -> None:
    assert VERBS[verb](server) == VERBS[verb](embedded)


@pytest.mark.slow
@pytest.mark.clickhouse
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_answers_on_a_cluster_as_on_the_embedded_engine(
    embedded: TraceStore, cluster: TraceStore, verb: str
) -> None:
    assert answered(verb, cluster) == VERBS[verb](embedded)


def answered(verb: str, store: TraceStore) -> Any:
    """What a verb answers; while a node that died is started again it is asked anew."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return VERBS[verb](store)
        except (StoreError, Unreachable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
