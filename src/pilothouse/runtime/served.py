"""The runtime's tools for many agents of many projects, as a server gives them: over HTTP, and over MCP through it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pilothouse.records import BadRequest, NotFound, Overloaded
from pilothouse.store.plan_store import PlanStore, plans_of

from .data_tools import Answer, DataTools
from .folders import VALUES
from .handles import HandleStore
from .plan import Plan, from_dict
from .plan_tools import PlanTools
from .query import QueryLimits
from .sources import RowReader
from .toolbox import PLAN_NAME_MAX, Said, Toolbox

AT_ONCE: Final = 2
"""Calls worked on at the same time: each may hold a process that runs a query."""
_WAIT_S: Final = 20.0
QUERY_MEMORY_BYTES: Final = 1 << 30
VALUES_BYTES_MAX: Final = 2 << 30
"""What the values of one project may take on disk; beyond it the oldest go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlan:
    """A plan as it is now."""

    name: str
    changed_ns: int
    plan: Plan


class ServedTools:
    """What a server keeps for agents elsewhere. Nothing is opened before it is asked for."""

    def __init__(self, control_url: str, folder: Path) -> None:
        """``control_url``: the database of small records; empty: SQLite in ``folder``."""
        self._url = control_url
        self._folder = folder
        self._turn = threading.BoundedSemaphore(AT_ONCE)

    @cached_property
    def plans(self) -> PlanStore:
        """The plans of all projects."""
        return plans_of(self._url, self._folder)

    def call(self, project: str, plan: str, tool: str, arguments: Mapping[str, Any], rows: RowReader) -> Said:
        """Call a tool for one project.

        Raises:
            Overloaded: as many calls as may are being worked on.
        """
        box = self._toolbox(project, plan, rows)
        with self._turn_taken():
            said = box.call(tool, arguments)
            if said.id:
                box.data.store.keep_within(VALUES_BYTES_MAX)
            return said

    def put(self, project: str, data: bytes, *, label: str, media_type: str) -> Answer:
        """Keep bytes as a value of the project.

        Raises:
            Overloaded: as many calls as may are being worked on.
        """
        with self._turn_taken():
            tools = self._data(project)
            handle = tools.store.put(data, label=label, media_type=media_type)
            tools.store.keep_within(VALUES_BYTES_MAX)
            return tools.show(handle.id)

    def plan(self, project: str, name: str) -> KeptPlan:
        """One plan.

        Raises:
            NotFound: the project has none of this name.
        """
        found = self.plans.newest(_within(project), 1, name=name)
        if not found:
            raise NotFound("no plan has this name", got=name, allowed=[one.name for one in self.newest(project, 5)])
        return _kept(project, found[0])

    def newest(self, project: str, limit: int) -> list[KeptPlan]:
        """The plans of a project, the one changed last first."""
        return [_kept(project, found) for found in self.plans.newest(_within(project), limit)]

    def answer(self, project: str, name: str, task: str, text: str) -> KeptPlan:
        """What a person says to a blocked task.

        Raises:
            PlanError: the task waits for nobody.
            NotFound: the project has no such plan.
        """
        self.plan(project, name)
        PlanTools(keeper=self.plans, key=_within(project) + name).answer(task, text)
        return self.plan(project, name)

    def close(self) -> None:
        """Let go of the database."""
        if "plans" in self.__dict__:
            self.plans.close()

    def _toolbox(self, project: str, plan: str, rows: RowReader) -> Toolbox:
        if len(plan) > PLAN_NAME_MAX:
            raise BadRequest(f"a plan's name has at most {PLAN_NAME_MAX} characters", got=plan[:60] + "…")
        return Toolbox(plans=self.plans, data=self._data(project), plan=plan, within=_within(project), rows=rows)

    def _data(self, project: str) -> DataTools:
        # Project ids are ours: letters, digits and underscores.
        store = HandleStore(self._folder / VALUES / project)
        return DataTools(store=store, limits=QueryLimits(memory_bytes=QUERY_MEMORY_BYTES))

    def _turn_taken(self) -> _Turn:
        return _Turn(self._turn)


class _Turn:
    """One of the places to work in, waited for a while."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        if not self._places.acquire(timeout=_WAIT_S):
            raise Overloaded(f"{AT_ONCE} calls are being worked on already", retry_after_s=5, fix="call again in 5 s")

    def __exit__(self, *_: object) -> None:
        self._places.release()


def _within(project: str) -> str:
    return f"{project}/"


def _kept(project: str, found: tuple[str, int, Mapping[str, Any]]) -> KeptPlan:
    key, changed_ns, plan = found
    return KeptPlan(name=key.removeprefix(_within(project)), changed_ns=changed_ns, plan=from_dict(plan))
