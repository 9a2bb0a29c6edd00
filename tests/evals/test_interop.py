"""Suites from and to other tools: what is carried over, what is said of the rest, and that it comes back as it went."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pilothouse.cli.root import run as run_command
from pilothouse.evals import runs
from pilothouse.evals.case_text import as_data
from pilothouse.evals.interop import reading
from pilothouse.evals.interop.formats import Format, format_of, read, write
from pilothouse.evals.interop.importing import import_file
from pilothouse.evals.interop.model import Carried, Unread
from pilothouse.evals.suite import Suite
from pilothouse.records import BadRequest


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "suite/cases").mkdir(parents=True)
    return Suite(tmp_path / "suite")


def _cases(path: Path, format: Format) -> list[Carried]:
    return [one for one in read(path, format) if isinstance(one, Carried)]


def _file(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


PYDANTIC = """\
name: shop
cases:
- name: Late refund
  inputs: Refund order 4411
  expected_output: You get 20 EUR
  metadata: {difficulty: easy, team: returns}
  evaluators:
  - Contains: {value: EUR, case_sensitive: false}
  - ToolCorrectness: [get_order]
  - MyOwn: 3
- name: total
  inputs: {items: [1, 2]}
  evaluators:
  - Equals: {value: {total: 3}}
  - MaxDuration: 2.5
  - LLMJudge: Is polite
- inputs: Hello
  expected_output: a greeting
evaluators:
- IsInstance: str
"""


def test_a_dataset_of_pydantic_evals(tmp_path: Path) -> None:
    path = _file(tmp_path, "d.yaml", PYDANTIC)
    assert format_of(path) == "pydantic-evals"
    late, total, hello = _cases(path, "pydantic-evals")
    assert late.data["input"] == "Refund order 4411"
    assert late.data["checks"] == [
        {"contains": "EUR"},
        {"tools": ["get_order"], "order": "any", "extra": "forbid"},
    ]
    assert late.lost == (
        "the evaluator MyOwn has no like here",
        "no evaluator compares expected_output: it became a criterion for a judge",
    )
    assert late.data["metadata"] == {
        "difficulty": "easy",
        "provenance": {"metadata": {"team": "returns"}, "imported_from": "pydantic-evals"},
    }
    assert total.data["input"] == {"data": {"items": [1, 2]}}
    assert total.data["checks"] == [
        {"output": {"total": 3}, "mode": "exact"},
        {"at_most": {"duration_s": 2.5}},
    ]
    assert total.data["criteria"] == ["Is polite"]
    assert (hello.name, hello.data["criteria"]) == (
        "cases 3",
        ["The answer agrees with what is expected: a greeting"],
    )


PROMPTFOO = """\
description: shop
prompts: ['Say {{thing}} in {{ language }}', file://other.txt]
providers: [openai:gpt-4.1]
defaultTest:
  assert: [{type: latency, threshold: 1500}]
tests:
- description: greet
  vars: {thing: hello, language: [French, German]}
  assert:
  - {type: icontains, value: '{{thing}}'}
  - {type: contains, value: Bon}
  - {type: not-icontains, value: sorry}
  - {type: javascript, value: output.length > 3}
  - {type: llm-rubric, value: is friendly, threshold: 0.8}
- file://more.yaml
"""


def test_a_configuration_of_promptfoo(tmp_path: Path) -> None:
    path = _file(tmp_path, "p.yaml", PROMPTFOO)
    assert format_of(path) == "promptfoo"
    items = list(read(path, "promptfoo"))
    french, german = [one for one in items if isinstance(one, Carried)]
    assert [one.where for one in items if isinstance(one, Unread)] == ["prompts 2", "tests 2"]
    assert (french.data["input"], german.data["input"]) == ("Say hello in French", "Say hello in German")
    assert french.data["checks"] == [
        {"at_most": {"duration_s": 1.5}},
        {"contains": "hello"},
        {"text": {"$contains": "Bon"}, "mode": "exact"},
        {"excludes": "sorry"},
    ]
    assert french.data["criteria"] == ["is friendly"]
    assert french.lost == (
        "the assertion javascript has no like here",
        "llm-rubric: threshold and provider are the judge's of the suite",
    )


def test_samples_of_openai_evals(tmp_path: Path) -> None:
    rows = [
        {"input": [{"role": "system", "content": "Be short"}, {"role": "user", "content": "2+2?"}], "ideal": "4"},
        {"item": {"question": "Capital of France?", "ideal": ["Paris", "paris"]}},
    ]
    path = _file(tmp_path, "s.jsonl", "\n".join([*map(json.dumps, rows), "no json", "{}"]))
    assert format_of(path) == "openai-evals"
    items = list(read(path, "openai-evals"))
    assert [(one.where, one.why) for one in items if isinstance(one, Unread)] == [
        ("line 3", "it is no JSON"),
        ("line 4", "it is no sample: none of input, question, prompt, messages"),
    ]
    first, second = [one for one in items if isinstance(one, Carried)]
    assert first.data["input"]["messages"][0] == {"role": "system", "content": "Be short"}
    assert (first.data["checks"], second.data["checks"]) == (
        [{"contains": "4"}],
        [{"contains_any": ["Paris", "paris"]}],
    )


def test_a_table(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "t.csv",
        'id;input;expected;difficulty;team;__expected1\nlate;"Refund; please";20 EUR;hard;returns;llm-rubric: polite\n',
    )
    [late] = _cases(path, format_of(path))
    assert late.data["input"] == "Refund; please"
    assert (late.data["checks"], late.data["criteria"]) == ([{"contains": "20 EUR"}], ["polite"])
    assert late.data["metadata"]["difficulty"] == "hard"
    assert late.data["metadata"]["provenance"]["metadata"] == {"team": "returns"}


def _sample(id: str, epoch: int, value: Any, **more: Any) -> dict[str, Any]:
    call = {"id": "c1", "function": "get_order", "arguments": {"id": 4411}}
    return {
        "id": id,
        "epoch": epoch,
        "input": "attachment://long",
        "target": "20",
        "attachments": {"long": f"Refund {id}"},
        "messages": [
            {"role": "user", "content": f"Refund {id}"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "function": "get_order", "content": '{"total": 20}'},
        ],
        "output": {"completion": "You get 20"},
        "scores": {"includes": {"value": value, "explanation": "looked"}},
        "model_usage": {"m": {"total_tokens": 70}},
        "total_time": 1.5,
        **more,
    }


LOG: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {
        "task": "refunds",
        "model": "openai/gpt-4.1",
        "created": "2026-11-29T10:00:00+00:00",
        "scorers": [{"name": "includes"}],
    },
}
SAMPLES = [
    _sample("late", 1, "C"),
    _sample("late", 2, "I"),
    _sample("early", 1, 7),
    _sample("broken", 1, "C", error={"message": "it fell over"}, sandbox="docker"),
]


@pytest.mark.parametrize("packed", [True, False])
def test_a_log_of_inspect_becomes_cases_and_a_run(tmp_path: Path, suite: Suite, packed: bool) -> None:
    path = tmp_path / ("log.eval" if packed else "log.json")
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("header.json", json.dumps(LOG))
            for one in SAMPLES:
                archive.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
    else:
        path.write_text(json.dumps({**LOG, "samples": SAMPLES}))
    assert format_of(path) == "inspect"
    told = import_file(suite, path, "inspect")
    assert (told.read, told.attempts, told.unread) == (3, 4, 0)
    late = suite.case("late")
    assert late.input.text == "Refund late"
    assert [check.as_data() for check in late.checks] == [{"contains": "20"}]
    [call] = late.stubs.calls
    assert (call.name, call.arguments, call.result) == ("get_order", {"id": 4411}, '{"total": 20}')
    run = runs.find(suite.folder, told.run)
    assert (run.about.target, run.about.version) == ("inspect:refunds", "openai/gpt-4.1")
    outcomes = {(one.case, one.repeat): (one.outcome, one.why) for one in run.results()}
    assert outcomes == {
        ("late", 1): ("pass", ""),
        ("late", 2): ("fail", "includes: looked"),
        ("early", 1): ("unscored", "includes: 7 is no share of 1"),
        ("broken", 1): ("fail", "the agent failed: it fell over"),
    }
    assert run.summary["cases"] == 3
    assert {"case": "broken", "lost": "sandbox: a case has no sandbox of its own"} in [
        {name: one[name] for name in ("case", "lost")} for one in told.notes
    ]


# -- there and back --------------------------------------------------------------------------------------------------

CASES: list[dict[str, Any]] = [
    {
        "id": "a",
        "input": "Refund order 4411",
        "stubs": {"calls": [{"name": "get_order", "arguments": {"id": 4411}, "result": {"late": True}}]},
        "checks": [
            {"contains": "20 EUR"},
            {"tool": "get_order", "arguments": {"id": 4411}, "first": True},
            {"text": {"$contains": "Exactly"}, "mode": "exact"},
            {"at_most": {"duration_s": 3}},
        ],
        "criteria": ["It is polite", {"text": "It is true", "severity": "high"}],
        "metadata": {"capability": "refunds", "tags": ["x", "y"], "provenance": {"trace": "4bf9"}},
        "repeats": 3,
    },
    {
        "id": "b",
        "input": {
            "messages": [{"role": "user", "content": "[hi]\nthere"}, {"role": "assistant", "content": "yes?"}],
        },
        "checks": [{"text": "exactly this", "mode": "exact"}],
        "quarantined": "flaky",
    },
    {"id": "c", "input": {"turns": ["one", "two: three"]}, "checks": [{"no_tool": "*"}]},
    {"id": "d", "input": {"data": {"n": [1, {"x": None}]}}, "checks": [{"output": {"n": 2}, "mode": "exact"}]},
    {"id": "e", "input": {"data": "a text"}, "checks": [{"contains_any": ["p", "q"]}]},
    {"id": "f", "input": {"data": {"turns": ["as data"]}}, "checks": [{"number": 3}]},
]


def _sorted(data: dict[str, Any]) -> dict[str, Any]:
    data = json.loads(json.dumps(data))
    data.get("metadata", {}).get("provenance", {}).pop("imported_from", None)
    for name in ("checks", "criteria"):
        data[name] = sorted(data.get(name, []), key=json.dumps)
    provenance = data.get("metadata", {})
    if not provenance.get("provenance"):
        provenance.pop("provenance", None)
    if not data.get("metadata"):
        data.pop("metadata", None)
    return data


@pytest.mark.parametrize(
    ("format", "ending"),
    [
        ("pydantic-evals", ".yaml"),
        ("pydantic-evals", ".json"),
        ("promptfoo", ".yaml"),
        ("csv", ".csv"),
        ("openai-evals", ".jsonl"),
        ("inspect", ".jsonl"),
    ],
)
def test_what_is_written_comes_back(tmp_path: Path, suite: Suite, format: Format, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    with path.open("w", newline="") as out:
        said = list(write(iter(CASES), out, format, name="shop", as_json=ending == ".json"))
    assert ("a" in {case for case, _ in said}) == (format != "csv")
    told = import_file(suite, path, format)
    assert (told.unread, told.failed) == (0, [])
    back = [_sorted(as_data(one)) for one in suite.cases()]
    want = [_sorted(one) for one in CASES]
    assert back == want


# -- bounds and what is wrong ----------------------------------------------------------------------------------------


def test_a_long_file_is_read_item_by_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_CHUNK", 64)
    rows = [{"name": f"n{n}", "inputs": "x" * (n % 200), "metadata": {"n": n}} for n in range(500)]
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"name": "d", "cases": rows, "evaluators": [{"Contains": "x"}]}))
    found = _cases(path, "pydantic-evals")
    assert [one.name for one in found] == [row["name"] for row in rows]
    assert all(one.data["checks"] == [{"text": {"$contains": "x"}, "mode": "exact"}] for one in found)


@pytest.mark.parametrize(
    ("name", "text", "format", "why"),
    [
        ("d.json", '{"cases": [{"inputs": 1}', "pydantic-evals", "ends too early"),
        ("d.json", '{"cases": [{"inputs": 1} 2]}', "pydantic-evals", "a comma is missing"),
        ("d.json", "7", "pydantic-evals", "neither an object nor a list"),
        ("d.yaml", "cases: [{inputs: &a 1}, {inputs: *a}]", "pydantic-evals", "alias"),
        ("d.yaml", "cases: [{inputs: !!python/name:os.system ''}]", "pydantic-evals", "type"),
        ("d.yaml", "cases: [{inputs: ", "pydantic-evals", "no YAML"),
        ("d.yaml", "cases: " + "[" * 60 + "]" * 60, "pydantic-evals", "nested"),
        ("t.csv", "input,input\nx,y\n", "csv", "each column once"),
        ("l.eval", "no zip", "inspect", "zip archive"),
        ("p.yaml", "tests: file://t.csv", "promptfoo", "another file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, suite: Suite, name: str, text: str, format: Format, why: str) -> None:
    path = _file(tmp_path, name, text)
    with pytest.raises(BadRequest, match=why):
        import_file(suite, path, format)
    assert not suite.places()
    assert not list((suite.folder / "cases").iterdir())


def test_references_in_a_foreign_file_are_data(tmp_path: Path, suite: Suite) -> None:
    row = {"input": [{"role": "user", "content": {"$file": "../../secret"}}], "ideal": "x"}
    told = import_file(suite, _file(tmp_path, "s.jsonl", json.dumps(row)), "openai-evals")
    assert told.read == 1
    [case] = suite.cases()
    assert case.input.messages[0]["content"] == {"$file": "../../secret"}


def test_many_cases_become_lines_and_known_ids_stay(tmp_path: Path, suite: Suite) -> None:
    suite.add({"id": "n7", "input": "mine", "checks": [{"contains": "x"}]})
    rows = [{"id": f"n{n}", "input": "hello", "ideal": "x"} for n in range(120)]
    path = _file(tmp_path, "s.jsonl", "\n".join(map(json.dumps, rows)))
    told = import_file(suite, path, "openai-evals")
    assert (told.read, told.file, told.unread) == (119, "cases/added-1.jsonl", 1)
    assert told.failed == [{"at": "line 8", "why": "there is a case with this id (got n7)"}]
    assert suite.case("n7").input.text == "mine"
    assert len(suite.places()) == 120


def test_from_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILOTHOUSE_DATA", str(tmp_path / "data"))
    _file(tmp_path, "d.yaml", PYDANTIC)
    where = ["--suite", "evals/shop"]
    assert run_command(["eval", "import", "d.yaml", *where, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["format"], data["ids"]) == ("pydantic-evals", ["late-refund", "total", "cases-3"])
    assert run_command(["eval", "import", "d.yaml", *where, "--json"]) == 9, "the ids are taken"
    assert json.loads(capsys.readouterr().out)["data"]["unread"] == 3
    export = ["eval", "export", "--format", "promptfoo", "p.yaml", *where, "--human"]
    assert run_command(export) == 0
    assert "promptfoo has no such check" in capsys.readouterr().out
    assert run_command(export) == 2, "the file is there"
    assert run_command(["eval", "import", "d.yaml", "--format", "csv", *where]) != 0
    assert run_command(["eval", "import", "none.yaml", *where]) == 3
