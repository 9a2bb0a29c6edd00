"""Reads for the system map: components, who calls whom, prompts, services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .chart_reads import spans_of_traces
from .conditions import Condition, Where
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

_NAMED = "'agent', 'model', 'tool', 'retrieval', 'embedding', 'guard', 'evaluator'"

# A component is a kind and what people know it by. The rest of the spans are wrappers that calls go through.
_LABEL = (
    "multiIf(kind = 'agent' AND agent != '', agent, kind IN ('model', 'embedding') AND model != '', model, "
    "kind = 'model' AND request_model != '', request_model, kind = 'tool' AND tool_name != '', tool_name, name)"
)

# Read from attributes, and therefore only of the few spans that can have them: waits, and clients of other systems.
_WAIT = "kind = 'waiting'"
_REMOTE = "kind IN ('other', 'chain') AND otel_kind IN (3, 4)"
_HOST = (
    "multiIf(attributes['peer.service'] != '', attributes['peer.service'], "
    "attributes['server.address'] != '', attributes['server.address'], "
    "attributes['net.peer.name'] != '', attributes['net.peer.name'], "
    "attributes['http.host'] != '', attributes['http.host'], "
    "attributes['url.full'] != '', domain(attributes['url.full']), "
    "attributes['http.url'] != '', domain(attributes['http.url']), "
    "attributes['db.system.name'] != '', attributes['db.system.name'], attributes['db.system'])"
)
_WAIT_FOR = "attributes['pilothouse.wait.for']"

_BAD = "status = 'error' OR tool_error != ''"
_SPANS = f"SELECT *, {_BAD} AS bad, status != 'running' AS ended FROM {{db}}.span FINAL"
_MEASURES = (
    "count() AS calls, countIf(bad) AS failed, "
    "if(countIf(ended) = 0, NULL, quantileTDigestIf(0.95)(duration_ns, ended)) AS p95_ns"
)

_MCP_SPAN = "kind = 'tool' AND (startsWith(name, 'tools/call') OR positionCaseInsensitive(scope_name, 'mcp') > 0)"
_MCP_SERVER = (
    "multiIf(attributes['mcp.server.name'] != '', attributes['mcp.server.name'], "
    "attributes['mcp.server'] != '', attributes['mcp.server'], "
    "attributes['peer.service'] != '', attributes['peer.service'], attributes['server.address'])"
)

Found = list[dict[str, Any]]


def _sample(where: Where, one_in: int) -> str:
    """The clause that keeps one trace in so many. PREWHERE: the other columns are read of these alone."""
    if one_in <= 1:
        return ""
    where.params["one_in"] = one_in
    return "PREWHERE cityHash64(trace_id) % {one_in:UInt32} = 0 "


def component_rows(
    store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition], *, rows_max: int
) -> Found:
    """Components by kind and label, busiest first; ``set_size`` is how many there are, ``set_calls`` all their spans."""
    where = spans_of_traces(project, since_ns, until_ns, conditions)
    return store.query(
        "SELECT *, count() OVER () AS set_size, sum(calls) OVER () AS set_calls FROM ("
        f"SELECT kind, {_LABEL} AS label, {_MEASURES}, sumIf(cost_usd, usage_scope != 'aggregate') AS cost, "
        "topK(10)(service) AS services, arraySlice(groupUniqArrayIf(agent_version, kind = 'agent'), 1, 50) AS versions, "
        "anyIf(provider, provider != '') AS provider_, "
        "max(toUnixTimestamp(start_time)) AS last_s "
        f"FROM ({_SPANS} "
        f"WHERE {where.sql} AND kind IN ({_NAMED}) AND duplicate_of = '') GROUP BY kind, label) "
        "ORDER BY calls DESC, kind, label LIMIT {rows:UInt32}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


def beside_rows(
    store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition], *, rows_max: int
) -> Found:
    """Waits by what for, and systems called by host: as :func:`component_rows`, kinds ``waiting`` and ``external``."""
    where = spans_of_traces(project, since_ns, until_ns, conditions)
    return store.query(
        f"SELECT if({_WAIT}, 'waiting', 'external') AS kind_, if({_WAIT}, {_WAIT_FOR}, {_HOST}) AS label, {_MEASURES}, "
        "topK(10)(service) AS services, max(toUnixTimestamp(start_time)) AS last_s "
        f"FROM ({_SPANS} "
        f"WHERE {where.sql} AND ({_WAIT} OR {_REMOTE})) WHERE label != '' GROUP BY kind_, label "
        "ORDER BY calls DESC, kind_, label LIMIT {rows:UInt32}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


def spent_rows(store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition]) -> Found:
    """What the calls that name an agent cost, by agent."""
    where = spans_of_traces(project, since_ns, until_ns, conditions)
    return store.query(
        "SELECT agent, sum(cost_usd) AS cost FROM {db}.span FINAL "
        f"WHERE {where.sql} AND usage_scope = 'leaf' AND duplicate_of = '' AND agent != '' GROUP BY agent",
        where.params,
        settings=READ_SETTINGS,
    ).dicts()


_LEVELS = 4
"""Wrappers without an agent's name that a call is followed through upwards."""


def edge_rows(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    *,
    one_in: int,
    wrapped: bool,
    beside: bool,
    rows_max: int,
) -> Found:
    """Who calls whom, busiest first: the nearest agent or tool above a span, else the agent the span names.

    ``source_kind`` is agent, tool, or empty where no caller is known (``source`` then is the service). Traces are
    sampled by a hash of their ids, one in ``one_in``. ``wrapped`` follows callers through spans that are no component
    and name no agent; ``beside`` adds waits and external systems.
    """
    where = spans_of_traces(project, since_ns, until_ns, conditions)
    some = _sample(where, one_in)
    shared = (
        f"agent, service, {_BAD} AS bad, status != 'running' AS ended, duration_ns, "
        "if(parent_span_id = '', 0, cityHash64(trace_id, parent_span_id)) AS up"
    )
    children = (
        f"SELECT kind AS what, {_LABEL} AS label, {shared} FROM {{db}}.span FINAL {some}"
        f"WHERE {where.sql} AND kind IN ({_NAMED}) AND duplicate_of = ''"
    )
    if beside:
        children += (
            f" UNION ALL SELECT if({_WAIT}, 'waiting', 'external') AS what, if({_WAIT}, {_WAIT_FOR}, {_HOST}) AS label, "
            f"{shared} FROM {{db}}.span FINAL {some}WHERE {where.sql} AND ({_WAIT} OR {_REMOTE}) AND label != ''"
        )
    if wrapped:
        # Joins need no FINAL: versions of a span name the same parent, kind and label.
        wrappers = (
            "SELECT cityHash64(trace_id, span_id) AS id, cityHash64(trace_id, parent_span_id) AS above FROM {db}.span "
            f"{some}"
            f"WHERE {where.sql} AND kind NOT IN ('agent', 'tool') AND agent = '' AND parent_span_id != ''"
        )
        for _ in range(_LEVELS):
            children = (
                "SELECT c.* EXCEPT (up), if(w.above = 0, c.up, w.above) AS up FROM "
                f"({children}) AS c LEFT ANY JOIN ({wrappers}) AS w ON c.up = w.id"
            )
    callers = (
        "SELECT cityHash64(trace_id, span_id) AS id, if(kind = 'tool', 'tool', 'agent') AS caller_kind, "
        f"if(kind IN ('agent', 'tool'), {_LABEL}, agent) AS caller FROM {{db}}.span {some}WHERE {where.sql} "
        "AND (kind IN ('agent', 'tool') OR kind IN ('chain', 'other', 'waiting') AND agent != '')"
    )
    # What names its agent itself knows better than its ancestors, but for the tool it runs in.
    own = "what != 'agent' AND agent != '' AND caller_kind != 'tool'"
    return store.query(
        f"SELECT multiIf({own}, 'agent', caller_kind) AS source_kind, "
        f"multiIf({own}, agent, caller != '', caller, service) AS source, what AS target_kind, label AS target, "
        f"{_MEASURES}, count() OVER () AS set_size "
        f"FROM ({children}) AS c LEFT ANY JOIN ({callers}) AS p ON c.up = p.id "
        "WHERE NOT (what = 'agent' AND caller = '') "
        "GROUP BY source_kind, source, target_kind, target "
        "HAVING NOT (source_kind = target_kind AND source = target) "
        "ORDER BY calls DESC, source, target LIMIT {rows:UInt32}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


def prompt_rows(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    *,
    one_in: int,
    rows_max: int,
) -> Found:
    """Prompts by agent: the managed name and version, and the system message a call begins with. Busiest first.

    Calls that name no agent are their trace's agent's. Where a prompt has a name, the newest hash stands for it.
    """
    where = spans_of_traces(project, since_ns, until_ns, conditions)
    some = _sample(where, one_in)
    return store.query(
        "SELECT *, count() OVER () AS set_size FROM (SELECT if(s.agent != '', s.agent, t.agent) AS agent_, "
        "prompt_name, prompt_version, if(prompt_name = '', first, '') AS key, argMax(first, start_time) AS hash, "
        "count() AS calls, countIf(status = 'error') AS failed, sum(cost_usd) AS cost, "
        "arraySlice(groupUniqArray(model), 1, 10) AS models, max(toUnixTimestamp(start_time)) AS last_s "
        "FROM (SELECT trace_id, agent, prompt_name, prompt_version, start_time, status, cost_usd, model, "
        "if(input_refs[1] IN (SELECT hash FROM {db}.message WHERE project_id = {project:String} AND scope = '' "
        "AND kind = 'message' AND role IN ('system', 'developer')), input_refs[1], '') AS first "
        f"FROM {{db}}.span FINAL {some}WHERE {where.sql} AND kind = 'model' AND duplicate_of = '') AS s "
        "LEFT ANY JOIN (SELECT trace_id, agent FROM {db}.trace WHERE project_id = {project:String} "
        "AND received_day >= toDate(fromUnixTimestamp64Nano(greatest({since:Int64}, 172800000000000), 'UTC')) - 2) "
        "AS t ON s.trace_id = t.trace_id "
        "GROUP BY agent_, prompt_name, prompt_version, key HAVING prompt_name != '' OR key != '') "
        "ORDER BY calls DESC, agent_, prompt_name, prompt_version, key LIMIT {rows:UInt32}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


def prompt_heads(store: TraceStore, project: str, hashes: Sequence[str], *, chars: int) -> dict[str, str]:
    """How system messages begin, by hash."""
    if not hashes:
        return {}
    table = store.query(
        "SELECT hash, substringUTF8(content, 1, {chars:UInt32}) FROM {db}.message WHERE project_id = {project:String} "
        "AND scope = '' AND hash IN {hashes:Array(String)} LIMIT 1 BY hash",
        {"project": project, "hashes": list(hashes), "chars": chars},
    )
    return {row[0]: row[1] for row in table.rows}


def mcp_rows(
    store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition], *, rows_max: int
) -> Found:
    """Tools called over MCP, with the server their attributes name."""
    where = spans_of_traces(project, since_ns, until_ns, conditions)
    return store.query(
        f"SELECT {_LABEL} AS label, {_MCP_SERVER} AS server, {_MEASURES} "
        f"FROM ({_SPANS} "
        f"WHERE {where.sql} AND {_MCP_SPAN}) WHERE server != '' GROUP BY label, server "
        "ORDER BY calls DESC, server, label LIMIT {rows:UInt32}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


def service_rows(
    store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition], *, rows_max: int
) -> Found:
    """Services with their spans, busiest first, and whether there is anything for the reads that are dear.

    ``beside``, ``over_mcp``, ``unnamed`` and ``wrappers`` count waits and remote calls, MCP calls, components' spans
    and other spans that name no agent. Hosts are read of the newest ten minutes alone: the column is wide.
    """
    where = spans_of_traces(project, since_ns, until_ns, conditions)
    rows = store.query(
        f"SELECT service, count() AS spans, countIf({_BAD}) AS failed, toUnixTimestamp64Nano(max(start_time)) AS last_ns, "
        f"countIf({_WAIT} OR {_REMOTE}) AS beside, countIf({_MCP_SPAN}) AS over_mcp, "
        f"countIf(kind IN ({_NAMED}) AND kind != 'agent' AND agent = '') AS unnamed, "
        f"countIf(kind NOT IN ('agent', 'tool') AND agent = '' AND parent_span_id != '') AS wrappers "
        f"FROM {{db}}.span FINAL WHERE {where.sql} GROUP BY service "
        "ORDER BY spans DESC, service LIMIT {rows:UInt32}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()
    if not rows:
        return rows
    newest = max(row["last_ns"] for row in rows)
    beginning = max(since_ns, newest - 600_000_000_000)
    near = spans_of_traces(project, beginning, until_ns, ())
    hosts = store.query(
        "SELECT service, arraySort(arraySlice(groupUniqArray(host), 1, 10)) FROM (SELECT service, "
        "if(resource['host.name'] != '', resource['host.name'], resource['k8s.pod.name']) AS host "
        f"FROM {{db}}.span WHERE {near.sql} LIMIT 20000) WHERE host != '' GROUP BY service",
        near.params,
    )
    known: dict[str, list[str]] = {row[0]: row[1] for row in hosts.rows}
    return [{**row, "hosts": known.get(row["service"], [])} for row in rows]
