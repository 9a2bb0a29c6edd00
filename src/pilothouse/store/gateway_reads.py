"""Calls through the gateway, counted from stored traces: by upstream, by route, and as a whole."""

from __future__ import annotations

from typing import Any, Final, Literal

from pilothouse.records import names

from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

By = Literal["upstream", "route", "all"]

_BY: Final = {
    "upstream": "attributes['pilothouse.gateway.upstream']",
    "route": "attributes['pilothouse.gateway.route']",
    "all": "''",
}
_ENDED: Final = (
    "status != 'running' AND error_type = '' AND attributes['pilothouse.cache.outcome'] NOT IN ('hit', 'meaning')"
)


def gateway_calls(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, by: By, limit: int
) -> list[dict[str, Any]]:
    """Calls of a window, those of most calls first. Latency is that of answers that came from a model."""
    return store.query(
        f"SELECT {_BY[by]} AS name, count() AS calls, countIf(error_type != '') AS errors, "
        f"if(countIf({_ENDED}) = 0, [], quantilesExactIf(0.5, 0.95)(duration_ns / 1e6, {_ENDED})) AS ms, "
        "toString(sum(ifNull(cost_usd, 0))) AS cost_usd, "
        "countIf(toUInt32OrZero(attributes['pilothouse.gateway.attempts']) > 1) AS retried, "
        "countIf(attributes['pilothouse.gateway.fell_back'] = 'true') AS fell_back, "
        "countIf(attributes['pilothouse.gateway.stood_in'] != '') AS stood_in, "
        "countIf(attributes['pilothouse.cache.outcome'] IN ('hit', 'meaning')) AS cached, "
        "countIf(error_type = 'guard_blocked') AS blocked, countIf(error_type = 'over_budget') AS over_budget, "
        "countIf(error_type IN ('rate_limited', 'overloaded')) AS limited "
        "FROM {db}.span FINAL WHERE project_id = {project:String} AND scope_name = {scope:String} "
        "AND kind IN ('model', 'embedding') AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
        "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC') "
        "GROUP BY name ORDER BY calls DESC, name LIMIT {limit:UInt32}",
        {"project": project, "scope": names.GATEWAY_SCOPE, "since": since_ns, "until": until_ns, "limit": limit},
        settings=READ_SETTINGS,
    ).dicts()


def gateway_steps(store: TraceStore, project: str, trace_id: str, *, limit: int) -> list[dict[str, Any]]:
    """Calls of a trace for which the gateway did more than pass them on, in order of time."""
    return store.query(
        "SELECT span_id, toUnixTimestamp64Nano(start_time) + duration_ns AS time_ns, error_type, "
        "attributes['pilothouse.gateway.tried'] AS tried, attributes['pilothouse.gateway.stood_in'] AS stood_in, "
        "attributes['pilothouse.gateway.fell_back'] = 'true' AS fell_back, "
        "attributes['pilothouse.gateway.asked_model'] AS asked, request_model AS sent, "
        "attributes['pilothouse.gateway.chosen_by'] AS chosen_by, attributes['pilothouse.cache.outcome'] AS cache, "
        "attributes['pilothouse.cache.saved_usd'] AS saved_usd "
        "FROM {db}.span FINAL WHERE project_id = {project:String} AND trace_id = {id:String} "
        "AND scope_name = {scope:String} AND kind IN ('model', 'embedding') AND (tried != '' OR stood_in != '' OR fell_back "
        "OR chosen_by != '' OR cache IN ('hit', 'meaning') OR error_type IN ('over_budget', 'rate_limited', 'overloaded')) "
        "ORDER BY time_ns, span_id LIMIT {limit:UInt32}",
        {"project": project, "id": trace_id, "scope": names.GATEWAY_SCOPE, "limit": limit},
        settings=READ_SETTINGS,
    ).dicts()
