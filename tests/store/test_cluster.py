"""Two real server nodes with Distributed tables: rows are spread by trace, every read sees all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.store import TraceStore
from pilothouse.store.clickhouse_engine import ClickHouseEngine
from pilothouse.store.schema import SPAN
from tests.conftest import free_port, server_node
from tests.store.test_engines import span

CONFIG = """
<clickhouse><remote_servers><two>
  <shard><replica><host>127.0.0.1</host><port>{0}</port></replica></shard>
  <shard><replica><host>127.0.0.1</host><port>{1}</port></replica></shard>
</two></remote_servers></clickhouse>
"""


@pytest.mark.slow
@pytest.mark.clickhouse
def test_two_nodes_share_the_rows_and_answer_as_one(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    config = tmp_path / "config.xml"
    config.write_text(CONFIG.format(*ports))
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with (
        server_node(folders[0], "--config-file", str(config), tcp_port=ports[0]) as first,
        server_node(folders[1], "--config-file", str(config), tcp_port=ports[1]) as second,
    ):
        store = TraceStore(ClickHouseEngine(f"clickhouse://127.0.0.1:{first},127.0.0.1:{second}/?cluster=two"))
        store.migrate()
        rows = [span(f"{number:032x}", f"{number + 1:016x}") for number in range(400)]
        store.insert("span", SPAN.column_names, rows)
        store.insert("span", SPAN.column_names, rows)
        here = [
            TraceStore(ClickHouseEngine(f"clickhouse://127.0.0.1:{port}"))
            .query("SELECT count() FROM {db}.span_local FINAL")
            .rows[0][0]
            for port in (first, second)
        ]
        assert sum(here) == 400
        assert min(here) > 100
        view = "SELECT count(), uniqExact(trace_id), sum(cost_usd) FROM {db}.spans_of(project = {p:String})"
        assert store.query(view, {"p": "p"}).rows == [[400, 400, "0.2528"]]
        one = store.query(
            "SELECT span_id FROM {db}.spans_of(project = {p:String}) WHERE trace_id = {t:String}",
            {"p": "p", "t": f"{7:032x}"},
        )
        assert one.rows == [[f"{8:016x}"]]
        store.delete("span", "trace_id = {t:String}", {"t": f"{7:032x}"})
        assert store.query(view, {"p": "p"}).rows == [[399, 399, "0.252168"]]
