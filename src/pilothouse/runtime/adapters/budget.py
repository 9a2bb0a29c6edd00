"""Budgets as a capability: ``Agent(model, capabilities=[Budget(user="ann")])``.

Each attempt at a model call is held back at worst case before it is sent and settled by its usage after, also those
that other capabilities make: retries, fallbacks, repairs. The model is held to the output that was reserved.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import RetryModelRequest
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.tools import RunContext
from pydantic_core import to_json

from pilothouse.budgets import Ask, OverBudget, Purpose
from pilothouse.records import PilothouseError, Unreachable, Usage
from pilothouse.runtime.budget_desk import BudgetDesk, Granted, ServerDesk
from pilothouse.survival import from_exception

from .survival import Survival, course_under_way

LOG = logging.getLogger("pilothouse")
Named = str | Callable[[RunContext[Any]], str]
# The provider answered with an error, or was never reached: nothing was billed.
_FREE: Final = frozenset(
    {
        *("rate_limited", "overloaded", "server_error", "unreachable", "not_found", "not_allowed", "quota"),
        *("context_limit", "bad_request", "budget"),
    }
)


@dataclass
class Budget(AbstractCapability[Any]):
    """No model call without room for its worst case in every budget that applies."""

    desk: BudgetDesk = field(default_factory=ServerDesk)
    """Where it is reserved: the server's budgets, or :func:`~pilothouse.runtime.budget_desk.own_desk`."""
    user: Named = ""
    """Whose call it is: a name, or a function of the run that says so."""
    feature: Named = ""
    tenant: Named = ""
    purpose: Purpose = "call"
    """``judge`` for an agent that judges others."""
    cheaper: Model | str | None = None
    """Asked instead where the budget says ``at_limit: cheaper``; None: the chain of ``Survival`` goes on,
    and without one the run ends with :class:`OverBudget`."""
    when_away: Literal["refuse", "call"] = "refuse"
    """Where the budgets do not answer: no call, or a call that nobody counts."""
    id: str | None = "pilothouse_budget"
    _held: Granted | None = field(default=None, init=False, repr=False)
    _first_model: str = field(default="", init=False, repr=False)
    _attempts: int = field(default=0, init=False, repr=False)
    _stepped_down: bool = field(default=False, init=False, repr=False)

    def get_ordering(self) -> CapabilityOrdering:
        """Within retries and fallbacks: it must hear of each attempt's end before they ask for another."""
        return CapabilityOrdering(wrapped_by=[Survival])

    async def for_run(self, ctx: RunContext[Any]) -> Budget:
        """A run holds back what is its own."""
        return replace(self)

    async def wrap_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, handler: Callable[..., Any]
    ) -> ModelResponse:
        """Count attempts anew; book what was held back where a call ended in no other way, such as cancelling."""
        self._attempts, self._first_model, self._stepped_down = 0, request_context.model.model_name, False
        try:
            return await handler(request_context)
        finally:
            if self._held is not None:
                held, self._held = self._held, None
                # The call was on its way: it may have been billed. The thread is given it at once, before anything is
                # waited for: this task may be cancelled again, and a task made here would be cancelled with it.
                await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._book, held, None))

    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Hold back what this attempt may cost at worst, and hold the model to it."""
        self._attempts += 1
        settings = dict(request_context.model_settings or {})
        asked = settings.get("max_tokens")
        model = request_context.model
        ask = Ask(
            model=model.model_name,
            provider=model.system,
            input_tokens=_bytes(request_context),
            output_tokens=asked if isinstance(asked, int) else None,
            run=ctx.run_id or "",
            user=_name(self.user, ctx),
            feature=_name(self.feature, ctx),
            tenant=_name(self.tenant, ctx),
            purpose=self._what(model),
        )
        try:
            self._held = await asyncio.to_thread(self.desk.reserve, ask)
        except OverBudget as error:
            if self.cheaper is None or error.at_limit != "cheaper" or self._stepped_down:
                course = course_under_way()
                if course is None:
                    raise
                raise await course.refused(ctx, error) from error
            self._stepped_down = True
            LOG.warning("%s: a cheaper model is asked instead", error.message)
            raise RetryModelRequest(self.cheaper) from error
        except Unreachable as error:
            if self.when_away == "refuse":
                raise
            LOG.warning("budgets do not answer: a call to %s is not counted (%s)", model.model_name, error.message)
            return request_context
        if self._held.output_tokens is not None:
            settings["max_tokens"] = self._held.output_tokens
        return replace(request_context, model_settings=settings)

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Book what it cost."""
        if self._held is not None:
            held, self._held = self._held, None
            await self._booked(held, _usage(response))
        return response

    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        """Give it back where nothing was billed; where that is not known it is booked as it was held back."""
        if self._held is not None:
            held, self._held = self._held, None
            if from_exception(error).kind in _FREE:
                await self._given_back(held)
            else:
                await self._booked(held, None)
        raise error

    def _what(self, model: Model) -> Purpose:
        if self.purpose != "call" or self._attempts == 1:
            return self.purpose
        return "fallback" if model.model_name != self._first_model else "retry"

    async def _booked(self, held: Granted, usage: Usage | None) -> None:
        await asyncio.to_thread(self._book, held, usage)

    def _book(self, held: Granted, usage: Usage | None) -> None:
        try:
            self.desk.settle(held.reservation_id, usage)
        except PilothouseError as error:
            # The call was made and its answer is good; the lease gives back what could not be settled.
            LOG.warning("a call could not be booked: %s", error.message)

    async def _given_back(self, held: Granted) -> None:
        try:
            await asyncio.to_thread(self.desk.release, held.reservation_id)
        except PilothouseError as error:
            LOG.warning("a reservation could not be given back: %s", error.message)


def _name(named: Named, ctx: RunContext[Any]) -> str:
    return named if isinstance(named, str) else named(ctx)


def _bytes(request: ModelRequestContext) -> int:
    """No tokenizer makes more tokens than there are bytes; pictures and sound count by their bytes too."""
    messages = len(ModelMessagesTypeAdapter.dump_json(request.messages))
    parameters = request.model_request_parameters
    tools = to_json(
        [
            [tool.name, tool.description, tool.parameters_json_schema]
            for tool in (*parameters.function_tools, *parameters.output_tools)
        ],
        fallback=str,
    )
    return messages + len(tools)


def _usage(response: ModelResponse) -> Usage | None:
    usage = response.usage
    if not usage.input_tokens and not usage.output_tokens:
        # A provider that reports nothing has not answered for nothing.
        return None
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    return Usage(
        input_uncached=max(usage.input_tokens - read - written, 0),
        cache_read=read,
        cache_write_5m=written,
        output_text=usage.output_tokens,
    )
