"""Budgets over HTTP and on the command line, of a real server with a policy file that changes under it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pilothouse.budgets import Ask, OverBudget
from pilothouse.records import NotAllowed, Usage
from pilothouse.runtime.budget_desk import ServerDesk
from tests.live_server import LiveServer, running_server

POLICY = """
budgets:
  company: {level: system, usd: 100, per: month}
  each-user: {level: user, usd: 0.05, per: day, at_limit: cheaper}
  one-call: {level: request, output_tokens: 4000}
  each-tenant: {level: tenant, match: acme, usd: 0.05, at_limit: ask, raise_usd: 0.02}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with budgets."""
    data = tmp_path_factory.mktemp("budgets") / "data"
    data.mkdir()
    (data / "pilothouse.yaml").write_text(POLICY)
    with running_server(data) as live:
        yield live


def post(server: LiveServer, verb: str, **body: Any) -> tuple[int, Any]:
    return call(server, f"/api/v1/budgets/{verb}", body)


def call(server: LiveServer, path: str, body: Any, key: str = "") -> tuple[int, Any]:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    status, answered = server.post(path, json.dumps(body).encode(), headers)
    return status, json.loads(answered)


def test_a_call_is_reserved_settled_and_shown(server: LiveServer) -> None:
    status, made = post(server, "reserve", usd="0.03", user="ann", feature="chat")
    assert status == 200, made
    held = made["data"]
    assert (held["usd"], held["state"], held["output_tokens"]) == ("0.03", "held", 4_000)
    assert {place["budget"] for place in held["places"]} == {"company", "each-user"}
    status, full = post(server, "reserve", usd=0.03, user="ann")
    assert status == 402
    error = full["error"]
    assert (error["kind"], error["got"]) == ("over_budget", "0.03 USD")
    assert error["allowed"] == {"at_limit": "cheaper", "left": "0.02 USD", "limit": "0.05 USD", "budget": "each-user"}
    status, renewed = post(server, "renew", reservation_id=held["reservation_id"])
    assert (status, renewed["data"]["state"]) == (200, "held")
    for _ in range(2):
        status, settled = post(server, "settle", reservation_id=held["reservation_id"], usd="0.01")
        assert (status, settled["data"]["spent_usd"]) == (200, "0.01")
    status, body = server.get("/api/v1/budgets?subject=ann")
    [standing] = json.loads(body)["data"]["standing"]
    assert (standing["spent_usd"], standing["left_usd"], standing["refused"]) == ("0.01", "0.04", 1)


def test_a_person_is_asked_for_more_and_a_yes_lets_the_call_through(server: LiveServer) -> None:
    made = post(server, "reserve", usd="0.04", tenant="acme", user="max")
    assert made[0] == 200, made
    status, full = post(server, "reserve", usd="0.02", tenant="acme", user="pat")
    error = full["error"]
    assert status == 402 and "a person was asked" in error["message"]
    assert error["fix"] == f"pilothouse approvals approve {error['allowed']['approval_id']}"
    id = error["allowed"]["approval_id"]
    _, made_key = call(server, "/api/v1/keys", {"name": "Pat", "mode": "admin", "actor_kind": "person"})
    asked = json.loads(server.get(f"/api/v1/approvals/{id}")[1])["data"]
    told = call(
        server,
        f"/api/v1/approvals/{id}/approve",
        {"digest": asked["approval"]["digest"]},
        key=made_key["data"]["secret"],
    )
    assert (told[0], told[1]["data"]["state"]) == (200, "approved"), told
    status, granted = post(server, "reserve", usd="0.02", tenant="acme", user="pat")
    assert status == 200, granted
    status, body = server.get("/api/v1/budgets?subject=acme")
    [standing] = json.loads(body)["data"]["standing"]
    assert (standing["usd"], standing["raised_usd"], standing["left_usd"]) == ("0.07", "0.02", "0.01")


def test_a_known_model_is_priced_and_settled_by_its_tokens(server: LiveServer) -> None:
    status, made = post(
        server, "reserve", model="gpt-4o-mini", provider="openai", input_tokens=1_000, output_tokens=100, user="bob"
    )
    assert status == 200, made
    held = made["data"]
    status, settled = post(
        server, "settle", reservation_id=held["reservation_id"], input_tokens=900, cached_tokens=800, output_tokens=50
    )
    assert status == 200
    assert 0 < float(settled["data"]["spent_usd"]) < float(held["usd"])
    assert settled["data"]["spent_tokens"] == 950
    status, made = post(server, "reserve", usd=0.01, user="bob", purpose="retry")
    status, released = post(server, "release", reservation_id=made["data"]["reservation_id"])
    assert (status, released["data"]["state"]) == (200, "released")


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("reserve", {"usd": -1}, 400),
        ("reserve", {"usd": "much"}, 400),
        ("reserve", {"model": "nobody-knows-this"}, 400),
        ("reserve", {"usd": 1, "purpose": "fun"}, 400),
        ("reserve", {"usd": 1, "dollars": 1}, 400),
        ("settle", {"reservation_id": "res_none"}, 404),
        ("settle", {"reservation_id": ""}, 400),
        ("release", {}, 400),
    ],
)
def test_a_wrong_call_is_answered_in_the_one_shape(
    server: LiveServer, verb: str, body: dict[str, Any], status: int
) -> None:
    answered, told = post(server, verb, **body)
    assert answered == status, told
    assert told["error"]["message"]


def test_who_may_only_read_spends_nothing(server: LiveServer) -> None:
    _, made = call(server, "/api/v1/keys", {"name": "reader", "mode": "read"})
    key = made["data"]["secret"]
    status, told = call(server, "/api/v1/budgets/reserve", {"usd": 0}, key)
    assert status == 403, told
    status, _ = server.get("/api/v1/budgets", {"authorization": f"Bearer {key}"})
    assert status == 200


def test_an_agent_elsewhere_reserves_at_the_server(server: LiveServer) -> None:
    desk = ServerDesk(server.url, server.key)
    granted = desk.reserve(Ask(model="gpt-4o-mini", provider="openai", input_tokens=100, user="kim", run="r1"))
    assert granted.output_tokens == 4_000
    desk.settle(granted.reservation_id, Usage(input_uncached=50, cache_read=20, cache_write_5m=30, output_text=10))
    desk.release(desk.reserve(Ask(usd=Decimal("0.01"), user="kim")).reservation_id)
    with pytest.raises(OverBudget, match="budget each-user of user kim has") as caught:
        desk.reserve(Ask(usd=Decimal("0.05"), user="kim"))
    assert caught.value.at_limit == "cheaper"
    with pytest.raises(NotAllowed):
        ServerDesk(server.url, "no key").reserve(Ask(usd=Decimal("0.01")))
    [row] = json.loads(server.get("/api/v1/budgets?subject=kim")[1])["data"]["standing"]
    assert (row["spent_tokens"], row["held_usd"], row["calls"]) == (110, "0", 1)


def cli(server: LiveServer, *words: str) -> tuple[int, str]:
    environment = {**os.environ, "PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": server.key}
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout or done.stderr


def test_the_command_prints_limits_what_is_left_and_the_rule(server: LiveServer) -> None:
    post(server, "reserve", usd="0.02", user="eve")
    code, text = cli(server, "budgets", "--human")
    assert code == 0, text
    assert "each-user" in text and "0.03" in text
    assert "Every level holds" in text
    code, text = cli(server, "budgets", "--subject", "eve", "--json")
    [row] = json.loads(text)["data"]["standing"]
    assert (row["budget"], row["held_usd"]) == ("each-user", "0.02")


def test_a_changed_policy_holds_at_once_and_a_wrong_one_says_so(server: LiveServer) -> None:
    file = Path(server.data) / "pilothouse.yaml"
    try:
        file.write_text(POLICY.replace("usd: 0.05", "usd: 0.5"))
        wait_for(server, lambda data: next(r for r in data["rules"] if r["name"] == "each-user")["usd"] == "0.5")
        status, _ = post(server, "reserve", usd="0.3", user="zoe")
        assert status == 200
        file.write_text(POLICY.replace("level: user", "level: galaxy"))
        wait_for(server, lambda data: "budgets.each-user.level" in data["error"])
        status, _ = post(server, "reserve", usd="0.3", user="zoe")
        assert status == 402
    finally:
        file.write_text(POLICY)
        wait_for(server, lambda data: data["error"] == "")


def wait_for(server: LiveServer, holds: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        data = json.loads(server.get("/api/v1/budgets")[1])["data"]
        if holds(data):
            return
        assert time.monotonic() < deadline, data["error"] or data["rules"]
        time.sleep(0.1)
