"""The built-in analyst: what it sees, what it blames, and that its second reader is another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilothouse.analysis.analyst import read_forward
from pilothouse.analysis.answers import check
from pilothouse.analysis.export import Export
from pilothouse.analysis.failures import cause_of_words, read_trace
from pilothouse.analysis.plan import plan
from pilothouse.analysis.playbook import load_playbook
from pilothouse.analysis.second_analyst import read_backward

from .exports import Call, Told, make_export


def both(tmp_path: Path, told: Told) -> tuple[dict[str, Any], dict[str, Any]]:
    export = Export(make_export(tmp_path / "export", [told]))
    (row,) = export.traces()
    trace = read_trace(export.path, str(row["folder"]), row)
    readings = read_forward(trace, export.path), read_backward(trace, export.path)
    run = plan(export, load_playbook("triage"))
    for reading in readings:
        assert check(reading, run.playbook, run.items[0], export.path) == [], "its own answers are checked like all"
    return readings


GONE = Call(tool="stock", output="Error: item 4411 not found in warehouse 7")
GOOD = Call(tool="stock", output='{"units": 3}')


def test_a_body_that_says_it_failed_is_a_failure(tmp_path: Path) -> None:
    forward, _ = both(tmp_path, Told(number=0, calls=[GONE]))
    assert (forward["verdict"], forward["first_bad_step"], forward["component"]) == ("problem", "003", "tool:stock")
    assert forward["evidence"][0]["quote"] == GONE.output
    assert forward["root_cause"].startswith("not_found: ")


def test_a_failure_that_was_made_good_is_no_problem(tmp_path: Path) -> None:
    forward, _ = both(tmp_path, Told(number=0, calls=[GONE, GOOD]))
    assert forward["verdict"] == "ok" and forward["confidence"] == "medium"
    assert forward["failures"][0]["recovered"] is True


def test_an_error_by_status_is_blamed_on_the_step_it_came_from(tmp_path: Path) -> None:
    call = Call(tool="stock", output="", status="error", error="TimeoutError: stock took longer than 30 s")
    forward, backward = both(tmp_path, Told(number=0, calls=[GOOD, call], status="error", answer=""))
    assert (forward["component"], forward["first_bad_step"], forward["confidence"]) == ("tool:stock", "005", "high")
    assert [failure["step"] for failure in forward["failures"]] == ["005"], "the agent's own span only handed it up"
    assert forward["root_cause"].startswith("timeout: ")
    assert backward["verdict"] == "problem" and backward["symptom"].startswith("it ended with an error")


def test_a_run_that_ended_before_its_first_call_is_shown_by_what_there_is(tmp_path: Path) -> None:
    forward, backward = both(tmp_path, Told(number=0, bare=True, status="error", answer=""))
    assert forward["verdict"] == backward["verdict"] == "problem"
    assert forward["evidence"][0]["step"] == backward["evidence"][0]["step"] == "001"


def test_a_signal_without_a_failure_is_a_problem_of_low_confidence(tmp_path: Path) -> None:
    forward, _ = both(tmp_path, Told(number=0, calls=[GOOD], row={"signals": ["no_answer"]}))
    assert (forward["verdict"], forward["confidence"]) == ("problem", "low")


def test_the_second_reader_goes_by_what_was_said(tmp_path: Path) -> None:
    """It sees an agent that gives up where nothing failed, and passes over a failure nobody spoke of."""
    forward, backward = both(tmp_path, Told(number=0, calls=[GOOD], answer="I am unable to complete your order."))
    assert (forward["verdict"], backward["verdict"]) == ("ok", "problem")
    assert backward["symptom"] == "its last words give up or hand over" or "trouble" in backward["symptom"]


def test_both_agree_where_the_trace_does(tmp_path: Path) -> None:
    told = Told(number=0, calls=[GONE], answer="Unfortunately I could not find that item.")
    forward, backward = both(tmp_path, told)
    assert (forward["verdict"], forward["component"]) == (backward["verdict"], backward["component"])
    assert backward["first_bad_step"] == "003"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("request timed out after 30 s", "timeout"),
        ("429 Too Many Requests", "rate_limit"),
        ("permission denied for user bob", "denied"),
        ("field 'sku' must be a string", "arguments"),
        ("order 4411 does not exist", "not_found"),
        ("not enough seats on flight HAT229", "not_possible"),
        ("connection refused", "unreachable"),
        ("something odd", "failed"),
    ],
)
def test_causes_by_words(words: str, kind: str) -> None:
    assert cause_of_words(words, "tool:x")[0] == kind
