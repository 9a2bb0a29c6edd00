"""Users' SQL: what may be asked is answered as asked, and nothing else ever reaches the engine."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pilothouse.records import BadRequest, Overloaded, PilothouseError, TooLarge
from pilothouse.store import TraceStore, user_sql
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.clickhouse_engine import ClickHouseEngine
from pilothouse.store.engine import Engine
from pilothouse.store.sql_check import check
from pilothouse.store.sql_functions import _BEYOND, _BEYOND_AGGREGATES, AGGREGATES, FUNCTIONS, is_allowed
from pilothouse.store.user_sql import SqlLimits, run
from pilothouse.store.views import VIEWS
from tests.conftest import fresh_store

NOW = "2026-11-20 10:00:00"


@pytest.fixture(scope="module")
def store(chdb_engine: ChdbEngine) -> Iterator[TraceStore]:
    yield from filled(chdb_engine)


@pytest.fixture(scope="module", params=["chdb", "clickhouse"])
def each_store(request: pytest.FixtureRequest) -> Iterator[TraceStore]:
    """The same rows on each driver in turn."""
    if request.param == "chdb":
        yield request.getfixturevalue("store")
    else:
        yield from filled(ClickHouseEngine(request.getfixturevalue("clickhouse_url")))


def filled(engine: Engine) -> Iterator[TraceStore]:
    rows = [
        ["mine", "t1", "s1", "model", "answer", "gpt-x", "ok", 1_500_000_000, {"gen_ai.system": "openai", "n": "3"}],
        ["mine", "t1", "s2", "tool", "refund", "", "error", 500_000_000, {"gen_ai.system": ""}],
        ["mine", "t2", "s3", "model", "answer", "gpt-y", "ok", 2_500_000_000, {}],
        ["theirs", "t9", "s9", "model", "secret", "gpt-z", "ok", 1, {"password": "hunter2"}],
    ]
    names = ["project_id", "trace_id", "span_id", "kind", "name", "model", "status", "duration_ns", "attributes"]
    for opened in fresh_store(engine):
        opened.insert(
            "span", [*names, "start_time", "received_at", "received_day"], [[*r, NOW, NOW, NOW[:10]] for r in rows]
        )
        yield opened


def ask(store: TraceStore, sql: str, **limits: int) -> list[list[Any]]:
    return run(store, "mine", sql, SqlLimits(**limits)).rows


def refused(store: TraceStore, sql: str) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        run(store, "mine", sql)
    return caught.value


# --- what may be asked -------------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, Any]] = [
    ("SELECT count() FROM spans", 3),
    ("select COUNT(*) from SPANS;", 3),
    ("SELECT name FROM spans WHERE attributes['gen_ai.system'] = 'openai'", "answer"),
    ("SELECT attributes['n']::UInt8 + 1 FROM spans WHERE span_id = 's1'", 4),
    ("SELECT quantile(0.5)(duration_ms) FROM spans", 1500),
    ("SELECT quantiles(0.5, 0.9)(duration_ms)[1] FROM spans", 1500),
    ("SELECT quantileExactIf(0.5)(duration_ms, kind = 'tool') FROM spans", 500),
    ("SELECT groupArraySorted(2)(span_id) FROM spans", ["s1", "s2"]),
    ("SELECT countIf(status = 'error') / count() > 0.3 FROM spans", 1),
    ("SELECT toStartOfHour(start_time) FROM spans LIMIT 1", "2026-11-20 10:00:00"),
    ("SELECT count() FROM spans WHERE start_time > toDateTime('2026-11-20 10:30:00') - INTERVAL 1 HOUR", 3),
    ("SELECT toDateTime('2026-01-01 00:00:00', 'UTC') + INTERVAL '2' DAY", "2026-01-03 00:00:00"),
    ("SELECT DATE '2026-01-02'", "2026-01-02"),
    ("SELECT dateAdd(DAY, 1, toDate('2026-01-01'))", "2026-01-02"),
    ("SELECT sum(arrayJoin([1, 2, 3]))", 6),
    ("SELECT max(x) FROM spans ARRAY JOIN [1, 5] AS x", 5),
    ("SELECT count() FROM spans LEFT ARRAY JOIN tags AS tag", 3),
    ("SELECT arrayMap(x -> x * 2, [1, 2])", [2, 4]),
    ("SELECT arrayFilter((k, v) -> v > 1, ['a', 'b'], [1, 2])", ["b"]),
    ("SELECT arrayFold((acc, x) -> acc + x, [1, 2], toInt64(0))", 3),
    ("SELECT arrayReduce('max', [1, 7])", 7),
    ("SELECT span_id FROM spans ORDER BY duration_ms DESC LIMIT 1 BY trace_id LIMIT 1", "s3"),
    ("SELECT count() FROM (SELECT number AS n FROM numbers(1) ORDER BY n WITH FILL FROM 0 TO 5)", 5),
    ("SELECT span_id FROM spans WHERE name ILIKE 'REF%'", "s2"),
    ("SELECT count() FROM spans WHERE name NOT LIKE '%und' AND name NOT ILIKE 'x'", 2),
    ("SELECT argMax(span_id, duration_ms) FROM spans", "s3"),
    (
        "SELECT max(n) FROM (SELECT row_number() OVER (PARTITION BY trace_id ORDER BY start_time, span_id) AS n FROM spans)",
        2,
    ),
    ("SELECT sum(duration_ms) OVER w FROM spans WINDOW w AS (PARTITION BY trace_id) ORDER BY 1 LIMIT 1", 2000),
    ("SELECT (1, 'a').2", "a"),
    ("SELECT t.1 FROM (SELECT (5, 6) AS t)", 5),
    ("SELECT CAST('7' AS Nullable(Int32)) + '1'::Int8", 8),
    ("SELECT CAST('7', 'Int8')", 7),
    ("SELECT 1 = 2 ? 'yes' : 'no'", "no"),
    ("SELECT if(1, 'a', 'b')", "a"),
    ("SELECT CASE WHEN kind = 'tool' THEN 1 ELSE 0 END FROM spans WHERE span_id = 's2'", 1),
    (
        "SELECT s.span_id FROM spans s ASOF JOIN traces t ON s.trace_id = t.trace_id AND s.start_time >= t.start_time",
        None,
    ),
    ("SELECT count() FROM spans a JOIN spans b USING (trace_id)", 5),
    ("SELECT count() FROM spans AS a, spans AS b WHERE a.span_id = b.span_id", 3),
    ("SELECT count() FROM spans FINAL", 3),
    ("SELECT count() FROM spans PREWHERE kind = 'model' WHERE trace_id = 't1'", 1),
    ("SELECT count() FROM messages WHERE hasAllTokens(content, 'refund')", 0),
    ("SELECT x FROM (SELECT 1 AS x UNION ALL SELECT 2) ORDER BY x DESC LIMIT 1", 2),
    ("WITH 5 AS five, (SELECT count() FROM spans) AS n SELECT five + n", 8),
    ("WITH spans AS (SELECT * FROM spans WHERE kind = 'model') SELECT count() FROM spans", 2),
    ("WITH big AS (SELECT trace_id FROM spans WHERE kind = 'tool') SELECT count() FROM spans WHERE trace_id IN big", 2),
    ("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT a.x + b.y FROM a, b", 3),
    ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT max(n) FROM r", 4),
    (
        "SELECT count() FROM spans WHERE kind IN ['model', 'tool'] AND model NOT IN ('gpt-y') AND NOT kind IN ('chain')",
        2,
    ),
    ("SELECT count() FROM spans WHERE trace_id IN (SELECT trace_id FROM spans WHERE kind = 'tool')", 2),
    ("SELECT count() FROM spans WHERE duration_ms BETWEEN 1 AND 600 OR NOT duration_ms BETWEEN 1 AND 2000", 2),
    ("SELECT count() FROM spans WHERE end_time IS NOT NULL AND ttft_ms IS NULL", 3),
    ("SELECT extract('ab12', '[0-9]+') || extract(YEAR FROM toDate('2026-01-01'))::String", "122026"),
    ("SELECT trim(BOTH ' ' FROM ' a '), position('b' IN 'ab'), substring('abc' FROM 2 FOR 1)", "a"),
    ("SELECT JSONExtract('{\"a\": [1, 2]}', 'a', 'Array(UInt8)')", [1, 2]),
    ("SELECT uniqMerge(u) FROM (SELECT uniqState(trace_id) AS u FROM spans)", 2),
    ("SELECT count() FILTER (WHERE kind = 'tool') FROM spans", 1),
    ("SELECT tuple(1), (1,), [(1, 2)]", [1]),
    ("SELECT length(COLUMNS('^trace_id$')) FROM spans LIMIT 1", 2),
    ("SELECT * EXCEPT (attributes, resource) FROM spans ORDER BY span_id LIMIT 1", "t1"),
    ("SELECT count() -- the end\nFROM spans # of it\n/* all */", 3),
    ("SELECT 'it''s \\' \\\\ {db} -- ; \\n'", "it's ' \\ {db} -- ; \n"),
    ("SELECT 'DROP TABLE spans; SELECT file(1)'", "DROP TABLE spans; SELECT file(1)"),
    ("SELECT name AS `a name` FROM spans WHERE span_id = 's2'", "refund"),
    ("SELECT user_id AS user FROM spans GROUP BY user ORDER BY user", ""),
    ("SELECT user FROM (SELECT 'me' AS user)", "me"),
    ("WITH t AS (SELECT 'me' AS user) SELECT upper(user) FROM t WHERE user != ''", "ME"),
    ("SELECT arrayMap(user -> user + 1, [1])", [2]),
    ("SELECT agent FROM spans GROUP BY GROUPING SETS ((agent), (model)) ORDER BY ALL LIMIT 1", ""),
]


@pytest.mark.parametrize(("sql", "first"), ANSWERS, ids=[sql[:60] for sql, _ in ANSWERS])
def test_what_people_write_is_answered(each_store: TraceStore, sql: str, first: Any) -> None:
    rows = ask(each_store, sql)
    assert (rows[0][0] if rows else None) == first


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_every_view_answers(each_store: TraceStore, view: str) -> None:
    result = run(each_store, "mine", f"SELECT * FROM {view}")
    documented = next(v for v in VIEWS if v.name == view)
    assert result.columns == tuple(column.name for column in documented.columns)


def test_a_project_sees_its_own_rows_only(each_store: TraceStore) -> None:
    assert ask(each_store, "SELECT DISTINCT trace_id FROM spans ORDER BY trace_id") == [["t1"], ["t2"]]
    assert run(each_store, "theirs", "SELECT name FROM spans").rows == [["secret"]]
    assert run(each_store, "mine' OR 1 = 1 --", "SELECT name FROM spans").rows == []


def test_the_answer_says_what_it_cost_and_what_was_changed(each_store: TraceStore) -> None:
    result = run(each_store, "mine", "SELECT name, duration_ms FROM spans FINAL ORDER BY span_id")
    assert result.types[1].startswith("Float64")
    assert (result.row_count, result.more) == (3, False)
    assert result.rows_read >= 4
    assert result.bytes_read > 0
    assert "FINAL left out" in result.notes[0]


# --- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT number FROM numbers(100000)",
        "SELECT number FROM numbers(100000) LIMIT 500",
        "(SELECT 1) UNION ALL (SELECT number FROM numbers(100000))",
        "SELECT 1 UNION ALL SELECT number FROM numbers(100000)",
        "WITH x AS (SELECT number FROM numbers(100000)) SELECT * FROM x",
        "SELECT number FROM numbers(100000) ORDER BY number DESC LIMIT 500 WITH TIES",
    ],
)
def test_rows_are_cut_at_the_bound_and_it_is_said(each_store: TraceStore, sql: str) -> None:
    result = run(each_store, "mine", sql, SqlLimits(rows=7))
    assert (result.row_count, result.more) == (7, True)
    assert "first 7 rows" in result.notes[-1]


def test_exactly_as_many_rows_as_the_bound_is_not_more(each_store: TraceStore) -> None:
    result = run(each_store, "mine", "SELECT number FROM numbers(7)", SqlLimits(rows=7))
    assert (result.row_count, result.more, result.notes) == (7, False, ())


@pytest.mark.parametrize("rows", [0, -1, 10_001])
def test_the_bound_on_rows_has_bounds(store: TraceStore, rows: int) -> None:
    with pytest.raises(BadRequest):
        run(store, "mine", "SELECT 1", SqlLimits(rows=rows))


def test_bytes_are_cut_at_the_bound_and_it_is_said(each_store: TraceStore) -> None:
    result = run(each_store, "mine", "SELECT repeat('a', 1000) FROM numbers(100)", SqlLimits(bytes=10_000))
    assert (result.row_count, result.more) == (9, True)
    assert "passed 10,000 bytes" in result.notes[-1]


def test_an_answer_far_past_the_bound_is_refused(each_store: TraceStore) -> None:
    with pytest.raises(TooLarge) as caught:
        run(each_store, "mine", "SELECT repeat('a', 100000) FROM numbers(100)", SqlLimits(bytes=10_000))
    assert "LIMIT" in (caught.value.fix or "")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM numbers(1000000) a, numbers(10000000) b",
        "(SELECT count() FROM numbers(1000000) a, numbers(10000000) b) UNION ALL (SELECT 1)",
        "(SELECT 1) UNION ALL (SELECT count() FROM numbers(1000000) a, numbers(10000000) b)",
    ],
)
def test_time_is_bounded_wherever_the_query_ends(each_store: TraceStore, sql: str) -> None:
    with pytest.raises(TooLarge, match="time"):
        run(each_store, "mine", sql, SqlLimits(seconds=1))


def test_memory_is_bounded(each_store: TraceStore) -> None:
    with pytest.raises(TooLarge, match="memory"):
        run(
            each_store,
            "mine",
            "SELECT groupArray(repeat('a', 1000)) FROM numbers(1000000)",
            SqlLimits(memory_bytes=50_000_000),
        )


def test_a_query_that_fails_half_way_leaves_nothing_for_the_next_one(store: TraceStore) -> None:
    failing = "SELECT number, throwIf(number = 99) FROM numbers(1000)"
    for _ in range(8):
        with pytest.raises(PilothouseError):
            store.query(failing, settings={"max_block_size": 10})
    assert ask(store, "SELECT 'clean'") == [["clean"]]
    for _ in range(8):
        assert store.query("SELECT 'clean'").rows == [["clean"]]


def test_only_two_statements_run_at_a_time(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_sql, "_TURN_WAIT_S", 0.05)
    shared = user_sql._shared(store.engine)
    shared.turn.acquire()
    shared.turn.acquire()
    try:
        with pytest.raises(Overloaded) as caught:
            run(store, "mine", "SELECT 1")
        assert caught.value.retry_after_s
    finally:
        shared.turn.release()
        shared.turn.release()
    assert ask(store, "SELECT 1") == [[1]]


def test_a_failed_statement_gives_its_turn_back(store: TraceStore) -> None:
    for _ in range(5):
        refused(store, "SELECT nothing_there FROM spans")
    threads = [threading.Thread(target=ask, args=(store, "SELECT count() FROM spans")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


# --- what is refused ---------------------------------------------------------------------------------------------

REFUSED = [
    # statements
    "DROP TABLE span",
    "INSERT INTO span VALUES (1)",
    "SELECT 1; DROP TABLE span",
    "SELECT 1; SELECT 2",
    "SHOW TABLES",
    "DESCRIBE spans",
    "EXPLAIN SELECT 1",
    "SET readonly = 0",
    "SYSTEM SHUTDOWN",
    "ALTER TABLE span DELETE WHERE 1",
    "CREATE TABLE x AS SELECT 1",
    "EXISTS TABLE span",
    "KILL QUERY WHERE 1",
    "ATTACH TABLE x",
    "OPTIMIZE TABLE span",
    "USE system",
    "WATCH spans",
    "BEGIN TRANSACTION",
    "VALUES (1)",
    "",
    ";",
    "-- nothing",
    # tables
    "SELECT * FROM span",
    "SELECT * FROM system.tables",
    "SELECT * FROM pilothouse.span",
    "SELECT * FROM pilothouse.spans_of(project = 'theirs')",
    "SELECT * FROM spans_of(project = 'theirs')",
    "SELECT * FROM `system`.`tables`",
    'SELECT * FROM "system"."tables"',
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM `system.tables`",
    "SELECT * FROM default.x",
    "SELECT * FROM spans JOIN system.one USING x",
    "SELECT (SELECT count() FROM system.tables)",
    "WITH x AS (SELECT * FROM system.tables) SELECT * FROM x",
    "SELECT * FROM spans WHERE trace_id IN system.tables",
    "SELECT * FROM spans WHERE trace_id IN (span)",
    "SELECT * FROM spans WHERE trace_id IN span",
    "SELECT * FROM spans WHERE trace_id GLOBAL NOT IN span",
    "SELECT in(trace_id, span) FROM spans",
    "SELECT globalIn(trace_id, span) FROM spans",
    "SELECT 1 UNION ALL SELECT * FROM span",
    "SELECT 1 EXCEPT SELECT name FROM system.tables",
    "SELECT EXISTS (SELECT 1 FROM system.one)",
    # a WITH query is visible where it stands, not around it: outside, its name would be a table of the default database
    "SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x), x",
    "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
    # table functions
    "SELECT * FROM file('/etc/passwd')",
    "SELECT * FROM url('http://127.0.0.1', 'CSV', 'x String')",
    "SELECT * FROM s3('http://x/y')",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM executable('id', 'TSV', 'x String')",
    "SELECT * FROM merge('system', '.*')",
    "SELECT * FROM view(SELECT 1)",
    "SELECT * FROM viewIfPermitted(SELECT 1 ELSE null('x Int8'))",
    "SELECT * FROM cluster('c', system.one)",
    "SELECT * FROM python('x')",
    "SELECT * FROM Python(x)",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM input('x Int8')",
    "SELECT * FROM generateRandom('x Int8')",
    "SELECT * FROM values('x Int8', 1)",
    "SELECT * FROM sqlite('a', 'b')",
    "SELECT * FROM dictionary('x')",
    "SELECT * FROM loop(spans)",
    "SELECT * FROM numbers_mt(10)",
    "SELECT * FROM numbers(100000000000)",
    "SELECT * FROM numbers((SELECT 1))",
    "SELECT * FROM format(JSONEachRow, '{}')",
    # functions
    "SELECT file('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
    "SELECT arrayMap(file, ['/etc/passwd'])",
    "SELECT arrayMap(`file`, ['/etc/passwd'])",
    "SELECT arrayMap((file), ['/etc/passwd'])",
    "SELECT arrayMap(file AS f, ['/etc/passwd'])",
    "SELECT mapApply(file, map('a', 'b'))",
    "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
    "SELECT * APPLY file FROM (SELECT '/etc/passwd')",
    "SELECT COLUMNS('a') APPLY(x -> file(x)) FROM (SELECT '/etc/passwd' AS a)",
    "WITH x -> file(x) AS f SELECT f('/etc/passwd')",
    "SELECT fiLe('/etc/passwd')",
    "SELECT sleep(3)",
    "SELECT sleepEachRow(1) FROM numbers(10)",
    "SELECT hostName()",
    "SELECT currentUser()",
    "SELECT user()",
    "SELECT CURRENT_USER",
    "SELECT user AS user",
    "SELECT upper(user) AS user FROM spans",
    "SELECT 1 WHERE currentDatabase = 'x'",
    "SELECT (SELECT session_user)",
    "SELECT getSetting('max_threads')",
    "SELECT getServerSetting('max_connections')",
    "SELECT getMacro('x')",
    "SELECT dictGet('d', 'a', 1)",
    "SELECT dictGetOrDefault('d', 'a', 1, 2)",
    "SELECT joinGet('default.x', 'a', 1)",
    "SELECT addressToLine(1)",
    "SELECT catboostEvaluate('/x', 1)",
    "SELECT filesystemAvailable()",
    "SELECT tcpPort()",
    "SELECT uptime()",
    "SELECT serverUUID()",
    "SELECT displayName()",
    "SELECT queryID()",
    "SELECT currentDatabase()",
    "SELECT hasColumnInTable('system', 'one', 'dummy')",
    "SELECT aiGenerate('x')",
    "SELECT logTrace('x')",
    "SELECT evalMLMethod(1)",
    "SELECT runningConcurrency(1, 2)",
    "SELECT formatQuery('SELECT 1')",
    "SELECT getClientHTTPHeader('Authorization')",
    "SELECT currentRequestURL()",
    "SELECT initializeAggregation('sum', 1)",
    "SELECT finalizeAggregation(sumState(1))",
    "SELECT sumFile(1)",
    "SELECT arrayReduce(concat('s', 'um'), [1])",
    "SELECT file(0.5)('/etc/passwd')",
    "SELECT editDistance(repeat('a', 60000), repeat('b', 60000))",
    "SELECT levenshteinDistance(name, model) FROM spans",
    "SELECT arraySimilarity([1], [2], [1], [1])",
    # types that read bytes the engine trusts
    "SELECT CAST(unhex('00') AS AggregateFunction(uniq, String))",
    "SELECT unhex('00')::AggregateFunction(uniq, String)",
    "SELECT CAST(unhex('00'), 'AggregateFunction(uniq, String)')",
    "SELECT CAST(unhex('00'), concat('Aggregate', 'Function(uniq, String)'))",
    "SELECT accurateCast(unhex('00'), 'AggregateFunction(uniq, String)')",
    "SELECT JSONExtract('{}', concat('Aggregate', 'Function(uniq, String)'))",
    # clauses
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
    "SELECT 1 UNION ALL (SELECT 2 SETTINGS readonly = 0)",
    "WITH x AS (SELECT 1 SETTINGS limit = 0) SELECT * FROM x",
    "SELECT 1 FORMAT JSON",
    "SELECT 1 INTO OUTFILE '/tmp/x'",
    "SELECT * FROM spans SAMPLE 0.1",
    "SELECT count() FROM spans GROUP BY kind WITH TOTALS",
    # parameters and variables
    "SELECT {project:String}",
    "SELECT * FROM {x:Identifier}",
    "SELECT @@version",
    "SELECT ?",
    # names and texts with two readings
    'SELECT 1 AS "a\\\\"',
    "SELECT 1 AS `a``b`",
    'SELECT 1 AS "a`b"',
    "SELECT 1 AS `\x00`",
    "SELECT $$file$$",
    "SELECT '\\xff\\xfe'",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_everything_else_is_refused_with_a_message(store: TraceStore, sql: str) -> None:
    error = refused(store, sql)
    assert len(error.message) < 400
    assert "spans_of" not in error.message


def test_a_refused_statement_never_reaches_the_engine() -> None:
    """The check is pure: what it refuses cannot have run."""
    for sql in REFUSED:
        try:
            checked = check(sql, "db", frozenset({"file"}))
        except BadRequest:
            continue
        # What is left for the engine's own reading to refuse is harmless by itself.
        assert not re.search(r"system|/etc|\bspan\b", checked.sql), checked.sql


@pytest.mark.parametrize(
    ("sql", "got", "allowed", "fix"),
    [
        ("SELECT * FROM span", "span", "spans", "pilothouse sql --schema spans"),
        ("SELECT * FROM trace", "trace", "traces", "pilothouse sql --schema traces"),
        ("SELECT modle FROM spans", "modle", "spans.model", "pilothouse sql --schema spans"),
        ("SELECT s.durration_ms FROM spans AS s", "durration_ms", "spans.duration_ms", "pilothouse sql --schema spans"),
        ("SELECT content FROM spans", "content", "messages.content", "pilothouse sql --schema spans"),
        ("SELECT quantle(0.5)(duration_ms) FROM spans", "quantle", "quantile", "pilothouse sql --schema"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(
    each_store: TraceStore, sql: str, got: str, allowed: str, fix: str
) -> None:
    error = refused(each_store, sql)
    assert (error.got, error.fix) == (got, fix)
    assert allowed in error.allowed


def test_the_engines_own_words_name_no_internals(each_store: TraceStore) -> None:
    for sql in (
        "SELECT count() FROM spans WHERE name > 5 + 'x'",
        "SELECT sum(name) FROM spans",
        "SELECT a.b FROM spans a",
    ):
        error = refused(each_store, sql)
        assert not re.search(r"pilothouse\.|_of|SETTINGS|In scope|max_", error.message), error.message


def test_bad_syntax_says_where(each_store: TraceStore) -> None:
    assert "position 18" in refused(each_store, "SELECT name FROM , spans").message


@pytest.mark.parametrize("depth", [200, 5_000])
def test_deep_nesting_is_refused_not_fatal(store: TraceStore, depth: int) -> None:
    for sql in (f"SELECT {'(' * depth}1{')' * depth}", f"SELECT {'-' * depth} 1", "SELECT " + "+".join(["1"] * depth)):
        with contextlib.suppress(PilothouseError):
            run(store, "mine", sql)


def test_too_long_a_statement_is_refused(store: TraceStore) -> None:
    assert "too long" in refused(store, "SELECT '" + "a" * 100_001 + "'").message


# --- the engine as judge -----------------------------------------------------------------------------------------


def test_the_allowed_functions_exist_and_the_dangerous_do_not_slip_in(store: TraceStore) -> None:
    known = {row[0].lower(): row[1] for row in store.query("SELECT name, categories FROM system.functions").rows}
    beyond = {name.lower() for name in (_BEYOND + _BEYOND_AGGREGATES).split()}
    assert {*FUNCTIONS, *AGGREGATES} - set(known) - beyond == set()
    never = {"Introspection", "Internal", "AI", "Dictionary", "Embedded Dictionary", "Machine Learning", "Encryption"}
    assert [name for name, category in known.items() if category in never and is_allowed(name)] == []
    danger = re.compile(
        r"file|dict|joinget|setting|host|server|user|role|port$|macro|sleep|addressto|queryid|query_id|database|handler|"
        r"header|request|connection|transaction|zookeeper|uptime|shard|profile|certificate|thread|^ai|catboost|"
        r"evalml|logtrace|debug|buildid|kernel|fuzz|obfuscate|throw|^tid$|mergetree|hascolumn",
        re.IGNORECASE,
    )
    harmless = {"port", "multifuzzymatchany", "multifuzzymatchanyindex", "multifuzzymatchallindices"}
    assert {name for name in known if danger.search(name) and is_allowed(name)} <= harmless
    assert len([name for name in known if is_allowed(name)]) > 1_000


def test_only_array_and_map_functions_take_functions(store: TraceStore) -> None:
    """Elsewhere a bare name that is also a function's cannot call it."""
    higher = store.query("SELECT name FROM system.functions WHERE higher_order = 1").rows
    assert higher
    assert [name for (name,) in higher if is_allowed(name) and not name.lower().startswith(("array", "map"))] == []


def test_no_column_is_shadowed_by_a_refused_function(store: TraceStore) -> None:
    refused_names = user_sql._shared(store.engine).refused_functions
    assert [c.name for view in VIEWS for c in view.columns if c.name.lower() in refused_names] == []


def engine_sees(store: TraceStore, sql: str) -> tuple[set[str], set[str]]:
    """Names of functions and of tables in a statement, by the engine's own parser."""
    tree = json.loads(store.query("SELECT parseQueryToJSON({sql:String})", {"sql": sql}).rows[0][0])
    functions: set[str] = set()
    tables: set[str] = set()
    todo: list[Any] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo.extend(node)
        elif isinstance(node, dict):
            kind = node.get("type")
            if kind == "TableIdentifier":
                tables.add(node["name"])
            elif kind == "SetQuery":
                tables.add("SETTINGS")
            if "table_function" in node:
                tables.add(node["table_function"]["name"])
                arguments = node["table_function"].get("arguments")
                if node["table_function"]["name"] == "numbers":
                    todo.append(arguments)
                todo.extend(value for key, value in node.items() if key != "table_function")
                continue
            if kind == "Function":
                functions.add(node["name"])
            todo.extend(node.values())
    return functions, tables


# What the engine's parser makes of operators and CASE.
_OPERATORS = {
    *("in", "notIn", "globalIn", "globalNotIn", "lambda", "caseWithExpression", "CAST", "toInterval", "exists", "if"),
    *("isDistinctFrom", "isNotDistinctFrom", "tupleElement", "arrayElement", "negate", "multiIf"),
}

_pieces = st.sampled_from(
    [
        *(
            "SELECT",
            "FROM",
            "WHERE",
            "WITH",
            "AS",
            "IN",
            "NOT",
            "UNION ALL",
            "JOIN",
            "ON",
            "GROUP BY",
            "ORDER BY",
            "LIMIT",
        ),
        *(
            "ARRAY JOIN",
            "SETTINGS",
            "FORMAT",
            "INTO OUTFILE",
            "APPLY",
            "EXCEPT",
            "FINAL",
            "PREWHERE",
            "EXISTS",
            "GLOBAL",
        ),
        *(
            "spans",
            "traces",
            "span",
            "system.one",
            "system",
            ".",
            "numbers(3)",
            "x",
            "y",
            "file",
            "url",
            "arrayMap",
            "cte",
        ),
        *(
            "count()",
            "file('a')",
            "arrayMap(file, ['a'])",
            "(",
            ")",
            "[",
            "]",
            ",",
            ";",
            "*",
            "+",
            "-",
            "=",
            "->",
            "::",
            "?",
            ":",
        ),
        *(
            "1",
            "0x1",
            "1e3",
            "'a'",
            "'\\'",
            "'''",
            '"a"',
            "`b`",
            "``",
            "--",
            "#",
            "/*",
            "*/",
            "\n",
            "$$",
            "{",
            "}",
            "\\",
            "\x00",
        ),
        *(
            "\u00a0",
            "\u2028",
            "\ufeff",
            "\u201c",
            "CAST",
            "Int8",
            "AggregateFunction",
            "INTERVAL",
            "DAY",
            "trace_id",
            "name",
        ),
    ]
)
_soup = st.lists(_pieces, min_size=1, max_size=14).map(" ".join)
_glued = st.lists(_pieces, min_size=1, max_size=10).map("".join)
_templates = st.sampled_from(
    [
        "SELECT {a} FROM spans WHERE {b}",
        "WITH {a} AS (SELECT {b}) SELECT * FROM {c}",
        "SELECT arrayMap({a}, [{b}]) FROM {c}",
        "SELECT {a} FROM ({b}) AS {c}",
        "SELECT * FROM spans WHERE x IN {a} UNION ALL {b} {c}",
        "SELECT '{a}' AS \"{b}\" FROM `{c}`",
        "SELECT CAST({a} AS {b}), {c}",
    ]
)
_filled = st.builds(
    lambda template, a, b, c: template.replace("{a}", a).replace("{b}", b).replace("{c}", c),
    _templates,
    _glued,
    _soup,
    _glued,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sql=st.one_of(_soup, _glued, _filled, st.text(max_size=60)))
@example(sql="SELECT arrayMap(file, ['a']) FROM spans")
@example(sql="SELECT 1 WHERE 1 IN span")
@example(sql="SELECT\rFROM(SELECT)")
def test_whatever_is_typed_only_reads_of_views_reach_the_engine(store: TraceStore, sql: str) -> None:
    refused_names = user_sql._shared(store.engine).refused_functions
    try:
        checked = check(sql, "pilothouse", refused_names)
    except BadRequest:
        return
    try:
        functions, tables = engine_sees(store, checked.sql)
    except PilothouseError:
        return  # the engine cannot read it: it cannot run it
    assert {name for name in functions if name.lower() in refused_names} <= _OPERATORS
    assert {table for table in tables if not table.startswith("with ")} <= {f"{v.name}_of" for v in VIEWS} | {
        *(f"pilothouse.{view.name}_of" for view in VIEWS),
        "numbers",
    }


@pytest.mark.parametrize("sql", [sql for sql, _ in ANSWERS])
def test_the_engine_sees_in_good_questions_what_we_see(store: TraceStore, sql: str) -> None:
    checked = check(sql.removesuffix(";"), "pilothouse")
    functions, tables = engine_sees(store, checked.sql)
    assert {name for name in functions if not is_allowed(name)} <= _OPERATORS
    assert "SETTINGS" not in tables
