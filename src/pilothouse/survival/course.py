"""The way of one call through retries, breakers and fallbacks, decided without waiting and without calling.

    moves = course(chain, …)
    move = next(moves)                  Wait, Try or Reply
    move = moves.send(None)             it went well (a Wait is over, a Try answered, a Reply was there)
    move = moves.send(Failure(…))       it did not

The generator ends when a Try or a Reply went well, and raises :class:`GaveUp` when nothing is left to do. One
generator serves drivers of every kind: threads, tasks, the gateway.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

from pilothouse.records import BadRequest, PilothouseError

from .breaker import Breakers, Permit
from .chain import Needs, Step, following, unfit
from .failure import Failure
from .retries import Retries, time_left
from .timer import Dice, Timer, roll


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Wait for so many seconds, then go on."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Call this model."""

    step: Step
    number: int
    """Calls so far, this one included, from 1."""
    on_step: int
    """The same of this step alone."""
    left_s: float
    """Time the call may take."""
    because: Failure | None
    """What went wrong before it; None for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer with what was answered before, or with the step's text."""

    step: Step
    because: Failure | None


Move = Wait | Try | Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One thing that was tried and did not help."""

    step: str
    failure: Failure
    at_s: float
    """Seconds after the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something worth counting: told as it happens."""

    kind: Literal["answer", "retry", "fallback", "gave_up", "hedge", "hedge_won"]
    task: str
    step: str
    """Where it goes on, or who answered."""
    was: str = ""
    """Who failed before."""
    failure: Failure | None = None


class GaveUp(PilothouseError):
    """Nothing that may be tried has answered: it says what was tried, for how long, and what came last."""

    kind = "gave_up"
    exit_code = 5
    http_status = 503

    def __init__(self, message: str, *, attempts: tuple[Attempt, ...], failure: Failure, fix: str) -> None:
        wait = failure.retry_after_s
        super().__init__(message, got=str(failure), fix=fix, retry_after_s=None if wait is None else math.ceil(wait))
        self.attempts = attempts
        self.failure = failure


def course(
    chain: tuple[Step, ...],
    *,
    retries: Retries,
    timer: Timer,
    breakers: Breakers | None = None,
    needs: Needs | None = None,
    deadline_s: float | None = None,
    dice: Dice = roll,
    task: str = "",
    told: Callable[[Happening], None] = lambda _: None,
) -> Generator[Move, Failure | None, None]:
    """The moves of one call; see the head of this file.

    Args:
        chain: The steps, the first one first.
        retries: How often and how long.
        timer: What time it is; nothing here waits on it.
        breakers: Who may not be called at the moment; None: everybody may.
        needs: What the request needs: steps that lack it are passed over.
        deadline_s: By the timer's clock, when the caller no longer waits.
        dice: The chance in each wait.
        task: For what is told.
        told: Hears of each retry, fallback, answer and end.

    Raises:
        GaveUp: nothing that may be tried has answered.
        BadRequest: the chain has no step.
    """
    if not chain:
        raise BadRequest("there is no model to call", fix="name a model, or a chain of this task in survival.fallbacks")
    started, tries, on_step, place = timer.now_s(), 0, 0, 0
    needs = needs or Needs()
    attempts: list[Attempt] = []
    because: Failure | None = None
    while True:
        step = chain[place]
        before = because
        failure = passed = unfit(step, needs)
        if failure is None and step.kind != "model":
            failure = yield Reply(step=step, because=because)
        elif failure is None:
            left = time_left(retries, started, timer.now_s(), deadline_s)
            permit = breakers.enter(step.provider, step.model) if breakers and left > 0 else None
            if left <= 0:
                failure = Failure(kind="timeout", message="no time is left", ours=True)
            elif permit is not None and not isinstance(permit, Permit):
                failure = Failure(kind="breaker_open", message=step.name, retry_after_s=permit, ours=True)
            else:
                # Without an answer to this yield the call was abandoned: it tells nothing of the provider.
                failure = Failure(kind="unknown", message="abandoned", ours=True)
                tries, on_step = tries + 1, on_step + 1
                try:
                    failure = yield Try(step=step, number=tries, on_step=on_step, left_s=left, because=because)
                finally:
                    if isinstance(permit, Permit) and breakers is not None:
                        breakers.ended(permit, failure)
        now = timer.now_s()
        if failure is None:
            told(Happening(kind="answer", task=task, step=step.name, failure=because))
            return
        because = failure
        attempts.append(Attempt(step=step.name, failure=failure, at_s=now - started))
        before = before if passed is not None else None
        onward = following(chain, place, failure, before)
        again = retries.tries_before_fallback if onward is not None else retries.tries
        left = time_left(retries, started, now, deadline_s)
        if failure.passing and step.kind == "model" and on_step < again and tries < retries.tries:
            seconds = retries.wait_s(on_step, failure, dice)
            if seconds < left:
                told(Happening(kind="retry", task=task, step=step.name, was=step.name, failure=failure))
                yield Wait(seconds=seconds)
                continue
            why = f"the next try would come after {seconds:.1f} s, and {max(left, 0):.1f} s are left"
        else:
            why = "no further try is left" if failure.passing else ""
        # A reply that is at hand takes no time; a model is only asked while there is some.
        while onward is not None and chain[onward].kind == "model" and left <= 0:
            onward = following(chain, onward, failure, before)
        if onward is None:
            told(Happening(kind="gave_up", task=task, step="", was=step.name, failure=failure))
            raise _gave_up(attempts, tries, now - started, why)
        told(Happening(kind="fallback", task=task, step=chain[onward].name, was=step.name, failure=failure))
        place, on_step = onward, 0


def _gave_up(attempts: list[Attempt], tries: int, seconds: float, why: str) -> GaveUp:
    last = attempts[-1].failure
    asked = ", ".join(dict.fromkeys(one.step for one in attempts))
    counted = f"{tries} {'call' if tries == 1 else 'calls'} in {seconds:.1f} s"
    message = f"no answer from {asked}: {counted}, last {last}" + (f"; {why}" if why else "")
    return GaveUp(message, attempts=tuple(attempts), failure=last, fix=_fix(last))


def _fix(failure: Failure) -> str:
    if failure.trigger is None:
        return "change the request: trying it again gives the same"
    if failure.kind == "budget":
        return "pilothouse budgets"
    if failure.kind in ("not_allowed", "quota", "not_found"):
        return "look at the provider's key, its credit and the model's name; survival.fallbacks names who stands in"
    return "try again later; survival.fallbacks in the policy file names who stands in meanwhile"
