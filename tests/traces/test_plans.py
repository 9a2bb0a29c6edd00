"""The plan of a trace from what was told: the newest version counts, and what is no plan is none."""

from __future__ import annotations

import json

import pytest

from pilothouse.records import names
from pilothouse.traces.plans import _Told as Told  # pyright: ignore[reportPrivateUsage]
from pilothouse.traces.plans import plan_of


def told(version: int, tasks: object, time_ns: int, key: str = "c1") -> Told:
    text = tasks if isinstance(tasks, str) else json.dumps(tasks)
    attributes = {
        names.PLAN_KEY: key,
        names.PLAN_VERSION: str(version),
        names.PLAN_DONE: "1",
        names.PLAN_OPEN: "1",
        names.PLAN_CHANGE: "1 pending -> completed",
        names.PLAN_TASKS: text,
    }
    return Told(span_id="s", time_ns=time_ns, name=names.PLAN_EVENT, attributes=attributes)


def test_the_newest_version_is_the_plan_whatever_the_clocks_say() -> None:
    found = plan_of("t", [told(2, [{"id": "1", "text": "new"}], 5), told(1, [{"id": "1", "text": "old"}], 9)], {}, 0)
    assert [task.text for task in found.plans[0].tasks] == ["new"] and found.plans[0].changes == 2
    assert [event.said for event in found.events] == ["1 pending -> completed"] * 2


def test_plans_of_several_agents_stand_apart() -> None:
    assert [one.key for one in plan_of("t", [told(1, [], 1, "a"), told(1, [], 2, "b")], {}, 0).plans] == ["a", "b"]


@pytest.mark.parametrize("tasks", ["", "{", "7", '{"id": 1}', '["x", null]', "[" * 100_000, '[{"text": 7}]'])
def test_what_is_no_plan_is_survived(tasks: str) -> None:
    assert len(plan_of("t", [told(1, tasks, 1)], {}, 0).plans[0].tasks) <= 1


def test_events_without_attributes_are_shown_all_the_same() -> None:
    bare = [Told(span_id="", time_ns=1, name=name, attributes={}) for name in names.RUNTIME_EVENTS]
    odd = Told(span_id="", time_ns=1, name=names.PLAN_EVENT, attributes={names.PLAN_VERSION: "9" * 400})
    found = plan_of("t", [*bare, odd], {}, 0)
    assert len(found.events) == len(names.RUNTIME_EVENTS) + 1 and found.plans[0].version == 0
