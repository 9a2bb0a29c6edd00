"""The contract of the command line, over all commands by name: a new command is covered here or named with a reason."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.cli.client import Client
from pilothouse.cli.root import COMMANDS
from pilothouse.cli.settings import AGENT_VARIABLES, BUDGET_MIN, read_settings
from tests.live import LiveServer

from .conftest import Cli, Result
from .contract import (
    CALLS,
    ELSEWHERE,
    EMPTY,
    FIX_DOES_OTHERWISE,
    IDS,
    MORE_FORMS,
    PAGED,
    SLIPS,
    TEXTS,
    Sample,
    one_json,
    record_sample,
)
from .test_cli_help import EVERY

JSON_CALLS = [*CALLS.values(), *(line for lines in MORE_FORMS.values() for line in lines)]
_BOXES = set("│─╭╮╯╰┏┓┗┛━┃█▏▎▍▌▋▊▉⠋⠙⠹")


@pytest.fixture(scope="session")
def sample(live_server: LiveServer) -> Sample:
    return record_sample(live_server)


class Runner:
    """Runs lines of the contract, with what they name filled in."""

    def __init__(self, cli: Cli, sample: Sample, folder: Path) -> None:
        self.cli, self.sample, self.folder = cli, sample, folder

    def __call__(self, line: str, *more: str, **values: str) -> Result:
        return self.cli(*self.sample.words(line, self.folder, **values), *more)

    def command(self, command: str) -> Result:
        """Run what an answer suggests, as it stands."""
        words = shlex.split(command)
        assert words[0] == "pilothouse", command
        if "--follow" in words:
            words[words.index("--for") + 1] = "1s"
        return self.cli(*words[1:])


_ANSWERS: dict[str, Any] = {}


@pytest.fixture
def ph(cli: Cli, live: LiveServer, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs lines against the server; what it has answered to a question is kept, so that it is asked each only once.

    What is tested here is what the command line makes of an answer, in hundreds of budgets and forms.
    """
    ask = Client._call

    def asked_once(
        client: Client, method: str, path: str, params: Any, body: Any = None, prefix: str = "/api/v1"
    ) -> Any:
        key = json.dumps([method, path, params, body, prefix], default=str)
        if key not in _ANSWERS:
            _ANSWERS[key] = ask(client, method, path, params, body, prefix)
        return _ANSWERS[key]

    monkeypatch.setattr(Client, "_call", asked_once)
    return Runner(cli, sample, tmp_path)


@pytest.fixture
def fresh(cli: Cli, live: LiveServer, sample: Sample, tmp_path: Path) -> Runner:
    """Runs lines against the server, each time anew."""
    return Runner(cli, sample, tmp_path)


def test_every_command_is_covered() -> None:
    names = {name for name, _ in EVERY}
    assert names == set(CALLS) | set(ELSEWHERE), "a new command wants a call in tests/cli/contract.py"
    assert {name.split()[0] for name in names} == set(COMMANDS)
    assert not set(CALLS) & set(ELSEWHERE)
    assert {form.split()[0] for form in MORE_FORMS} <= set(COMMANDS)


@pytest.mark.parametrize("line", JSON_CALLS)
def test_an_answer_is_one_envelope(ph: Runner, line: str) -> None:
    result = ph(line, "--budget", "2000000")
    assert (result.code, result.err) == (0, "")
    answer = one_json(result.out)
    assert answer["ok"] is True
    assert list(answer)[:2] == ["ok", "data"]
    assert set(answer) <= {"ok", "data", "page", "cut", "next"}
    assert "cut" not in answer


@settings(max_examples=4, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("line", [*JSON_CALLS, *TEXTS])
@given(budget=st.integers(BUDGET_MIN, 4_000) | st.integers(BUDGET_MIN, 60_000), human=st.booleans())
def test_no_answer_passes_its_budget(ph: Runner, line: str, budget: int, human: bool) -> None:
    result = ph(line, "--budget", str(budget), *(["--human"] if human and "--json" not in line else []))
    assert result.code == 0, result.err
    assert len(result.out) <= budget
    if not human and line in JSON_CALLS:
        one_json(result.out)


@pytest.mark.parametrize("line", JSON_CALLS)
def test_what_was_cut_can_be_fetched(ph: Runner, line: str) -> None:
    whole = one_json(ph(line, "--budget", "2000000").out)
    size = len(json.dumps(whole["data"]))
    budgets = [budget for budget in (BUDGET_MIN, 1_500, size // 2) if BUDGET_MIN <= budget < size]
    for budget in budgets:
        answer = one_json(ph(line, "--budget", str(budget)).out)
        for cut in answer.get("cut", ()):
            assert set(cut) == {"path", "bytes", "get"}
        if not answer.get("cut"):
            continue
        # All commands but the first are alike except in step and field.
        cut = answer["cut"][0]
        again = ph.command(cut["get"])
        assert again.code == 0, again.err
        assert not (again.out.startswith("{") and "cut" in one_json(again.out)), cut
        if again.out.startswith("{"):
            _there(one_json(again.out)["data"], cut["path"])


def _there(data: Any, path: str) -> None:
    """What a cut names is in the data, whole."""
    first, *steps = path.split(".")
    assert first == "data"
    for step in steps:
        if ":" in step:
            begin, end = (int(part) for part in step.split(":"))
            assert len(data) >= end > begin
            return
        data = data[int(step)] if isinstance(data, list) else data[step]
    if isinstance(data, list | dict):
        assert {"cut"} not in [set(one) for one in data if isinstance(one, dict)]


@pytest.mark.parametrize("line", [*JSON_CALLS, *PAGED])
def test_what_is_suggested_runs(ph: Runner, line: str) -> None:
    answer = one_json(ph(line, *(["--limit", "2"] if line in PAGED else [])).out)
    suggested = answer.get("next", [])
    assert len(suggested) <= 3
    for command in suggested:
        if command.startswith("head "):
            continue  # reads a file that was just written
        result = ph.command(command)
        assert result.code == 0, f"{command}: {result.err}"


@pytest.mark.parametrize("line", PAGED)
def test_pages_show_everything_once_in_a_stable_order(fresh: Runner, line: str) -> None:
    ph = fresh
    whole = one_json(ph(line, "--limit", "200", "--budget", "2000000").out)
    assert whole["page"]["more"] is False
    rows: list[Any] = []
    command = f"pilothouse {line} --limit 4 --budget 2000000"
    while command:
        page = one_json(ph.command(command).out)
        rows += page["data"]
        command = page["next"][-1] + " --budget 2000000" if page["page"]["more"] else ""
        assert not command or page["page"]["next"] in command
        assert len(rows) <= len(whole["data"])
    assert rows == whole["data"]
    assert len(rows) > 2 or line.startswith("sessions")
    assert one_json(ph(line, "--limit", "200", "--budget", "2000000").out)["data"] == whole["data"]


@pytest.mark.parametrize(("line", "after"), [("decision {trace} --limit 1", "next_step"), ("tail --limit 5", "cursor")])
def test_what_goes_on_by_steps_shows_everything_once(ph: Runner, line: str, after: str) -> None:
    if after == "next_step":
        every = ph("decision {trace}", "--budget", "2000000").data["rows"]
        rows: list[Any] = []
        result = ph(line, "--budget", "2000000")
        while True:
            rows += result.data["rows"]
            if result.data["next_step"] is None:
                break
            result = ph(line, "--after", str(result.data["next_step"]), "--budget", "2000000")
        assert rows == every
        return
    lines = [json.loads(one) for one in ph("tail --limit 5").out.splitlines()]
    assert [one["event"] for one in lines][-1] == "end"
    assert len(lines) == 6
    again = ph.command(lines[-1]["next"])
    assert json.loads(again.out.splitlines()[-1])["reason"] == "that is all"
    assert not {one.get("trace_id") for one in map(json.loads, again.out.splitlines()[:-1]) if one["event"] == "span"}


@pytest.mark.parametrize(("command", "where"), IDS)
def test_ids_may_be_shortened_and_several_are_listed(ph: Runner, command: str, where: str) -> None:
    whole = ph.sample.unique
    first = ph(f"{command} {where}", id=whole)
    assert first.code == 0, first.err
    short = ph(f"{command} {where}", id=whole[:8])
    assert short.code == 0, short.err
    assert whole in short.out or command in ("pull", "diff", "tail")
    several = ph(f"{command} {where}", id="0000")
    assert several.code == 2
    assert ph.sample.trace in several.error["allowed"]
    fixed = ph.command(several.error["fix"])
    assert fixed.code == 0, fixed.err
    nothing = ph(f"{command} {where}", id="ffffffff")
    assert (nothing.code, nothing.error["kind"]) == (3, "not_found")


def test_a_session_may_be_shortened(ph: Runner) -> None:
    assert ph("sessions session-").data["row"]["session_id"] == ph.sample.session
    assert ph("sessions show nothing-like-it").code == 3


@pytest.mark.parametrize(("line", "meant"), SLIPS)
def test_a_slip_names_what_was_meant_and_a_fix_that_runs(ph: Runner, line: str, meant: str) -> None:
    result = ph(line)
    assert result.code == 2, result.out
    error = result.error
    assert error["kind"] == "bad_request"
    assert meant.format(trace=ph.sample.trace) in error["allowed"], error
    assert error["got"] in line.format(trace=ph.sample.trace, session=ph.sample.session, model_step="", folder="")
    fixed = ph.command(error["fix"])
    # A gate that is asked about may well be failed.
    assert fixed.code in ((0, 7) if line.startswith("audit") else (0,)), f"{error['fix']}: {fixed.err}"
    if line.startswith("retention set"):
        _ANSWERS.clear()  # what has changed is asked for again, and so is putting it back
        ph("retention set --off --environment contract")
    assert error["fix"].split()[1] == line.split()[0] or line.split()[0] in FIX_DOES_OTHERWISE


@pytest.mark.parametrize("line", JSON_CALLS)
def test_a_field_that_is_not_there_is_answered_with_those_that_are(ph: Runner, line: str) -> None:
    data = ph(line, "--budget", "2000000").data
    row = data[0] if isinstance(data, list) and data else data
    if not isinstance(row, dict) or not row:
        assert ph(line, "--fields", "nothing").code == 0
        return
    field = next(iter(row))
    chosen = ph(line, "--fields", field, "--budget", "2000000").data
    assert list(chosen[0] if isinstance(chosen, list) else chosen) == [field]
    slip = ph(line, "--fields", field + "x")
    assert (slip.code, slip.error["kind"]) == (2, "bad_request")
    assert field in slip.error["allowed"]
    assert ph.command(slip.error["fix"]).code == 0


@pytest.mark.parametrize(("line", "blamed"), EMPTY)
def test_an_empty_answer_names_the_filter_that_emptied_it(ph: Runner, line: str, blamed: str) -> None:
    assert one_json(ph(line).out)["page"]["emptied_by"] == [blamed]
    assert f"without {blamed} something does" in ph(line, "--human").out


@pytest.mark.parametrize("line", [*JSON_CALLS, *TEXTS])
def test_everything_goes_to_a_file_that_is_described(ph: Runner, line: str) -> None:
    if line.startswith("pull"):
        pytest.skip("what it writes is a folder")
    path = ph.folder / "whole"
    facts = ph(line, "--out", str(path)).data
    written = path.read_text()
    assert list(facts) == ["path", "bytes", "lines", "head"]
    assert facts["path"] == str(path)
    assert facts["bytes"] == path.stat().st_size > 0
    assert facts["lines"] == len(written.splitlines())
    assert facts["head"] == written.splitlines()[0][:200]
    if line in JSON_CALLS:
        assert "cut" not in json.loads(written)
    else:
        assert "cut at " not in written
    unwritable = ph(line, "--out", str(ph.folder / "no/such/folder/x"))
    assert (unwritable.code, unwritable.error["got"]) == (2, str(ph.folder / "no/such/folder/x"))


@pytest.mark.parametrize("line", [*JSON_CALLS, *TEXTS])
def test_text_for_people_is_plain_in_a_pipe(ph: Runner, line: str) -> None:
    words = [] if "--json" in line else ["--human"]
    result = ph(line, *words, "--budget", "100000")
    assert (result.code, result.err) == (0, "")
    assert "\x1b" not in result.out
    assert not _BOXES & set(result.out)
    assert words == [] or not result.out.startswith('{"ok"')


@pytest.mark.parametrize("variable", AGENT_VARIABLES)
def test_agents_get_json_on_a_terminal(variable: str) -> None:
    on_terminal = {"terminal": True, "error_terminal": True}
    assert not read_settings(["ls"], {}, **on_terminal)[0].json
    assert read_settings(["ls"], {variable: "1"}, **on_terminal)[0].json
    assert read_settings(["ls"], {variable: "1"}, **on_terminal)[0].errors_json
    assert not read_settings(["ls", "--human"], {variable: "1"}, **on_terminal)[0].json
    assert read_settings(["ls"], {})[0].json, "a pipe"
    assert not read_settings(["ls", "--human"], {})[0].json


EXITS: dict[int, str] = {
    0: "ls",
    2: "ls agnt:x",
    3: "show ffffffff",
    7: "audit concierge --fail-on low",
}
"""A call for each exit code that needs nothing else; the others are below and where their parts are tested."""


@pytest.mark.parametrize(("code", "line"), EXITS.items())
def test_exit_codes_are_what_the_help_says(ph: Runner, code: int, line: str) -> None:
    result = ph(line)
    assert result.code == code
    assert f"{code} " in ph(f"{line.split()[0]} --help").out.split("exit: ")[1]
    if code in (2, 3):
        assert set(result.error) <= {"kind", "message", "got", "allowed", "fix"}
        assert result.error["message"]


def test_a_wrong_key_is_4_and_no_server_is_5(fresh: Runner, live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ph = fresh
    monkeypatch.setenv("PILOTHOUSE_URL", live.url)
    monkeypatch.setenv("PILOTHOUSE_API_KEY", "ph_wrong")
    denied = ph("ls")
    assert (denied.code, denied.error["kind"]) == (4, "not_allowed")
    monkeypatch.setenv("PILOTHOUSE_URL", "http://127.0.0.1:9")
    away = ph("ls")
    assert (away.code, away.error["kind"]) == (5, "unreachable")
    assert away.error["fix"] == "pilothouse status"


def test_a_defect_of_ours_is_1(ph: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError("for the test")

    monkeypatch.setattr(Client, "get", broken)
    result = ph("ls")
    assert (result.code, result.error["kind"]) == (1, "bug")


def test_a_folder_that_is_not_what_it_says_is_6(ph: Runner) -> None:
    assert ph("pull {trace} {folder}/broken").code == 0
    (ph.folder / "broken/README.md").write_text("changed")
    result = ph("pull --verify {folder}/broken")
    assert (result.code, result.error["kind"]) == (6, "unverified")


def test_arguments_are_checked_before_the_server_is_asked(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PILOTHOUSE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PILOTHOUSE_API_KEY", "ph_x")
    for line in ("show x --as nothing", "sql x --format nothing", "map --as nothing", "audit a --fail-on nothing"):
        assert cli(*line.split()).code == 2


@pytest.mark.parametrize("name", [name for name, _ in EVERY])
def test_help_has_usage_three_examples_the_keys_and_the_exit_codes(cli: Cli, name: str) -> None:
    text = cli(*name.split(), "--help").out
    assert len(text.encode()) <= 1_500
    assert re.search(r"^usage: pilothouse ", text, re.MULTILINE)
    assert len(re.findall(r"^  pilothouse ", text.split("examples:")[1], re.MULTILINE)) >= min(3, text.count("\n"))
    for part in ("answer: ", "also: --json", "exit: 0 ok"):
        assert part in text, f"{name}: {part}"
