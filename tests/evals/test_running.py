"""Suites run: tools played back, bounds, broken off and gone on with."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import pilothouse
from pilothouse.evals import runs
from pilothouse.evals.runner import Options, run_suite
from pilothouse.evals.runs import About, Result, Run
from pilothouse.evals.suite import Suite
from pilothouse.evals.targets.resolve import resolve
from pilothouse.records import BadRequest, PilothouseError


@pilothouse.tool
def get_order(id: int) -> dict[str, Any]:
    """Look an order up."""
    raise AssertionError("the shop is not there")


@pilothouse.tool(effect="write")
async def refund(order: int, amount: float) -> str:
    """Pay money back."""
    raise AssertionError("money was spent")


async def shop(messages: list[dict[str, Any]]) -> str:
    """An agent without a model: it refunds late orders."""
    number = int("".join(filter(str.isdigit, messages[-1]["content"])) or 0)
    order = await asyncio.to_thread(get_order, number)
    if order["late"]:
        await refund(number, order["total"])
        return f"You get {order['total']} back"
    return "It is not late"


def case(id: str, number: int, *, late: bool, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "input": f"refund order {number}",
        "stubs": {
            "calls": [
                {"name": "get_order", "arguments": {"id": number}, "result": {"late": late, "total": 5}},
                *([{"name": "refund", "result": "done"}] if late else []),
            ]
        },
        "checks": [{"tool": "refund", "arguments": {"order": number}} if late else {"no_tool": "refund"}],
        **more,
    }


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    folder = tmp_path / "refunds"
    folder.mkdir()
    suite = Suite(folder)
    suite.add(case("late", 1, late=True))
    suite.add(case("in-time", 2, late=False))
    return suite


ABOUT = About(run="", suite="refunds", suite_version="", target="shop", version="v1")


def go(suite: Suite, target: Any = shop, *, about: About = ABOUT, **more: Any) -> tuple[Run, dict[str, Result]]:
    run, _ = asyncio.run(run_suite(suite, resolve(target), about, **more))
    return run, {one.case: one for one in run.results()}


def test_recorded_answers_stand_in_for_the_world(suite: Suite) -> None:
    _, results = go(suite)
    assert {id: one.outcome for id, one in results.items()} == {"late": "pass", "in-time": "pass"}
    assert results["late"].tools == ['get_order({"id":1})', 'refund({"amount":5,"order":1})']


def test_what_is_not_recorded_is_never_run_and_fails(suite: Suite) -> None:
    data = case("other", 3, late=True)
    data["stubs"]["calls"].pop()
    suite.add(data)
    _, results = go(suite)
    assert results["other"].outcome == "fail"
    assert "the recording has no call refund" in results["other"].why


def test_a_tool_that_writes_runs_only_where_the_case_says_so(suite: Suite) -> None:
    data = case("open", 3, late=True)
    data["stubs"]["calls"].pop()
    for safe, told in (([], "runs only where the case names it"), (["refund"], "money was spent")):
        data["stubs"] |= {"live": ["refund"], "safe": safe}
        suite.add(data, overwrite=bool(safe))
        _, results = go(suite, options=Options(writing=frozenset({"refund"})))
        assert results["open"].outcome == "fail"
        assert told in results["open"].why


def test_strict_recordings_want_every_call_in_order(suite: Suite) -> None:
    data = case("strict", 4, late=False)
    data["stubs"] |= {"mode": "strict"}
    data["stubs"]["calls"].append({"name": "get_order", "arguments": {"id": 5}, "result": {}})
    suite.add(data)
    _, results = go(suite)
    assert "recorded and not called again: get_order" in results["strict"].why


def test_a_recorded_failure_fails_again(suite: Suite) -> None:
    data = case("broken", 6, late=False)
    data["stubs"]["calls"][0] = {"name": "get_order", "error": "no such order"}
    suite.add(data)
    _, results = go(suite)
    assert "no such order" in results["broken"].why


def test_an_agent_that_fails_or_hangs_hurts_no_other_case(suite: Suite) -> None:
    async def hangs(messages: list[dict[str, Any]]) -> str:
        if "order 1" in messages[-1]["content"]:
            await asyncio.sleep(60)
        raise RuntimeError("out of order")

    _, results = go(suite, hangs, options=Options(timeout_s=0.2))
    assert "Timeout" in results["late"].why
    assert "RuntimeError: out of order" in results["in-time"].why


def test_a_file_that_is_no_case_ends_a_run_of_all_before_it_begins(suite: Suite) -> None:
    """Left out unseen, it would pass."""
    (suite.folder / "cases" / "slip.yaml").write_text("input: hello\nsevrity: critical\nchecks: [{text: hello}]\n")
    fresh = Suite(suite.folder)
    with pytest.raises(BadRequest, match="is no case: not all cases can be run") as told:
        go(fresh)
    assert "sevrity" in str(told.value.got) and "eval list --broken" in str(told.value.fix)
    assert runs.every(suite.folder) == []
    _, results = go(fresh, cases=["late"])
    assert set(results) == {"late"}


def test_a_whole_session_is_held_turn_by_turn(suite: Suite) -> None:
    def counts(messages: list[dict[str, Any]]) -> str:
        return f"{len(messages)} so far"

    suite.add({"id": "session", "input": {"turns": ["a", "b", "c"]}, "checks": [{"text": "5 so far"}]})
    _, results = go(suite, counts, cases=["session"])
    assert results["session"].outcome == "pass"


def test_an_address_is_a_target(suite: Suite) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"text": "hello", "tool_calls": [{"function": {"name": "find", "arguments": "{\\"q\\": 1}"}}]}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        suite.add({"id": "far", "input": "hi", "checks": [{"text": "hello"}, {"tool": "find", "arguments": {"q": 1}}]})
        _, results = go(suite, f"http://127.0.0.1:{server.server_port}/", cases=["far", "late"])
        assert (results["far"].outcome, results["late"].outcome) == ("pass", "unscored")
        assert "cannot be played back at an address" in results["late"].why
    finally:
        server.shutdown()
        server.server_close()


def test_results_of_the_same_version_are_taken_over(suite: Suite) -> None:
    calls: list[str] = []

    async def counted(messages: list[dict[str, Any]]) -> str:
        calls.append(messages[-1]["content"])
        return await shop(messages)

    go(suite, counted)
    suite.add(case("in-time", 7, late=False), overwrite=True)
    run, results = go(suite, counted)
    assert (len(calls), results["late"].taken_from != "", results["in-time"].taken_from) == (3, True, "")
    go(suite, counted, options=Options(fresh=True))
    go(suite, counted, about=About(run="", suite="", suite_version="", target="shop", version="v2"))
    assert len(calls) == 7
    assert [one.about.run for one in runs.every(suite.folder)] == ["run-0004", "run-0003", "run-0002", "run-0001"]
    assert runs.find(suite.folder, "last-2").about.run == run.about.run


def test_money_ends_a_run_before_it_is_overspent_by_more_than_what_is_under_way(suite: Suite) -> None:
    for n in range(30):
        suite.add({"id": f"n-{n:02}", "input": "x", "checks": [{"contains": "y"}]})

    def costs(text: str) -> dict[str, Any]:
        return {"text": "y", "cost_usd": 0.25}

    run, progress = asyncio.run(run_suite(suite, resolve(costs), ABOUT, options=Options(usd_max=1.0, parallel=2)))
    assert "the money is spent" in progress.stopped
    assert 4 <= len(list(run.results())) <= 5


def test_two_processes_never_write_one_run(suite: Suite) -> None:
    run, _ = go(suite)
    with run.writing(), pytest.raises(BadRequest, match="another process"):
        go(suite, again=run)


AGENT = """
import time
def agent(text):
    with open("calls.txt", "a") as file:
        file.write(text + "\\n")
    time.sleep(0.05)
    return text
"""
PROGRAM = """
import asyncio, sys
from pilothouse.evals import runs
from pilothouse.evals.runner import Options, run_suite
from pilothouse.evals.runs import About
from pilothouse.evals.suite import Suite
from pilothouse.evals.targets.resolve import resolve
suite = Suite("suite")
again = runs.find(suite.folder, "last") if "again" in sys.argv else None
about = About(run="", suite="s", suite_version="", target="agent", version="")
asyncio.run(run_suite(suite, resolve("killed_agent:agent"), about, options=Options(parallel=4), again=again))
"""


def test_a_run_that_is_killed_goes_on_without_repeating_a_case(tmp_path: Path) -> None:
    (tmp_path / "killed_agent.py").write_text(AGENT)
    (tmp_path / "suite").mkdir()
    suite = Suite(tmp_path / "suite")
    (suite.folder / "cases").mkdir()
    lines = [f'{{"id":"c-{n:03}","input":"say {n}","checks":[{{"text":"say {n}"}}]}}\n' for n in range(120)]
    (suite.folder / "cases/all.jsonl").write_text("".join(lines))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    first = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment)
    results = suite.folder / runs.RUNS / "run-0001/results.jsonl"
    while not (results.exists() and results.read_bytes().count(b"\n") >= 20):
        assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    known = results.read_bytes()
    # As a machine that lost its power would leave it.
    results.write_bytes(known + b'{"case":"c-0')
    subprocess.run([sys.executable, "-c", PROGRAM, "again"], cwd=tmp_path, env=environment, check=True)
    found = [one.case for one in runs.find(suite.folder, "1").results()]
    assert sorted(found) == [f"c-{n:03}" for n in range(120)]
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    # Only what was under way at the kill is run again.
    assert 120 <= len(calls) <= 124


def test_a_target_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name, told in (
        ("nowhere:agent", "no such module"),
        ("json:agent", "no such name"),
        ("json", "module:attribute"),
    ):
        with pytest.raises(PilothouseError, match=told):
            resolve(name, folder=tmp_path)
    (tmp_path / "broken_module.py").write_text(textwrap.dedent("import nothing_like_this"))
    with pytest.raises(BadRequest, match="needs a module"):
        resolve("broken_module:x", folder=tmp_path)


def test_calls_of_the_history_are_not_counted_as_made_again(suite: Suite) -> None:
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "refund order 1"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "name": "refund", "arguments": {"order": 1}}]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ]

    def tells_all(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"role": "system", "content": "I refund"}, *messages, {"role": "assistant", "content": "It is done"}]

    suite.add({"id": "again", "input": {"messages": history}, "checks": [{"no_tool": "*"}, {"contains": "done"}]})
    _, results = go(suite, tells_all, cases=["again"])
    assert results["again"].outcome == "pass", results["again"].why
