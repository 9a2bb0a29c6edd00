"""What adapters for several frameworks have in common: one toolbox a conversation, and results that are too large."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from pilothouse.runtime.data_tools import DataTools
from pilothouse.runtime.finish_gate import PUSHES_MAX, GateVerdict, PersonNeeded
from pilothouse.runtime.finishing import finish
from pilothouse.runtime.folders import VALUES, plans_at, runtime_folder
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.plan_tools import PlanKeeper
from pilothouse.runtime.preview import BUDGET_CHARS
from pilothouse.runtime.sources import RowReader
from pilothouse.runtime.toolbox import DATA_TOOLS, PLAN_TOOLS, Tool, Toolbox, plan_for

OURS: Final = frozenset(tool.name for tool in (*PLAN_TOOLS, *DATA_TOOLS))


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """How an agent is kept to its task, whatever framework runs it."""

    plans: PlanKeeper | None = None
    """Where plans are kept; None: ``plans.db`` in the runtime's folder."""
    values: HandleStore | None = None
    """Where large values are kept; None: ``values`` in the runtime's folder."""
    rows: RowReader | None = None
    """Reads what Pilothouse recorded, for ``data://…``."""
    chars: int = BUDGET_CHARS
    """The most characters that any tool result puts into the context."""
    plan: bool = True
    large_data: bool = True
    gate: bool = True
    plan_required: bool = False
    """True: an answer without any plan is refused once."""
    pushes_max: int = PUSHES_MAX
    _boxes: dict[str, Toolbox] = field(default_factory=dict[str, Toolbox], init=False, repr=False)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools the agent gets."""
        return (*(PLAN_TOOLS if self.plan else ()), *(DATA_TOOLS if self.large_data else ()))

    def box(self, key: str, request: str = "") -> Toolbox:
        """The tools of one conversation."""
        known = self._boxes.get(key)
        if known is None:
            while len(self._boxes) >= 1_000:
                self._boxes.pop(next(iter(self._boxes)))
            values = self.values or HandleStore(runtime_folder() / VALUES)
            known = Toolbox(
                plans=self.plans or plans_at(runtime_folder()),
                data=DataTools(store=values, chars=self.chars),
                plan=key,
                rows=self.rows,
                pushes_max=self.pushes_max,
                plan_required=self.plan_required,
            )
        if request and known.request != request:
            known = replace(known, request=request)
        self._boxes[key] = known
        return known

    def plan_text(self, key: str, request: str) -> str:
        """The plan as it stands in a model call; empty where none is wanted."""
        return plan_for(self.box(key, request)) if self.plan else ""

    def verdict(self, key: str, request: str) -> GateVerdict | None:
        """What happens with a final answer; None where there is no gate.

        Raises:
            PersonNeeded: what is open waits for a person.
        """
        if not self.gate:
            return None
        found = finish(
            self.box(key, request).plan_tools(), pushes_max=self.pushes_max, plan_required=self.plan_required
        )
        if found.action == "ask":
            raise PersonNeeded(found.questions, plan_key=key, open_tasks=found.open_tasks)
        return found

    def answer(self, key: str, task: str, text: str) -> None:
        """A person's answer to a blocked task.

        Raises:
            PlanError: the task waits for nobody.
        """
        self.box(key).plan_tools().answer(task, text)

    def shortened(self, key: str, name: str, result: Any) -> str | None:
        """The preview of a tool's result that is too large, which is kept; None where it may stay as it is."""
        if not self.large_data or name in OURS or result is None or isinstance(result, (bool, int, float)):
            return None
        if isinstance(result, str) and len(result) <= self.chars:
            return None
        answer = self.box(key).data.keep(result, label=name)
        return answer.text if answer.handle is not None or answer.is_error else None
