"""The drift detector as a capability: ``Agent(model, capabilities=[Planning(), DriftWatch()])``."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import RunContext, ToolDefinition

from pilothouse.runtime.asks import Ask, asks_from, asks_of
from pilothouse.runtime.drift import (
    Judge,
    Limits,
    Seen,
    Signal,
    Watch,
    answered,
    called,
    left_open,
    looked,
    signals_text,
)
from pilothouse.runtime.fence import fenced
from pilothouse.runtime.folders import plans_at, runtime_folder
from pilothouse.runtime.plan import Plan, as_dict, from_dict
from pilothouse.runtime.plan_tools import PlanKeeper, PlanTools
from pilothouse.runtime.steps import observed
from pilothouse.runtime.tracing import drifted

from .pydantic_ai import placed, plan_key, request_of

LOG = logging.getLogger("pilothouse")
_REFUSALS_MAX: Final = 1
_ANSWER_CHARS_MAX: Final = 20_000


@dataclass
class DriftWatch(AbstractCapability[Any]):
    """Tells an agent that goes round in circles or forgets half of what it was asked; then an operator.

    The agent reads it in its next model call, and an answer that leaves asks open is sent back once. Every signal is
    noted on the trace; those for an operator also reach ``on_operator``.
    """

    judge: Judge | Model | str | None = None
    """Who tells asks apart and reads answers: a model's name, a model, or a judge of your own; None: rules alone."""
    limits: Limits = field(default_factory=Limits)
    on_operator: Callable[[Signal], Any] | None = None
    """Told of what the agent was told in vain; may be a coroutine function."""
    plans: PlanKeeper | None = None
    id: str | None = "pilothouse_drift"
    _watch: Watch = field(default_factory=Watch, init=False, repr=False)
    _waiting: list[Signal] = field(default_factory=list[Signal], init=False, repr=False)
    _asks: tuple[Ask, ...] | None = field(default=None, init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> DriftWatch:
        """A watch that has seen nothing yet."""
        mine = replace(self)
        mine._watch = Watch(limits=self.limits)
        if isinstance(self.judge, str | Model):
            mine.judge = ModelJudge(self.judge)
        return mine

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Look at the plan, and say what there is to say; for this request only."""
        plan = await self._plan(ctx)
        asks = await self._asks_of(plan) if plan.tasks else ()
        await self._take(looked(self._watch, plan, asks))
        if self._waiting:
            text = signals_text(self._waiting)
            self._waiting = []
            request_context.messages = placed(request_context.messages, text, "tail", cached=False)
        return request_context

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Any],
    ) -> Any:
        """Look at what a call gave; an error is a result too."""
        try:
            result = await handler(args)
        except Exception as error:
            await self._take(called(self._watch, call.tool_name, args, [type(error).__name__, str(error)]))
            raise
        await self._take(called(self._watch, call.tool_name, args, result))
        return result

    async def after_output_process(self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any) -> Any:
        """Hold the answer against what was asked."""
        if ctx.partial_output or self._watch.answers_refused > _REFUSALS_MAX:
            return output
        plan = await self._plan(ctx)
        if plan.open_tasks:
            # The finish gate has more to say of it.
            return output
        asks = await self._asks_of(plan)
        answer = output if isinstance(output, str) else repr(output)
        missed = {ask.id: "" for ask in left_open(plan, asks, answer)}
        if isinstance(self.judge, Judge):
            judge, by_rules = self.judge, missed
            missed = await observed("verdict of the judge", lambda: self._judged(judge, asks, answer, plan, by_rules))
        seen = answered(self._watch, missed, asks)
        self._watch = seen.watch
        for signal in seen.signals:
            await self._tell(signal)
            if signal.to == "agent":
                ctx.enqueue(signal.text)
        return output

    async def _plan(self, ctx: RunContext[Any]) -> Plan:
        keeper = self.plans or plans_at(runtime_folder())
        tools = PlanTools(keeper=keeper, key=plan_key(ctx), request=request_of(ctx))
        # A durable run that is gone on with sees each plan as it was then.
        return from_dict(await observed("plan for drift", lambda: as_dict(tools.plan())))

    async def _asks_of(self, plan: Plan) -> tuple[Ask, ...]:
        if self._asks is None:
            self._asks = asks_of(plan.request)
            if isinstance(self.judge, Judge):
                judge = self.judge
                told = await observed("asks by the judge", lambda: self._told_apart(judge, plan.request))
                self._asks = asks_from(told) or self._asks
        return self._asks

    async def _told_apart(self, judge: Judge, request: str) -> list[str]:
        try:
            return list(await judge.asks(request))
        except Exception as error:
            LOG.warning("the judge could not tell the asks apart; rules do it (%s)", type(error).__name__)
            return []

    async def _judged(
        self, judge: Judge, asks: Sequence[Ask], answer: str, plan: Plan, by_rules: dict[str, str]
    ) -> dict[str, str]:
        try:
            return dict(await judge.missed(asks, answer, plan))
        except Exception as error:
            LOG.warning("the judge could not read the answer; rules do it (%s)", type(error).__name__)
            return by_rules

    async def _take(self, seen: Seen) -> None:
        self._watch = seen.watch
        for signal in seen.signals:
            await self._tell(signal)
            self._waiting.append(signal)

    async def _tell(self, signal: Signal) -> None:
        drifted(signal)
        if signal.to == "operator" and self.on_operator is not None:
            try:
                told = self.on_operator(signal)
                if inspect.isawaitable(told):
                    await told
            except Exception as error:
                LOG.warning("an operator could not be told of drift (%s)", type(error).__name__)


class _Asks(BaseModel):
    asks: list[str]


class _Missed(BaseModel):
    id: str
    why: str


class _Verdict(BaseModel):
    missed: list[_Missed]


@dataclass
class ModelJudge:
    """A model as judge. What it reads is fenced: a request or an answer that gives orders gives them to nobody."""

    model: Model | str

    async def asks(self, request: str) -> Sequence[str]:
        """What the request asks for."""
        instructions = (
            "List what the user asks for in the request below, each as one short sentence in the user's own words, in "
            "order. Leave out greetings, background, and rules of form or length."
        )
        block, rule = fenced(request)
        agent = Agent(self.model, output_type=_Asks, instructions=f"{instructions}\n{rule}", name="drift-judge")
        return (await agent.run(block)).output.asks

    async def missed(self, asks: Sequence[Ask], answer: str, plan: Plan) -> Mapping[str, str]:
        """Which asks the answer leaves open."""
        instructions = (
            "Below are things that were asked for, the notes of the work that was done, and the answer. Name the ids of "
            "those that the answer neither fulfils, nor reports as done, nor says cannot be done; with a short why. "
            "Where in doubt, it is fulfilled."
        )
        listed = "\n".join(f"{ask.id}: {ask.text}" for ask in asks)
        notes = "\n".join(f"{task.text}: {task.state}. {task.note}" for task in plan.tasks)
        block, rule = fenced(f"ASKED\n{listed}\n\nWORK\n{notes}\n\nANSWER\n{answer[:_ANSWER_CHARS_MAX]}")
        agent = Agent(self.model, output_type=_Verdict, instructions=f"{instructions}\n{rule}", name="drift-judge")
        known = {ask.id for ask in asks}
        found = (await agent.run(block)).output.missed
        return {one.id: one.why[:300] for one in found if one.id in known}
