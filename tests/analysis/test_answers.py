"""Answers: taken out of what a worker prints, checked against the files they quote, accepted once."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilothouse.analysis.answers import accept, check, parsed, stored
from pilothouse.analysis.export import Export
from pilothouse.analysis.plan import begin, plan
from pilothouse.analysis.playbook import load_playbook
from pilothouse.analysis.state import Inputs

from .exports import Call, Told, make_export

BOOK = load_playbook("triage")
FINE = {"verdict": "ok", "first_bad_step": "", "component": "", "symptom": "", "root_cause": "", "evidence": [], "confidence": "high"}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        'Here it is:\n```json\n{"a": 1}\n```\nDone.',
        'I thought {so}.\n{"a": 1}',
        'well {"a": 1} then',
        json.dumps({"type": "result", "result": 'Sure:\n```json\n{"a": 1}\n```', "total_cost_usd": 0.25, "usage": {"input_tokens": 10, "output_tokens": 5}}),
    ],
)  # fmt: skip
def test_the_object_in_what_was_printed(text: str) -> None:
    assert parsed(text).answer == {"a": 1}


def test_costs_that_a_command_reports_are_kept() -> None:
    said = parsed(json.dumps({"type": "result", "result": "{}", "total_cost_usd": 0.25, "usage": {"input_tokens": 10, "output_tokens": 5}}))  # fmt: skip
    assert (said.tokens, said.usd) == (15, 0.25)


@pytest.mark.parametrize("text", ["", "no", "[1]", "{", "[" * 100_000])
def test_no_object_is_no_answer(text: str) -> None:
    assert parsed(text).answer is None


@pytest.fixture
def export(tmp_path: Path) -> Export:
    calls = [Call(tool="stock", output='{"isError": true, "message": "shelf \\"A\\" is empty"}')]
    return Export(make_export(tmp_path / "export", [Told(number=0, calls=calls), Told(number=1)]))


def reading(export: Export, **piece: Any) -> tuple[dict[str, Any], Any]:
    item = plan(export, BOOK).items[0]
    evidence = {"file": f"{item.folders[0]}/spans.jsonl", "line": 3, "quote": 'shelf "A" is empty', **piece}
    return {**FINE, "verdict": "problem", "component": "tool:stock", "evidence": [evidence]}, item


def test_a_quote_stands_in_its_line(export: Export) -> None:
    answer, item = reading(export)
    assert check(answer, BOOK, item, export.path) == []


@pytest.mark.parametrize(
    ("piece", "says"),
    [
        ({"quote": "shelf B is empty"}, "does not hold the quote"),
        ({"line": 2}, "does not hold the quote"),
        ({"line": 4_000}, "has no line 4000"),
        ({"file": "manifest.json"}, "is no file of this item"),
        ({"file": "../../etc/passwd"}, "is no file of this item"),
    ],
)
def test_evidence_that_is_not_there_is_not_believed(export: Export, piece: dict[str, Any], says: str) -> None:
    answer, item = reading(export, **piece)
    (problem,) = check(answer, BOOK, item, export.path)
    assert says in problem


def test_evidence_leads_into_no_other_folder(export: Export) -> None:
    answer, item = reading(export)
    other = plan(export, BOOK).items[1].folders[0]
    answer["evidence"][0]["file"] = f"{item.folders[0]}/../{other.split('/')[-1]}/spans.jsonl"
    assert check(answer, BOOK, item, export.path) != []


def test_a_problem_without_evidence_is_none(export: Export) -> None:
    answer, item = reading(export)
    assert "quote what shows it" in check({**answer, "evidence": []}, BOOK, item, export.path)[0]


def test_of_many_answers_one_is_accepted(export: Export) -> None:
    run = plan(export, BOOK)
    folder = begin(export, run)
    job, sha = run.first_jobs[0], run.items[0].input_sha
    got: list[bool] = []
    gate = threading.Barrier(12)

    def give(number: int) -> None:
        gate.wait()
        got.append(accept(folder, job, BOOK, FINE, {"attempt": number}, sha))

    threads = [threading.Thread(target=give, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 11 + [True]
    done = stored(folder, job, BOOK, sha)
    assert done is not None and done.answer == FINE


@pytest.mark.parametrize("broken", ['{"verdict": "ok"', '{"verdict": "fine"}', "[]", ""])
def test_what_is_no_answer_is_put_aside_and_read_again(export: Export, broken: str) -> None:
    run = plan(export, BOOK)
    folder = begin(export, run)
    job, sha = run.first_jobs[0], run.items[0].input_sha
    (folder / job.path).write_text(broken)
    assert stored(folder, job, BOOK, sha) is None
    assert accept(folder, job, BOOK, FINE, {}, sha)
    assert stored(folder, job, BOOK, sha) is not None
    assert [path.read_text() for path in (folder / "work" / job.key).glob("put-aside-*")] == [broken]


def test_an_answer_about_files_that_have_changed_since_is_none(export: Export) -> None:
    run = plan(export, BOOK)
    folder = begin(export, run)
    job = run.first_jobs[0]
    assert accept(folder, job, BOOK, FINE, {}, Inputs(export, run).sha(job.item))
    changed = Told(number=0, version=2, answer="Something else.")
    make_export(export.path, [changed])
    sha = Inputs(Export(export.path), run).sha(job.item)
    assert sha != job.item.input_sha
    assert stored(folder, job, BOOK, sha) is None
    assert accept(folder, job, replace(BOOK), FINE, {}, sha)
