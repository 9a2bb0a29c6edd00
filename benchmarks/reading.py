"""Reads over a store of millions of spans, through the verbs that every surface uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pilothouse import traces
from pilothouse.store import open_store
from pilothouse.traces import TraceQuery

from . import synthetic
from .ingest import percentile

RUNS = 15
DAY_NS = 86_400_000_000_000


def measure(data: Path, spans: int) -> Iterator[tuple[str, str, float, float]]:
    """Name, budget, p50 and p95 in milliseconds of each read."""
    store = open_store("", data)
    try:
        store.migrate()
        synthetic.fill(store, "p", spans=spans)
        huge = synthetic.huge_trace(store, "p", spans=50_000)
        session = "huge-session"
        synthetic.huge_session(store, "p", observations=30_000, session=session)
        now = time.time_ns()
        week, day = now - 7 * DAY_NS, now - DAY_NS
        one = traces.search(store, "p", TraceQuery(since_ns=week)).items[7].trace_id
        reads: list[tuple[str, str, Callable[[], object]]] = [
            ("list of traces, 24 h", "< 150 ms", lambda: traces.search(store, "p", TraceQuery(since_ns=day))),
            (
                "list filtered by status, agent and cost, 7 d",
                "< 150 ms",
                lambda: traces.search(
                    store, "p", TraceQuery(text="status:error agent:refunds cost>0.001", since_ns=week)
                ),
            ),
            ("one trace, opened", "< 150 ms", lambda: traces.load(store, "p", one)),
            ("latency by time, 7 d", "< 150 ms", lambda: traces.heatmap(store, "p", TraceQuery(since_ns=week))),
            (
                "overview: percentiles, costs, five tables, 24 h",
                "< 150 ms",
                lambda: traces.overview(store, "p", since_ns=day),
            ),
            ("overview, 7 d", "", lambda: traces.overview(store, "p", since_ns=week)),
            ("full text, 7 d", "< 150 ms", lambda: traces.text_search(store, "p", "declined", since_ns=week)),
            (
                "facets, 7 d",
                "",
                lambda: traces.facets(store, "p", TraceQuery(since_ns=week), ("agent", "model", "status")),
            ),
            ("a 50,000-span trace", "< 1 s", lambda: traces.waterfall(store, "p", huge)),
            ("a 30,000-observation session", "< 1 s", lambda: traces.session(store, "p", session)),
        ]
        for name, budget, read in reads:
            read()
            taken = []
            for _ in range(RUNS):
                begun = time.monotonic()
                read()
                taken.append((time.monotonic() - begun) * 1000)
            yield name, budget, percentile(taken, 50), percentile(taken, 95)
    finally:
        store.close()
