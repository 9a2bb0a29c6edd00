"""Agents that work for an agent: ``SubAgents(agents={"researcher": agent})`` gives it the tool ``delegate``.

Each has a run of its own, with its own plan, conversation and budget. In ``DurableAgents`` that run is durable too, and
may be worked on by another process; its budget is at most what its parent's has left, and is paid from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from pilothouse.records import BadRequest
from pilothouse.runtime.budget import Budget, BudgetSpent, Purse, current_purse, giving
from pilothouse.runtime.durable_runs import AgentRun
from pilothouse.runtime.steps import Steps, current_steps

from .durable import DELEGATE, Durable, durable_of
from .recorded_messages import dump_output


@dataclass
class SubAgents(AbstractCapability[Any]):
    """The tool ``delegate(agent, task)``; several calls in one response work side by side."""

    agents: Mapping[str, AbstractAgent[Any, Any]] = field(default_factory=dict[str, AbstractAgent[Any, Any]])
    about: Mapping[str, str] = field(default_factory=dict[str, str])
    """What each is good for, as the model reads it; else the agent's description."""
    budget: Budget | None = None
    """The most one task may cost. Where its parent has less left, that."""
    id: str | None = "pilothouse_sub_agents"
    _steps: Steps | None = field(default=None, init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> SubAgents:
        """The steps of one run."""
        mine = replace(self)
        mine._steps = current_steps()
        return mine

    def get_toolset(self) -> AbstractToolset[Any]:
        """``delegate``."""
        known = "; ".join(
            f"{name}: {self.about.get(name) or _description(agent)}" for name, agent in self.agents.items()
        )

        async def delegate(ctx: RunContext[Any], agent: str, task: str) -> str:
            if agent not in self.agents:
                raise ModelRetry(f"there is no agent {agent!r}; there are: {', '.join(sorted(self.agents))}")
            if self._steps is not None and self._steps.run_child is not None:
                run = await self._steps.run_child(self._steps, ctx.tool_call_id or "", agent, task, self.budget)
                return _said(run)
            return await self._here(agent, task, ctx.tool_call_id or task)

        assert delegate.__name__ == DELEGATE
        delegate.__doc__ = f"""Give a task to an agent and wait for what it says. Call it several times at once for work side by side.

            Args:
                agent: One of these. {known}
                task: All it needs to know: it sees nothing of this conversation.
            """
        return FunctionToolset[Any]([delegate], id="pilothouse_sub_agents")

    async def _here(self, name: str, task: str, key: str) -> str:
        """In a run that is not durable: in this process, from the parent's purse."""
        agent, parent = self.agents[name], current_purse()
        granted = parent.grant(key, self.budget) if parent is not None else self.budget
        purse = Purse(granted) if granted is not None else None
        try:
            with giving(purse):
                result = await agent.run(task, capabilities=[] if durable_of(agent) is not None else [Durable()])
        except BudgetSpent as error:
            return f"It ended without an answer: {error.message}"
        finally:
            if parent is not None and purse is not None:
                parent.settle(key, purse.spent)
        return result.output if isinstance(result.output, str) else _json(dump_output(result.output))


def agents_of(agents: Mapping[str, AbstractAgent[Any, Any]]) -> dict[str, AbstractAgent[Any, Any]]:
    """Agents by name, and all that work for them.

    Raises:
        BadRequest: two different ones have one name.
    """
    found: dict[str, AbstractAgent[Any, Any]] = {}
    waiting = list(agents.items())
    while waiting:
        name, agent = waiting.pop()
        if name in found:
            if found[name] is not agent:
                raise BadRequest("two agents have one name", got=name, fix="name one of them otherwise")
            continue
        found[name] = agent

        def look(capability: AbstractCapability[Any]) -> None:
            if isinstance(capability, SubAgents):
                waiting.extend(capability.agents.items())

        agent.root_capability.apply(look)
    return found


def _description(agent: AbstractAgent[Any, Any]) -> str:
    return str(getattr(agent, "description", None) or agent.name or "an agent")


def _said(run: AgentRun) -> str:
    if run.state == "done":
        return run.output if isinstance(run.output, str) else _json(run.output)
    if run.state == "paused":
        return (
            f"It could not finish: it needs a person to say: {'; '.join(run.questions)}. Ask (a blocked task of your "
            "plan), then delegate again with the answer."
        )
    return f"It ended without an answer ({run.error_type or run.state}): {run.error}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
