"""A second call beside a slow first one: the first good answer of the two goes on, the other call ends and is paid for."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pilothouse.budgets import Purpose
from pilothouse.records import Overloaded
from pilothouse.survival import Failed, Failure, Permit, Step, Survivor, from_exception

from . import labels
from .call import Call
from .config import Target, Upstream
from .connection import Connection
from .rules import Rules, take
from .surviving import aimed


class _Head(Protocol):
    """What a call gives that has its head: an answer to come, or an error read whole."""

    @property
    def connection(self) -> Connection:
        """What it comes over."""
        ...

    @property
    def error(self) -> bytes | None:
        """The body of an error; None where it is none."""
        ...


H = TypeVar("H", bound=_Head)
Ask = Callable[[Call, Target, Purpose], Awaitable[H]]
"""Makes one call, paid for, until its head is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedging(Generic[H]):
    """What a hedged call needs of the gateway."""

    ask: Ask[H]
    slot: Callable[[Upstream], AbstractContextManager[None]]
    record: Callable[[Call], None]
    """Traces a call that no caller waits for."""
    rules: Rules

    @asynccontextmanager
    async def asked(
        self, call: Call, step: Step, aim: Target, target: Target, survivor: Survivor, purpose: Purpose
    ) -> AsyncGenerator[tuple[H, Target]]:
        """The head of an answer and who gave it; within, the winner's place among the calls under way is kept.

        Only what the caller waits for is hedged: a try that is itself a retry has lost that time already.
        """
        task, hedges = call.task or "default", survivor.hedges
        after_s = hedges.after_s(task) if purpose == "call" else None
        begun_s = survivor.timer.now_s()
        hedges.began(task)
        if after_s is None:
            found = await self.ask(call, aim, purpose)
            hedges.took(task, survivor.timer.now_s() - begun_s)
            yield found, aim
            return
        with ExitStack() as held:
            found, by = await self._raced(call, step, aim, target, survivor, purpose, after_s, held)
            hedges.took(task, survivor.timer.now_s() - begun_s)
            yield found, by

    async def _raced(
        self,
        call: Call,
        step: Step,
        aim: Target,
        target: Target,
        survivor: Survivor,
        purpose: Purpose,
        after_s: float,
        held: ExitStack,
    ) -> tuple[H, Target]:
        mine = _twin(call)
        first = asyncio.ensure_future(self.ask(mine, aim, purpose))
        clock = asyncio.ensure_future(survivor.timer.sleep_async(after_s))
        second: _Second[H] | None = None
        won: asyncio.Future[H] | None = None
        try:
            await asyncio.wait((first, clock), return_when=asyncio.FIRST_COMPLETED)
            second = None if first.done() else self._second(call, step, aim, target, survivor, held)
            if second is None:
                await asyncio.wait((first,))
                won = first
            else:
                won = await _first_good(first, second.asked)
        finally:
            clock.cancel()
            overtaken = second is not None and won is second.asked
            if won is not first:
                await _ended(first)
            if second is not None:
                if not overtaken:
                    await _ended(second.asked)
                if second.permit is not None and survivor.breakers is not None:
                    survivor.breakers.ended(second.permit, _outcome(second.asked))
                mine.attempts, second.call.attempts = (mine.attempts + second.call.attempts,) * 2
                self._note(call, mine if overtaken else second.call)
            _adopt(call, second.call if second is not None and overtaken else mine)
        if second is None or not overtaken:
            return first.result(), aim
        call.fell_back = call.fell_back or second.aim is not aim
        survivor.hedged(call.task or "default", second.step.name, step.name, won=True)
        return second.asked.result(), second.aim

    def _second(
        self, call: Call, step: Step, aim: Target, target: Target, survivor: Survivor, held: ExitStack
    ) -> _Second[H] | None:
        """The second call, under way; None where it may not be made: the first one goes on alone."""
        task, breakers = call.task or "default", survivor.breakers
        hedge = survivor.hedges.of(task)
        if hedge is None:
            return None
        other = hedge.second(step)
        permit: Permit | float | None = None
        twin = _twin(call)
        twin.labels, twin.attempts, twin.started_ns = labels.below(call.labels), 0, time.time_ns()
        try:
            by = aim if other is step else aimed(call, other, target, self.rules.gateway)
            if not survivor.hedges.take(task):
                return None
            if other is not step and breakers is not None:
                permit = breakers.enter(other.provider or by.upstream.name, other.model)
                if not isinstance(permit, Permit):
                    return None
            held.enter_context(self.slot(by.upstream))
            take(twin, self.rules)
        except (Failed, Overloaded) as error:
            # Nobody is worse off without it: what a limit or a full upstream refuses is not asked for again here.
            if isinstance(permit, Permit) and breakers is not None:
                breakers.ended(permit, Failure(kind="unknown", message=str(error), ours=True))
            return None
        survivor.hedged(task, other.name, step.name, won=False)
        call.tried.append(f"{step.name}: no answer yet, {other.name} was asked beside it")
        asked = asyncio.ensure_future(self.ask(twin, by, "hedge"))
        return _Second(
            asked=asked, call=twin, aim=by, step=other, permit=permit if isinstance(permit, Permit) else None
        )

    def _note(self, call: Call, lost: Call) -> None:
        """The call that lost has a trace of its own, below the caller's; that is where its money is settled."""
        if lost.labels is call.labels:
            lost.labels = labels.below(call.labels)
        lost.aside, lost.ended_ns, lost.closed_early = "hedge", time.time_ns(), True
        self.record(lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Second(Generic[H]):
    """The second call, under way."""

    asked: asyncio.Future[H]
    call: Call
    aim: Target
    step: Step
    permit: Permit | None
    """Leave of the breaker, where it asks another model."""


async def _ended(one: asyncio.Future[Any]) -> None:
    """End a call that nobody waits for any more."""
    if not one.done():
        one.cancel()
        await asyncio.wait((one,))
    if not one.cancelled() and one.exception() is None and one.result().error is None:
        one.result().connection.close()


async def _first_good(first: asyncio.Future[H], second: asyncio.Future[H]) -> asyncio.Future[H]:
    """The first of two calls with an answer that is no error; else the first call, with its error or what it raised."""
    waiting = {first, second}
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in sorted(done, key=lambda one: one is not first):
            if not one.cancelled() and one.exception() is None and one.result().error is None:
                return one
    return first


def _outcome(one: asyncio.Future[H]) -> Failure | None:
    """What a call tells of its provider: one that was ended tells nothing."""
    if one.cancelled():
        return Failure(kind="unknown", message="overtaken", ours=True)
    error = one.exception()
    if error is None:
        return None if one.result().error is None else Failure(kind="server_error", message="an error")
    return from_exception(error) if isinstance(error, Exception) else None


def _twin(call: Call) -> Call:
    """The same call once more, with a record of its own."""
    twin = copy.copy(call)
    twin.pieces, twin.tried, twin.after, twin.verdicts = [], [], [], []
    return twin


def _adopt(call: Call, won: Call) -> None:
    """What the winning call found out, on the caller's own."""
    for name in ("upstream", "provider", "sent_model", "strips", "bounded", "attempts"):
        setattr(call, name, getattr(won, name))
    call.after += won.after
    won.after = []
