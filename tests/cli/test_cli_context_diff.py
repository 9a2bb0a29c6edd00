"""``context`` and ``diff`` on the command line, over what real clients sent."""

from __future__ import annotations

from tests.live import LiveServer

from .conftest import Cli


def traces_of(cli: Cli, dialect: str) -> list[str]:
    rows = cli("ls", f"dialect:{dialect}", "model:gpt-4*", "--limit", "50", "--json").data
    return [row["trace_id"] for row in rows]


def test_context_says_a_line_a_call(cli: Cli, live: LiveServer) -> None:
    id = traces_of(cli, "openinference")[0]
    data = cli("context", id, "--json", "--budget", "200000").data
    assert data["calls"] and all(sum(call["parts"].values()) == call["tokens"] for call in data["calls"])
    shown = cli("context", id, "--human").out
    assert "S system" in shown and "in view" in shown
    assert shown.count("\n") >= len(data["calls"]) + 3
    step = data["calls"][0]["step"]
    whole = cli("context", id, "--step", str(step), "--json").data
    assert whole["detail"]["messages"] and whole["calls"][0]["step"] == step
    assert "message" in cli("context", id, "--step", str(step), "--human").out


def test_context_of_another_step_names_the_model_calls(cli: Cli, live: LiveServer) -> None:
    id = traces_of(cli, "openinference")[0]
    failed = cli("context", id, "--step", "1", "--json")
    assert failed.code == 2 and "is no model call" in failed.error["message"]
    assert cli("context", "no-such-trace", "--json").code == 3


def test_diff_shows_where_two_traces_part(cli: Cli, live: LiveServer) -> None:
    ids = traces_of(cli, "openinference")
    same = cli("diff", ids[0], ids[0], "--json").data
    assert same["diff"]["divergence"] is None and same["diff"]["same"] == same["rows"]
    assert same["items"][-1]["last_row"] == same["rows"]

    def kind(id: str) -> str:
        parting = cli("diff", ids[0], id, "--json", "--budget", "200000").data["diff"]["divergence"]
        return parting["kind"] if parting else ""

    other = next(id for id in ids[1:] if kind(id) in ("tool", "arguments"))
    found = cli("diff", ids[0], other, "--json", "--budget", "200000").data
    assert found["diff"]["detail"]["row"]["row"] == found["diff"]["divergence"]["row"]
    shown = cli("diff", ids[0], other, "--human").out
    assert "first divergence: row" in shown and "[-only a-]" in shown
    assert len(cli("diff", ids[0], other, "--json").out) <= 10_001
    assert len(cli("diff", ids[0], other, "--human").out) <= 10_001


def test_diff_takes_last_and_says_what_is_missing(cli: Cli, live: LiveServer) -> None:
    assert cli("diff", "last", "last-error", "--json").code == 0
    assert cli("diff", "last", "nothing", "--json").error["kind"] == "not_found"
    assert cli("diff", "last", "last", "--step", "x1", "--json").code == 2
    assert cli("diff", "last", "--json").code == 2
