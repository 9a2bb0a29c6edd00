"""An agent, a server that knows nothing of it, a proxy and a host: ``logs ID`` brings their lines together."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.cli.root import run
from tests.live import LiveServer, running_server

from .conftest import Cli

AGENT = """
import logging, sys
import urllib.request
import pilothouse

pilothouse.init(service="agent", instrument=False, spill_dir=sys.argv[2])
log = logging.getLogger("agent.tools")
log.setLevel(logging.INFO)
log.addHandler(pilothouse.logging_handler())

@pilothouse.tool
def pay(amount: int, request_id: str) -> str:
    request = urllib.request.Request(sys.argv[1] + "/pay", headers={"X-Request-ID": request_id})
    log.info("paying", extra={"amount": amount, "request_id": request_id})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()

@pilothouse.agent
def support(question: str) -> str:
    print(pilothouse.current_trace_id(), flush=True)
    try:
        return pay(3, "7f9c24e8a1b2c3d4e5f60718293a4b5c")
    except Exception:
        log.exception("payment swallowed")
        return "sorry"

support("pay 3")
pilothouse.shutdown()
"""

SERVER = """
import http.server, json, sys, time
from datetime import datetime, timezone

folder = sys.argv[1]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        now = datetime.now(timezone.utc)
        request_id = self.headers["X-Request-ID"]
        with open(folder + "/shop.log", "a") as log:
            log.write(json.dumps({"time": time.time(), "level": "error", "msg": "card declined", "requestId": request_id,
                                  "host": "shop-1"}) + "\\n")
            log.write(json.dumps({"time": time.time(), "level": "error", "msg": "another customer",
                                  "requestId": "0123456789abcdef", "host": "shop-1"}) + "\\n")
        with open(folder + "/access.log", "a") as log:
            stamp = now.strftime("%d/%b/%Y:%H:%M:%S +0000")
            log.write(f'127.0.0.1 - - [{stamp}] "GET /pay HTTP/1.1" 200 17 "-" "python-urllib/3" "{request_id}"\\n')
        with open(folder + "/kernel.log", "a") as log:
            log.write(now.isoformat() + " ERROR disk /dev/sda failing\\n")
        with open(folder + "/remote.log", "a") as log:
            log.write(now.strftime("%Y-%m-%dT%H:%M:%SZ") + " db-7 postgres[1]: ERROR out of connections\\n")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"declined")

    def log_message(self, *words):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("logs") / "data", traffic=False) as server:
        yield server


def environment(live: LiveServer) -> dict[str, str]:
    return {**live.environment, "PILOTHOUSE_URL": live.url, "PILOTHOUSE_API_KEY": live.key}


@pytest.fixture(scope="module")
def trace(live: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a trace of the agent, when all lines of its surroundings are stored."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "log").mkdir()
    for name in ("shop", "access", "kernel", "remote"):
        (folder / "log" / f"{name}.log").touch()
    (folder / "agent.py").write_text(AGENT)
    (folder / "server.py").write_text(SERVER)
    follow = [sys.executable, "-m", "pilothouse.cli", "logs", "follow", str(folder / "log/*.log")]
    follower = subprocess.Popen(
        [*follow, "--state", str(folder / "state.json")], env=environment(live), stdout=subprocess.PIPE, text=True
    )
    server = subprocess.Popen(
        [sys.executable, str(folder / "server.py"), str(folder / "log")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        wait_until(lambda: (folder / "state.json").exists())
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        agent = subprocess.run(
            [sys.executable, str(folder / "agent.py"), address, str(folder / "spill")],
            env=environment(live),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        live.wait_for("SELECT count() FROM logs", 6)
        live.wait_for("SELECT count() FROM spans", 2)
    finally:
        server.kill()
        follower.send_signal(signal.SIGTERM)
        said, _ = follower.communicate(timeout=20)
    assert json.loads(said)["data"] == {"records": 5, "refused": 0, "files": 4}
    return agent.stdout.strip()


def wait_until(done: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def ask(cli: Cli, live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("PILOTHOUSE_URL", live.url)
    monkeypatch.setenv("PILOTHOUSE_API_KEY", live.key)
    return cli


def lines(data: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {group["reason"]: group["rows"] for group in data["groups"]}


def test_the_lines_of_a_trace_come_with_the_right_reasons(ask: Cli, trace: str) -> None:
    found = ask("logs", trace, "--budget", "100000").data
    joined = lines(found)
    assert [row["body"] for row in joined["trace_id"]] == ["paying"]
    assert joined["trace_id"][0]["confidence"] == "certain"
    assert joined["trace_id"][0]["step_label"] == "pay"
    shared = sorted(row["body"][:13] for row in joined["request_id"])
    assert shared == ["127.0.0.1 - -", "card declined"]
    assert {row["confidence"] for row in joined["request_id"]} == {"high"}
    assert {row["step"] for row in joined["request_id"]} == {joined["trace_id"][0]["step"]}
    assert "another customer" not in json.dumps(found)
    assert "out of connections" not in json.dumps(found)
    # The shop failed and the agent never knew.
    assert {"card declined"} <= {row["body"] for row in found["lost"]}


def test_an_error_of_the_same_host_and_moment_is_low_and_another_hosts_is_not_there(ask: Cli, trace: str) -> None:
    found = ask("logs", trace[:12], "--infra", "--budget", "100000").data
    near = lines(found)["time"]
    assert [row["body"].split(" ", 1)[1] for row in near] == ["ERROR disk /dev/sda failing"]
    assert near[0]["confidence"] == "low"
    assert near[0]["never_a_span"]
    assert "out of connections" not in json.dumps(found)


def test_lines_are_found_by_words_and_level(ask: Cli, trace: str) -> None:
    found = ask("logs", "search", "card", "declined", "--level", "error").data
    assert [(row["service"], row["host"]) for row in found] == [("shop", "shop-1")]
    everything = ask("logs", "search", "--since", "1h", "--limit", "3").json
    assert len(everything["data"]) == 3
    assert everything["page"]["more"]
    more = ask("logs", "search", "--limit", "3", "--cursor", everything["page"]["next"]).data
    assert not {row["body"] for row in everything["data"]} & {row["body"] for row in more}
    assert ask("logs", "search", "--trace", trace).data[0]["body"] == "paying"


def test_people_read_it_too(ask: Cli, trace: str) -> None:
    shown = ask("logs", trace, "--human", "--infra").out
    assert "request_id (high): the line shares an id with a step; 2 lines" in shown
    assert "errors that never became spans" in shown
    assert "card declined" in ask("logs", "search", "declined", "--human").out
    assert ask("logs", "lost", "--human").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("logs", "follow"),
        ("logs", "follow", "x", "--format", "xml"),
        ("logs", "search", "--level", "loud"),
        ("logs", "last", "--reason", "luck"),
    ],
)
def test_a_wrong_call_says_what_is_right(ask: Cli, trace: str, words: tuple[str, ...]) -> None:
    wrong = ask(*words)
    assert wrong.code == 2
    assert wrong.error["allowed"]


def test_nothing_heavy_is_loaded_to_follow() -> None:
    """A follower runs beside every server: it is small."""
    code = (
        "import sys; from pilothouse.sdk.log_follow import Follower; "
        "print([n for n in ('opentelemetry', 'pydantic', 'orjson', 'asyncio', 're2') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["logs", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("show", "search", "lost", "follow"))
