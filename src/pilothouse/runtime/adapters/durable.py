"""Durable runs of pydantic-ai agents: ``Agent(model, capabilities=[Planning(), FinishGate(), Durable()])``.

    runs = DurableAgents({"support": agent})
    runs.start("support", "Refund order 4411", run_id="ticket-7")
    runs.wait("ticket-7").output

Requests to models and calls of tools are steps, recorded as pydantic-ai's own JSON of messages: a run that is gone on
with runs the agent again from its beginning, and each step that is recorded answers from the record. Outside of
``DurableAgents`` the capability is transparent, but for its budget and its deadlines.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from opentelemetry import trace
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering, WrapRunHandler
from pydantic_ai.exceptions import ModelAPIError, ModelRetry, ToolFailed
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, ToolCallPart
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.run import AgentRunResult
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset

from pilothouse.records import names
from pilothouse.runtime.approval_gate import ApprovalPending
from pilothouse.runtime.budget import Budget, Purse, Spent, given_purse, spending
from pilothouse.runtime.steps import Json, Steps, Stopped, current_steps, running, shown_error

from .recorded_messages import (
    failure_of,
    may_pass,
    recorded_failure,
    recorded_outcome,
    recorded_response,
    returned,
    spent_on,
)

DELEGATE = "delegate"
"""The tool of :class:`SubAgents`: starting a run and waiting for it are its steps."""

Agent = AbstractAgent[Any, Any]
HappenedHook = Callable[[str, Mapping[str, Any]], Any]
"""Asked with a call's idempotency key and its arguments: None where it did not happen, else the call's result."""

SMALL_TOKENS = 4_096
"""With less left, a response's ``max_tokens`` is what is left: no model of today has a smaller bound of its own."""


@dataclass(frozen=True, slots=True)
class Happened:
    """What a hook answers where the result itself is None."""

    result: Any = None


@dataclass
class Durable(AbstractCapability[Any]):
    """Steps of the run are recorded, and never done again; what may have been in flight is asked about first."""

    happened: Mapping[str, HappenedHook] = field(default_factory=dict[str, HappenedHook])
    """By tool: whether a call did happen. Asked before a call is repeated that a crash may have interrupted."""
    tool_timeout_s: float | None = None
    """The most a call of a tool may take; the model is told, and goes on."""
    tool_timeouts_s: Mapping[str, float] = field(default_factory=dict[str, float])
    """By tool, instead of ``tool_timeout_s``."""
    model_timeout_s: float | None = None
    """The most a request to a model may take, each attempt of it."""
    model_attempts: int = 3
    """So often a request is made that fails on the way or at the provider's side, before the run fails."""
    model_wait_s: float = 1.0
    """Before the second attempt; twice as long before each next."""
    budget: Budget | None = None
    """What one run may spend. In ``DurableAgents`` the smaller of this and that of its start."""
    id: str | None = "pilothouse_durable"
    _steps: Steps | None = field(default=None, init=False, repr=False)
    _purse: Purse | None = field(default=None, init=False, repr=False)
    _gate_asks: bool = field(default=False, init=False, repr=False)

    def get_ordering(self) -> CapabilityOrdering:
        """Innermost: what other capabilities add is part of the step or sees its result, at every replay alike."""
        return CapabilityOrdering(position="innermost")

    async def for_run(self, ctx: RunContext[Any]) -> Durable:
        """The steps and the purse of one run."""
        mine = replace(self)
        mine._steps = current_steps()
        mine._gate_asks = ctx.agent is not None and _has_gate(ctx.agent)
        given = mine._steps.purse if mine._steps is not None else given_purse()
        if given is not None and self.budget is not None:
            given.budget = given.budget.within(self.budget)
        mine._purse = given or (Purse(self.budget) if self.budget is not None else None)
        return mine

    async def wrap_run(self, ctx: RunContext[Any], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Agents that work for this one are paid from its purse."""
        with spending(self._purse):
            return await handler()

    def get_wrapper_model(self, model: Model) -> Model | None:
        """Requests are steps."""
        return None if self._steps is None and self._purse is None else _DurableModel(model, self)

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        """Calls are steps."""
        return _DurableToolset(toolset, self)

    @property
    def steps(self) -> Steps | None:
        """Those of a durable run."""
        return self._steps

    @property
    def gate_asks(self) -> bool:
        """Whether the approvals within ask if a call did happen: their record is settled by the answer."""
        return self._gate_asks

    @property
    def purse(self) -> Purse | None:
        """What the run spends from; None where it may spend anything."""
        return self._purse

    # -- for the wrappers ----------------------------------------------------------------------------------------

    def begins(self, settings: ModelSettings | None) -> ModelSettings | None:
        """Called before a request that will really be made.

        Raises:
            BudgetSpent: there is nothing left for it.
        """
        if self._purse is None:
            return settings
        self._purse.check()
        left = self._purse.left().tokens
        asked = (settings or {}).get("max_tokens")
        if left is None or left >= min(asked or SMALL_TOKENS, SMALL_TOKENS):
            return settings
        return cast("ModelSettings", {**(settings or {}), "max_tokens": left})

    def charge(self, spent: Json) -> None:
        """Called after each request, recorded or made."""
        if self._purse is not None and spent is not None:
            self._purse.charge(Spent.from_dict(spent))

    def timeout_of(self, tool: str) -> float | None:
        """How long a call may take."""
        return self.tool_timeouts_s.get(tool, self.tool_timeout_s)


class _DurableModel(WrapperModel):
    """Asks the record first."""

    def __init__(self, wrapped: Model, durable: Durable) -> None:
        super().__init__(wrapped)
        self._durable = durable

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        durable, steps = self._durable, self._durable.steps
        if steps is None:
            response = await self._asked(messages, durable.begins(model_settings), model_request_parameters)
            durable.charge(spent_on(response).as_dict())
            return self._expecting(response)
        key = steps.next_turn()
        kept = steps.recorded(key)
        steps.repeated = kept is not None
        if kept is not None:
            _mark_replayed()
            return self._answered(steps, steps.value_of(kept))
        settings = durable.begins(model_settings)
        problem: Exception | None = None
        async with steps.open(key) as opened:
            try:
                with running(None):
                    response = await self._asked(messages, settings, model_request_parameters)
                opened.value = recorded_response(response)
            except Exception as error:
                problem = error
                opened.value = recorded_failure(error)
        if problem is not None:
            raise problem
        return self._answered(steps, opened.value)

    @contextlib.asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Live, it streams as ever, and is recorded once whole; from the record it comes in one piece."""
        durable, steps = self._durable, self._durable.steps
        inner = super().request_stream
        if steps is None:
            async with inner(messages, durable.begins(model_settings), model_request_parameters, run_context) as stream:
                yield stream
            durable.charge(spent_on(self._expecting(stream.get())).as_dict())
            return
        key = steps.next_turn()
        kept = steps.recorded(key)
        steps.repeated = kept is not None
        if kept is not None:
            _mark_replayed()
            response = self._answered(steps, steps.value_of(kept))
            yield CompletedStreamedResponse(
                response, model_request_parameters=model_request_parameters, replay_events=True
            )
            return
        settings = durable.begins(model_settings)
        async with steps.open(key) as opened:
            async with inner(messages, settings, model_request_parameters, run_context) as stream:
                yield stream
                # Whoever stopped looking: what is recorded is the whole response.
                async for _ in stream:
                    pass
            opened.value = recorded_response(stream.get())
        self._answered(steps, opened.value)

    def _answered(self, steps: Steps, outcome: Json) -> ModelResponse:
        self._durable.charge(outcome.get("spent"))
        if "error" in outcome:
            raise failure_of(outcome["error"])
        (response,) = ModelMessagesTypeAdapter.validate_python([outcome["response"]])
        assert isinstance(response, ModelResponse)
        return self._expecting(response)

    def _expecting(self, response: ModelResponse) -> ModelResponse:
        if self._durable.purse is not None:
            calls = [part.tool_name for part in response.parts if isinstance(part, ToolCallPart)]
            self._durable.purse.expect(calls.count(DELEGATE))
        return response

    async def _asked(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        wait_s = self._durable.model_wait_s
        for attempt in range(1, max(1, self._durable.model_attempts) + 1):
            try:
                async with asyncio.timeout(self._durable.model_timeout_s):
                    return await self.wrapped.request(messages, settings, parameters)
            except (ModelAPIError, TimeoutError) as error:
                if attempt >= self._durable.model_attempts or not may_pass(error):
                    raise
            await asyncio.sleep(wait_s)
            wait_s *= 2
        raise AssertionError("a request is made at least once")


@dataclass
class _DurableToolset(WrapperToolset[Any]):
    """Asks the record first, then whether it happened."""

    durable: Durable

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        steps = self.durable.steps
        if name == DELEGATE:
            return await super().call_tool(name, tool_args, ctx, tool)
        if steps is None:
            return returned(name, await self._done(name, tool_args, ctx, tool), live=True)
        key = steps.key_in_turn(f"tool {name} {ctx.tool_call_id or ''}".rstrip())
        kept = steps.recorded(key)
        if kept is not None:
            _mark_replayed()
            return returned(name, steps.value_of(kept))
        problem: Exception | None = None
        async with steps.open(key) as opened:
            try:
                with running(None):
                    asked = steps.repeated and not self.durable.gate_asks
                    there = await self._happened(name, opened.key, tool_args) if asked else None
                    outcome = there or await self._done(name, tool_args, ctx, tool)
                opened.value = recorded_outcome(name, outcome)
            except (ModelRetry, ToolFailed):
                raise
            except Exception as error:
                if type(error).__module__.startswith("pydantic_ai.") or isinstance(error, Stopped | ApprovalPending):
                    # Approvals and deferrals: nothing was done yet.
                    raise
                problem = error
                opened.value = {"error": dict(shown_error(error))}
        if problem is not None:
            raise problem
        return returned(name, opened.value)

    async def _happened(self, name: str, key: str, args: Mapping[str, Any]) -> dict[str, Any] | None:
        hook = self.durable.happened.get(name)
        if hook is None:
            return None
        found = hook(key, args)
        if inspect.isawaitable(found):
            found = await found
        if found is None:
            return None
        return {"value": found.result if isinstance(found, Happened) else found}

    async def _done(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> dict[str, Any]:
        timeout_s = self.durable.timeout_of(name)
        deadline = asyncio.timeout(timeout_s)
        try:
            async with deadline:
                return {"value": await super().call_tool(name, tool_args, ctx, tool)}
        except TimeoutError:
            if not deadline.expired():
                raise
            text = f"{name} did not end within {timeout_s:g} s. It may have happened all the same: look before you repeat it."
            return {"failed": text}
        except ModelRetry as error:
            return {"retry": error.message}
        except ToolFailed as error:
            return {"failed": error.message}


def _mark_replayed() -> None:
    """On the span of the call, whoever records: what it reports was spent by an attempt before this one."""
    trace.get_current_span().set_attribute(names.REPLAYED, True)


def _has_gate(agent: Agent) -> bool:
    found: list[bool] = []

    def look(capability: AbstractCapability[Any]) -> None:
        found.append(bool(getattr(capability, "asks_whether_it_happened", False)))

    agent.root_capability.apply(look)
    return any(found)


def durable_of(agent: Agent) -> Durable | None:
    found: list[Durable] = []

    def look(capability: AbstractCapability[Any]) -> None:
        if isinstance(capability, Durable):
            found.append(capability)

    agent.root_capability.apply(look)
    return found[0] if found else None
