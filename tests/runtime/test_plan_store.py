"""Plans outlive the process that made them, and two writers do not lose each other's change."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pilothouse.records import BadRequest
from pilothouse.runtime.plan_tools import PlanTools
from pilothouse.store.plan_store import PlanStore, plans_in


def test_a_plan_is_there_again_with_all_its_versions(tmp_path: Path) -> None:
    tools = PlanTools(keeper=plans_in(tmp_path), key="run 1", request="Do it.")
    assert "1. a" in tools.todo_write(["a", "b"])
    assert tools.todo_update("9", "completed", "x").startswith("error: no task has this id\ngot: 9")
    tools.todo_update("1", "completed", "done")
    other = PlanTools(keeper=plans_in(tmp_path), key="run 1")
    assert other.plan() == tools.plan() and other.plan().request == "Do it."
    assert [version["version"] for version in plans_in(tmp_path).history("run 1")] == [1, 2]
    assert PlanTools(keeper=plans_in(tmp_path), key="run 2").todo_read().endswith("before the first step.")


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    tools = PlanTools(keeper=plans_in(tmp_path), key="run")
    tools.todo_write([f"task {number}" for number in range(1, 5)])
    said: list[str] = []

    def finish(number: int) -> None:
        mine = PlanTools(keeper=plans_in(tmp_path), key="run")
        said.append(mine.todo_update(str(number), "completed", "done"))

    threads = [threading.Thread(target=finish, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [text for text in said if text.startswith("error")]
    assert [task.state for task in tools.plan().tasks] == ["completed"] * 4


def test_a_version_is_taken_once(tmp_path: Path) -> None:
    store = plans_in(tmp_path)
    assert store.save("k", 1, {"a": 1}) and not store.save("k", 1, {"a": 2})
    assert store.load("k") == {"a": 1} and store.load("other") is None


@pytest.mark.parametrize("url", ["nonsense", "mongodb://x/y"])
def test_a_wrong_address_says_what_one_looks_like(url: str) -> None:
    with pytest.raises(BadRequest, match="no database address"):
        PlanStore(url)
