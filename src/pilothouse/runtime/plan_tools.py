"""The planning tools over kept plans: ``todo_write``, ``todo_update``, ``todo_read``. Any framework calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pilothouse.records import PilothouseError
from pilothouse.sdk.tool_playback import inner

from .plan import Plan, PlanError, answered, as_dict, asked, from_dict, plan_text, problem_text, update, write

_TRIES: Final = 5


class PlanKeeper(Protocol):
    """Where plans are kept. :class:`pilothouse.store.plan_store.PlanStore` is one."""

    def load(self, key: str) -> Mapping[str, Any] | None:
        """The newest version of a plan."""
        ...

    def save(self, key: str, version: int, plan: Mapping[str, Any]) -> bool:
        """Keep a version; MUST be False where that number is taken, and then change nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTools:
    """The tools of one run."""

    keeper: PlanKeeper
    key: str
    """Names the plan: the run's or the conversation's id."""
    request: str = ""
    """What the user asked, word for word."""
    changed: Callable[[Plan, Plan], None] = lambda _before, _after: None
    """Told of each change, e.g. to trace it."""
    brief: bool = False
    """True where the plan is shown to the model anyway: a change is then answered in a line."""

    def plan(self) -> Plan:
        """The plan as it is kept now."""
        found = self.keeper.load(self.key)
        return from_dict(found) if found is not None else Plan(request=self.request)

    @inner
    def todo_write(self, tasks: Sequence[str | Mapping[str, Any]] | str, request: str = "") -> str:
        """Write the plan, or write it anew. Tasks are texts, or objects with text, id, state, note, parallel.

        One text is a task a line. ``request`` is what the user asked, where nobody but the model can say so.
        """
        return self._change(lambda plan: write(asked(plan, request), tasks))

    @inner
    def todo_update(self, id: str, state: str, note: str = "") -> str:
        """Change one task: pending, in_progress, completed (note: evidence), blocked (note: question), dropped (note: why)."""
        return self._change(lambda plan: update(plan, id, state, note))

    @inner
    def todo_read(self) -> str:
        """The request and the plan as they are."""
        return plan_text(self.plan())

    def answer(self, id: str, text: str) -> Plan:
        """What a person says to a blocked task; the agent goes on with it.

        Raises:
            PlanError: the task waits for nobody.
        """
        return self._kept(lambda plan: answered(plan, id, text))

    def _change(self, change: Callable[[Plan], Plan]) -> str:
        try:
            plan = self._kept(change)
            return _in_a_line(plan) if self.brief else plan_text(plan)
        except PilothouseError as error:
            return f"error: {problem_text(error)}"

    def _kept(self, change: Callable[[Plan], Plan]) -> Plan:
        # Parallel tool calls and other processes may change the same plan: whoever is second looks again.
        for _ in range(_TRIES):
            before = self.plan()
            after = change(before)
            if self.keeper.save(self.key, after.version, as_dict(after)):
                self.changed(before, after)
                return after
        raise PlanError("the plan is being changed from elsewhere", got=self.key, fix="todo_read(), then once more")


def _in_a_line(plan: Plan) -> str:
    done = sum(not task.open for task in plan.tasks)
    return f"kept: {done} of {len(plan.tasks)} tasks done"
