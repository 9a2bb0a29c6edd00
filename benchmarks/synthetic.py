"""Fill a store with millions of consistent spans in about a minute: the rows are made inside the engine.

``python benchmarks/synthetic.py --data DIR [--spans 2000000] [--days 7] [--huge]`` opens DIR's embedded store, fills
the project ``default`` and prints what is there. Spans, traces and messages agree with each other: references
resolve, sums are sums, sessions have three turns. The same arguments give the same rows.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from pilothouse.store import TraceStore, open_store

SPANS_A_TRACE = 12
DAY_NS = 86_400_000_000_000
AGENTS = ("refunds", "support", "research", "triage", "coder", "reviewer", "planner", "writer", "analyst", "router")
MODELS = ("gpt-5-mini", "gpt-5", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-flash")
PROVIDERS = ("openai", "openai", "anthropic", "anthropic", "google")
TOOLS = ("get_order", "refund_order", "search_docs", "send_mail", "run_tests", "read_file", "web_search", "book_slot")
ERRORS = ("TimeoutError", "RateLimitError", "ValueError", "ConnectionError")

_SYLLABLES = ("ba", "co", "di", "fer", "go", "hal", "in", "ker", "lo", "mun", "nor", "or", "pa", "qua", "rem", "sil")


def vocabulary(size: int = 3000, seed: int = 7) -> list[str]:
    """Made-up words, the frequent ones first."""
    dice = random.Random(seed)
    words: dict[str, None] = {"card": None, "declined": None, "order": None, "refund": None}
    while len(words) < size:
        words["".join(dice.choice(_SYLLABLES) for _ in range(dice.randint(2, 4)))] = None
    return list(words)


def _array(values: tuple[str, ...] | list[str]) -> str:
    return "[" + ",".join(f"'{value}'" for value in values) + "]"


def _pick(values: tuple[str, ...], salt: int) -> str:
    return f"{_array(values)}[1 + cityHash64(t, {salt}) % {len(values)}]"


# t: number of the trace; i: place of the span in it, from 0. Spans alternate: agent, model, tool, model, tool, …, model.
_COMMON = f"""
    lower(hex(sipHash128('trace', t))) AS trace_id,
    {_pick(AGENTS, 1)} AS agent, toString(1 + cityHash64(t, 2) % 4) || '.0' AS agent_version,
    if(cityHash64(t, 3) % 5 = 0, 'staging', 'production') AS environment,
    'user-' || toString(cityHash64(intDiv(t, 3), 4) % 5000) AS user_id,
    lower(hex(sipHash128('session', intDiv(t, 3)))) AS session_id,
    cityHash64(t, 5) % {len(MODELS)} AS m,
    cityHash64(t, 6) % 25 = 0 AS fails,
    200 + cityHash64(t, 7) % 3000 AS pace_ms
"""


def _span_sql(first: int, count: int, start_ns: int, step_ns: int, spans: int) -> str:
    """Spans of traces ``first`` to ``first + count``, each trace ``step_ns`` after the one before."""
    return f"""
INSERT INTO {{db}}.span SELECT
    {{project:String}}, trace_id,
    lower(leftPad(hex(cityHash64('span', t, i)), 16, '0')) AS span_id,
    if(i = 0, '', lower(leftPad(hex(cityHash64('span', t, 0)), 16, '0'))) AS parent_span_id,
    i + 1 AS step,
    multiIf(i = 0, 'agent', i % 2 = 1, 'model', 'tool') AS kind,
    multiIf(i = 0, 'invoke_agent ' || agent, i % 2 = 1, 'chat ' || model, 'execute_tool ' || tool) AS name,
    agent, '' AS agent_id, agent_version,
    multiIf(i = 0, 'invoke_agent', i % 2 = 1, 'chat', 'execute_tool') AS operation,
    if(kind = 'model', {_array(MODELS)}[m + 1], '') AS model, model AS request_model,
    if(kind = 'model', {_array(PROVIDERS)}[m + 1], '') AS provider, 'otel' AS dialect,
    if(fails AND i = {spans} - 2, 'error', 'ok') AS status,
    if(status = 'error', {_pick(ERRORS, 8)}, '') AS error_type,
    if(status = 'error', error_type || ': the card was declined by bank ' || toString(t % 97), '') AS error_message,
    '' AS error_stack,
    fromUnixTimestamp64Nano({start_ns} + (t - {first}) * {step_ns} + toInt64(i) * pace_ms * 1000000, 'UTC') AS start_time,
    if(i = 0, {spans} * pace_ms, intDiv(pace_ms * 9, 10)) * 1000000 AS duration_ns,
    if(kind = 'model', 100000000 + cityHash64(t, i, 9) % 900000000, NULL) AS ttft_ns,
    if(kind = 'model', 300 + i % 50 * 40, 0) AS input_uncached, if(kind = 'model', i % 50 * 100, 0) AS cache_read, 0, 0, 0, 0,
    if(kind = 'model', 20 + cityHash64(t, i, 10) % 200, 0) AS output_text_n, if(kind = 'model' AND m < 2, 30, 0) AS reasoning_n, 0,
    if(kind = 'model', 'leaf', '') AS usage_scope, if(kind = 'model', 'otel: input includes cache', '') AS usage_rule, 0,
    if(kind = 'model' AND m != 4, toDecimal64(input_uncached + output_text_n * 4, 12) / 2000000, NULL) AS cost_usd,
    multiIf(kind != 'model', 'no usage', m = 4, 'unknown model', 'price book') AS cost_source, NULL, '',
    if(kind = 'tool', {_array(TOOLS)}[1 + cityHash64(t, i, 11) % {len(TOOLS)}], '') AS tool,
    if(kind = 'tool', 'call_' || toString(t % 100000) || '_' || toString(i), '') AS tool_call_id, '' AS tool_error,
    '' AS response_id, if(kind = 'model', if(i = {spans} - 1, 'stop', 'tool_calls'), '') AS finish_reason,
    session_id, user_id, environment, agent || '-service' AS service, '' AS feature,
    [if(cityHash64(t, 12) % 10 = 0, 'beta', 'stable')] AS tags, '' AS prompt_name, '' AS prompt_version, '{{}}' AS parameters,
    if(kind = 'tool', '{{"id":' || toString(t) || ',"part":"' || {{vocabulary:Array(String)}}[1 + cityHash64(t, i, 13) % 3000] || '"}}',
       'please help with order ' || toString(t)) AS input_text,
    if(kind = 'tool', '{{"status":"' || {{vocabulary:Array(String)}}[1 + cityHash64(t, i, 14) % 3000] || '","total":' || toString(t % 900) || '}}',
       'the order ' || toString(t) || ' is on its way') AS output_text,
    trace_id AS message_scope,
    if(kind = 'tool', [], arrayMap(k -> lower(hex(sipHash128('message', t, toUInt64(k)))), range(toUInt64(if(i = 0, 1, i))))) AS input_refs,
    if(kind = 'tool', [], [lower(hex(sipHash128('message', t, toUInt64(if(i = 0, {spans} - 1, i)))))]) AS output_refs,
    '' AS tools_ref, if(kind = 'model', {_array(TOOLS)}, []) AS tools_offered, '' AS documents_ref,
    map('gen_ai.operation.name', operation, 'tenant', 'tenant-' || toString(cityHash64(t, 15) % 200),
        'region', if(t % 2 = 0, 'eu', 'us'), 'request.id', toString(cityHash64(t, i, 16)), 'build', agent_version) AS attributes,
    ['build'] AS typed_attributes, map('service.name', service, 'host.name', 'host-' || toString(t % 20)) AS resource,
    'synthetic' AS scope_name, '1' AS scope_version, 1, '' AS trace_state, '' AS links, [],
    toDateTime64(start_time, 3, 'UTC') + toIntervalMillisecond(intDiv(duration_ns, 1000000)) AS received_at,
    toDate(received_at) AS received_day, 1
FROM (SELECT number % {spans} AS i, {first} + intDiv(number, {spans}) AS t, {_COMMON} FROM numbers({count} * {spans}))
"""


def _message_sql(first: int, count: int, start_ns: int, step_ns: int, spans: int, words: int) -> str:
    text = f"arrayMap(k -> {{vocabulary:Array(String)}}[1 + toUInt32(pow((cityHash64(t, i, k) % 10000) / 10000., 2) * 3000)], range({words}))"
    return f"""
INSERT INTO {{db}}.message SELECT
    {{project:String}}, lower(hex(sipHash128('trace', t))) AS trace_id_, lower(hex(sipHash128('message', t, toUInt64(i)))), 'message',
    multiIf(i = 0, 'user', i % 2 = 1, 'assistant', 'tool'), '',
    arrayStringConcat({text}, ' ') || if(i = 0, ' needle' || toString(t), ''), '',
    trace_id_, lower(leftPad(hex(cityHash64('span', t, i)), 16, '0')),
    fromUnixTimestamp64Milli(intDiv({start_ns} + (t - {first}) * {step_ns}, 1000000) + i, 'UTC') AS time_,
    time_, toDate(time_), 1
FROM (SELECT number % {spans} AS i, {first} + intDiv(number, {spans}) AS t FROM numbers({count} * {spans}))
"""


_TRACE_SQL = """
INSERT INTO {db}.trace SELECT
    project_id, trace_id, argMin(span_id, step) AS root_span_id_, argMin(name, step), argMin(agent, step), argMin(agent_version, step),
    groupUniqArrayIf(agent, agent != ''), groupUniqArrayIf(model, model != ''), groupUniqArrayIf(tool_name, tool_name != ''),
    groupUniqArray(dialect), if(countIf(status = 'error') > 0, 'error', 'ok'), 0, 0, min(start_time) AS start_, argMin(duration_ns, step),
    count(), countIf(kind = 'model'), countIf(kind = 'tool'), countIf(status = 'error'), 0, 0,
    sum(input_uncached_tokens), sum(cache_read_tokens), 0, 0, 0, 0, sum(output_text_tokens), sum(reasoning_tokens), 0,
    sum(cost_usd), countIf(cost_source = 'unknown model'), 0, 0,
    any(session_id), any(user_id), any(environment), any(service), '', any(tags), argMin(input_text, step), argMin(output_text, step),
    anyIf(error_message, status = 'error'), if(countIf(status = 'error') > 0, ['error'], []), '',
    max(received_at), toDate(max(received_at)), 1
FROM {db}.span WHERE project_id = {project:String} AND received_day >= toDate({day:String}) - 1
    AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND trace_id IN (SELECT lower(hex(sipHash128('trace', {first:UInt64} + number))) FROM numbers({count:UInt64}))
GROUP BY project_id, trace_id
"""


def fill(
    store: TraceStore,
    project: str,
    *,
    spans: int = 2_000_000,
    days: int = 7,
    until_ns: int | None = None,
    words: int = 40,
) -> None:
    """Insert ``spans`` spans in traces of twelve, spread evenly over the ``days`` before ``until_ns`` (now)."""
    until_ns = until_ns or time.time_ns()
    traces = spans // SPANS_A_TRACE
    step_ns = days * DAY_NS // max(traces, 1)
    shared = {"project": project, "vocabulary": vocabulary()}
    done = 0
    while done < traces:
        # A piece of 4,000 traces keeps each INSERT within the engine's memory bound.
        count = min(4_000, traces - done)
        start_ns = until_ns - days * DAY_NS + done * step_ns
        store.command(_span_sql(done, count, start_ns, step_ns, SPANS_A_TRACE), shared)
        store.command(_message_sql(done, count, start_ns, step_ns, SPANS_A_TRACE, words), shared)
        _fill_traces(store, project, start_ns, done, count)
        done += count


def huge_trace(store: TraceStore, project: str, *, spans: int = 50_000, number: int = 900_000_001) -> str:
    """Insert one trace of so many spans, an hour ago; returns its id."""
    start_ns = time.time_ns() - 3_600_000_000_000
    shared = {"project": project, "vocabulary": vocabulary()}
    # A span every 50 ms, and inputs of at most 50 messages: what an agent with a window on its history sends.
    sql = _span_sql(number, 1, start_ns, 1, spans).replace(
        "range(toUInt64(if(i = 0, 1, i)))", "range(toUInt64(if(i = 0, 1, i % 50)))"
    )
    store.command(sql.replace("200 + cityHash64(t, 7) % 3000 AS pace_ms", "50 AS pace_ms"), shared)
    store.command(_message_sql(number, 1, start_ns, 1, spans, 40), shared)
    _fill_traces(store, project, start_ns, number, 1)
    return str(store.query("SELECT lower(hex(sipHash128('trace', {n:UInt64})))", {"n": number}).rows[0][0])


def huge_session(store: TraceStore, project: str, *, observations: int = 30_000, session: str = "huge-session") -> str:
    """Insert one session of so many spans, two hours ago, in traces of twelve; returns its id."""
    start_ns, count = time.time_ns() - 7_200_000_000_000, observations // SPANS_A_TRACE
    first, step_ns = 800_000_000, 1_000_000_000
    shared = {"project": project, "vocabulary": vocabulary()}
    replaced = f"'{session}' AS session_id"
    sql = _span_sql(first, count, start_ns, step_ns, SPANS_A_TRACE)
    store.command(sql.replace("lower(hex(sipHash128('session', intDiv(t, 3)))) AS session_id", replaced), shared)
    store.command(_message_sql(first, count, start_ns, step_ns, SPANS_A_TRACE, 40), shared)
    _fill_traces(store, project, start_ns, first, count)
    return session


def _fill_traces(store: TraceStore, project: str, since_ns: int, first: int, count: int) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime(since_ns // 1_000_000_000))
    store.command(_TRACE_SQL, {"project": project, "since": since_ns, "day": day, "first": first, "count": count})


def main() -> None:
    """Fill the store of ``--data`` and print what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--project", default="default")
    parser.add_argument("--huge", action="store_true", help="also a trace of 50,000 spans and a session of 30,000")
    options = parser.parse_args()
    store = open_store("", options.data)
    store.migrate()
    began = time.monotonic()
    fill(store, options.project, spans=options.spans, days=options.days)
    if options.huge:
        print("trace", huge_trace(store, options.project))
        print("session", huge_session(store, options.project))
    for table in ("span", "trace", "message"):
        print(table, store.query(f"SELECT count() FROM {{db}}.{table}").rows[0][0])
    print(f"{time.monotonic() - began:.0f} s")
    store.close()


if __name__ == "__main__":
    main()
