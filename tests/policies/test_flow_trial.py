"""Limits, routes and survival of another policy over stored model calls."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.costs import PriceBook
from pilothouse.policies import FlowTrial, Trial, try_policy
from pilothouse.policy import read
from pilothouse.records import text_message
from pilothouse.store import TraceStore
from tests.traces.support import MINUTE_NS, NOW_NS, PROJECT, TraceBuilder, store_rows, trace_id

HOUR_NS = 60 * MINUTE_NS
PRICES = PriceBook([{"model": "small", "input": 1.0, "output": 4.0}, {"model": "large", "input": 10.0, "output": 40.0}])
UP = "upstreams: {up: {wire: openai, url: 'http://127.0.0.1:9/v1'}}"


def stored(store: TraceStore, *calls: dict[str, Any], every_s: float = 1.0) -> None:
    rows: list[dict[str, list[list[object]]]] = []
    for number, columns in enumerate(calls):
        start = NOW_NS - HOUR_NS + int(number * every_s * 1e9)
        trace = TraceBuilder(trace_id(number + 1), start_ns=start, user=columns.pop("user_id", "ann"))
        trace.span(
            number + 1, "model", model="large", provider="openai", agent="helper", **{
                "ms": 800, "input": [text_message("user", f"question {number}")],
                "output": [text_message("assistant", "Well.")],
                "tokens": {"input_uncached": 1_000, "output_text": 100}, "cost": "0.014", **columns,
            },
        )  # fmt: skip
        rows.append(trace.rows())
    store_rows(store, rows)


def tried(store: TraceStore, now: str, then: str) -> tuple[Trial, FlowTrial]:
    window = {"since_ns": NOW_NS - 2 * HOUR_NS, "until_ns": NOW_NS + HOUR_NS, "seed": 7}
    found = try_policy(store, PROJECT, read(now), read(then), PRICES, **window)
    assert found.flow is not None
    return found, found.flow


def test_which_calls_a_rate_limit_would_put_off(store: TraceStore) -> None:
    stored(store, *({"user_id": "ann" if number % 2 else ""} for number in range(20)))
    _, flow = tried(store, "", "limits: {each: {per: user, requests_per_minute: 6, burst_s: 20}}")
    (limit,) = flow.limits
    # Two at once, then one every ten seconds: of ten calls within twenty seconds, the third to the fourth fit later.
    assert (limit.limit, limit.calls, limit.unsure) == ("each", 10, 10)
    assert limit.refused_now == 0 and limit.refused_then == limit.new == 7 and len(limit.examples) == 5
    _, same = tried(store, "limits: {all: {per: system, requests_per_minute: 600}}", "# said otherwise\nlimits: {all: {per: system, requests_per_minute: 600}}")  # fmt: skip
    assert same.limits[0].new == 0 and same.limits[0].refused_then == 0


def test_where_calls_would_go_and_what_that_would_cost(store: TraceStore) -> None:
    stored(store, {"feature": "chat"}, {"feature": "chat"}, {"feature": "plan"})
    route = "{model: '*', upstream: up, by: [{when: \"%s\", send_as: small}]}"
    then = "gateway:\n  " + UP + "\n  routes: [" + route % "feature == 'chat'" + "]"
    trial, flow = tried(store, "gateway:\n  " + UP, then)
    by = {(one.upstream, one.model): one for one in flow.routes}
    assert (by["up", "small"].now, by["up", "small"].then, by["up", "small"].cost_then_usd) == (0, 2, "0.0028")
    assert (by["up", "large"].now, by["up", "large"].then, by["up", "large"].cost_now_usd) == (3, 1, "0.042")
    assert flow.moved == 2 and flow.gateway_calls == 0 and not any(one.unsure for one in flow.routes)
    assert any("at the tokens that the calls had" in one for one in trial.not_replayed)


@pytest.mark.parametrize("asks", ["has_images", "difficulty < 0.5", "tenant == 'x'"])
def test_a_rule_about_what_is_not_stored_is_unsure(store: TraceStore, asks: str) -> None:
    stored(store, {}, {})
    route = "{model: '*', upstream: up, by: [{when: \"" + asks + '", send_as: small}]}'
    _, flow = tried(store, "", "gateway:\n  " + UP + "\n  routes: [" + route + "]")
    assert [(one.model, one.then, one.unsure) for one in flow.routes] == [("large", 2, 2)]


def test_a_difficulty_that_was_rated_is_used(store: TraceStore) -> None:
    stored(store, {"attributes": {"pilothouse.gateway.difficulty": "0.2", "pilothouse.gateway.key": "key_1"}})
    route = "{model: '*', upstream: up, by: [{difficulty: {below: 0.5}, send_as: small}]}"
    _, flow = tried(store, "", "gateway:\n  " + UP + "\n  routes: [" + route + "]")
    assert [(one.model, one.then, one.unsure) for one in flow.routes] == [("small", 1, 0)] and flow.gateway_calls == 1


def test_who_would_stand_in_and_what_would_be_made_twice(store: TraceStore) -> None:
    failed = {"status": "error", "error_type": "server_error", "attributes": {"http.response.status_code": "503"}}
    wrong = {"status": "error", "error_type": "x", "attributes": {"http.response.status_code": "400"}}
    stored(store, failed, wrong, {"status": "error", "error_type": "x"}, {"ms": 3_000}, {"ms": 100})
    then = "survival: {fallbacks: {default: [{model: large}, {model: small, provider: openai}]}, hedge: {default: {after: 2s}}}"
    trial, flow = tried(store, "", then)
    done = flow.survival
    assert done is not None and (done.failed, done.unsure) == (3, 1)
    assert (done.retried_now, done.retried_then) == (0, 1)
    assert (done.fallbacks_now, done.fallbacks_then) == ({}, {"openai/small": 1})
    assert (done.hedged_now, done.hedged_then) == (0, 1)
    assert any(one.startswith("survival: failures are those that happened") for one in trial.not_replayed)


def test_policies_that_say_nothing_of_calls_have_no_flow(store: TraceStore) -> None:
    stored(store, {})
    window = {"since_ns": NOW_NS - HOUR_NS, "until_ns": NOW_NS + HOUR_NS, "seed": 7}
    assert try_policy(store, PROJECT, read("guards: {}"), read(""), PRICES, **window).flow is None
