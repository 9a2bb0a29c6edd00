"""Recorded sessions become a run: a candidate is held against them, or they are judged anew."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from pilothouse.cli.root import run as cli
from pilothouse.evals import runs
from pilothouse.evals.suite import Suite
from tests.live import LiveServer

from .conftest import Evals
from .judges.asked import JudgeServer
from .judges.asked import said as said_by
from .recorded import answered, said, send, wish

AGENT = "backtest-shop"
WEEK_S = 7 * 86_400
SESSIONS = {"acme": 3, "bolt": 9, "cord": 2}
"""Of each customer; they lie in two weeks and releases, and one of them failed."""
TARGET = '''
import pilothouse

CALLS = []

@pilothouse.tool
def get_order(id: int) -> dict:
    raise RuntimeError("only in production")

@pilothouse.tool(effect="write")
def refund(order: int, amount: int) -> dict:
    raise RuntimeError("money was spent")

def number(messages):
    asked = next(one["content"] for one in reversed(messages) if one["role"] == "user")
    return int(asked.split()[1])

def agent(messages):
    """Today's agent: as it was, but for the orders of one customer."""
    order = get_order(number(messages))
    amount = order["total"] if number(messages) < 200 else 1
    return f"You get {refund(number(messages), amount)['amount']} EUR back"

def decide(messages):
    """One decision, told from the conversation alone."""
    done = sum(one["role"] == "tool" for one in messages)
    wish = [("get_order", {"id": number(messages)}), ("refund", {"order": number(messages), "amount": 1})][done:][:1]
    calls = [{"id": "c", "name": name, "arguments": arguments} for name, arguments in wish]
    return {"text": "" if calls else "You get it back", "tool_calls": calls}

def polite(seen):
    return "EUR" in seen.text, "no currency is named"

def exact(seen):
    return ("back" in seen.text and "300" not in str(seen.tools), "the order 300 is not to be paid")
'''


def conversation(order: int) -> list[dict[str, Any]]:
    return [
        said("system", "You refund late orders."),
        said("user", f"Order {order} was late, write to mia@example.org"),
        wish("c1", "get_order", {"id": order}),
        answered("c1", {"total": 20, "late": True}),
        wish("c2", "refund", {"order": order, "amount": 20}),
        answered("c2", {"amount": 20}),
        said("assistant", "You get 20 EUR back"),
    ]


@pytest.fixture(scope="module")
def history(live_server: LiveServer) -> LiveServer:
    number = 0
    for place, (customer, count) in enumerate(SESSIONS.items()):
        for at in range(count):
            number += 1
            send(
                live_server,
                f"{0xB0 + number:032x}",
                conversation(100 * (place + 1) + at),
                session=f"bt-{customer}-{at}",
                user=customer,
                version="1.0" if at % 2 else "1.1",
                agent=AGENT,
                ago_s=600 + number + (WEEK_S if at % 2 else 0),
                failed=(customer, at) == ("acme", 0),
                wait=False,
            )
    # Each session: the agent, three calls of a model, two of tools.
    live_server.wait_for(f"SELECT sum(spans) FROM traces WHERE agent = '{AGENT}'", 6 * number, timeout_s=180)
    return live_server


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "bt_agent.py").write_text(TARGET)
    sys.modules.pop("bt_agent", None)
    return tmp_path


def asked(evals: Evals, *words: str, code: int = 0) -> dict[str, Any]:
    result = evals("backtest", f"agent:{AGENT}", *words, "--budget", "200000")
    assert result.code == code, (result.code, result.err, result.out)
    return json.loads(result.out)["data"]


def test_a_candidate_is_held_against_what_was_done(history: LiveServer, evals: Evals, shop: Path) -> None:
    data = asked(evals, "--target", "bt_agent:agent", "--sample", "0", code=7)
    assert (data["mode"], data["outcome"], data["overall"]["cases"], data["overall"]["passed"]) == (
        "reference",
        "fail",
        13,
        2,
    )
    assert data["taken"]["left_out"] == [
        {"why": "it went wrong in production, so that it is no reference", "count": 1, "example": "bt-acme-0"}
    ]
    by = {one["name"]: one for one in data["customers"]}
    assert {name: (one["cases"], one["passed"], one["before"], one["verdict"]) for name, one in by.items()} == {
        "acme": (2, 2, 1.0, "not_enough_data"), "bolt": (9, 0, 1.0, "worse"), "cord": (2, 0, 1.0, "not_enough_data"),
    }  # fmt: skip
    assert by["acme"]["p_adjusted"] == 1 and by["bolt"]["p_adjusted"] < 0.02
    assert [one["name"] for one in data["releases"]] == ["1.0", "1.1"] and len(data["weeks"]) == 2
    [why] = data["why"]
    assert (why["check"], why["tool"], why["cases"], len(why["examples"])) == ("tool", "refund", 11, 3)
    assert "amount" in why["reason"] and "20" not in why["reason"]
    assert all(len(one["trace"]) == 32 for one in why["examples"])
    # An ordinary run, with whose it was on each attempt; the same cases by production beside it.
    made = runs.find(Path("evals/backtests"), data["run"])
    results = {one.case: one for one in made.results()}
    assert results["bt-bolt-7"].customer == "bolt" and results["bt-bolt-7"].release == "1.0"
    assert results["bt-bolt-7"].week.startswith("20") and results["bt-bolt-7"].outcome == "fail"
    case = Suite(made.folder).case("bt-bolt-7")
    assert "mia@example.org" not in Suite(made.folder).text("bt-bolt-7") and case.metadata.cluster == "bt-bolt-7"
    assert {one.outcome for one in runs.find(Path("evals/backtests"), data["base"]).results()} == {"pass"}
    # Nothing is fetched or run twice, and the report is the same.
    again = json.loads(evals("backtest", "--resume", "last", "--budget", "200000").out)["data"]
    assert again["taken"]["fetched"] == 0 and again["overall"] == data["overall"] and again["why"] == data["why"]
    markdown = evals("backtest", "--resume", "last", "--as", "md", "--junit", "junit.xml")
    assert "| bolt | 9 | 0.0% |" in markdown.out and 'failures="11"' in Path("junit.xml").read_text()


def test_decisions_one_by_one_and_a_sample_by_customer(history: LiveServer, evals: Evals, shop: Path) -> None:
    words = ("--target", "bt_agent:decide", "--unit", "decision", "--sample", "5", "--even", "--since", "20d")
    data = asked(evals, *words, "--same", "tools")
    assert {one["name"]: one["count"] for one in asked(evals, *words, "--dry-run")["customers"]} == {
        "acme": 1, "bolt": 3, "cord": 1,
    }  # fmt: skip
    # Two calls and an answer each; of those that failed there is no reference.
    left = sum(one["count"] for one in data["taken"]["left_out"])
    assert data["taken"]["cases"] == 3 * (5 - left) == data["overall"]["passed"]
    strict = asked(evals, *words)
    assert strict["overall"]["passed"] == 2 * (5 - left), "every amount is another one"
    assert strict["verdict"]["clusters"] == 5 - left and strict["outcome"] == "not_enough_data"


def test_functions_judge_production_and_are_held_against_each_other(
    history: LiveServer, evals: Evals, shop: Path
) -> None:
    data = asked(evals, "--judge", "bt_agent:exact", "--sample", "0", "--least", "0.6", "--customer", "user")
    assert (data["mode"], data["overall"]["passed"], data["overall"]["cases"]) == ("rate", 13, 14)
    assert data["outcome"] == "pass" and data["base"] == ""
    two = asked(evals, "--judge", "bt_agent:polite,bt_agent:exact", "--sample", "0")
    assert two["mode"] == "judges" and two["agreement"]["stricter"] == 1 and two["agreement"]["milder"] == 0
    assert two["outcome"] == "not_enough_data" and two["verdict"]["counts"]["regressed"] == 1


def test_a_killed_backtest_goes_on_and_fetches_nothing_twice(
    history: LiveServer, evals: Evals, shop: Path, tmp_path: Path
) -> None:
    (shop / "bt_slow.py").write_text(
        textwrap.dedent(
            """
            import os, time
            from bt_agent import agent as inner

            def agent(messages):
                with open("ran.txt", "a") as file:
                    file.write(messages[-1]["content"].split()[1] + "\\n")
                # Until it is killed: the third attempt never ends.
                while len(open("ran.txt").read().split()) > 3 and not os.path.exists("go"):
                    time.sleep(0.02)
                return inner(messages)
            """
        )
    )
    words = (
        "backtest",
        f"agent:{AGENT}",
        "--target",
        "bt_slow:agent",
        "--sample",
        "7",
        "--parallel",
        "1",
        "--version",
        "v",
    )
    environment = {**os.environ, "PYTHONPATH": str(shop)}
    process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse.cli", "eval", *words], cwd=tmp_path, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "ran.txt").is_file() or len((tmp_path / "ran.txt").read_text().split()) < 4:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    [made] = [one for one in runs.every(Path("evals/backtests")) if one.about.backtest.get("base")]
    # As if the machine had gone down while a session was written.
    taken = (made.folder / "taken.jsonl").read_bytes().splitlines(keepends=True)
    (made.folder / "taken.jsonl").write_bytes(b"".join(taken[:-2]) + taken[-1][:20])
    with (made.folder / "cases/history.jsonl").open("ab") as file:
        file.write(b'{"id": "torn')
    (tmp_path / "go").touch()
    result = evals("backtest", "--resume", "last", "--budget", "200000")
    data = json.loads(result.out)["data"]
    assert data["taken"]["fetched"] == 2 and data["taken"]["sessions"] == 7
    assert data["overall"]["cases"] == data["taken"]["cases"] == len(Suite(made.folder).places())
    ran = (tmp_path / "ran.txt").read_text().split()
    assert len(ran) == data["taken"]["cases"] + 1, "only the attempt under way is made again"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--judge", "a,b,c"), "two are held against each other"),
        (("--judge", "a,a"), "another one"),
        (("--target", "x:y", "--customer", "colour"), "whose a trace is"),
        ((), "nothing says what is done"),
        (("--criterion", "polite", "--target", "x:y"), "asked of a judge"),
        (("--judge", "helpfulness"), "the suite names none"),
        (("--target", "bt_agent:agent", "--sample=-3"), "a sample has a size"),
        (("--resume", "run-0099"), "no such run"),
        (("--judge", "bt_agent:exact", "--least", "80"), "between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_fetched(
    evals: Evals, shop: Path, words: tuple[str, ...], told: str
) -> None:
    result = evals("backtest", *words)
    assert result.code in (2, 3) and told in result.err + result.out
    assert not Path("evals").exists()


def test_failures_of_production_are_told_by_what_the_suite_had_said(
    history: LiveServer, evals: Evals, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = f"{0xB0 + 6:032x}"
    monkeypatch.setenv("PILOTHOUSE_PERSON", "1")
    assert cli(("label", labelled, "rude")) == cli(("label", f"{0xB0 + 7:032x}", "fine")) == 0
    assert evals("init", "shop").code == 0
    words = ("escapes", f"agent:{AGENT}", "--suite", "evals/shop", "--signals", "none")
    deadline = time.monotonic() + 60
    while (data := json.loads(evals(*words, "--label", "rude").out)["data"])["failures"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    failed = f"{0xB1:032x}"
    assert {one["trace"]: one["why"] for one in data["missing"]} == {failed: ["error"], labelled: ["label rude"]}
    assert (data["escaped"], data["counts"]["uncovered"], data["rate"]) == (2, 2, 1.0)
    # The command it gives captures what is missing.
    [command] = [one["command"] for one in data["missing"] if one["trace"] == labelled]
    captured = evals(*command.split()[2:], "--expect", "tool refund amount=5")
    assert captured.code == 0, captured.err
    after = json.loads(evals(*words, "--label", "rude").out)["data"]
    assert (after["counts"]["captured"], after["counts"]["uncovered"]) == (1, 1)


def test_models_judge_production_and_a_candidate_within_a_cap(history: LiveServer, evals: Evals, shop: Path) -> None:
    """The old judge lets everything pass; the new one wants 20 EUR, and no order of 200 or more."""
    with JudgeServer(lambda asked, inside: said_by("pass")) as old, JudgeServer(_new_judge) as new:
        suite = Path("evals/judged")
        suite.mkdir(parents=True)
        price = "price: {input: 1000, output: 0}"
        (suite / "suite.yaml").write_text(
            f"judges:\n  old: {{model: m, url: {old.openai_url}, {price}}}\n"
            f"  new: {{model: m, url: {new.openai_url}, {price}}}\n"
        )
        words = ("--suite", "evals/judged", "--sample", "4")
        data = asked(evals, "--judge", "old,new", *words)
        passed = data["overall"]["passed"]
        assert data["mode"] == "judges" and data["agreement"]["stricter"] == 4 - passed > 0
        assert all(one["check"].startswith("judge new") for one in data["why"])
        assert data["cost_usd"] > 0 and set(data["judged"]) == {data["run"], data["base"]}
        both = asked(evals, "--target", "bt_agent:agent", "--judge", "new", *words)
        # A judge that nobody held against people decides nothing.
        assert both["mode"] == "judged" and both["outcome"] == "not_enough_data"
        assert any("may not gate" in reason for reason in both["reasons"])
        assert both["verdict"]["counts"]["regressed"] == 0
        # The cap holds over both sides together.
        again = asked(
            evals, "--target", "bt_agent:agent", "--judge", "old", "--max-usd", "0.1", "--parallel", "1", *words
        )
        assert again["stopped"].startswith("the money is spent") and again["overall"]["cases"] < 4


def _new_judge(outside: str, inside: str) -> str:
    found = re.search(r"Order (\d+)", inside)
    return said_by("pass" if found and int(found[1]) < 200 and "20 EUR" in inside else "fail", "it is not 20 EUR")
