"""The course of a call: made once, or along the way that survival lays, until something answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from pilothouse.budgets import Purpose
from pilothouse.records import PilothouseError
from pilothouse.survival import Failed, Failure, GaveUp, Reply, Step, Survivor, Wait

from .answering import Answering
from .call import Call
from .config import Target, Upstream
from .connection import Header
from .failures import CallerLeft
from .guarding import GuardBlocked
from .hedging import Hedging
from .passing import give, pass_on
from .replies import StandIn
from .rules import Rules
from .surviving import aimed, chain_of, failure_from, failure_of
from .upstreams import Answered, Upstreams


class Courses:
    """Makes calls, and passes on what comes back."""

    def __init__(self, upstreams: Upstreams, record: Callable[[Call], None]) -> None:
        """``record`` traces a call that no caller waits for."""
        self._upstreams = upstreams
        self._record = record

    async def run(self, call: Call, target: Target, rules: Rules, headers: list[Header], answering: Answering) -> None:
        """Ask, as often as the policy says, and pass the answer on."""
        if rules.survivor is None or not call.endpoint.traced:
            await self._once(call, target, rules, headers, answering)
        else:
            await self._surviving(call, target, rules, rules.survivor, headers, answering)

    async def _once(
        self, call: Call, target: Target, rules: Rules, headers: list[Header], answering: Answering
    ) -> None:
        """One call, whose answer or error is passed on as it is."""
        with self._upstreams.slot(target.upstream):
            answered = await self._upstreams.paid(call, target, headers, rules, "call")
            await pass_on(self._upstreams.pool, call, target.upstream, answered, answering)

    async def _surviving(
        self,
        call: Call,
        target: Target,
        rules: Rules,
        survivor: Survivor,
        headers: list[Header],
        answering: Answering,
    ) -> None:
        """The same along the course that survival lays: tries, waits, and others that stand in.

        Only what comes before the first byte of an answer can be tried again; the caller has the rest already.
        """
        moves = survivor.moves(chain_of(call, target, survivor), task=call.task or "default")
        failure: Failure | None = None
        last: tuple[Answered, Upstream] | None = None
        begun = False
        try:
            while True:
                try:
                    move = moves.send(failure) if begun else next(moves)
                except StopIteration:
                    return
                except GaveUp:
                    if last is None:
                        raise
                    # The provider's own error says more than ours, and its libraries know its kinds.
                    answered, upstream = last
                    answering.tried = call.attempts > 1
                    await pass_on(self._upstreams.pool, call, upstream, answered, answering)
                    return
                begun = True
                failure = None
                if isinstance(move, Wait):
                    await survivor.timer.sleep_async(move.seconds)
                    continue
                if isinstance(move, Reply):
                    reply = rules.stand_in(call, move.step)
                    if reply is None:
                        failure = move.because or Failure(kind="unknown", message="no reply at hand", ours=True)
                        continue
                    await self._reply(call, move.step, reply, answering)
                    continue
                try:
                    answering.stood_in = move.step.model if move.step.model != call.model else ""
                    aim = aimed(call, move.step, target, rules.gateway)
                    call.fell_back = aim is not target
                    with self._upstreams.slot(aim.upstream):
                        purpose = "call" if move.number == 1 else "retry" if move.on_step > 1 else "fallback"
                        hedging = self._hedging(headers, rules)
                        async with hedging.asked(call, move.step, aim, target, survivor, purpose) as (answered, aim):
                            if answered.error is None:
                                await pass_on(self._upstreams.pool, call, aim.upstream, answered, answering)
                                if rules.keeps_replies(call):
                                    rules.keep(call)
                                continue
                    last = (answered, aim.upstream)
                    failure = failure_of(answered.status, answered.headers, answered.error)
                except Failed as unfit:
                    last, failure = None, unfit.failure
                except PilothouseError as error:
                    if isinstance(error, CallerLeft | GuardBlocked):
                        # Nobody waits, or a gate has decided: nothing is tried again.
                        raise
                    last, failure = None, failure_from(error, begun=answering.started)
                    if answering.started:
                        # Only the breakers still want to know.
                        with suppress(GaveUp, StopIteration):
                            moves.send(failure)
                        raise
                finally:
                    if failure is not None:
                        call.tried.append(f"{move.step.name}: {failure}")
        finally:
            moves.close()

    def _hedging(self, headers: list[Header], rules: Rules) -> Hedging[Answered]:
        def ask(call: Call, target: Target, purpose: Purpose) -> Awaitable[Answered]:
            return self._upstreams.paid(call, target, headers, rules, purpose)

        return Hedging(ask=ask, slot=self._upstreams.slot, record=self._record, rules=rules)

    async def _reply(self, call: Call, step: Step, reply: StandIn, answering: Answering) -> None:
        """Answer with what was at hand."""
        call.stood_in = answering.stood_in = step.kind
        await give(call, reply, answering, checked=step.kind == "cached")
