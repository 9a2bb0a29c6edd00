"""Whether an agent may finish: not with open tasks. It is sent back with a list, a few times, then a person is asked.

A decision without I/O: the adapter asks at every final answer and does what it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pilothouse.records import NeedsApproval

from .plan import Plan, Task

PUSHES_MAX: Final = 3
"""How often an agent is sent back to work for the same plan before a person is asked."""

Action = Literal["allow", "push", "ask"]


class PersonNeeded(NeedsApproval):
    """The run pauses: what is left of its plan waits for a person. Answer the tasks, then run on with its messages."""

    def __init__(self, questions: Sequence[str], *, plan_key: str, open_tasks: Sequence[Task]) -> None:
        super().__init__("; ".join(questions), got=plan_key, fix="answer(plan_key, task id, text), then run on")
        self.questions = tuple(questions)
        self.plan_key = plan_key
        self.open_tasks = tuple(open_tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """What the gate remembers of a run; keep it with the run."""

    pushes: int = 0
    """Refusals since the plan last changed."""
    plan_version: int = -1
    refused: int = 0
    """Refusals in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """What happens with a final answer."""

    action: Action
    """``allow`` it; ``push`` the agent back with ``message``; ``ask`` a person about ``questions`` and pause."""
    state: GateState
    message: str = ""
    """For the model."""
    open_tasks: tuple[Task, ...] = ()
    questions: tuple[str, ...] = ()

    def as_error(self) -> dict[str, Any]:
        """The refusal as the structured error that tools and HTTP give."""
        tasks = [{"id": task.id, "text": task.text, "state": task.state} for task in self.open_tasks]
        fix = f'todo_update("{self.open_tasks[0].id}", "in_progress")' if self.open_tasks else "todo_write([…])"
        return {"error": {"kind": "open_tasks", "message": self.message, "got": tasks, "fix": fix}}


def may_finish(
    plan: Plan, state: GateState, *, pushes_max: int = PUSHES_MAX, plan_required: bool = False
) -> GateVerdict:
    """The verdict on a final answer.

    An agent that works on between two answers (the plan's version moves) has its pushes counted anew, so that only one
    that stands still is given up on. ``plan_required`` refuses an answer where nothing was ever planned, once.
    """
    if state.plan_version != plan.version:
        state = GateState(plan_version=plan.version, refused=state.refused)
    open_tasks = plan.open_tasks
    if not open_tasks and (plan.tasks or not plan_required or state.refused):
        return GateVerdict(action="allow", state=state)
    pushed = GateState(pushes=state.pushes + 1, plan_version=plan.version, refused=state.refused + 1)
    if not plan.tasks:
        text = "Nothing is planned yet. Write the plan with todo_write, do it, then answer."
        return GateVerdict(action="push", state=pushed, message=text)
    if plan.blocked_tasks and len(plan.blocked_tasks) == len(open_tasks):
        # All that is left waits for somebody: pushing would only make the model invent an answer.
        questions = tuple(f"{task.id}. {task.text}: {task.note}" for task in plan.blocked_tasks)
        return GateVerdict(action="ask", state=state, open_tasks=open_tasks, questions=questions)
    if state.pushes >= pushes_max:
        questions = (
            f"The agent wants to finish with {len(open_tasks)} open tasks and was sent back {state.pushes} times: "
            "what shall happen with them?",
        )
        return GateVerdict(action="ask", state=state, open_tasks=open_tasks, questions=questions)
    return GateVerdict(action="push", state=pushed, message=_message(open_tasks), open_tasks=open_tasks)


def _message(open_tasks: tuple[Task, ...]) -> str:
    listed = "\n".join(
        f"- {task.id}. {task.text} ({task.state}{': ' + task.note if task.note else ''})" for task in open_tasks
    )
    return (
        f"Not finished: {len(open_tasks)} of your tasks are open.\n{listed}\n"
        'Do them now. A task that is done: todo_update(id, "completed", note=evidence). One that only a person can '
        'decide: todo_update(id, "blocked", note=question). One that is no longer needed: '
        'todo_update(id, "dropped", note=reason). Then answer again.'
    )
