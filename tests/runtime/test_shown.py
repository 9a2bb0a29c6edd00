"""A run with the runtime, recorded by a real server: its plan is on the trace, by command, by page and by tool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.live_server import LiveServer, start_server
from tests.runtime.test_examples import run_example


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("shown")
    server = start_server(folder / "server")
    (folder / "work").mkdir()
    said = run_example("support", folder / "work", server)
    assert said == "Refunded the second charge of order 4411 (re_ch_2), emailed Ann, closed ticket 17.\n"
    shop = json.loads((folder / "work/shop.json").read_text())
    assert [refund["charge"] for refund in shop["refunds"].values()] == ["ch_2"]
    assert [mail["to"] for mail in shop["mails"].values()] == ["ann"] and shop["tickets"] == {"17": "closed"}
    server.wait_until_stored()
    yield server
    server.stop()


def command(server: LiveServer, *words: str) -> str:
    env = {**os.environ, "PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": server.key, "PILOTHOUSE_AGENT": "0"}
    return subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_show_has_the_plan_and_what_the_runtime_did(shown: LiveServer) -> None:
    found = json.loads(command(shown, "show", "last", "--as", "plan", "--json"))["data"]
    (plan,) = found["plans"]
    assert [task["state"] for task in plan["tasks"]] == ["completed"] * 4 and plan["agent"] == "support"
    assert (plan["done"], plan["open"], plan["tasks"][1]["note"]) == (4, 0, "re_ch_2")
    what = [event["what"] for event in found["events"]]
    assert {"plan", "finish_gate", "drift", "memory"} <= set(what)
    gates = [event["said"] for event in found["events"] if event["what"] == "finish_gate"]
    assert gates[0].startswith("push, 0 open. Nothing is planned yet") and gates[-1].startswith("allow")
    assert all(event["step"] for event in found["events"])
    text = command(shown, "show", "last", "--as", "plan", "--human")
    assert "plan of support  4 of 4 tasks done" in text and "[x] 3. Mail Ann  (mailed)" in text


def test_the_page_shows_it(shown: LiveServer) -> None:
    trace_id = json.loads(command(shown, "ls", "--limit", "1", "--json"))["data"][0]["trace_id"]
    status, body = shown.get(f"/traces/{trace_id}")
    page = body.decode()
    assert status == 200 and "<h2>Plan</h2>" in page and "Refund the second charge" in page and "finish_gate" in page
    status, body = shown.get(f"/traces/{trace_id}.json")
    assert json.loads(body)["plan"]["plans"][0]["done"] == 4
