"""The tools as a list: what they answer, that they are bounded, and that files stay within the working folder."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from pilothouse.runtime.data_tools import DataTools
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.toolbox import BY_NAME, TOOLS, Said, Toolbox
from pilothouse.store.plan_store import plans_in


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    work = tmp_path / "work"
    work.mkdir()
    return box_in(tmp_path, folder=work)


def box_in(place: Path, **given: Any) -> Toolbox:
    return Toolbox(plans=plans_in(place), data=DataTools(store=HandleStore(place / "values")), plan="mine", **given)


def good(said: Said) -> str:
    assert not said.failed, said.text
    return said.text


def test_the_list_stays_small() -> None:
    listed = [{"name": tool.name, "description": tool.help, "inputSchema": tool.schema} for tool in TOOLS]
    assert len(json.dumps(listed)) < 4_000
    assert list(BY_NAME) == [
        *("todo_write", "todo_update", "todo_read", "finish", "keep", "jq", "grep_json", "slice", "schema")
    ]


def test_a_plan_is_written_worked_and_finished(box: Toolbox) -> None:
    assert "word for word" in box.call("todo_write", {"tasks": ["a"]}).text
    text = good(box.call("todo_write", {"tasks": ["look up", "refund"], "request": "Refund 4411\nplease"}))
    assert "> Refund 4411\n> please" in text and "(plan mine)" in text
    refused = box.call("finish", {})
    assert refused.failed and refused.error is not None
    assert json.loads(refused.text)["error"] == refused.error
    assert [task["text"] for task in refused.error["got"]] == ["look up", "refund"]
    assert refused.error["kind"] == "open_tasks"
    for task in ("1", 2):
        good(box.call("todo_update", {"id": task, "state": "in_progress"}))
        assert "has a note" in box.call("todo_update", {"id": task, "state": "completed"}).text
        good(box.call("todo_update", {"id": task, "state": "completed", "note": "seen"}))
    assert good(box.call("finish", {})).startswith("Finished")
    # What is asked next begins a plan of its own: nothing of the last one counts as done.
    again = good(box.call("todo_write", {"tasks": ["look up"], "request": "Now 4412"}))
    assert "> Now 4412" in again and "[ ] 1. look up" in again and "Refund" not in again


def test_a_request_in_between_stands_below_the_first(box: Toolbox) -> None:
    good(box.call("todo_write", {"tasks": ["a"], "request": "Do a"}))
    both = good(box.call("todo_write", {"tasks": ["a", "b"], "request": "And b"}))
    assert "> Do a\n> \n> And b" in both
    assert good(box.call("todo_write", {"tasks": ["a", "b"], "request": "And b"})).count("And b") == 1


def test_the_gate_counts_across_processes_and_then_asks_a_person(tmp_path: Path) -> None:
    good(box_in(tmp_path).call("todo_write", {"tasks": ["a"], "request": "r"}))
    kinds = [(box_in(tmp_path).call("finish", {}).error or {})["kind"] for _ in range(5)]
    assert kinds == ["open_tasks"] * 3 + ["needs_approval"] * 2
    good(box_in(tmp_path).call("todo_update", {"id": "1", "state": "blocked", "note": "which account?"}))
    asked = box_in(tmp_path).call("finish", {})
    assert "which account?" in asked.text and (asked.error or {})["kind"] == "needs_approval"
    good(box_in(tmp_path).call("todo_update", {"id": "1", "state": "in_progress", "note": "the user said: 7"}))
    assert (box_in(tmp_path).call("finish", {}).error or {})["kind"] == "open_tasks"
    good(box_in(tmp_path).call("todo_update", {"id": "1", "state": "completed", "note": "booked on 7"}))
    assert good(box_in(tmp_path).call("finish", {}))


def test_plans_of_other_names_are_apart(box: Toolbox) -> None:
    good(box.call("todo_write", {"tasks": ["a"], "request": "r", "plan": "other"}))
    assert "No plan is written" in good(box.call("todo_read", {}))
    assert "1. a" in good(box.call("todo_read", {"plan": "other"}))
    assert "at most 100" in box.call("todo_read", {"plan": "x" * 101}).text


def test_a_file_becomes_a_value_that_is_looked_into(box: Toolbox) -> None:
    assert box.folder is not None
    rows = [{"id": number, "state": "declined" if number == 77 else "paid"} for number in range(9_000)]
    (box.folder / "orders.json").write_text(json.dumps(rows))
    said = box.call("keep", {"file": "orders.json"})
    assert said.id.startswith("data_") and said.id in good(said)
    assert good(box.call("jq", {"id": said.id, "program": '.[] | select(.state=="declined").id'})) == "77"
    assert ".[77].state" in good(box.call("grep_json", {"id": said.id, "pattern": "declin"}))
    assert '{"id": 8999, "state": "paid"}' in good(box.call("slice", {"id": said.id, "start": 8_999}))
    assert ".[].state" in good(box.call("schema", {"id": said.id}))
    small = box.call("keep", {"data": {"a": 1}})
    assert small.id in good(small) and '{"a": 1}' in small.text
    assert good(box.call("jq", {"id": small.id, "program": ".a"})) == "1"


def test_files_elsewhere_are_not_read(box: Toolbox, tmp_path: Path) -> None:
    assert box.folder is not None
    (tmp_path / "secret.json").write_text('{"key": "s3cret"}')
    (box.folder / "link.json").symlink_to(tmp_path / "secret.json")
    (box.folder / "up").symlink_to(tmp_path)
    os.mkfifo(box.folder / "pipe")
    for name in ("../secret.json", str(tmp_path / "secret.json"), "link.json", "up/secret.json", "/etc/passwd", "a\0b"):
        said = box.call("keep", {"file": name})
        assert said.failed and "s3cret" not in said.text and "root:" not in said.text, name
    assert "no file" in box.call("keep", {"file": "pipe"}).text
    assert "no file" in box.call("keep", {"file": "."}).text
    assert box_in(tmp_path).call("keep", {"file": "secret.json"}).failed


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("nope", {}, "todo_write"),
        ("jq", {}, "needs id and program"),
        ("jq", {"id": "data_1", "program": ".", "x": 1}, "takes no such argument"),
        ("jq", {"id": ["a"], "program": "."}, "is a text"),
        ("slice", {"id": "data_1", "start": "many"}, "whole number"),
        ("slice", {"id": "data_1", "start": 1e400}, "whole number"),
        ("todo_write", {"tasks": 5, "request": "r"}, "is a list"),
        ("todo_write", {"tasks": [5], "request": "r"}, "texts or objects"),
        ("todo_update", {"id": "9", "state": "pending"}, "no task"),
        ("keep", {}, "one of file and data"),
        ("keep", {"file": "a", "data": 1}, "one of file and data"),
    ],
)
def test_a_wrong_call_is_answered_with_what_would_do(
    box: Toolbox, name: str, arguments: dict[str, Any], says: str
) -> None:
    said = box.call(name, arguments)
    assert said.failed and says in said.text


def test_nothing_is_longer_than_the_limit(box: Toolbox) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    drawn = random.Random(seed)
    value = {f"k{n}\u202e": ["\u200b" * drawn.randrange(400), n, {"x": "y" * drawn.randrange(900)}] for n in range(900)}
    id = box.call("keep", {"data": value}).id
    tasks = [f"{n} " + "w" * 400 for n in range(100)]
    texts = [
        box.call("todo_write", {"tasks": tasks, "request": "\u200b" * 15_000}),
        box.call("finish", {}),
        box.call("keep", {"data": value}),
        box.call("jq", {"id": id, "program": "."}),
        box.call("jq", {"id": id, "program": "x" * 50_000}),
        box.call("grep_json", {"id": id, "pattern": "y+"}),
        box.call("grep_json", {"id": id, "pattern": "(" * 9_000}),
        box.call("slice", {"id": id, "count": 900}),
        box.call("schema", {"id": id}),
        box.call("z" * 90_000, {}),
        box.call("todo_update", {"id": "q" * 40_000, "state": "pending"}),
    ]
    assert [said.text for said in texts if len(said.text) > 10_000] == []
    assert all("\u202e" not in said.text and "\u200b" not in said.text for said in texts)
