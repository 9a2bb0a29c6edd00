"""Approvals over HTTP and on the command line, of a real server with a policy file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live_server import LiveServer, running_server

POLICY = """
guards:
  tool_arguments:
    - {check: secrets}
approvals:
  rules:
    - name: large-writes
      tool: sql
      when: rows > 1000
      say: Change {rows} rows with {args.statement}
      deadline: 4h
    - name: never
      tool: drop
      do: forbid
    - name: pair
      tool: pay
      needs: 2
    - name: named
      tool: deploy
      reviewers: [ben]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with rules."""
    data = tmp_path_factory.mktemp("approvals") / "data"
    data.mkdir()
    (data / "pilothouse.yaml").write_text(POLICY)
    with running_server(data) as live:
        yield live


@pytest.fixture(scope="module")
def keys(server: LiveServer) -> dict[str, str]:
    """Keys of two people and of an agent that may write."""
    made: dict[str, str] = {}
    for name, kind in (("ann", "person"), ("ben", "person"), ("bot", "agent")):
        status, body = call(server, "/keys", {"name": name, "actor_kind": kind, "mode": "write"})
        assert status == 200, body
        made[name] = body["data"]["secret"]
    return made


def call(server: LiveServer, path: str, body: Any = None, key: str = "", **headers: str) -> tuple[int, Any]:
    given = {"content-type": "application/json", **headers} | ({"authorization": f"Bearer {key}"} if key else {})
    if body is None:
        status, answered = server.get(f"/api/v1{path}", given)
    else:
        status, answered = server.post(f"/api/v1{path}", json.dumps(body).encode(), given)
    return status, json.loads(answered)


def ask(server: LiveServer, key: str, tool: str = "sql", **more: Any) -> dict[str, Any]:
    body = {"tool": tool, "arguments": {"statement": "DELETE FROM orders"}, "rows": 5_000, **more}
    status, asked = call(server, "/approvals", body, key)
    assert status == 200, asked
    return asked["data"]["approval"]


def test_an_agent_asks_a_person_decides_and_it_runs_once(server: LiveServer, keys: dict[str, str]) -> None:
    one = ask(server, keys["bot"], reason="they are old", trace_id="4bf92f3577b34da6a3ce929d0e0e4736", step=4)
    assert (one["state"], one["sentence"]) == ("pending", "Change 5,000 rows with DELETE FROM orders")
    place = f"/approvals/{one['approval_id']}"
    yes = {"digest": one["digest"]}
    status, refused = call(server, f"{place}/reserve", yes, keys["bot"])
    assert (status, refused["error"]["kind"]) == (403, "needs_approval")
    assert refused["error"]["fix"] == f"pilothouse approvals approve {one['approval_id']}"
    # An agent's key decides nothing; nor does one that is nobody's, whatever its user says of itself.
    for key, said in ((keys["bot"], "person ann"), (server.key, "person ann"), (keys["ann"], "agent coder")):
        status, refused = call(server, f"{place}/approve", yes, key, **{"x-pilothouse-actor": said})
        assert (status, refused["error"]["kind"]) == (403, "forbidden"), said
    status, _ = call(server, f"{place}/approve", {"digest": "0" * 64}, keys["ann"])
    assert status == 409
    status, approved = call(server, f"{place}/approve", {**yes, "note": "go"}, keys["ann"])
    assert (status, approved["data"]["state"], approved["data"]["decided_by"]) == (200, "approved", "ann")
    status, right = call(server, f"{place}/reserve", yes, keys["bot"])
    assert (status, right["data"]["arguments"]) == (200, {"statement": "DELETE FROM orders"})
    assert call(server, f"{place}/reserve", yes, keys["bot"])[0] == 409
    ended = {"outcome": "executed", "reservation_id": right["data"]["reservation_id"], "text": "5,000 rows"}
    status, done = call(server, f"{place}/done", ended, keys["bot"])
    assert (status, done["data"]["state"], done["data"]["outcome"]) == (200, "executed", "5,000 rows")
    status, shown = call(server, place, None, keys["ann"])
    assert [event["kind"] for event in shown["data"]["history"]] == ["asked", "approved", "reserved", "executed"]
    assert "reservation" not in json.dumps(shown["data"]["approval"])


def test_only_where_the_policy_wants_it(server: LiveServer, keys: dict[str, str]) -> None:
    few = {"tool": "sql", "rows": 3, "if_needed": True}
    status, asked = call(server, "/approvals", few, keys["bot"])
    assert (status, asked["data"]["needed"], asked["data"]["approval"]) == (200, False, None)
    status, refused = call(server, "/approvals", {"tool": "drop", "if_needed": True}, keys["bot"])
    assert (status, refused["error"]["kind"], refused["error"]["got"]) == (409, "not_approved", "never")
    # Nobody counted: a person is asked.
    status, asked = call(server, "/approvals", {"tool": "sql", "if_needed": True}, keys["bot"])
    assert asked["data"]["needed"] and "the condition failed" in asked["data"]["approval"]["why"]


def test_who_waits_is_woken_by_the_decision(server: LiveServer, keys: dict[str, str]) -> None:
    one = ask(server, keys["bot"])
    place = f"/approvals/{one['approval_id']}"
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(call(server, f"{place}?wait=60", None, keys["bot"])))
    began = time.monotonic()
    waiting.start()
    status, _ = call(server, f"{place}/reject", {"text": "use a soft delete"}, keys["ben"])
    assert status == 200
    waiting.join(30)
    assert time.monotonic() - began < 30, "it waited to the end"
    [(status, shown)] = answers
    assert (status, shown["data"]["approval"]["feedback"]) == (200, "use a soft delete")
    status, shown = call(server, f"/approvals/{ask(server, keys['bot'])['approval_id']}?wait=1", None, keys["bot"])
    assert (status, shown["data"]["approval"]["state"]) == (200, "pending")
    assert call(server, f"{place}?wait=61", None, keys["bot"])[0] == 400


def test_edited_arguments_pass_the_guards_and_run(server: LiveServer, keys: dict[str, str]) -> None:
    one = ask(server, keys["bot"])
    place = f"/approvals/{one['approval_id']}"
    key = "AKIA" + "QYLPMN5HHHFPZAM2"
    secret = {"digest": one["digest"], "arguments": {"statement": f"SET aws_access_key_id = '{key}'"}}
    status, refused = call(server, f"{place}/edit", secret, keys["ann"])
    assert (status, refused["error"]["kind"]) == (409, "not_approved"), refused
    edited = {"digest": one["digest"], "arguments": {"statement": "DELETE FROM orders LIMIT 10"}}
    status, changed = call(server, f"{place}/edit", edited, keys["ann"])
    assert (status, changed["data"]["state"], changed["data"]["edited"]) == (200, "approved", True), changed
    assert call(server, f"{place}/reserve", {"digest": one["digest"]}, keys["bot"])[0] == 409
    status, right = call(server, f"{place}/reserve", {"digest": changed["data"]["digest"]}, keys["bot"])
    assert right["data"]["arguments"] == edited["arguments"]


def test_two_people_over_http(server: LiveServer, keys: dict[str, str]) -> None:
    one = ask(server, keys["bot"], "pay")
    place = f"/approvals/{one['approval_id']}"
    for who, missing in (("ann", 1), ("ann", 1), ("ben", 0)):
        status, found = call(server, f"{place}/approve", {"digest": one["digest"]}, keys[who])
        assert (status, found["data"]["missing"]) == (200, missing)
    assert found["data"]["state"] == "approved"


def test_questions_delegation_and_lists(server: LiveServer, keys: dict[str, str]) -> None:
    one = ask(server, keys["bot"], "deploy", agent="lister")
    two = ask(server, keys["bot"], agent="lister")
    place = f"/approvals/{one['approval_id']}"
    assert call(server, f"{place}/approve", {"digest": one["digest"]}, keys["ann"])[0] == 403
    assert call(server, f"{place}/ask", {"text": "why now?"}, keys["ben"])[0] == 200
    status, shown = call(server, f"{place}?wait=60", None, keys["bot"])
    assert shown["data"]["approval"]["question"] == "why now?", "whoever waits hears the question"
    assert call(server, f"{place}/answer", {"text": "the tests are green"}, keys["bot"])[0] == 200
    assert call(server, f"{place}/delegate", {"to": "ann"}, keys["ben"])[0] == 200
    assert call(server, f"{place}/approve", {"digest": one["digest"]}, keys["ann"])[0] == 200
    status, listed = call(server, "/approvals?agent=lister&limit=1", None, keys["bot"])
    assert [row["approval_id"] for row in listed["data"]] == [two["approval_id"]]
    cursor = listed["page"]["next"]
    status, listed = call(server, f"/approvals?agent=lister&limit=1&cursor={cursor}", None, keys["bot"])
    assert [row["approval_id"] for row in listed["data"]] == [one["approval_id"]]
    assert call(server, "/approvals?state=waiting", None, keys["bot"])[0] == 400
    status, cancelled = call(server, f"/approvals/{two['approval_id']}/cancel", {"text": "not needed"}, keys["bot"])
    assert (status, cancelled["data"]["state"]) == (200, "cancelled")


def cli(server: LiveServer, key: str, *words: str, stdin: str = "", **more: str) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")}
    environment |= {"PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": key, "PILOTHOUSE_PERSON": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", "approvals", *words],
        env=environment | more,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_the_command_line_asks_shows_and_decides(server: LiveServer, keys: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "arguments.json").write_text('{"statement": "DELETE FROM carts"}')
    code, out, err = cli(
        server, keys["bot"], "request", "sql", "--arguments", str(tmp_path / "arguments.json"), "--rows", "2000"
    )
    made = json.loads(out)["data"]
    id = made["approval"]["approval_id"]
    assert code == 8 and json.loads(err)["error"]["fix"] == f"pilothouse approvals approve {id}"
    assert made["command"] == f"pilothouse approvals approve {id}"
    assert cli(server, keys["bot"], "show", id, "--wait", "1")[0] == 8
    assert cli(server, keys["bot"], "approve", id)[0] == 4
    code, out, _ = cli(server, keys["ann"], "show", id, "--human")
    assert code == 0 and "Change 2,000 rows with DELETE FROM carts" in out and '"statement": "DELETE FROM carts"' in out
    code, out, _ = cli(server, keys["ann"], "edit", id, "--arguments", "-", stdin='{"statement": "DELETE FROM c"}')
    assert code == 0 and json.loads(out)["data"]["state"] == "approved"
    code, out, _ = cli(server, keys["ann"], "ls", "--state", "approved", "--json")
    assert id in {row["approval_id"] for row in json.loads(out)["data"]}
    assert "statement" not in out, "a list shows no free text"
    other = json.loads(cli(server, keys["bot"], "request", "sql", "--rows", "2000")[1])["data"]["approval"]
    code, out, _ = cli(server, keys["ann"], "reject", other["approval_id"][:22], "--why", "not today", "--human")
    assert code == 0 and "feedback: not today" in out
    assert cli(server, keys["bot"], "request", "sql", "--rows", "1", "--if-needed")[0] == 0
    assert cli(server, keys["bot"], "request", "drop")[0] == 8
    assert cli(server, keys["ann"], "edit", id, "--arguments", "[1]")[0] == 2


def test_the_key_that_signs_is_its_owners_alone(server: LiveServer) -> None:
    path = server.data / "approvals.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(path.read_text().strip())) == 32
