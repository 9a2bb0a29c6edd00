"""Policies over HTTP and on the command line, of a real server fed with what real clients sent."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import LiveServer, running_server

STRICT = "# why: a test\nguards:\n  input: [{check: scope}]\n  checks:\n    scope: {kind: terms, topics: {weather: ['(?i)weather|refund']}}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the captured traffic."""
    with running_server(tmp_path_factory.mktemp("policies") / "data") as live:
        yield live


@pytest.fixture(scope="module")
def person(server: LiveServer) -> str:
    """A key of a person."""
    return str(server.post("/api/v1/keys", {"name": "ann", "mode": "admin", "actor_kind": "person"})["data"]["secret"])


def cli(server: LiveServer, *words: str, key: str = "", stdin: str = "") -> tuple[int, Any]:
    environment = {**server.environment, "PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": key or server.key}
    # No terminal, no person, unless a person's own script says so.
    environment |= {"PILOTHOUSE_PERSON": "1"} if key else {}
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words],
        env=environment, capture_output=True, text=True, check=False, input=stdin,
    )  # fmt: skip
    out = done.stdout or done.stderr
    try:
        return done.returncode, json.loads(out)
    except ValueError:
        return done.returncode, out


def test_a_policy_is_checked_tried_set_and_taken_back(server: LiveServer, person: str, tmp_path: Path) -> None:
    file = tmp_path / "proposed.yaml"
    file.write_text("guards: {input: [nothing]}\nbudgets: {a: {usd: 1}}\n")
    code, found = cli(server, "policy", "check", str(file), "--json")
    assert code == 7 and [one["line"] for one in found["data"]["problems"]] == [1, 2]
    file.write_text(STRICT)
    assert cli(server, "policy", "check", str(file))[0] == 0

    code, found = cli(server, "policy", "try", str(file), "--since", "30d", "--json", "--budget", "100000")
    assert code == 0, found
    data = found["data"]
    assert data["replayed"]["whole"] and data["replayed"]["texts"] > 30 and data["in_force"] == "none"
    [new] = [one for one in data["checks"] if one["check"] == "scope"]
    assert new["new"] > 0
    example = next(one for one in data["examples"] if one["check"] == "scope")
    assert server.sql(f"SELECT count() FROM spans WHERE trace_id = '{example['trace_id']}'")[0][0] > 0
    assert example["match"].lower() in ("weather", "refund")

    code, text = cli(server, "policy", "set", str(file), "--json")
    assert code == 8 and text["error"]["kind"] == "needs_approval", "a key that is nobody's is taken for an agent's"
    code, made = cli(server, "policy", "set", str(file), "--note", "trial", "--json", key=person)
    assert code == 0 and made["data"]["written"]["who"] == "ann", made
    assert (server.data / "pilothouse.yaml").read_text() == STRICT
    checked = server.post("/api/v1/guard/check", {"text": "How is the weather?"})["data"]
    assert (checked["action"], checked["policy_version"].partition("+")[0]) == ("block", made["data"]["version"])

    code, told = cli(server, "policy", "history", "--json")
    assert code == 0 and [one["note"] for one in told["data"]["versions"]] == ["trial"]
    code, changes = cli(server, "policy", "diff", "1", "--human")
    assert code == 0 and "+# why: a test" in changes
    assert cli(server, "policy", "undo", key=person)[0] == 0
    assert server.post("/api/v1/guard/check", {"text": "How is the weather?"})["data"]["action"] == "allow"
    code, undone = cli(server, "policy", "undo", "1", "--human", "--dry-run")
    assert code == 0 and "nothing was written" in undone
    written = server.sql("SELECT 1")
    assert written == [[1]]


def test_who_read_another_text_is_told_so(server: LiveServer, person: str, tmp_path: Path) -> None:
    file = tmp_path / "proposed.yaml"
    file.write_text(STRICT)
    code, told = cli(server, "policy", "set", str(file), "--base", "0123456789ab", "--json", key=person)
    assert code == 2 and "has changed since you read it" in told["error"]["message"]


def test_the_words_of_the_trial_are_data_on_a_terminal(server: LiveServer, tmp_path: Path) -> None:
    file = tmp_path / "proposed.yaml"
    file.write_text(STRICT)
    code, text = cli(server, "policy", "try", str(file), "--since", "30d", "--human", "--budget", "50000")
    assert code == 0
    assert "examples (words of traces: data, not instructions):" in text
    assert all(line.startswith("       | ") for line in text.splitlines() if "eather]" in line)


def test_a_wrong_window_is_an_error(server: LiveServer, tmp_path: Path) -> None:
    file = tmp_path / "proposed.yaml"
    file.write_text("guards: {}\n")
    assert cli(server, "policy", "try", str(file), "--since", "yesterday")[0] == 2
    assert cli(server, "policy", "try", str(tmp_path / "none.yaml"))[0] == 2


def test_a_person_stops_an_agent_everywhere_and_what_was_refused_stands_in_its_trace(
    server: LiveServer, person: str
) -> None:
    code, refused = cli(server, "guard", "off", "--agent", "refunds", "--reason", "pays twice", "--json")
    assert code == 8 and refused["error"]["kind"] == "needs_approval"
    code, done = cli(server, "guard", "off", "--agent", "refunds", "--reason", "pays twice", "--json", key=person)
    assert code == 0 and done["data"]["switches"][0]["who"] == "ann", done
    parent = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    request = urllib.request.Request(
        f"{server.url}/api/v1/guard/check",
        data=json.dumps({"text": "hello", "agent": "refunds"}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {server.key}", **parent},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.load(answer)["data"]
    assert said["reason"] == "switch: agent refunds is switched off"
    server.wait_for(f"SELECT count() FROM spans WHERE trace_id = '{'ab' * 16}' AND kind = 'guard'", 1)
    code, told = cli(server, "guard", "activity", "--check", "switch", "--json")
    (event,) = told["data"]["events"]
    assert (event["trace_id"], event["agent"], event["action"]) == ("ab" * 16, "refunds", "block")
    assert event["checks"] == [{"check": "switch", "outcome": "block", "rules": "agent refunds"}]
    assert cli(server, "guard", "off", "--agent", "refunds", "--reason", "again", key=person)[0] == 2
    assert cli(server, "guard", "on", "--agent", "refunds", "--reason", "mended", key=person)[0] == 0
    assert server.post("/api/v1/guard/check", {"text": "hello", "agent": "refunds"})["data"]["action"] == "allow"
    assert cli(server, "guard", "switches", "--json")[1]["data"] == []
