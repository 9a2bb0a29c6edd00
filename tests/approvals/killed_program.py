"""A worker whose agent needs a person, as a process that dies: ``python -m tests.approvals.killed_program``.

It forks a worker, and another when that one was killed. It dies once at each boundary: before and after each call of the
desk that changes something, and before and after what the tool does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from pilothouse.approvals import Approvals, read_approvals
from pilothouse.runtime.adapters.approvals import Approvals as ApprovalsCapability
from pilothouse.runtime.adapters.durable import Durable
from pilothouse.runtime.adapters.durable_agents import DurableAgents
from pilothouse.runtime.approval_desk import OwnApprovalDesk
from pilothouse.runtime.steps import step_key
from pilothouse.store.approval_store import ApprovalStore

SECTION = {"rules": [{"name": "deletes", "tool": "delete", "needs": 2}]}
VERBS = ("ask", "reserve", "done", "lost", "settle")
WITH_HOOK = {f"{verb} {when}" for verb in VERBS for when in ("before", "after")} | {"tool before", "tool after"}
WITHOUT_HOOK = WITH_HOOK - {"settle before", "settle after"}


def approvals_at(url: str) -> Approvals:
    """What waits, as a process of its own sees it."""
    rules = read_approvals(SECTION)
    return Approvals(ApprovalStore(url), lambda: ("v1", rules), key=bytes(range(32)))


class World:
    """What the tool writes to, and where the worker dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def append(self, line: str) -> None:
        """One line, on disk when this returns."""
        file = os.open(self.folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{line}\n".encode())
        os.fsync(file)
        os.close(file)

    def lines(self) -> list[str]:
        """What was written."""
        path = self.folder / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    def died(self) -> set[str]:
        """The boundaries at which it died."""
        return {path.stem for path in self.folder.glob("*.died")}

    def die(self, boundary: str) -> None:
        """Die by SIGKILL, the first time this boundary is passed."""
        named = self.folder / "boundaries"
        if named.exists() and boundary not in named.read_text().splitlines():
            return
        try:
            os.close(os.open(self.folder / f"{boundary}.died", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class MortalDesk(OwnApprovalDesk):
    """Dies around what it writes."""

    def __init__(self, approvals: Approvals, world: World) -> None:
        super().__init__(approvals)
        for verb in VERBS:
            setattr(self, verb, self._mortal(world, verb, getattr(self, verb)))

    @staticmethod
    def _mortal(world: World, verb: str, do: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            world.die(f"{verb} before")
            found = do(*args, **named)
            world.die(f"{verb} after")
            return found

        return call


def agent_of(world: World, approvals: Approvals, *, hook: bool) -> Agent[None, str]:
    """An agent that deletes once, where two people allow it."""

    def happened(key: str, args: Mapping[str, Any]) -> Any:
        return "deleted" if any(line.startswith(f"{key} = ") for line in world.lines()) else None

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        told = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        if told:
            return ModelResponse(parts=[TextPart(str(told[-1].content))])
        return ModelResponse(parts=[ToolCallPart("delete", {"year": 2019})])

    agent = Agent(
        FunctionModel(model),
        name="cleaner",
        capabilities=[
            Durable(happened={"delete": happened} if hook else {}),
            ApprovalsCapability(desk=MortalDesk(approvals, world)),
        ],
    )

    @agent.tool_plain
    def delete(year: int) -> str:
        """Delete."""
        world.die("tool before")
        world.append(f"{step_key()} = {year}")
        world.die("tool after")
        return "deleted"

    return agent


def work(given: Mapping[str, Any]) -> None:
    """Be a worker until the parent ends."""
    folder = Path(given["folder"])
    world = World(folder)
    agent = agent_of(world, approvals_at(given["approvals"]), hook=given["hook"])
    runs = DurableAgents({"cleaner": agent}, store=given["store"], folder=folder)
    parent = os.getppid()
    while os.getppid() == parent and not (folder / "stop").exists():
        time.sleep(0.02)
    runs.close()
    os._exit(0)


def main() -> None:
    """Fork workers, one after the other, until one ends by itself."""
    given = json.loads(sys.argv[1])
    import dbos  # noqa: F401  # before the fork, so that each worker finds it there

    while True:
        child = os.fork()
        if child == 0:
            try:
                work(given)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return


if __name__ == "__main__":
    main()
