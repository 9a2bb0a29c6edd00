"""An analysis on the server: begun over HTTP or from the shell, durable, on files, read on every surface."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live_server import LiveServer, running_server, start_server

TRACES = 30


def traces(count: int, *, agent: str = "shop") -> dict[str, Any]:
    """One request of OTLP: traces of an agent whose tool fails every third time."""
    now = time.time_ns() - 60_000_000_000
    spans: list[dict[str, Any]] = []
    for number in range(count):
        trace_id, failed = f"{number + 1:032x}", number % 3 == 0
        root, tool = f"{number * 2 + 1:016x}", f"{number * 2 + 2:016x}"
        spans.append(span(trace_id, root, "", f"invoke_agent {agent}", now, {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent, "user.id": f"u{number % 4}"}))  # fmt: skip
        spans.append(span(trace_id, tool, root, "execute_tool get_order", now + 1_000_000, {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_order",
            "gen_ai.tool.call.arguments": json.dumps({"order": number}),
            "gen_ai.tool.call.result": "Error: no such order" if failed else "found"}, failed))  # fmt: skip
    resource = {"attributes": [attribute("service.name", "shop")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "t"}, "spans": spans}]}]}


def attribute(name: str, value: str) -> dict[str, Any]:
    return {"key": name, "value": {"stringValue": value}}


def span(
    trace_id: str, id: str, parent: str, name: str, start: int, about: dict[str, str], failed: bool = False
) -> dict[str, Any]:
    made: dict[str, Any] = {"traceId": trace_id, "spanId": id, "name": name, "kind": 1}
    made |= {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 5_000_000)}
    made["attributes"] = [attribute(key, value) for key, value in about.items()]
    if parent:
        made["parentSpanId"] = parent
    if failed:
        made["status"] = {"code": 2, "message": "no such order"}
    return made


def record(server: LiveServer, count: int) -> None:
    body = json.dumps(traces(count)).encode()
    status, text = server.post("/v1/traces", body, {"content-type": "application/json"})
    assert status == 200, text
    server.wait_for("SELECT count() FROM traces", [[count]])


def call(server: LiveServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    status, text = server.call(method, path, data, {"content-type": "application/json"})
    return status, json.loads(text)


def until(server: LiveServer, id: str, true: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        status, answer = call(server, "GET", f"/api/v1/analysis/{id}")
        assert status == 200, answer
        shown = answer["data"]["analysis"]
        if true(shown):
            return answer["data"]
        assert shown["state"] != "failed", shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)


def cli(server: LiveServer, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": server.key}
    command = [sys.executable, "-m", "pilothouse.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("analysis") / "data") as made:
        record(made, TRACES)
        yield made


@pytest.fixture(scope="module")
def done(server: LiveServer) -> dict[str, Any]:
    """An analysis begun from the shell, once it has ended."""
    answer = cli(server, "analyze", "new", "triage", "agent:shop", "--server", "--since", "1d", "--by", "user_id")
    assert answer.returncode == 0, answer.stderr
    return until(server, json.loads(answer.stdout)["data"]["analysis_id"], lambda one: one["state"] == "succeeded")


def test_every_item_is_read_and_the_report_lies_in_plain_files(server: LiveServer, done: dict[str, Any]) -> None:
    shown = done["analysis"]
    assert (shown["result"]["traces"], shown["result"]["items"], shown["progress"]["phase"]) == (TRACES, TRACES, "done")
    progress = shown["progress"]
    assert progress["done"] + progress["blocked"] == progress["readings"] >= TRACES
    items = [file["path"] for file in done["files"] if file["path"].startswith("items/")]
    assert len(items) == TRACES
    status, body = server.get(f"/api/v1/analysis/{shown['analysis_id']}/files/{items[0]}")
    assert status == 200 and json.loads(body)["verdict"] in ("ok", "problem", "unclear")
    steps = call(server, "GET", f"/api/v1/jobs/{shown['analysis_id']}")[1]["data"]["steps"]
    assert [step["name"] for step in steps] == ["export", "freeze", "read", "report"]


def test_it_is_listed_and_shown_in_the_shell_and_on_pages(server: LiveServer, done: dict[str, Any]) -> None:
    id = done["analysis"]["analysis_id"]
    assert id in cli(server, "analyze", "ls").stdout
    assert json.loads(cli(server, "analyze", "status", id).stdout)["data"]["analysis"]["state"] == "succeeded"
    for address in ("/analysis", f"/analysis/{id}", f"/analysis/{id}.json", f"/analysis/{id}.md"):
        status, body = server.get(address)
        assert status == 200, body
        assert id.removeprefix("run_").encode() in body
    assert json.loads(server.get("/analysis.json")[1])["analyses"][0]["analysis_id"] == id


@pytest.mark.parametrize(
    "path", ["../../../jobs.db", "%2e%2e/%2e%2e/manifest.json", "leases/x", "work/x", "/etc/passwd", "items/nobody", ""]
)
def test_files_are_those_of_the_analysis_and_no_others(server: LiveServer, done: dict[str, Any], path: str) -> None:
    status, _ = server.get(f"/api/v1/analysis/{done['analysis']['analysis_id']}/files/{path}")
    assert status in (400, 404)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"playbook": "../../etc"}, "no such playbook"),
        ({"playbook": "nothing"}, "no such playbook"),
        ({"worker": "sh -c 'touch /tmp/x'"}, "no such worker"),
        ({"worker": "agent:openai:gpt-5"}, "no such worker"),
        ({"by": "password"}, "broken down"),
        ({"session": "s", "filter": "status:error"}, "either a session or a filter"),
        ({"concurrency": 100_000}, "concurrency"),
        ({"sample": -1}, ""),
        ({"unknown": 1}, ""),
    ],
)
def test_what_a_server_does_not_do_is_refused_before_it_begins(
    server: LiveServer, done: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    before = call(server, "GET", "/api/v1/analysis")[1]["page"]["total"]
    status, answer = call(server, "POST", "/api/v1/analysis", asked)
    assert (status, answer["error"]["kind"]) == (400, "bad_request"), answer
    assert message in answer["error"]["message"]
    assert call(server, "GET", "/api/v1/analysis")[1]["page"]["total"] == before


def test_a_key_that_reads_may_look_and_not_begin(server: LiveServer, done: dict[str, Any]) -> None:
    made = call(server, "POST", "/api/v1/keys", {"name": "reader", "mode": "read"})[1]["data"]["secret"]
    reader = {"authorization": f"Bearer {made}"}
    assert server.get(f"/api/v1/analysis/{done['analysis']['analysis_id']}", reader)[0] == 200
    status, body = server.post("/api/v1/analysis", b"{}", {**reader, "content-type": "application/json"})
    assert (status, json.loads(body)["error"]["kind"]) == (403, "forbidden")


def test_a_filter_that_finds_nothing_fails_with_that_word(server: LiveServer) -> None:
    id = call(server, "POST", "/api/v1/analysis", {"filter": "agent:nobody"})[1]["data"]["analysis_id"]
    deadline = time.monotonic() + 60
    while (shown := call(server, "GET", f"/api/v1/analysis/{id}")[1]["data"]["analysis"])["state"] != "failed":
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)
    assert "no trace" in shown["error"]


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_and_reads_no_item_twice(tmp_path: Path) -> None:
    """kill -9 of the whole server while it exports, freezes and reads, at the moments progress tells."""
    data = tmp_path / "data"
    server = start_server(data)
    try:
        record(server, 80)
        id = call(server, "POST", "/api/v1/analysis", {"concurrency": 1})[1]["data"]["analysis_id"]
        until(server, id, lambda one: one["progress"]["done"] >= 5 or one["state"] == "succeeded")
        server.kill()
        finished = {path.name: path.read_bytes() for path in data.glob("analysis/*/*/export/analysis/*/items/*.json")}
        assert len(finished) >= 5
        server = start_server(data, key=server.key)
        shown = until(server, id, lambda one: one["state"] == "succeeded")["analysis"]
        assert shown["progress"]["done"] + shown["progress"]["blocked"] == shown["progress"]["readings"]
        assert shown["attempts"] == 2 or len(finished) == 80
        after = {path.name: path.read_bytes() for path in data.glob("analysis/*/*/export/analysis/*/items/*.json")}
        assert len(after) == 80
        # What was finished before the kill is what it was, to the byte: its time of reading is in it.
        assert {name: after[name] for name in finished} == finished
        print(f"killed with {len(finished)} of 80 items read")
    finally:
        server.stop()
