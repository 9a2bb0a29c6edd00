"""Each format goes in through the command line and comes out of a real server: transcript, usage, cost, scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Result, cli  # noqa: F401  # a fixture
from tests.live import LiveServer, running_server

from .atif_rules import check
from .support import SAMPLES


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A real server without traffic."""
    with running_server(tmp_path_factory.mktemp("imports"), traffic=False) as running:
        yield running


@pytest.fixture(autouse=True)
def _found(server: LiveServer, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("PILOTHOUSE_DATA", str(server.data))


def imported(cli: Cli, server: LiveServer, *words: str) -> dict[str, Any]:  # noqa: F811
    """Import; what the answer says."""
    result: Result = cli("import", *words)
    assert result.code == 0, result.out + result.err
    return result.json["data"]


def usage(server: LiveServer, trace: str) -> list[Any]:
    """Input at full price, read from and written to caches, output, reasoning, and the cost, of a whole trace."""
    server.wait_for(f"SELECT count() FROM traces WHERE trace_id = '{trace}'", 1)
    return server.sql(
        "SELECT input_uncached_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, "
        f"toFloat64(cost_usd) FROM traces WHERE trace_id = '{trace}'"
    )[0]


def trace_of(server: LiveServer, condition: str) -> str:
    server.wait_for(f"SELECT count() FROM traces WHERE {condition}", 1)
    ((found,),) = server.sql(f"SELECT trace_id FROM traces WHERE {condition}")
    return found


def test_atif_comes_out_as_it_went_in(cli: Cli, server: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    sample = SAMPLES / "harbor.trajectory.json"
    told = imported(cli, server, "atif", str(sample), "--tag", "nightly")
    assert (told["traces"], told["spans"], told["scores"], told["failed"]) == (1, 9, 2, 0)
    trace = trace_of(server, "agent = 'stock-helper'")
    server.wait_for(f"SELECT count() FROM spans WHERE trace_id = '{trace}'", 9)
    # The agent's totals repeat what its calls used: only the calls count.
    assert usage(server, trace)[:5] == [1660, 200, 0, 143, 12]
    server.wait_for(f"SELECT count() FROM scores WHERE trace_id = '{trace}'", 2)
    text = cli("show", trace, "--as", "transcript", "--budget", "100000").out
    assert text.index("\n28 pieces\n") < text.index("\nRosa packs them.\n") < text.rindex("28 of 40 are there")
    assert cli("show", trace, "--as", "atif", "--out", "back.json").code == 0
    back = json.loads((tmp_path / "back.json").read_text())
    assert back == json.loads(sample.read_text())
    for budget in ("500", "900", "2500", "10000"):
        short = cli("show", trace, "--as", "atif", "--budget", budget).out
        assert len(short) <= int(budget) + 1
        check(json.loads(short))


def test_importing_again_changes_nothing(cli: Cli, server: LiveServer) -> None:  # noqa: F811
    sample = str(SAMPLES / "harbor.trajectory.json")
    imported(cli, server, "atif", sample)
    imported(cli, server, "atif", sample)
    trace = trace_of(server, "agent = 'stock-helper'")
    server.wait_for(f"SELECT count() FROM scores WHERE trace_id = '{trace}'", 2)
    assert server.sql(f"SELECT count(), uniq(span_id) FROM spans WHERE trace_id = '{trace}'") == [[9, 9]]
    assert server.sql(f"SELECT count() FROM scores WHERE trace_id = '{trace}'") == [[2]]


def test_otlp_is_sent_on_with_its_own_ids(cli: Cli, server: LiveServer) -> None:  # noqa: F811
    told = imported(cli, server, "otlp", str(SAMPLES / "collector.jsonl"))
    assert (told["traces"], told["spans"], told["records"]) == (1, 2, 1)
    trace = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
    server.wait_for(f"SELECT count() FROM spans WHERE trace_id = '{trace}'", 2)
    server.wait_for(f"SELECT count() FROM traces WHERE trace_id = '{trace}'", 1)
    assert server.sql(f"SELECT agent, model_calls FROM traces WHERE trace_id = '{trace}'") == [["clerk", 1]]
    server.wait_for(f"SELECT count() FROM logs WHERE trace_id = '{trace}'", 1)
    assert cli("import", "otlp", str(SAMPLES / "collector.jsonl"), "--tag", "x").code == 2


def test_a_dry_run_says_what_would_be_and_sends_nothing(cli: Cli, server: LiveServer) -> None:  # noqa: F811
    before = server.sql("SELECT count() FROM spans")
    told = imported(cli, server, "atif", str(SAMPLES / "harbor.trajectory.json"), "--dry-run")
    assert (told["dry_run"], told["traces"], told["spans"], told["requests"]) == (True, 1, 9, 0)
    assert server.sql("SELECT count() FROM spans") == before


def test_what_fails_is_named_and_the_rest_goes_on(cli: Cli, server: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "good.json").write_bytes((SAMPLES / "harbor.trajectory.json").read_bytes())
    (folder / "cut.json").write_text('{"schema_version": "ATIF-v1.4", "steps": [')
    (folder / "result.json").write_text('{"reward": 1}')
    result = cli("import", "atif", str(folder))
    assert result.code == 9
    told = result.json["data"]
    assert (told["files"], told["other_files"], told["failed"]) == (2, 1, 1)
    assert [(one["file"], one["where"]) for one in told["failures"]] == [("cut.json", "file")]
    assert cli("import", "atif", str(folder / "result.json")).code == 9


def test_a_call_that_is_wrong_says_how_it_would_be_right(cli: Cli, server: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    assert cli("import", "atiff", "x").error["allowed"][0] == "atif"
    assert cli("import", "atif", str(tmp_path / "missing")).code == 3
    assert cli("import", "atif").code == 2
    assert len(cli("import", "--help").out) <= 1_500


def test_claude_comes_out_with_its_usage_cost_and_sub_agents(cli: Cli, server: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    told = imported(cli, server, "claude", str(SAMPLES / "claude"))
    assert (told["traces"], told["failed"]) == (3, 0)
    session = "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9"
    server.wait_for(f"SELECT count() FROM traces WHERE session_id = '{session}'", 3)
    server.wait_for(f"SELECT count() FROM spans WHERE session_id = '{session}'", told["spans"])
    trace = trace_of(server, "input_text = 'Why does the lamp cost 0?'")
    # Three calls of the main agent and two of Explore, in buckets that do not overlap.
    wrote, read = 9_000 + 400 + 300, 9_000 + 9_400
    found = usage(server, trace)
    assert found[:5] == [3 + 5 + 4 + 900 + 1_500, read, wrote, 140 + 60 + 25 + 30 + 20, 40]
    # claude-sonnet-4-5: 3, 0.3, 3.75 and 15 dollars a million; claude-haiku-4-5: 1 and 5.
    sonnet = 12 * 3 + read * 0.3 + wrote * 3.75 + 265 * 15
    assert found[5] == pytest.approx((sonnet + 2_400 * 1 + 50 * 5) / 1e6, rel=1e-6)
    tree = cli("show", trace, "--as", "tree", "--budget", "20000").out
    names = ("claude-code", "Read", "Bash", "Task", "Explore", "Grep")
    assert [tree.index(f" {name} ") for name in names] == sorted(tree.index(f" {name} ") for name in names)
    said = cli("sessions", session, "--as", "transcript", "--budget", "100000").out
    assert said.index("Why does the lamp") < said.index("Set it to 12.") < said.index("And the chair?")
    compacted = trace_of(server, "input_text LIKE 'Set it to 12.%'")
    windows = cli("context", compacted, "--budget", "50000").out
    assert "compact" in windows
    assert cli("show", trace, "--as", "atif", "--out", "claude.json").code == 0
    back = json.loads((tmp_path / "claude.json").read_text())
    check(back)
    assert [step["source"] for step in back["steps"]] == ["user", "agent", "agent", "agent"]
    assert back["steps"][1]["reasoning_content"] == "Two files may set it."
    assert back["final_metrics"]["total_prompt_tokens"] == 12 + read + wrote
    assert [one["agent"]["name"] for one in back["subagent_trajectories"]] == ["Explore"]
    task = back["steps"][2]["observation"]["results"][0]
    assert task["content"] == "Rosa set it in March." and len(task["subagent_trajectory_ref"]) == 1


def test_codex_comes_out_with_its_usage_cost_and_sub_agents(cli: Cli, server: LiveServer) -> None:  # noqa: F811
    told = imported(cli, server, "codex", str(SAMPLES / "codex"))
    assert (told["traces"], told["failed"]) == (2, 0)
    session = "01970000-aaaa-7000-8000-000000000001"
    server.wait_for(f"SELECT count() FROM spans WHERE session_id = '{session}'", told["spans"] - 2)
    trace = trace_of(server, "input_text = 'Run the tests.'")
    server.wait_for(f"SELECT count() FROM spans WHERE trace_id = '{trace}' AND kind = 'model'", 5)
    found = usage(server, trace)
    inputs, cached, outputs, thought = 51_000 + 700, 9_000 + 12_000 + 12_500 + 13_000, 490 + 20, 130
    assert found[:5] == [inputs - cached, cached, 0, outputs - thought, thought]
    # gpt-5: 1.25, 0.125 and 10 dollars a million; gpt-5-mini: 0.25 and 2.
    gpt5 = (51_000 - cached) * 1.25 + cached * 0.125 + 490 * 10
    assert found[5] == pytest.approx((gpt5 + 700 * 0.25 + 20 * 2) / 1e6, rel=1e-6)
    text = cli("show", trace, "--as", "transcript", "--budget", "100000").out
    assert text.index("1 failed") < text.index("Find the reason.") < text.rindex("The price was 0; I mended it.")


def test_inspect_comes_out_with_its_scores(cli: Cli, server: LiveServer) -> None:  # noqa: F811
    told = imported(cli, server, "inspect", str(SAMPLES / "inspect"))
    assert (told["traces"], told["scores"], told["failed"]) == (2, 5, 0)
    server.wait_for("SELECT count() FROM traces WHERE session_id = 'evalAbc'", 2)
    trace = trace_of(server, "session_id = 'evalAbc' AND output_text = '40'")
    server.wait_for(f"SELECT count() FROM scores WHERE trace_id = '{trace}'", 4)
    rows = server.sql(f"SELECT name, value, label FROM scores WHERE trace_id = '{trace}' ORDER BY name")
    assert rows == [["grade.length", 3, ""], ["grade.tone", 0.5, ""], ["match", 1, "C"], ["safe", 1, "true"]]
    assert usage(server, trace)[:5] == [22, 1_100, 100, 35, 3]
    assert server.sql("SELECT status FROM traces WHERE session_id = 'evalAbc' AND output_text = 'no'") == [["error"]]


def test_swe_agent_comes_out_with_its_exit_status(cli: Cli, server: LiveServer) -> None:  # noqa: F811
    told = imported(cli, server, "swe-agent", str(SAMPLES / "swe-agent"), "--agent", "mender")
    assert (told["traces"], told["scores"], told["failed"]) == (2, 2, 0)
    server.wait_for("SELECT count() FROM traces WHERE agent = 'mender'", 2)
    server.wait_for("SELECT count() FROM scores WHERE name = 'exit_status'", 2)
    assert server.sql("SELECT label, value FROM scores WHERE name = 'exit_status' ORDER BY label") == [
        ["LimitsExceeded", 0],
        ["submitted", 1],
    ]
    whole = trace_of(server, "session_id = 'run-7'")
    server.wait_for(f"SELECT count() FROM spans WHERE trace_id = '{whole}'", 5)
    # Tokens and cost of the run, since no call has any; what the run says it cost counts.
    assert usage(server, whole) == [5_200, 0, 0, 310, 0, 0.042]
    calls = trace_of(server, "session_id = 'run-8'")
    # gpt-5-mini: 0.25, 0.025 and 2 dollars a million; the cost of the run is not counted beside that of its calls.
    found = usage(server, calls)
    assert found[:2] == [800 - 256 + 900, 256]
    assert found[5] == pytest.approx((1_444 * 0.25 + 256 * 0.025 + 50 * 2) / 1e6, rel=1e-6)
