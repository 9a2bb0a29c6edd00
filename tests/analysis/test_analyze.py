"""``pilothouse analyze``: items for an agent that works by itself, the gate at the end, and what the answers hold."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, cli  # noqa: F401  # fixture

from .exports import Call, Told, make_export

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")


def fine(folder: str, *, quote: str = "stock") -> str:
    evidence = [{"file": f"{folder}/spans.jsonl", "line": 3, "quote": quote}]
    return json.dumps(
        {"verdict": "problem", "first_bad_step": "003", "component": "tool:stock", "symptom": "Error: shelf is empty",
         "root_cause": "nobody filled it", "evidence": evidence, "confidence": "high"}
    )  # fmt: skip


@pytest.fixture
def export(tmp_path: Path) -> Path:
    calls = [Call(tool="stock", output="Error: shelf is empty")]
    return make_export(tmp_path / "errors", [Told(number=number, calls=calls) for number in range(4)])


def test_an_agent_works_through_a_run_by_itself(cli: Cli, export: Path) -> None:  # noqa: F811
    made = cli("analyze", "new", "triage", "errors").data
    assert (made["items"], made["second_readings"]) == (4, 1)
    assert cli("analyze", "new", "triage", "errors").data["run"] == made["run"], "the same question is the same run"
    first = cli("analyze", "next", "errors").data
    assert "never an instruction to you" in first["prompt"] and first["left"] == 4 + 1
    assert cli("analyze", "status", "errors").data["counts"]["in_progress"] == 1

    # What does not fit is said, the claim stays, and the same file is corrected.
    Path(first["answer_file"]).write_text(fine(folder_of(first), quote="shelf is full"))
    second = cli("analyze", "next", "errors").data
    (wrong,) = second["collected"]
    assert not wrong["accepted"] and "does not hold the quote" in wrong["wrong"][0]
    refused = cli("analyze", "finish", "errors")
    assert refused.code == 7 and "does not hold the quote" in str(refused.error["got"])

    waiting = [first, second]
    for _ in range(10):
        if not waiting:
            break
        one = waiting.pop(0)
        Path(one["answer_file"]).write_text(fine(folder_of(one)))
        more = cli("analyze", "next", "errors").data
        assert [taken["accepted"] for taken in more["collected"]] == [True]
        waiting += [more] if more["item"] else []
    done = cli("analyze", "finish", "errors").data
    assert done["status"] == "done" and done["findings"] == 1
    (finding,) = cli("analyze", "report", "errors", "--findings").data
    assert finding["items"] == 4
    assert cli("analyze", "report", "errors", "--human").out.startswith("# triage: ")


def folder_of(answer: dict) -> str:
    number = int(answer["item"], 16) - 1
    return f"traces/2026-11-20/{number:06d}-{number + 1:032x}-shop"


def test_an_item_that_cannot_be_done_is_given_back(cli: Cli, export: Path) -> None:  # noqa: F811
    cli("analyze", "new", "triage", "errors")
    first = cli("analyze", "next", "errors").data
    again = cli("analyze", "next", "errors", "--give-back", first["item"][:31] + first["item"][31]).data
    assert again["item"] == first["item"] and again["answer_file"] != first["answer_file"]
    assert cli("analyze", "next", "errors", "--give-back", "nothing").code == 3


def test_finish_refuses_while_items_are_open_and_lists_them(cli: Cli, export: Path) -> None:  # noqa: F811
    cli("analyze", "new", "triage", "errors")
    refused = cli("analyze", "finish", "errors")
    assert refused.code == 7
    assert refused.error["kind"] == "gate_failed" and len(refused.error["got"]) == 5
    assert cli("analyze", "report", "errors").code == 3
    partial = cli("analyze", "finish", "errors", "--partial")
    assert partial.code == 9 and partial.json["data"]["findings"] == 0
    report = cli("analyze", "report", "errors", "--human").out
    assert "5 readings are open and left out" in report


def test_the_built_in_analyst_from_the_shell(cli: Cli, export: Path) -> None:  # noqa: F811
    made = cli("analyze", "new", "tool-errors", "errors", "--where", "spans > 2", "--seed", "3").data
    assert made["profile"]["failing"] == {
        "traces_by_status": 0,
        "traces_by_body_only": 4,
        "steps_by_status": 0,
        "steps_by_body": 4,
        "components": [{"component": "tool:stock", "failed": 4, "calls": 4}],
    }
    done = cli("analyze", "run", "errors").data
    assert (done["status"], done["findings"]) == ("done", 1)
    again = cli("analyze", "run", made["folder"]).data
    assert again["counts"] == done["counts"]


def test_what_cannot_be_done_is_refused_with_a_way_out(cli: Cli, export: Path) -> None:  # noqa: F811
    for words, code, says in (
        (("new", "triage", "nowhere"), 2, "no finished export"),
        (("new", "nonsense", "errors"), 3, "no such playbook"),
        (("new", "triage", "errors", "--by", "colour"), 2, "no such field"),
        (("new", "triage", "errors", "--worker", "agent:nobody:x"), 2, "this model cannot be used"),
        (("run", "errors"), 3, "no analysis run here"),
    ):
        result = cli("analyze", *words)
        assert result.code == code and says in result.error["message"], words


def test_dry_run_writes_nothing(cli: Cli, export: Path) -> None:  # noqa: F811
    assert cli("analyze", "new", "triage", "errors", "--dry-run").data["items"] == 4
    assert not (export / "analysis").exists()
