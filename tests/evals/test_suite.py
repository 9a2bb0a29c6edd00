"""Suites on disk: what is read, refused, changed and found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.evals.case_text import as_data, as_yaml, read_case, read_yaml
from pilothouse.evals.payloads import keep
from pilothouse.evals.suite import Suite
from pilothouse.records import BadRequest, NotFound

CASE: dict[str, Any] = {
    "id": "late-refund",
    "input": "I want my money back\nfor order 4411",
    "stubs": {"calls": [{"name": "get_order", "arguments": {"id": 4411}, "result": {"late": True}}]},
    "checks": [{"tool": "refund", "arguments": {"amount": "$5"}}, {"excludes": "guarantee"}],
    "criteria": ["says when the money arrives", {"text": "is polite", "severity": "low"}],
    "metadata": {"capability": "refunds", "difficulty": "hard", "tags": ["money"], "why": "it was refused in March"},
}


def suite_at(folder: Path) -> Suite:
    folder.mkdir(exist_ok=True)
    return Suite(folder)


def test_a_case_is_written_for_a_reader_and_read_back(tmp_path: Path) -> None:
    suite = suite_at(tmp_path / "refunds")
    suite.add(CASE)
    text = (tmp_path / "refunds/cases/late-refund.yaml").read_text()
    assert "input: |-\n  I want my money back\n  for order 4411\n" in text
    case = Suite(tmp_path / "refunds").case("late")
    assert case.metadata.capability == "refunds"
    assert as_data(case) == as_data(read_case(CASE))


def test_a_payload_is_a_file_of_its_own_and_cannot_be_changed_unnoticed(tmp_path: Path) -> None:
    suite = suite_at(tmp_path / "s")
    reference = keep(suite.folder, [{"role": "user", "content": "x" * 10_000}])
    assert keep(suite.folder, [{"role": "user", "content": "x" * 10_000}]) == reference
    suite.add({**CASE, "input": {"messages": reference}})
    assert len(suite.case("late-refund").input.text) == 10_000
    assert suite.place("late-refund").length < 2_000
    path = suite.folder / reference["$file"]
    path.write_text(path.read_text().replace("x", "y"))
    with pytest.raises(BadRequest, match="was changed"):
        suite.case("late-refund")
    path.unlink()
    with pytest.raises(NotFound):
        suite.case("late-refund")


@pytest.mark.parametrize("name", ["../../etc/passwd", "payloads/../suite.yaml", "/etc/passwd", "payloads/xyz.json"])
def test_a_payload_is_never_elsewhere(tmp_path: Path, name: str) -> None:
    suite = suite_at(tmp_path / "s")
    with pytest.raises(BadRequest, match="payload is called"):
        suite.add({**CASE, "input": {"messages": {"$file": name}}})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": "Late Refund"}, "id"),
        ({"id": "../x"}, "id"),
        ({"input": []}, "input"),
        ({"input": {"messages": [{"role": "robot", "content": ""}]}}, r"messages\[0\]\.role"),
        ({"input": {"turns": [1]}}, "turns"),
        ({"input": {"turns": ["a"], "data": 1}}, "input"),
        ({"stubs": {"mode": "loose"}}, r"stubs\.mode"),
        ({"stubs": {"calls": [{"arguments": {}}]}}, r"calls\[0\]\.name"),
        ({"checks": [{"tol": "x"}]}, r"checks\[0\]"),
        ({"criteria": [""]}, r"criteria\[0\]"),
        ({"metadata": {"difficulty": "insane"}}, r"metadata\.difficulty"),
        ({"metadata": {"colour": "red"}}, "metadata"),
        ({"repeats": -1}, "repeats"),
        ({"repeat": 3}, "not known"),
    ],
)
def test_a_wrong_case_is_refused_with_its_place(change: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        read_case({**CASE, **change})


def test_files_that_are_no_cases_are_named_and_hurt_no_others(tmp_path: Path) -> None:
    suite = suite_at(tmp_path / "s")
    suite.add(CASE)
    (suite.folder / "cases/broken.yaml").write_text("id: [")
    (suite.folder / "cases/twin.yaml").write_text(as_yaml(CASE))
    (suite.folder / "cases/lines.jsonl").write_text('{"id":"one","input":"x"}\nno json\n\n{"id":"two","input":"y"}\n')
    fresh = Suite(suite.folder)
    assert list(fresh.places()) == ["late-refund", "one", "two"]
    assert sorted((one.file, one.error[:25]) for one in fresh.broken()) == [
        ("cases/broken.yaml", "cases/broken.yaml is no YA"[:25]),
        ("cases/lines.jsonl", "cases/lines.jsonl at byte "[:25]),
        ("cases/twin.yaml", "cases/late-refund.yaml ha"),
    ]


def test_lines_of_a_large_file_are_changed_one_at_a_time(tmp_path: Path) -> None:
    suite = suite_at(tmp_path / "s")
    (suite.folder / "cases").mkdir()
    path = suite.folder / "cases/many.jsonl"
    path.write_text("".join(json.dumps({"id": f"c-{n:03}", "input": f"é{n}"}) + "\n" for n in range(300)))
    before = suite.version()
    suite.add({"id": "c-100", "input": "another, and longer than before"}, overwrite=True)
    suite.remove("c-200")
    for known in (suite, Suite(suite.folder)):
        assert len(known.places()) == 299
        assert known.case("c-100").input.text.startswith("another")
        assert known.case("c-299").input.text == "é299"
    assert suite.version() != before
    suite.add({"id": "c-100", "input": "é100"}, overwrite=True)
    suite.add({"id": "c-200", "input": "é200"})
    assert Suite(suite.folder).version() == before
    assert (suite.folder / "cases/c-200.yaml").exists()


def test_what_is_not_there_or_there_already_is_said(tmp_path: Path) -> None:
    suite = suite_at(tmp_path / "s")
    suite.add(CASE)
    with pytest.raises(BadRequest, match="there is a case"):
        suite.add(CASE)
    with pytest.raises(NotFound):
        suite.add({**CASE, "id": "other"}, overwrite=True)
    with pytest.raises(NotFound) as told:
        suite.case("late-refudn")
    assert told.value.allowed == ["late-refund"]
    with pytest.raises(NotFound):
        Suite(tmp_path / "nowhere")


def test_an_index_that_is_broken_is_made_anew(tmp_path: Path) -> None:
    suite = suite_at(tmp_path / "s")
    suite.add(CASE)
    assert len(Suite(suite.folder).places()) == 1
    index = suite.folder / ".pilothouse/index.jsonl"
    assert index.exists()
    for junk in (b"", b"\xff\xfe", b'{"version": 4}\n[1,2]\n', b'{"version": 99}\n'):
        index.write_bytes(junk)
        assert list(Suite(suite.folder).places()) == ["late-refund"]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60)


@settings(max_examples=60)
@given(
    TEXT,
    st.lists(TEXT.filter(str.strip), max_size=3),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), TEXT | st.integers() | st.booleans()),
)
def test_whatever_a_case_says_is_read_back_from_yaml(text: str, criteria: list[str], arguments: dict[str, Any]) -> None:
    data = {"id": "x", "input": text, "criteria": criteria, "checks": [{"tool": "t", "arguments": arguments}]}
    case = read_yaml(as_yaml(data), shown="x.yaml")
    again = read_case(data)
    assert (case.input, case.criteria, case.checks) == (again.input, again.criteria, again.checks)
