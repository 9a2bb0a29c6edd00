"""Runs a call along its course: in a thread or in a task, over the same decisions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .breaker import Breakers, Change
from .chain import Chains, Needs, Step
from .course import Happening, Move, Reply, Try, Wait, course
from .events import Events
from .failure import Failure, from_exception
from .hedging import Hedges
from .retries import Retries
from .timer import Dice, SystemTimer, Timer, roll

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """What a call gave, and how it got there."""

    value: T
    step: Step
    """Who answered."""
    tries: int
    """Calls that were made."""
    because: Failure | None
    """What went wrong before, where it is not the first model's first answer."""


@dataclass
class Survivor:
    """Retries, breakers and fallbacks with one memory, for all calls of a process. Safe in threads and tasks."""

    retries: Retries = field(default_factory=Retries)
    chains: Chains = field(default_factory=Chains)
    breakers: Breakers | None = None
    """None: breakers with the default settings."""
    events: Events = field(default_factory=Events)
    hedges: Hedges = field(default_factory=Hedges)
    """When a call is made a second time beside a slow first one; for drivers that can."""
    timer: Timer = field(default_factory=SystemTimer)
    dice: Dice = roll

    def __post_init__(self) -> None:
        if self.breakers is None:
            self.breakers = Breakers(timer=self.timer, changed=self._changed)

    def moves(
        self,
        chain: tuple[Step, ...],
        *,
        task: str = "default",
        needs: Needs | None = None,
        deadline_s: float | None = None,
    ) -> Generator[Move, Failure | None, None]:
        """The course of one call, for drivers of your own; see :func:`~pilothouse.survival.course.course`."""
        return course(
            chain,
            retries=self.retries,
            timer=self.timer,
            breakers=self.breakers,
            needs=needs,
            deadline_s=deadline_s,
            dice=self.dice,
            task=task,
            told=self._told,
        )

    def call(
        self,
        make: Callable[[Try], T],
        *,
        chain: tuple[Step, ...],
        reply: Callable[[Step], T | None] = lambda _: None,
        task: str = "default",
        needs: Needs | None = None,
        deadline_s: float | None = None,
    ) -> Answer[T]:
        """Call until there is an answer.

        Args:
            make: Makes one call; what it raises is read by :func:`~pilothouse.survival.from_exception`.
            chain: The steps, e.g. ``survivor.chains.of("triage", model="gpt-5")``.
            reply: Gives the reply of a step that is no model; None: it has none.
            task: For what is counted.
            needs: What the request needs of a model.
            deadline_s: By the timer's clock, when the caller no longer waits.

        Raises:
            GaveUp: nothing that may be tried has answered. Its cause is the last call's exception.
        """
        moves = self.moves(chain, task=task, needs=needs, deadline_s=deadline_s)
        drive: _Drive[T] = _Drive(moves)
        try:
            while (move := drive.move()) is not None:
                try:
                    if isinstance(move, Wait):
                        self.timer.sleep(move.seconds)
                        drive.went(None)
                    else:
                        drive.gave(move, make(move) if isinstance(move, Try) else reply(move.step))
                except Exception as error:
                    drive.raised(error)
            return drive.answer()
        finally:
            moves.close()

    async def call_async(
        self,
        make: Callable[[Try], Awaitable[T]],
        *,
        chain: tuple[Step, ...],
        reply: Callable[[Step], T | None] = lambda _: None,
        task: str = "default",
        needs: Needs | None = None,
        deadline_s: float | None = None,
    ) -> Answer[T]:
        """The same as :meth:`call`, in a task. A task that is cancelled ends at once and blames nobody."""
        moves = self.moves(chain, task=task, needs=needs, deadline_s=deadline_s)
        drive: _Drive[T] = _Drive(moves)
        try:
            while (move := drive.move()) is not None:
                try:
                    if isinstance(move, Wait):
                        await self.timer.sleep_async(move.seconds)
                        drive.went(None)
                    else:
                        drive.gave(move, await make(move) if isinstance(move, Try) else reply(move.step))
                except Exception as error:
                    drive.raised(error)
            return drive.answer()
        finally:
            moves.close()

    def hedged(self, task: str, step: str, was: str, *, won: bool) -> None:
        """Count a second call that started beside a slow first one, or that answered before it."""
        self._told(Happening(kind="hedge_won" if won else "hedge", task=task, step=step, was=was))

    def _told(self, happening: Happening) -> None:
        self.events.happened(happening, self.timer.now_s())

    def _changed(self, change: Change) -> None:
        self.events.changed(change)


class _Drive(Generic[T]):
    """What both drivers do between their waits."""

    def __init__(self, moves: Generator[Move, Failure | None, None]) -> None:
        self._moves = moves
        self._begun = False
        self._result: Failure | None = None
        self._cause: Exception | None = None
        self._answer: Answer[T] | None = None
        self._tries = 0

    def move(self) -> Move | None:
        """The next move; None when the course is over."""
        try:
            move = self._moves.send(self._result) if self._begun else next(self._moves)
        except StopIteration:
            return None
        except Exception as error:
            if error is not self._cause and error.__cause__ is None:
                raise error from self._cause
            raise
        self._begun = True
        self._tries += isinstance(move, Try)
        return move

    def went(self, result: Failure | None) -> None:
        """How the move went."""
        self._result = result

    def gave(self, move: Try | Reply, value: T | None) -> None:
        """What the move gave."""
        if isinstance(move, Reply) and value is None:
            self._result = move.because or Failure(kind="unknown", message="no reply at hand", ours=True)
            return
        self._answer = Answer(value=value, step=move.step, tries=self._tries, because=move.because)  # type: ignore[arg-type]  # a model may give None, and T is that then
        self._result = None

    def raised(self, error: Exception) -> None:
        """What the move raised."""
        self._cause = error
        self._result = from_exception(error)

    def answer(self) -> Answer[T]:
        """The answer of a course that is over."""
        assert self._answer is not None, "a course that is over has an answer"
        return self._answer
