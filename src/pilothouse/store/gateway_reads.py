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
