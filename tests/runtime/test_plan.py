"""Plans keep their rules, and an agent does not finish with open tasks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pilothouse.runtime.finish_gate import GateState, may_finish
from pilothouse.runtime.plan import (
    OPEN,
    STATES,
    Plan,
    PlanError,
    answered,
    as_dict,
    from_dict,
    plan_text,
    update,
    write,
)

ASKED = Plan(request="Refund order 4411\nand tell me when.")


def planned(*tasks: str | dict[str, Any]) -> Plan:
    return write(ASKED, tasks or ("look the order up", "refund it", "say when"))


def test_a_plan_is_written_begun_and_done() -> None:
    plan = planned()
    assert [task.id for task in plan.tasks] == ["1", "2", "3"] and plan.version == 1
    plan = update(plan, "1", "in_progress")
    assert plan.current and plan.current.id == "1"
    plan = update(update(plan, "1", "done", "order is delivered"), "2", "in_progress")
    assert [task.state for task in plan.tasks] == ["completed", "in_progress", "pending"]
    text = plan_text(plan)
    assert "> Refund order 4411\n> and tell me when." in text
    assert "[x] 1. look the order up (order is delivered)" in text and "You are at task 2." in text


def test_beginning_a_task_puts_the_other_back_unless_both_are_parallel() -> None:
    plan = update(update(planned(), "1", "in_progress"), "2", "in_progress")
    assert [task.state for task in plan.tasks] == ["pending", "in_progress", "pending"]
    both = planned({"text": "a", "parallel": True}, {"text": "b", "parallel": True}, "c")
    both = update(update(both, "1", "in_progress"), "2", "in_progress")
    assert [task.state for task in both.tasks] == ["in_progress", "in_progress", "pending"]


@pytest.mark.parametrize("state", ["completed", "blocked", "dropped"])
def test_states_that_need_a_reason_have_one(state: str) -> None:
    with pytest.raises(PlanError) as caught:
        update(planned(), "1", state)
    assert "has a note" in caught.value.message and caught.value.fix == f'todo_update("1", "{state}", note="…")'
    assert update(planned(), "1", state, "because").task("1").note == "because"


def test_a_plan_written_anew_keeps_what_was_done_and_forgets_nothing_open() -> None:
    plan = update(planned(), "1", "completed", "seen")
    with pytest.raises(PlanError) as caught:
        write(plan, ["look the order up", "say when"])
    assert caught.value.got == ["2: refund it"]
    again = write(plan, ["Look the order up", "refund it", "say when", "ask for a review"])
    assert [(task.id, task.state) for task in again.tasks] == [
        ("1", "completed"),
        ("2", "pending"),
        ("3", "pending"),
        ("4", "pending"),
    ]
    assert again.task("1").note == "seen" and again.version == plan.version + 1


@pytest.mark.parametrize(
    ("tasks", "says"),
    [([], "at least one"), (["x"] * 101, "at most 100"), ([" "], "says nothing"), (["x" * 501], "longer than"),
     ([{"id": "1", "text": "a"}, {"id": "1", "text": "b"}], "same id"), ([{"text": "a", "state": "maybe"}], "no such state"),
     ([{"text": "a", "state": "in_progress"}, {"text": "b", "state": "in_progress"}], "one task is in progress")],
)  # fmt: skip
def test_a_plan_against_the_rules_is_refused_and_nothing_changes(tasks: list[Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        write(ASKED, tasks)


def test_an_unknown_task_names_those_there_are() -> None:
    with pytest.raises(PlanError) as caught:
        update(planned(), "9", "completed", "x")
    assert caught.value.allowed == ["1: look the order up", "2: refund it", "3: say when"]
    with pytest.raises(PlanError, match="cannot become"):
        update(update(planned(), "1", "blocked", "?"), "1", "completed", "x")


def test_what_a_person_answers_is_in_the_plan() -> None:
    plan = update(planned(), "2", "blocked", "may I refund $900?")
    plan = answered(plan, "2", "yes, up to $500")
    assert plan.task("2").state == "pending" and "answered: yes, up to $500" in plan.task("2").note
    assert "answered: yes, up to $500" in plan_text(plan)
    with pytest.raises(PlanError, match="waits for nobody"):
        answered(plan, "2", "again")


def test_the_gate_lists_what_is_open_and_lets_through_what_is_done() -> None:
    plan = update(planned(), "1", "completed", "seen")
    verdict = may_finish(plan, GateState())
    assert verdict.action == "push" and "- 2. refund it (pending)" in verdict.message
    assert [task["id"] for task in verdict.as_error()["error"]["got"]] == ["2", "3"]
    for id, state in (("2", "completed"), ("3", "dropped")):
        plan = update(plan, id, state, "note")
    assert may_finish(plan, verdict.state).action == "allow"


def test_an_agent_that_stands_still_is_pushed_a_few_times_then_a_person_is_asked() -> None:
    plan, state = planned(), GateState()
    actions: list[str] = []
    for _ in range(5):
        verdict = may_finish(plan, state)
        actions.append(verdict.action)
        state = verdict.state
    assert actions == ["push", "push", "push", "ask", "ask"]
    # Whoever works on has its pushes counted anew.
    assert may_finish(update(plan, "1", "completed", "x"), state).action == "push"


def test_only_blocked_tasks_pause_for_a_person_at_once() -> None:
    plan = update(planned("a", "b"), "1", "completed", "x")
    plan = update(plan, "2", "blocked", "which account?")
    verdict = may_finish(plan, GateState())
    assert verdict.action == "ask" and verdict.questions == ("2. b: which account?",)


def test_a_run_without_a_plan_finishes_unless_one_is_required() -> None:
    assert may_finish(ASKED, GateState()).action == "allow"
    first = may_finish(ASKED, GateState(), plan_required=True)
    assert first.action == "push" and "todo_write" in first.message
    assert may_finish(ASKED, first.state, plan_required=True).action == "allow"


class AnyChanges(RuleBasedStateMachine):
    """Whatever is tried in whatever order, the rules hold and a refused change changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = ASKED

    @rule(texts=st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=6), keep=st.booleans())
    def written(self, texts: list[str], keep: bool) -> None:
        before = self.plan
        tasks: list[str | dict[str, Any]] = [*texts, *([as_dict(before)["tasks"][0]] if keep and before.tasks else [])]
        try:
            self.plan = write(before, tasks)
        except PlanError:
            assert self.plan is before

    @rule(id=st.sampled_from("123456"), state=st.sampled_from(STATES), note=st.sampled_from(["", "n"]))
    def updated(self, id: str, state: str, note: str) -> None:
        before = self.plan
        try:
            self.plan = update(before, id, state, note)
            assert self.plan.version == before.version + 1
        except PlanError:
            assert self.plan is before

    @invariant()
    def rules_hold(self) -> None:
        plan = self.plan
        assert len({task.id for task in plan.tasks}) == len(plan.tasks)
        busy = [task for task in plan.tasks if task.state == "in_progress"]
        assert len(busy) <= 1 or all(task.parallel for task in busy)
        assert all(task.note for task in plan.tasks if task.state in ("completed", "blocked", "dropped"))
        assert from_dict(as_dict(plan)) == plan
        allowed = may_finish(plan, GateState()).action == "allow"
        assert allowed == (not any(task.state in OPEN for task in plan.tasks))


TestAnyChanges = AnyChanges.TestCase
TestAnyChanges.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
