"""A worker of durable agents as a process of its own, which can be told to die: ``python -m tests.runtime.durable_program``.

It imports once and forks a worker, and another when that one was killed. What the agent writes are lines appended to a
file, each of them twice were a call made twice: nothing but the hook that asks whether it happened keeps them single.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from pilothouse.runtime.adapters.durable import Durable
from pilothouse.runtime.adapters.durable_agents import DurableAgents
from pilothouse.runtime.adapters.pydantic_ai import FinishGate, Planning
from pilothouse.runtime.adapters.sub_agents import SubAgents
from pilothouse.runtime.steps import step_key
from pilothouse.store.plan_store import plans_in

TURNS: dict[str, list[list[str]]] = {
    "short": [["a"]],
    "long": [["a"], ["b1", "b2", "b3"], ["c"], ["d1", "d2"]],
}
"""What each agent writes: one list a response, its calls side by side."""


class World:
    """What the agents write to, and where they die."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.pace_s = 0.3 if (folder / "slow").exists() else 0.002
        """How long a call takes, before its write and after it."""

    def append(self, name: str, line: str) -> None:
        """One line, on disk when this returns."""
        file = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{line}\n".encode())
        os.fsync(file)
        os.close(file)

    def lines(self, name: str) -> list[str]:
        """What was appended."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def die(self, boundary: str) -> None:
        """Die by SIGKILL, the first time this boundary is passed."""
        if not (self.folder / "mortal").exists():
            return
        try:
            os.close(os.open(self.folder / f"{boundary}.died", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def agents(world: World) -> dict[str, Agent[None, str]]:
    """The agents that are killed."""

    def happened(key: str, args: Mapping[str, Any]) -> Any:
        return {"wrote": args["what"]} if any(line.startswith(f"{key} = ") for line in world.lines("ledger")) else None

    def made(name: str, turns: list[list[str]]) -> Agent[None, str]:
        def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            turn = sum(isinstance(message, ModelResponse) for message in messages)
            world.append("requests", f"{name} {turn}")
            world.die(f"{name} model {turn} before")
            if turn < len(turns):
                parts = [ToolCallPart("write", {"what": what}) for what in turns[turn]]
                response = ModelResponse(parts=parts)
            else:
                response = ModelResponse(parts=[TextPart("all written")])
            world.die(f"{name} model {turn} after")
            return response

        agent = Agent(FunctionModel(model), name=name, capabilities=[Durable(happened={"write": happened})])

        @agent.tool_plain
        async def write(what: str) -> dict[str, str]:
            """Write."""
            key = step_key()
            world.append("attempts", what)
            world.die(f"{name} {what} before")
            await asyncio.sleep(world.pace_s)
            world.append("ledger", f"{key} = {what}")
            world.die(f"{name} {what} after")
            await asyncio.sleep(world.pace_s)
            return {"wrote": what}

        return agent

    found = {name: made(name, turns) for name, turns in TURNS.items()}
    return found | {"whole": whole(world, found["short"])}


WHOLE: list[tuple[str, dict[str, Any]] | str] = [
    ("todo_write", {"tasks": ["look it up", "refund"]}),
    ("delegate", {"agent": "short", "task": "Look it up."}),
    ("todo_update", {"id": "1", "state": "completed", "note": "looked up"}),
    "Everything is done.",
    ("todo_update", {"id": "2", "state": "blocked", "note": "may I?"}),
    "I asked.",
    ("refund", {}),
    ("todo_update", {"id": "2", "state": "completed", "note": "refunded"}),
    "Refunded.",
]
"""What an agent does that plans, delegates, finishes too early, asks a person, and is answered."""


def whole(world: World, worker: Agent[None, str]) -> Agent[None, str]:
    """An agent with everything."""

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        world.append("requests", f"whole {turn}")
        world.die(f"whole model {turn} before")
        does = WHOLE[turn]
        part = TextPart(does) if isinstance(does, str) else ToolCallPart(does[0], does[1])
        world.die(f"whole model {turn} after")
        return ModelResponse(parts=[part])

    def happened(key: str, args: Mapping[str, Any]) -> Any:
        return "refunded" if f"{key} = refund" in world.lines("ledger") else None

    plans = plans_in(world.folder)
    agent = Agent(
        FunctionModel(model),
        capabilities=[
            Planning(plans=plans),
            FinishGate(plans=plans),
            SubAgents(agents={"short": worker}),
            Durable(happened={"refund": happened}),
        ],
    )

    @agent.tool_plain
    def refund() -> str:
        """Refund."""
        world.die("whole refund before")
        world.append("ledger", f"{step_key()} = refund")
        world.die("whole refund after")
        return "refunded"

    return agent


def work(url: str, folder: Path) -> None:
    """Be a worker until the parent ends."""
    world = World(folder)
    runs = DurableAgents(agents(world), store=url, folder=folder)
    (folder / f"worker {os.getpid()}").touch()
    parent = os.getppid()
    while os.getppid() == parent and not (folder / "stop").exists():
        time.sleep(0.02)
    runs.close()
    os._exit(0)


def _until(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)


def main() -> None:
    """Fork workers, one after the other, until one ends by itself."""
    given = json.loads(sys.argv[1])
    import dbos  # noqa: F401  # before the fork, so that each worker finds it there

    dice = random.Random(given.get("seed"))
    kills = given.get("kills", 0)
    while True:
        child = os.fork()
        if child == 0:
            try:
                work(given["url"], Path(given["folder"]))
            finally:
                os._exit(2)
        if kills > 0:
            # Sometimes while it begins, mostly while it works.
            if dice.random() < 0.8:
                _until(Path(given["folder"]) / f"worker {child}")
            time.sleep(dice.uniform(0.0, given["within_s"]))
            kills -= 1
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return


if __name__ == "__main__":
    main()
