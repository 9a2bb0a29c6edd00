"""Both drivers behave alike: parameters, types, errors, bounds, idempotence, deletion."""

from __future__ import annotations

import os
import signal
import threading
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.records import BadRequest, TooLarge, Unreachable
from pilothouse.store import VIEWS, TraceStore
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.clickhouse_engine import ClickHouseEngine
from pilothouse.store.schema import SPAN, TABLES


def test_a_new_store_answers_every_view_with_nothing(any_store: TraceStore) -> None:
    for view in VIEWS:
        table = any_store.query(f"SELECT * FROM {{db}}.{view.name}_of(project = {{p:String}})", {"p": "none"})
        assert table.rows == []
        assert table.columns == tuple(column.name for column in view.columns)


def test_migrating_twice_changes_nothing(any_store: TraceStore) -> None:
    any_store.migrate()
    assert any_store.query("SELECT count() FROM {db}.schema_version").rows == [[1]]


def test_a_store_of_a_newer_version_is_refused(any_store: TraceStore) -> None:
    any_store.command("INSERT INTO {db}.schema_version SELECT 99, now()")
    with pytest.raises(BadRequest, match="newer"):
        any_store.migrate()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60), texts=st.lists(st.text(max_size=12), max_size=5))
def test_parameters_arrive_as_they_were_given(any_store: TraceStore, text: str, texts: list[str]) -> None:
    params = {"one": text, "many": texts}
    row = any_store.query("SELECT {one:String} AS one, {many:Array(String)} AS many", params).rows[0]
    assert row == [text, texts]


def test_types_survive(any_store: TraceStore) -> None:
    row = any_store.query(
        "SELECT toInt64(9007199254740993), toDecimal64('0.000000000125', 12), NULL, map('a', 'b'), 1 / 0, [1, 2]"
    ).rows[0]
    assert row == [9007199254740993, "0.000000000125", None, {"a": "b"}, None, [1, 2]]


def test_bad_sql_is_the_callers_error_and_says_why(any_store: TraceStore) -> None:
    with pytest.raises(BadRequest) as raised:
        any_store.query("SELECT nonsense FROM {db}.span")
    assert "nonsense" in raised.value.message


def test_a_query_that_takes_too_long_is_stopped(any_store: TraceStore) -> None:
    with pytest.raises(TooLarge, match="time"):
        any_store.query(
            "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1", settings={"max_execution_time": 1}
        )


def test_a_query_that_takes_too_much_memory_fails_alone(any_store: TraceStore) -> None:
    with pytest.raises(TooLarge, match="memory"):
        any_store.query(
            "SELECT length(groupArray(toString(number))) FROM numbers(50000000)",
            settings={"max_memory_usage": 50_000_000},
        )
    assert any_store.query("SELECT 1").rows == [[1]]


def test_the_newest_version_of_a_row_wins_and_a_repeat_changes_nothing(any_store: TraceStore) -> None:
    old, new = span("a" * 32, "b" * 16, name="old", version=1), span("a" * 32, "b" * 16, name="new", version=2)
    for rows in ([old], [new], [old], [new]):
        any_store.insert("span", SPAN.column_names, rows)
    table = any_store.query("SELECT name, cost_usd FROM {db}.spans_of(project = {p:String})", {"p": "p"})
    assert table.rows == [["new", "0.000632"]]


def test_sums_of_money_are_exact(any_store: TraceStore) -> None:
    any_store.insert("span", SPAN.column_names, [span("a" * 32, f"{n:016x}") for n in range(1, 1001)])
    row = any_store.query("SELECT sum(cost_usd) FROM {db}.spans_of(project = {p:String})", {"p": "p"}).rows[0]
    assert Decimal(row[0]) == Decimal("0.632")


def test_projects_do_not_see_each_other(any_store: TraceStore) -> None:
    any_store.insert("span", SPAN.column_names, [span("a" * 32, "b" * 16)])
    assert any_store.query("SELECT count() FROM {db}.spans_of(project = {p:String})", {"p": "q"}).rows == [[0]]


def test_deleted_rows_are_gone_at_once_in_every_version(any_store: TraceStore) -> None:
    any_store.insert("span", SPAN.column_names, [span("a" * 32, "b" * 16, version=1), span("c" * 32, "d" * 16)])
    any_store.insert("span", SPAN.column_names, [span("a" * 32, "b" * 16, version=2)])
    any_store.delete("span", "trace_id = {t:String}", {"t": "a" * 32})
    assert any_store.query("SELECT trace_id FROM {db}.span FINAL").rows == [["c" * 32]]


def test_text_that_is_no_unicode_does_not_cost_the_batch(any_store: TraceStore) -> None:
    any_store.insert("span", SPAN.column_names, [span("a" * 32, "b" * 16, name="x\ud800y"), span("c" * 32, "d" * 16)])
    assert sorted(any_store.query("SELECT name FROM {db}.span").rows) == [["n"], ["x?y"]]


def test_readers_and_a_writer_do_not_block_each_other(any_store: TraceStore) -> None:
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(10):
                any_store.query("SELECT count(), sum(cost_usd) FROM {db}.spans_of(project = {p:String})", {"p": "p"})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for batch in range(10):
        rows = [span(f"{batch:032x}", f"{n + 1:016x}") for n in range(200)]
        any_store.insert("span", SPAN.column_names, rows)
    for thread in threads:
        thread.join()
    assert failures == []
    assert any_store.query("SELECT count() FROM {db}.span FINAL").rows == [[2000]]


def test_an_address_that_is_none_is_refused_with_the_form_it_should_have() -> None:
    with pytest.raises(BadRequest) as raised:
        ClickHouseEngine("http://localhost")
    assert raised.value.allowed == "clickhouse://[USER:PASSWORD@]HOST[:8123]"


def test_a_server_that_is_down_is_said_to_be() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        ClickHouseEngine("clickhouse://127.0.0.1:1").execute("SELECT 1")


def test_a_storage_process_that_was_killed_is_started_again_with_everything(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    engine = ChdbEngine(tmp_path_factory.mktemp("killed") / "store", owner=True)
    try:
        store = TraceStore(engine)
        store.migrate()
        store.insert("span", SPAN.column_names, [span("a" * 32, "b" * 16)])
        os.kill(engine.process_id, signal.SIGKILL)
        assert eventually_query(store) == [[1]]
    finally:
        engine.close()


def eventually_query(store: TraceStore) -> list[list[int]]:
    for _ in range(50):
        try:
            return store.query("SELECT count() FROM {db}.span").rows
        except Unreachable:
            continue
    raise AssertionError("the storage process did not come back")


def span(trace_id: str, span_id: str, *, name: str = "n", version: int = 1) -> list[object]:
    values: dict[str, object] = {column: _empty(kind) for column, kind in SPAN.columns}
    values |= {"project_id": "p", "trace_id": trace_id, "span_id": span_id, "name": name, "version": version}
    values |= {"start_time": "1700000000.000000001", "received_day": "2026-11-20", "cost_usd": "0.000632"}
    return [values[column] for column in SPAN.column_names]


def _empty(kind: str) -> object:
    if kind.startswith("Map"):
        return {}
    if kind.startswith("Array"):
        return []
    if "Nullable" in kind:
        return None
    return 0 if kind.startswith(("UInt", "Int", "Float")) else "2026-11-20" if kind.startswith("Date") else ""


def test_every_table_ends_with_its_arrival() -> None:
    for spec in TABLES:
        assert spec.column_names[-3:] == ("received_at", "received_day", "version")
