"""``DurableAgents``: runs of pydantic-ai agents that survive ``kill -9``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_ai import capture_run_messages
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import UsageLimits

from pilothouse.runtime.approval_desk import ApprovalDesk
from pilothouse.runtime.approval_gate import TASK_PREFIX, ApprovalPending
from pilothouse.runtime.approval_waits import ApprovalWaits
from pilothouse.runtime.budget import Budget
from pilothouse.runtime.durable_runs import Answer, DurableRuns, Finished, Paused, Start
from pilothouse.runtime.finish_gate import PersonNeeded
from pilothouse.runtime.folders import plans_at, runtime_folder
from pilothouse.runtime.plan import PlanError
from pilothouse.runtime.plan_tools import PlanKeeper, PlanTools
from pilothouse.runtime.steps import Json, Steps, running

from .approvals import Approvals
from .durable import Agent, Durable, durable_of
from .pydantic_ai import FinishGate
from .recorded_messages import dump_output, dump_prompt, load_prompt
from .sub_agents import agents_of


class DurableAgents(DurableRuns):
    """Durable runs of agents by name, and a worker for them in this process until it is closed."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        *,
        store: str = "",
        folder: Path | None = None,
        worker: bool = True,
        at_once: int = 8,
        deps: Callable[[Start], Any] | None = None,
        on_event: Callable[[str, Any], Awaitable[None]] | None = None,
    ) -> None:
        """``deps`` makes an agent's dependencies, at every attempt anew. ``on_event`` is given the run's id and each event
        of its streams as it comes, those of a recorded response in one piece each time the run is gone on with.

        The rest is :class:`DurableRuns`.
        """
        self._agents = agents_of(agents)
        desk = next((found for found in map(_desk_of, self._agents.values()) if found is not None), None)
        place = folder or runtime_folder()
        # One desk for all agents of a process: they are approved at one server.
        self._waits = ApprovalWaits(place / "approvals", desk) if desk is not None else None
        programs = {name: _AgentProgram(agent, deps, on_event, self._waits) for name, agent in self._agents.items()}
        super().__init__(programs, store=store, folder=place, worker=worker, at_once=at_once)
        if self._waits is not None and worker:
            self._waits.start(self)

    def close(self) -> None:
        """Stop working. What is open stays open, and is gone on with by another worker, or by the next one here."""
        if self._waits is not None:
            self._waits.stop()
        super().close()

    def start(
        self,
        agent: str,
        prompt: Any,
        *,
        run_id: str = "",
        history: Sequence[ModelMessage] | None = None,
        budget: Budget | None = None,
        deadline_s: float | None = None,
    ) -> str:
        """Start a run and return its id; ``prompt`` is whatever ``agent.run`` takes."""
        earlier = None if history is None else ModelMessagesTypeAdapter.dump_python(list(history), mode="json")
        return super().start(
            agent, dump_prompt(prompt), run_id=run_id, history=earlier, budget=budget, deadline_s=deadline_s
        )

    def __enter__(self) -> DurableAgents:
        return self


@dataclass
class _AgentProgram:
    """Runs an agent, and again with what people said, until it is done or waits for one more."""

    agent: Agent
    deps: Callable[[Start], Any] | None
    on_event: Callable[[str, Any], Awaitable[None]] | None
    waits: ApprovalWaits | None

    async def __call__(self, start: Start, steps: Steps) -> Finished | Paused:
        prompt = load_prompt(start.prompt)
        history = None if start.history is None else ModelMessagesTypeAdapter.validate_python(start.history)
        own = durable_of(self.agent)
        # Where a budget counts requests, that is the bound, and not the framework's own of 50.
        budgets = (own.budget if own is not None else None, steps.purse.budget if steps.purse is not None else None)
        counted = any(budget is not None and budget.calls is not None for budget in budgets)
        limits = UsageLimits(request_limit=None) if counted else None
        # What was said by deciding an approval is no prompt: the call that waited for it asks again, and goes on.
        heard = [group for group in start.answers if not all(said.task.startswith(TASK_PREFIX) for said in group)]
        for place in range(len(heard) + 1):
            with running(steps), capture_run_messages() as messages:
                try:
                    result = await self.agent.run(
                        prompt,
                        message_history=history,
                        conversation_id=start.run_id,
                        run_id=start.run_id if place == 0 else f"{start.run_id}:{place + 1}",
                        deps=self.deps(start) if self.deps is not None else None,
                        capabilities=[] if own is not None else [Durable()],
                        event_stream_handler=self._events(start.run_id),
                        usage_limits=limits,
                    )
                    return Finished(output=dump_output(result.output))
                except ApprovalPending as pending:
                    if self.waits is not None:
                        # Before the pause is recorded: a worker that dies in between leaves a note too many, never none.
                        await asyncio.to_thread(self.waits.note, start.run_id, pending.waiting.approval_id)
                    return Paused(questions=(pending.question,), tasks=(f"{TASK_PREFIX}{pending.waiting.approval_id}",))
                except PersonNeeded as needed:
                    tasks = tuple(task.id for task in needed.open_tasks if task.state == "blocked")
                    paused = Paused(questions=needed.questions, tasks=tasks)
                    if place == len(heard):
                        return paused
                    prompt = await self._heard(steps, needed.plan_key, place, heard[place])
                    history = closed(messages)
                    steps.next_segment()
        raise AssertionError("the last time round returns")

    async def _heard(self, steps: Steps, plan_key: str, place: int, answers: Sequence[Answer]) -> str:
        """Write what a person said to the plan, once, and say it to the agent."""
        tools = PlanTools(keeper=_plans_of(self.agent), key=plan_key)

        async def write() -> Json:
            for answer in answers:
                if answer.task:
                    # Answered by an attempt that died before it was recorded.
                    with contextlib.suppress(PlanError):
                        tools.answer(answer.task, answer.text)
            return None

        await steps.once(f"{place + 1}.0 answer", write)
        said = [f"task {answer.task}: {answer.text}" if answer.task else answer.text for answer in answers]
        return "A person answered.\n" + "\n".join(said) + "\nGo on."

    def _events(self, run_id: str) -> Any:
        if self.on_event is None:
            return None
        on_event = self.on_event

        async def handle(_: RunContext[Any], events: Any) -> None:
            async for event in events:
                await on_event(run_id, event)

        return handle


def _desk_of(agent: Agent) -> ApprovalDesk | None:
    """Where the agent's calls are approved."""
    found: list[ApprovalDesk] = []

    def look(capability: AbstractCapability[Any]) -> None:
        if isinstance(capability, Approvals):
            found.append(capability.desk)

    agent.root_capability.apply(look)
    return found[0] if found else None


def _plans_of(agent: Agent) -> PlanKeeper:
    """Where the agent's gate keeps plans."""
    found: list[PlanKeeper] = []

    def look(capability: AbstractCapability[Any]) -> None:
        if isinstance(capability, FinishGate) and capability.plans is not None:
            found.append(capability.plans)

    agent.root_capability.apply(look)
    return found[0] if found else plans_at(runtime_folder())


def closed(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Messages that a new prompt may follow: a final answer that was called and not accepted is answered."""
    found = list(messages)
    if not found or not isinstance(found[-1], ModelResponse):
        return found
    calls = [part for part in found[-1].parts if isinstance(part, ToolCallPart)]
    if not calls:
        return found
    text = "Not accepted yet: a person is asked first."
    parts = [ToolReturnPart(tool_name=call.tool_name, content=text, tool_call_id=call.tool_call_id) for call in calls]
    return [*found, ModelRequest(parts=parts)]
