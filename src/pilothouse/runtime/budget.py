"""What a run may spend: calls, tokens, money where it is known, time; and what it gives to those who work for it.

    purse = Purse(Budget(calls=50, tokens=200_000))
    grant = purse.grant("worker-1", Budget(calls=10))      held back until it is settled
    purse.check()                                          before each call
    purse.charge(Spent(calls=1, tokens=1_200))             after it
    purse.settle("worker-1", Spent(calls=7, tokens=9_000)) the rest is the parent's again

A grant is never more than what is left, and what is granted is no longer left: however many children work side by
side, and wherever, together they cannot spend more than their parent had.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from pilothouse.records import BadRequest, PilothouseError


class BudgetSpent(PilothouseError):
    """A run has spent what it may: it names what, how much, and of how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was spent."""

    calls: int = 0
    """Requests to a model."""
    tokens: int = 0
    """Of input and output together."""
    usd: Decimal = Decimal(0)
    """Where the price is known; 0 where it is not."""

    def __add__(self, other: Spent) -> Spent:
        return Spent(calls=self.calls + other.calls, tokens=self.tokens + other.tokens, usd=self.usd + other.usd)

    def as_dict(self) -> dict[str, Any]:
        """As JSON; money as text, since it is exact."""
        return {"calls": self.calls, "tokens": self.tokens, "usd": str(self.usd)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Spent:
        """The inverse of :meth:`as_dict`."""
        return cls(calls=int(found["calls"]), tokens=int(found["tokens"]), usd=Decimal(str(found["usd"])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be spent; None: no bound of its own."""

    calls: int | None = None
    tokens: int | None = None
    usd: Decimal | float | None = None
    seconds: float | None = None
    """From when work begins. Who works side by side shares the time and does not divide it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value: int | float | Decimal | None = getattr(self, field.name)
            if value is not None and not value >= 0:
                raise BadRequest(f"a budget's {field.name} is a number from 0 up", got=str(value), allowed="0 or more")
        if self.usd is not None and not isinstance(self.usd, Decimal):
            object.__setattr__(self, "usd", Decimal(str(self.usd)))

    def within(self, other: Budget) -> Budget:
        """The smaller of two in each respect."""
        return Budget(
            calls=_least(self.calls, other.calls),
            tokens=_least(self.tokens, other.tokens),
            usd=_least(self.usd, other.usd),
            seconds=_least(self.seconds, other.seconds),
        )

    def as_dict(self) -> dict[str, Any]:
        """As JSON, without what has no bound."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in found.items()
            if value is not None
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Budget:
        """The inverse of :meth:`as_dict`."""
        usd = found.get("usd")
        return cls(
            calls=found.get("calls"),
            tokens=found.get("tokens"),
            usd=None if usd is None else Decimal(usd),
            seconds=found.get("seconds"),
        )


class Purse:
    """A budget while it is spent. Safe to use from several threads."""

    def __init__(self, budget: Budget, *, elapsed_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """``elapsed_s``: how long ago the work began, in a process before this one."""
        self.budget = budget
        self._clock = clock
        self._began = clock() - elapsed_s
        self._spent = Spent()
        self._expected = 0
        self._held: dict[str, Budget] = {}
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spent:
        """What was spent so far, by those it granted something too where they have settled."""
        return self._spent

    def left(self) -> Budget:
        """What may still be spent; never below nothing. What is granted and not settled is not left."""
        with self._lock:
            return self._left()

    def check(self) -> None:
        """Called before each request.

        Raises:
            BudgetSpent: nothing is left of something.
        """
        left = self.left()
        for name in ("calls", "tokens", "usd", "seconds"):
            bound: int | float | Decimal | None = getattr(self.budget, name)
            if bound is not None and getattr(left, name) <= 0:
                raise BudgetSpent(
                    f"the budget of {_said(name, bound)} is spent",
                    got=self._used(name),
                    allowed=str(bound),
                    fix=f"start with a larger budget, or none: Budget({name}=…)",
                )

    def charge(self, spent: Spent) -> None:
        """Called after each request, whatever it cost."""
        with self._lock:
            self._spent += spent

    def expect(self, children: int) -> None:
        """So many children will be granted something now: what is left is shared among them."""
        with self._lock:
            self._expected = children

    def grant(self, key: str, wanted: Budget | None = None) -> Budget:
        """Hold something back for a child: what it wants, and at most its share of what is left among those expected.

        Granting under a key a second time gives what it was given before.

        Raises:
            BudgetSpent: nothing is left to give.
        """
        self.check()
        with self._lock:
            if key in self._held:
                return self._held[key]
            left, among = self._left(), max(1, self._expected)
            self._expected = among - 1
            share = Budget(
                calls=_part(left.calls, among),
                tokens=_part(left.tokens, among),
                usd=None if left.usd is None else Decimal(left.usd) / among,
                seconds=left.seconds,
            )
            granted = share.within(wanted or Budget())
            self._held[key] = granted
            return granted

    def hold(self, key: str, granted: Budget) -> None:
        """Hold back again what was granted before a restart."""
        with self._lock:
            self._held[key] = granted
            self._expected -= 1

    def settle(self, key: str, spent: Spent) -> None:
        """A child has ended: what it spent is charged, the rest of its grant is left again."""
        with self._lock:
            self._held.pop(key, None)
            self._spent += spent

    def _left(self) -> Budget:
        spent = self._spent
        for held in self._held.values():
            spent += Spent(calls=held.calls or 0, tokens=held.tokens or 0, usd=Decimal(held.usd or 0))
        budget, seconds = self.budget, self.budget.seconds
        return Budget(
            calls=None if budget.calls is None else max(0, budget.calls - spent.calls),
            tokens=None if budget.tokens is None else max(0, budget.tokens - spent.tokens),
            usd=None if budget.usd is None else max(Decimal(0), Decimal(budget.usd) - spent.usd),
            seconds=None if seconds is None else max(0.0, seconds - (self._clock() - self._began)),
        )

    def _used(self, name: str) -> str:
        if name == "seconds":
            return f"{self._clock() - self._began:.1f} s"
        return f"{getattr(self._spent, name)} spent, {len(self._held)} grants held"


_SPENDING: contextvars.ContextVar[Purse | None] = contextvars.ContextVar("pilothouse_purse", default=None)
_GIVEN: contextvars.ContextVar[Purse | None] = contextvars.ContextVar("pilothouse_purse_given", default=None)


@contextlib.contextmanager
def spending(purse: Purse | None) -> Generator[None]:
    """Whoever works for the one who works here is paid from its purse."""
    here, given = _SPENDING.set(purse), _GIVEN.set(None)
    try:
        yield
    finally:
        _SPENDING.reset(here)
        _GIVEN.reset(given)


@contextlib.contextmanager
def giving(purse: Purse | None) -> Generator[None]:
    """The next run that begins here spends from this purse."""
    given = _GIVEN.set(purse)
    try:
        yield
    finally:
        _GIVEN.reset(given)


def current_purse() -> Purse | None:
    """The purse of the run that is running here."""
    return _SPENDING.get()


def given_purse() -> Purse | None:
    """The purse that whoever began this run gave it."""
    return _GIVEN.get()


def _least(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _part(left: int | None, among: int) -> int | None:
    return None if left is None else left // among


def _said(name: str, bound: object) -> str:
    return f"${bound}" if name == "usd" else f"{bound} {name}"
