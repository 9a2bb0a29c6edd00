"""An agent's plan as a state machine: tasks, the rules they keep, and what was planned before.

    pending ──▶ in_progress ──▶ completed          a task that is done says by what
       │  ▲          │
       │  └──────────┤                              put back
       └──▶ blocked ◀┘                              waits for a person, and says for what
              └──▶ pending | in_progress            when the person has answered
    any open task ──▶ dropped                       no longer needed, and says why

Pure: functions of a plan that give the next one. Whoever keeps plans stores each version, so nothing is lost when a
plan is written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast, get_args

from pilothouse.records import BadRequest, PilothouseError

State = Literal["pending", "in_progress", "completed", "blocked", "dropped"]
STATES: Final[tuple[State, ...]] = get_args(State)
OPEN: Final[frozenset[State]] = frozenset({"pending", "in_progress", "blocked"})

TASKS_MAX: Final = 100
TEXT_CHARS_MAX: Final = 500
NOTE_CHARS_MAX: Final = 2_000
REQUEST_CHARS_MAX: Final = 20_000

_NEXT: Final[Mapping[State, frozenset[State]]] = {
    "pending": frozenset({"in_progress", "completed", "blocked", "dropped"}),
    "in_progress": frozenset({"pending", "completed", "blocked", "dropped"}),
    "blocked": frozenset({"pending", "in_progress", "dropped"}),
    "completed": frozenset({"in_progress"}),
    "dropped": frozenset({"pending"}),
}
_NOTE_FOR: Final[Mapping[State, str]] = {
    "completed": "what shows that it is done: a result, an id, a file",
    "blocked": "what a person must answer or do",
    "dropped": "why it is no longer needed",
}
"""States that are nothing without a word of why."""


class PlanError(BadRequest):
    """The plan cannot be changed so: it names the task, the rule and the call that would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One step of a plan."""

    id: str
    """Short and stable, e.g. ``1``: what the model calls it by."""
    text: str
    state: State = "pending"
    parallel: bool = False
    """True where it may be in progress beside others that are declared so too."""
    note: str = ""
    """Of a completed task its evidence, of a blocked one what is waited for, of a dropped one the reason."""

    @property
    def open(self) -> bool:
        """True until it is completed or dropped."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an agent has set out to do."""

    request: str
    """What the user asked, word for word."""
    tasks: tuple[Task, ...] = ()
    version: int = 0
    """One more with each change; 0: nothing is planned yet."""

    @property
    def open_tasks(self) -> tuple[Task, ...]:
        """What is neither completed nor dropped, in order."""
        return tuple(task for task in self.tasks if task.open)

    @property
    def blocked_tasks(self) -> tuple[Task, ...]:
        """What waits for a person."""
        return tuple(task for task in self.tasks if task.state == "blocked")

    @property
    def current(self) -> Task | None:
        """The first task in progress: where the agent is."""
        return next((task for task in self.tasks if task.state == "in_progress"), None)

    def task(self, id: str) -> Task:
        """The task of an id.

        Raises:
            PlanError: there is none.
        """
        for task in self.tasks:
            if task.id == id.strip():
                return task
        ids = [f"{task.id}: {task.text[:60]}" for task in self.tasks]
        raise PlanError("no task has this id", got=id, allowed=ids or "no task is planned", fix="todo_read()")


def asked(plan: Plan, request: str) -> Plan:
    """The plan for what the user asked, word for word.

    A request that comes while tasks are open stands below the one before it; after them it begins a plan of its own.

    Raises:
        PlanError: it is longer than 20,000 characters.
    """
    request = request.strip()
    if not request or request == plan.request or (plan.open_tasks and f"\n\n{plan.request}".endswith(f"\n\n{request}")):
        return plan
    if len(request) > REQUEST_CHARS_MAX:
        raise PlanError(f"a request has at most {REQUEST_CHARS_MAX:,} characters", got=f"{len(request):,} characters")
    if not plan.open_tasks:
        return replace(plan, request=request, tasks=())
    together = f"{plan.request}\n\n{request}" if plan.request else request
    return replace(plan, request=together[-REQUEST_CHARS_MAX:])


def write(plan: Plan, tasks: Sequence[str | Mapping[str, Any]] | str) -> Plan:
    """The plan with these tasks instead of its own.

    A task is a text, or ``{"text", "id"?, "state"?, "note"?, "parallel"?}``; of one text, each line is a task, with or
    without a number or mark before it, and JSON in it is read. One that keeps its id, or else its exact
    text, keeps its state and note where no other is given. An open task of the plan that is left out must be named as
    dropped: a plan is not made shorter by forgetting.

    Raises:
        PlanError: a rule is broken; the plan stays as it was.
    """
    if isinstance(tasks, str):
        tasks = _listed_in(tasks)
    if not tasks:
        raise PlanError("a plan has at least one task", fix='todo_write(["look the order up", "refund it"])')
    if len(tasks) > TASKS_MAX:
        raise PlanError("a plan has at most 100 tasks", got=len(tasks), fix="plan in larger steps")
    by_id = {task.id: task for task in plan.tasks}
    by_text = {task.text.casefold(): task for task in plan.tasks}
    written: list[Task] = []
    taken: set[str] = set()
    for place, given in enumerate(tasks, 1):
        fields: Mapping[str, Any] = {"text": given} if isinstance(given, str) else given
        text = _text(fields.get("text", fields.get("content", "")), f"task {place}")
        known = by_id.get(str(fields.get("id", ""))) or by_text.get(text.casefold())
        wanted = str(fields.get("id", "") or (known.id if known else "")) or _free_id(taken | set(by_id))
        if wanted in taken:
            raise PlanError("two tasks have the same id", got=wanted, fix="leave the ids out: they are given")
        taken.add(wanted)
        before = known or Task(id=wanted, text=text)
        state = _state(fields.get("state", fields.get("status", before.state)))
        note = str(fields.get("note", before.note))[:NOTE_CHARS_MAX]
        _noted(state, note, wanted, text)
        parallel = bool(fields.get("parallel", before.parallel))
        written.append(Task(id=wanted, text=text, state=state, note=note, parallel=parallel))
    forgotten = [task for task in plan.open_tasks if task.id not in taken]
    if forgotten:
        named = [f"{task.id}: {task.text[:60]}" for task in forgotten]
        raise PlanError(
            "the new plan leaves open tasks out",
            got=named,
            fix=f'keep them, or first todo_update("{forgotten[0].id}", "dropped", note="why")',
        )
    _one_at_a_time(written)
    return replace(plan, tasks=tuple(written), version=plan.version + 1)


def update(plan: Plan, id: str, state: str, note: str = "") -> Plan:
    """The plan with one task in another state. The same state with a note only notes it.

    Beginning a task puts the one in progress back to pending, unless both are declared parallel.

    Raises:
        PlanError: a rule is broken; the plan stays as it was.
    """
    task = plan.task(id)
    wanted = _state(state)
    note = note.strip()[:NOTE_CHARS_MAX]
    if wanted != task.state and wanted not in _NEXT[task.state]:
        raise PlanError(
            f"task {task.id} is {task.state} and cannot become {wanted}", got=wanted, allowed=sorted(_NEXT[task.state])
        )
    kept = note or (task.note if wanted == task.state else "")
    _noted(wanted, kept, task.id, task.text)
    changed = replace(task, state=wanted, note=kept)
    tasks = [changed if one.id == task.id else one for one in plan.tasks]
    if wanted == "in_progress":
        tasks = [
            replace(one, state="pending")
            if one.state == "in_progress" and one.id != task.id and not (one.parallel and changed.parallel)
            else one
            for one in tasks
        ]
    return replace(plan, tasks=tuple(tasks), version=plan.version + 1)


def answered(plan: Plan, id: str, answer: str) -> Plan:
    """The plan after a person has answered what a task waits for: it is pending, with the answer as its note.

    Raises:
        PlanError: the task is not blocked.
    """
    task = plan.task(id)
    if task.state != "blocked":
        raise PlanError(f"task {task.id} waits for nobody: it is {task.state}", got=id)
    note = f"asked: {task.note}\nanswered: {answer.strip()}"[:NOTE_CHARS_MAX]
    tasks = tuple(replace(one, state="pending", note=note) if one.id == task.id else one for one in plan.tasks)
    return replace(plan, tasks=tasks, version=plan.version + 1)


def plan_text(plan: Plan) -> str:
    """The plan as the model reads it, the user's words first; a line a task, its state in the field's own marks."""
    marks = {"pending": "[ ]", "in_progress": "[>]", "completed": "[x]", "blocked": "[!]", "dropped": "[-]"}
    lines = ["The user's request, word for word:", *(f"> {line}" for line in plan.request.splitlines() or [""]), ""]
    if not plan.tasks:
        return "\n".join([*lines, "No plan is written yet: todo_write([…]) before the first step."])
    done = sum(not task.open for task in plan.tasks)
    lines.append(f"The plan ({done} of {len(plan.tasks)} done):")
    for task in plan.tasks:
        note = f" ({' / '.join(task.note.split(chr(10)))[:200]})" if task.note else ""
        lines.append(f"{marks[task.state]} {task.id}. {task.text}{note}")
    current = plan.current
    if current is not None:
        lines.append(f"You are at task {current.id}.")
    elif plan.open_tasks:
        lines.append(f'Begin a task: todo_update("{plan.open_tasks[0].id}", "in_progress").')
    return "\n".join(lines)


def as_dict(plan: Plan) -> dict[str, Any]:
    """The plan as JSON."""
    names = ("id", "text", "state", "parallel", "note")
    tasks = [
        {name: getattr(task, name) for name in names if getattr(task, name) not in ("", False)} for task in plan.tasks
    ]
    return {"request": plan.request, "version": plan.version, "tasks": tasks}


def from_dict(found: Mapping[str, Any]) -> Plan:
    """The inverse of :func:`as_dict`."""
    tasks = tuple(Task(**fields) for fields in cast("list[dict[str, Any]]", found["tasks"]))
    return Plan(request=str(found["request"]), version=int(found["version"]), tasks=tasks)


def problem_text(error: PilothouseError) -> str:
    """An error as a tool says it to the model: what is wrong, with which value, what would do."""
    parts = [error.message]
    for name, value in (("got", error.got), ("allowed", error.allowed), ("try", error.fix)):
        if value is not None:
            shown = "; ".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)
            parts.append(f"{name}: {shown[:600]}")
    return "\n".join(parts)


_MARK = re.compile(r"(?:[-*•]|\d{1,3}[.)])?\s*(?:\[[ xX>]?\])?\s*")


def _listed_in(text: str) -> list[str | Mapping[str, Any]]:
    """The tasks of a list that was written as one text, as models do."""
    if text.lstrip()[:1] == "[":
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            return cast("list[str | Mapping[str, Any]]", found)
    lines = (_MARK.sub("", line.strip(), count=1).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _text(value: object, what: str) -> str:
    text = " ".join(str(value).split()) if isinstance(value, str) else ""
    if not text:
        raise PlanError(f"{what} says nothing", got=repr(value)[:100], fix='{"text": "look the order up"}')
    if len(text) > TEXT_CHARS_MAX:
        raise PlanError(
            f"{what} is longer than {TEXT_CHARS_MAX} characters", got=text[:60] + "…", fix="a task is a line"
        )
    return text


def _state(value: object) -> State:
    text = str(value).strip().lower().replace("-", "_").replace(" ", "_")
    found = {"done": "completed", "complete": "completed", "cancelled": "dropped", "doing": "in_progress"}.get(
        text, text
    )
    if found not in STATES:
        raise PlanError("there is no such state", got=value, allowed=list(STATES))
    return found


def _noted(state: State, note: str, id: str, text: str) -> None:
    if state in _NOTE_FOR and not note.strip():
        raise PlanError(
            f"a task that is {state} has a note: {_NOTE_FOR[state]}",
            got=f"{id}: {text[:60]}",
            fix=f'todo_update("{id}", "{state}", note="…")',
        )


def _one_at_a_time(tasks: Sequence[Task]) -> None:
    busy = [task for task in tasks if task.state == "in_progress"]
    if len(busy) > 1 and not all(task.parallel for task in busy):
        raise PlanError(
            "one task is in progress at a time, unless each of them is declared parallel",
            got=[f"{task.id}: {task.text[:60]}" for task in busy],
            fix='{"text": "…", "state": "in_progress", "parallel": true}',
        )


def _free_id(taken: set[str]) -> str:
    number = 1
    while str(number) in taken:
        number += 1
    return str(number)
