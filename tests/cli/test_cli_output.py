"""Every answer: one line of JSON or text for people, within the budget, honest about what was cut."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.cli.budget import dumps, fit
from pilothouse.cli.terminal import clean, columns, one_line, table, visible

from .conftest import Cli
from .stub import Answer, Stub

ROW = {
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "root_name": "run",
    "agent": "refunds",
    "status": "error",
    "start_time": "2026-11-20T10:00:00.000Z",
    "duration_ms": 1234.5,
    "spans": 12,
    "errors": 1,
    "tokens": {"total": 2345},
    "cost_usd": "0.000632",
    "signals": ["error"],
    "input_text": "I want my money back",
}


def rows(number: int, **more: Any) -> list[dict[str, Any]]:
    return [{**ROW, "trace_id": f"{position:032x}", **more} for position in range(number)]


def answer(stub: Stub, data: Any, path: str = "/traces", **more: Any) -> None:
    stub.answers[f"/api/v1{path}"] = Answer(body={"ok": True, "data": data, **more})


def test_a_pipe_gets_one_line_of_json(cli: Cli, stub: Stub) -> None:
    answer(stub, rows(2), next=["pilothouse show x", "b", "c", "d"], page={"next": "c1", "more": True})
    got = cli("ls").json
    assert list(got) == ["ok", "data", "page", "next"]
    assert got["data"][0]["tokens.total"] == 2345
    assert got["page"]["next"] == "c1"
    assert len(got["next"]) == 3


def test_people_get_a_table(cli: Cli, stub: Stub) -> None:
    answer(stub, rows(1), page={"next": "c1", "more": True, "total": 812}, next=["pilothouse show x"])
    lines = cli("ls", "status:error", "--human").out.splitlines()
    assert " ".join(lines[0].split()) == "trace start status agent took spans err tokens cost signals input"
    assert "$0.000632" in lines[1]
    assert lines[2] == "more of 812: pilothouse ls status:error --human --cursor c1"
    assert lines[3] == "next: pilothouse show x"


def test_an_empty_answer_says_what_emptied_it(cli: Cli, stub: Stub) -> None:
    answer(stub, [], page={"next": "", "more": False, "emptied_by": ["agent:x"]})
    assert "nothing matches; without agent:x something does" in cli("ls", "--human").out


@pytest.mark.parametrize("budget", [500, 1_000, 3_000, 10_000])
@pytest.mark.parametrize("number", [1, 30, 400])
def test_the_budget_is_hard_and_the_cut_is_named(cli: Cli, stub: Stub, budget: int, number: int) -> None:
    answer(stub, rows(number, input_text="x" * 900), page={"next": "", "more": False, "total": number})
    result = cli("ls", "--budget", str(budget))
    assert len(result.out) <= budget
    got = result.json
    whole = cli("ls", "--budget", "1000000").json
    if got["data"] != whole["data"]:
        again = got["cut"][0]["get"].split()
        assert cli(*again[1:]).json["data"] == whole["data"]
    people = cli("ls", "--budget", str(budget), "--human").out
    assert len(people) <= budget + 1


def test_rows_stay_whole_rather_than_many(cli: Cli, stub: Stub) -> None:
    answer(stub, rows(200))
    got = cli("ls").json
    assert 20 < len(got["data"]) < 60
    assert got["data"][0]["agent"] == ROW["agent"]
    assert got["cut"][0]["path"] == f"data.{len(got['data'])}:200"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=20), inner, max_size=10),
    max_leaves=60,
)


@settings(max_examples=200, deadline=None)
@given(data=_json, budget=st.integers(300, 5_000))
def test_whatever_is_cut_fits_and_is_named(data: Any, budget: int) -> None:
    fitted = fit(data, budget, "pilothouse again")
    assert len(dumps(fitted.data)) + (len(dumps(fitted.cut)) if fitted.cut else 0) <= budget
    assert (fitted.data == data) == (not fitted.cut)


def test_fields_choose_and_reach_inside(cli: Cli, stub: Stub) -> None:
    answer(stub, rows(2))
    assert cli("ls", "--fields", "status,tokens.total").data[0] == {"status": "error", "tokens.total": 2345}
    assert cli("ls", "--fields", "status,agent", "--human").out.splitlines()[0] == "status\tagent"


def test_a_mistyped_field_is_answered_with_a_command(cli: Cli, stub: Stub) -> None:
    answer(stub, rows(1))
    error = cli("ls", "--fields", "status,agnet").error
    assert (error["got"], error["allowed"][0]) == ("agnet", "agent")
    assert error["fix"] == "pilothouse ls --fields status,agent"


def test_a_file_takes_everything(cli: Cli, stub: Stub, tmp_path: Path) -> None:
    answer(stub, rows(300))
    facts = cli("ls", "--out", "all.json").data
    written = (tmp_path / "all.json").read_text()
    assert facts["bytes"] == len(written.encode())
    assert json.loads(written)["data"] == rows(300)
    result = cli("ls", "--out", "/nowhere/x")
    assert (result.code, result.error["got"]) == (2, "/nowhere/x")


def test_text_stays_text_in_a_pipe_and_json_wraps_it(cli: Cli, stub: Stub) -> None:
    stub.answers["/api/v1/traces/last"] = Answer(body=b"# trace\n001 agent x ok\n")
    assert cli("show", "last", "--as", "tree").out == "# trace\n001 agent x ok\n"
    assert cli("show", "last", "--as", "tree", "--json").data == {"form": "tree", "text": "# trace\n001 agent x ok\n"}
    assert "as=tree&budget=10000" in stub.requests[0][1]


HOSTILE = "a\x1b[31mred\x1b]0;title\x07\u202egnp.exe\u200b\x9b31m\x00b\r\nc\U000e0041"


def test_content_cannot_steer_a_terminal(cli: Cli, stub: Stub) -> None:
    answer(stub, rows(1, input_text=HOSTILE, agent="\x1b[2J\u202ex"))
    text = cli("ls", "--human").out
    assert clean(text) == text
    assert "\x1b" not in text
    line = cli("ls", "--fields", "input_text,agent").out
    assert json.loads(line)["data"][0]["input_text"] == HOSTILE
    assert all(character.isprintable() or character == "\n" for character in line)


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(max_size=80) | st.text(alphabet="\x1b[]m;0\x07\x9b\u202eaé漢👩\u200d", max_size=30),
    width=st.integers(1, 60),
)
def test_any_text_is_made_harmless_and_narrow(text: str, width: int) -> None:
    line = one_line(text, width)
    assert columns(line) <= max(width, 1)
    assert "\n" not in line
    assert clean(clean(text)) == clean(text)
    assert "\x1b" not in clean(text)
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text


def test_a_table_lines_up_with_wide_characters() -> None:
    lines = table(("a", "b"), [("漢字", 1), ("x", 22)], right="b")
    assert [columns(line) for line in lines] == [8, 8, 8]


def test_errors_for_people_have_hints(cli: Cli) -> None:
    result = cli("lss", "--human")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[0] == "error: there is no command 'lss'"
    assert result.err.splitlines()[-1].startswith("hint: pilothouse ls")


def test_a_defect_is_a_bug_and_says_so(cli: Cli, stub: Stub) -> None:
    answer(stub, [{"unexpected": 1}])
    result = cli("ls", "--human")
    assert result.code == 1
    assert "defect" in result.err


def test_a_real_terminal_gets_text(stub: Stub, tmp_path: Path) -> None:
    answer(stub, rows(1, input_text=HOSTILE))
    environment = {**os.environ, "PILOTHOUSE_URL": stub.url, "PILOTHOUSE_API_KEY": "x", "COLUMNS": "120"}
    for name in ("AI_AGENT", "CLAUDECODE", "CURSOR_AGENT", "CODEX_SANDBOX", "GEMINI_CLI"):
        environment.pop(name, None)
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", "ls"],
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        env=environment,
        check=False,
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert shown.startswith("trace ")
    assert "\x1b" not in shown


def test_a_reader_that_leaves_early_is_no_error(stub: Stub) -> None:
    answer(stub, rows(300))
    environment = {**os.environ, "PILOTHOUSE_URL": stub.url, "PILOTHOUSE_API_KEY": "x"}
    command = f"{sys.executable} -m pilothouse.cli ls --budget 1000000 | head -c 10"
    done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_agents_on_a_terminal_get_json(cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(stub, rows(1))
    monkeypatch.setenv("PILOTHOUSE_AGENT", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert cli("ls").data
