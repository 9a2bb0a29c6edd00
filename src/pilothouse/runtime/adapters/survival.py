"""Going on when a model fails, as a capability: ``Agent(model, capabilities=[Survival(fallbacks=["openai:gpt-5-mini"])])``.

The course is the one of :mod:`pilothouse.survival`: waits, breakers, fallbacks, an end. Where agents share a process
they share a :class:`~pilothouse.survival.Survivor`, so that one agent's failures spare the others the wait.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    RetryModelRequest,
    SkipModelRequest,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestContext, infer_model
from pydantic_ai.tools import RunContext

from pilothouse.policy import watch
from pilothouse.records import PilothouseError
from pilothouse.survival import (
    Failure,
    Move,
    Needs,
    Reply,
    Step,
    Survivor,
    Try,
    Wait,
    from_exception,
    read_survival,
)

Moves = Generator[Move, "Failure | None", None]
_UNDER_WAY: ContextVar[Survival | None] = ContextVar("pilothouse_survival", default=None)


def course_under_way() -> Survival | None:
    """The course that a model call of this task is on; None where it has none."""
    return _UNDER_WAY.get()


@dataclass
class Survival(AbstractCapability[Any]):
    """Tries again, asks others, or answers with a text, and ends in time with an error that says what was tried."""

    fallbacks: Sequence[Model | str] = ()
    """Models to ask when the agent's own cannot answer, in this order; empty: the chain of the task."""
    text: str = ""
    """The answer when no model has one; empty: the run ends with :class:`~pilothouse.survival.GaveUp`."""
    task: str = "default"
    """Which chain of ``survival.fallbacks`` holds, and what is counted."""
    survivor: Survivor = field(default_factory=Survivor)
    """Shared by agents; :func:`survivor_here` makes one of the policy file."""
    models: Mapping[str, Model] = field(default_factory=dict[str, Model])
    """Models of the chain that want settings of their own, by name; others are made of ``provider:model``."""
    reply: Callable[[RunContext[Any]], str | None] = lambda _: None
    """The earlier reply of the same request, where a chain has ``cached``."""
    id: str | None = "pilothouse_survival"
    _moves: Moves | None = field(default=None, init=False, repr=False)
    _turn: Try | None = field(default=None, init=False, repr=False)
    _known: dict[str, Model] = field(default_factory=dict[str, Model], init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> Survival:
        """A run has a course of its own for each of its calls."""
        return replace(self)

    async def wrap_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, handler: Callable[..., Any]
    ) -> ModelResponse:
        """Begin the course; where a breaker is open it begins with who stands in."""
        self._known = {_key(request_context.model): request_context.model, **self.models}
        chain = self._chain(request_context.model)
        needs = Needs(
            capabilities=frozenset({"tools"})
            if request_context.model_request_parameters.function_tools
            else frozenset()
        )
        self._moves = moves = self.survivor.moves(chain, task=self.task, needs=needs)
        outer = _UNDER_WAY.set(self)
        try:
            reply = await self._go(ctx, None, begin=True)
            return reply if reply is not None else await handler(request_context)
        finally:
            _UNDER_WAY.reset(outer)
            self._moves = self._turn = None
            moves.close()

    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """See that the model whose turn it is gets the call."""
        if self._turn is not None:
            wanted = self._model(self._turn.step)
            if self._turn.number == 1 and wanted is not request_context.model:
                raise RetryModelRequest(wanted)
        return request_context

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """The course has reached its end."""
        if self._moves is not None and self._turn is not None:
            self._turn = None
            next(self._moves, None)
        return response

    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        """Wait and try again, ask another, answer with a text, or give up."""
        if self._moves is None or not _of_the_model(error):
            raise error
        turn = self._turn
        try:
            reply = await self._go(ctx, from_exception(error))
        except PilothouseError as end:
            raise end from error
        if reply is not None:
            return reply
        assert self._turn is not None, "a course that goes on has a turn"
        same = turn is not None and turn.step == self._turn.step
        raise RetryModelRequest(None if same else self._model(self._turn.step)) from error

    async def refused(self, ctx: RunContext[Any], error: PilothouseError) -> Exception:
        """What a hook raises that refuses a call before it is sent, as a budget does: to go on along the chain.

        Raises:
            GaveUp: the chain has nobody for it.
        """
        try:
            reply = await self._go(ctx, from_exception(error))
        except PilothouseError as end:
            raise end from error
        if reply is not None:
            return SkipModelRequest(reply)
        assert self._turn is not None, "a course that goes on has a turn"
        return RetryModelRequest(self._model(self._turn.step))

    async def _go(self, ctx: RunContext[Any], result: Failure | None, *, begin: bool = False) -> ModelResponse | None:
        """Go on to the next call, None; or to a reply."""
        assert self._moves is not None
        move = next(self._moves) if begin else self._moves.send(result)
        while not isinstance(move, Try):
            if isinstance(move, Wait):
                await self.survivor.timer.sleep_async(move.seconds)
                move = next(self._moves)
                continue
            text = self._reply(ctx, move)
            if text is not None:
                next(self._moves, None)
                self._turn = None
                return ModelResponse(parts=[TextPart(content=text)], model_name=f"pilothouse:{move.step.kind}")
            move = self._moves.send(move.because or Failure(kind="unknown", message="no reply at hand", ours=True))
        self._turn = move
        return None

    def _reply(self, ctx: RunContext[Any], move: Reply) -> str | None:
        return self.reply(ctx) if move.step.kind == "cached" else move.step.text or None

    def _chain(self, model: Model) -> tuple[Step, ...]:
        own = Step(model=model.model_name, provider=model.system)
        chain = self.survivor.chains.of(self.task, model=own.model, provider=own.provider)
        if self.fallbacks:
            others = [infer_model(one) if isinstance(one, str) else one for one in self.fallbacks]
            self._known |= {_key(one): one for one in others}
            chain = (own, *(Step(model=one.model_name, provider=one.system) for one in others))
        return (*chain, Step(kind="template", text=self.text)) if self.text else chain

    def _model(self, step: Step) -> Model:
        known = self._known.get(f"{step.provider}:{step.model}") or self._known.get(step.model)
        return known or infer_model(f"{step.provider}:{step.model}" if step.provider else step.model)


def survivor_here() -> Survivor:
    """Retries, breakers and chains of the policy file that is found, as it is now.

    Raises:
        BadRequest: the section ``survival`` is wrong.
    """
    from pilothouse.survival import Breakers, Events

    config = read_survival(watch().policy.section("survival"))
    made = Survivor(retries=config.retries, chains=config.fallbacks, events=Events(config.alerts))
    made.breakers = Breakers(config.breakers, timer=made.timer, changed=made.events.changed)
    return made


def _key(model: Model) -> str:
    return f"{model.system}:{model.model_name}"


def _of_the_model(error: Exception) -> bool:
    """True for what a model call met; an error of the agent's own code is nobody's outage."""
    if isinstance(error, AgentRunError):
        return isinstance(error, ModelAPIError | UnexpectedModelBehavior)
    return from_exception(error).kind != "unknown"
