"""``pilothouse live`` and ``tail``: bounded, one line an event, and the last line says where to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.cli import live_stream
from pilothouse.cli.live_stream import Heard, parse
from pilothouse.cli.root import run
from tests.watch.conftest import WAIT_S, Watch
from tests.watch.process import Agent
from tests.watch.test_events import agent_at_work


class Shell:
    """The command line on the running API."""

    def __init__(self, watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
        self.watch = watch
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, list[str], str]:
        """Exit code, lines of stdout, stderr."""
        code = run(words)
        done = self._capsys.readouterr()
        return code, done.out.splitlines(), done.err

    def json(self, *words: str) -> list[Any]:
        """Each line as JSON."""
        code, lines, err = self.run(*words)
        assert code == 0, err
        return [json.loads(line) for line in lines]


@pytest.fixture
def shell(watch: Watch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setenv("PILOTHOUSE_URL", watch.url)
    monkeypatch.setenv("PILOTHOUSE_API_KEY", watch.calling.keys["read"])
    return Shell(watch, capsys)


def test_live_is_one_bounded_picture(shell: Shell) -> None:
    agent = agent_at_work(shell.watch)
    (answer,) = shell.json("live")
    assert answer["page"]["counts"] == {"running": 1}
    (row,) = answer["data"]
    assert (row["trace_id"], row["state"], row["doing.name"]) == (agent.trace_id, "running", "get_order")
    assert answer["next"][1].startswith("pilothouse tail --follow --for 30s --cursor ")
    assert shell.json("live", "--state", "died")[0]["data"] == []
    code, lines, _ = shell.run("live", "--human")
    assert code == 0
    assert lines[0] == "1 running; 0 need somebody"
    assert agent.trace_id[:12] in lines[2]
    assert shell.run("live", "--state", "asleep")[0] == 2


def test_tail_prints_what_came_last_and_where_to_go_on(shell: Shell) -> None:
    agent = agent_at_work(shell.watch)
    *events, end = shell.json("tail")
    assert [(event["event"], event.get("name")) for event in events] == [
        ("span", "refunds"),
        ("span", "get_order"),
        ("trace", None),
    ]
    assert (end["event"], end["reason"], end["lines"]) == ("end", "that is all", 3)
    assert shell.json("tail", "--cursor", end["cursor"])[0]["event"] == "end"
    shell.watch.send(agent.spans(agent.end(agent.steps[1], at_s=1)))
    words = end["next"].split()[1:]
    *events, end = shell.json(*words)
    assert [event["status"] for event in events if event["event"] == "span"] == ["ok"]


def test_following_hears_what_happens_until_its_time_is_over(shell: Shell) -> None:
    agent = agent_at_work(shell.watch)
    cursor = shell.watch.calling.get("/live")["cursor"]

    feeds = shell.watch.calling.app.state.feeds

    def later() -> None:
        deadline = time.monotonic() + WAIT_S
        while not feeds.listeners and time.monotonic() < deadline:
            time.sleep(0.02)
        for number in range(3):
            step = agent.end(agent.begin("tool", f"call {number}", at_s=3 + number), at_s=4 + number)
            shell.watch.send(agent.spans(step))

    worker = threading.Thread(target=later)
    worker.start()
    *events, end = shell.json("tail", "--follow", "--cursor", cursor, "--for", "8s")
    worker.join()
    assert [event["name"] for event in events if event["event"] == "span"] == ["call 0", "call 1", "call 2"]
    assert end["reason"] == "time is over"
    again = shell.json("tail", "--cursor", end["cursor"])[:-1]
    assert [event for event in again if event["event"] == "span"] == []


def test_a_limit_and_a_budget_hold_and_nothing_is_lost_by_them(shell: Shell) -> None:
    agent = agent_at_work(shell.watch)
    start = shell.watch.calling.get("/live/changes")["cursor"]
    steps = [agent.end(agent.begin("tool", f"call {n:02}", at_s=1 + n), at_s=2 + n) for n in range(30)]
    shell.watch.send(agent.spans(*steps))
    for bound, reason in ((("--limit", "7"), "limit"), (("--budget", "2000"), "budget")):
        found: list[str] = []
        cursor, reasons = start, set[str]()
        deadline = time.monotonic() + WAIT_S
        while True:
            code, lines, err = shell.run("tail", "--follow", "--for", "2s", "--cursor", cursor, *bound)
            assert code == 0, err
            assert sum(map(len, lines)) + len(lines) <= 2_000 or reason == "limit"
            *events, end = map(json.loads, lines)
            found += [event["name"] for event in events if event["event"] == "span"]
            cursor = end["cursor"]
            reasons.add(end["reason"])
            # On a busy machine the time can be over before all have come.
            if end["reason"] == "time is over" and (len(found) >= 30 or time.monotonic() > deadline):
                break
            assert len(events) <= 7 or reason == "budget"
        assert found == [f"call {n:02}" for n in range(30)]
        assert reasons == {reason, "time is over"}


def test_for_people_it_is_a_line_of_words(shell: Shell) -> None:
    agent = agent_at_work(shell.watch)
    shell.watch.send(agent.spans(agent.end(agent.steps[1], at_s=1, error="no\nsuch order")))
    _, lines, _ = shell.run("tail", "--human")
    assert any("tool  get_order  error  500ms  no such order" in line for line in lines)
    assert any("== refunds: running" in line for line in lines)
    assert lines[-1].startswith("that is all; go on: pilothouse tail --human --cursor ")


def test_one_trace_and_a_filter(shell: Shell) -> None:
    one, two = agent_at_work(shell.watch, "one"), agent_at_work(shell.watch, "two")
    assert {e["trace_id"] for e in shell.json("tail", "--trace", one.trace_id[:20])[:-1]} == {one.trace_id}
    assert {e["trace_id"] for e in shell.json("tail", "agent:two")[:-1]} == {two.trace_id}
    assert {e["agent"] for e in shell.json("tail", "-agent:two", "--fields", "agent,state")[:-1]} == {"one"}


def test_wrong_calls_are_refused_at_once(shell: Shell) -> None:
    assert shell.run("tail", "--for", "30s")[0] == 2
    assert shell.run("tail", "--follow", "--for", "soon")[0] == 2
    assert shell.run("tail", "--cursor", "yesterday")[0] == 2
    assert shell.run("tail", "--follow", "--cursor", "yesterday")[0] == 2
    assert shell.run("tail", "--follow", "agnt:x")[0] == 2
    assert shell.run("tail", "--trace", "ffffffff")[0] == 3


def test_the_whole_of_it_goes_into_a_file(shell: Shell, tmp_path: Any) -> None:
    agent_at_work(shell.watch)
    code, lines, _ = shell.run("tail", "--out", str(tmp_path / "tail.jsonl"))
    assert (code, lines) == (0, [])
    assert len((tmp_path / "tail.jsonl").read_text().splitlines()) == 4
    assert shell.run("tail", "--out", str(tmp_path / "no" / "x"))[0] == 2


def test_a_broken_connection_is_taken_up_again(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "PAUSES_S", (0.05,))
    agent = agent_at_work(shell.watch)
    cursor = shell.watch.calling.get("/live")["cursor"]
    feeds = shell.watch.calling.app.state.feeds

    def later() -> None:
        for number in range(3):
            deadline = time.monotonic() + WAIT_S
            while not feeds.listeners and time.monotonic() < deadline:
                time.sleep(0.02)
            step = agent.end(agent.begin("tool", f"call {number}", at_s=3 + number), at_s=4 + number)
            shell.watch.send(agent.spans(step))
            time.sleep(0.3)
            # The server lets everybody go, as at a restart.
            feeds.close()
            feeds._closed = False

    worker = threading.Thread(target=later)
    worker.start()
    *events, _ = shell.json("tail", "--follow", "--cursor", cursor, "--for", "8s")
    worker.join()
    assert [e["name"] for e in events if e["event"] == "span"] == [f"call {number}" for number in range(3)]


def test_a_server_that_is_gone_is_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "PAUSES_S", (0.01,))
    monkeypatch.setenv("PILOTHOUSE_URL", "http://127.0.0.1:9")
    code, _, err = shell.run("tail", "--follow", "--cursor", "1795232049199")
    assert code == 5, err


def test_ctrl_c_and_sigterm_still_say_where_to_go_on(watch: Watch) -> None:
    agent_at_work(watch)
    environment = {**os.environ, "PILOTHOUSE_URL": watch.url, "PILOTHOUSE_API_KEY": watch.calling.keys["read"]}
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [sys.executable, "-m", "pilothouse.cli", "tail", "--follow"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            # Tests that run in the background of a shell are started with SIGINT ignored, and hand that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        deadline = time.monotonic() + WAIT_S
        while not watch.calling.app.state.feeds.listeners:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        out, _ = process.communicate(timeout=WAIT_S)
        end = json.loads(out.splitlines()[-1])
        assert (end["event"], end["reason"]) == ("end", "interrupted")
        assert process.returncode == 130


def lines_of(event: Heard) -> list[str]:
    return [f"id: {event.id}", f"event: {event.name}", f"data: {json.dumps(event.data)}", ""]


@given(
    events=st.lists(
        st.builds(
            Heard,
            name=st.sampled_from(["span", "trace", "lag"]),
            id=st.from_regex(r"[0-9]{13}", fullmatch=True),
            data=st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers(), max_size=3),
        ),
        max_size=5,
    ),
    noise=st.lists(st.sampled_from([": still here", "", "retry: 2000", "nonsense", "data: 3", "data: {"]), max_size=4),
)
def test_what_is_sent_is_heard_whatever_is_between(events: list[Heard], noise: list[str]) -> None:
    lines = [line for event in events for line in (*lines_of(event), *noise, "", "")]
    assert list(parse(lines)) == events


def test_an_agent_that_waits_is_seen(shell: Shell) -> None:
    agent = Agent()
    wait = {"pilothouse.wait.for": "human", "pilothouse.wait.reason": "refund of $900"}
    shell.watch.send(agent.spans(agent.begin("agent", "refunds"), agent.begin("waiting", "approval", at_s=0.1, **wait)))
    ((row,),) = (
        answer["data"] for answer in shell.json("live", "--state", "waiting_human", "--fields", "trace_id,reason")
    )
    assert row["reason"] == "waits for a person: refund of $900"
