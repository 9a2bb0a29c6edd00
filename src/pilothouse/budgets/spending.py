"""Reserve before the money is spent, settle after: the verbs of budgets."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from pilothouse.records import BadRequest, Clock, NotFound, Overloaded, PilothouseError, SystemClock, Usage, new_id
from pilothouse.store.budget_store import Account, BudgetStore, Full, Held

from .model import (
    NANO,
    PURPOSES,
    Ask,
    BudgetOverview,
    Limit,
    OverBudget,
    Place,
    PurposeSum,
    Reservation,
    Standing,
)
from .model import amount_text as _amount
from .periods import ends_in_s, period_of
from .raising import Asked, Raiser, wanted_tokens, wanted_usd
from .rules import AT_LIMIT, LEVELS, NOBODY, PRECEDENCE, Level, Rule, applying
from .worst_case import OUTPUT_TOKENS_DEFAULT, Prices, nano, worst_case

LOG = logging.getLogger("pilothouse.budgets")
_SWEEP_EVERY_S: Final = 5.0
_DAYS_NS: Final = 30 * 86_400_000_000_000
_SUBJECT_CHARS_MAX: Final = 300
_PERIODS_MAX: Final = 20_000
_RAISES_MAX: Final = 20


class Budgets:
    """The budgets of one database. Safe to use from several threads; other processes may use the same database."""

    def __init__(
        self,
        store: BudgetStore,
        rules: Callable[[], tuple[Rule, ...]],
        *,
        prices: Prices,
        clock: Clock | None = None,
        policy: Callable[[], tuple[str, str]] = lambda: ("none", ""),
        raiser: Raiser | None = None,
    ) -> None:
        """``rules``: the budgets as they are now. ``policy``: the version of their file, and what is wrong with it.

        ``raiser``: who asks a person where ``at_limit`` is ``ask``; None: such a call is refused.
        """
        self._store, self._rules, self._prices = store, rules, prices
        self._clock = clock or SystemClock()
        self._policy = policy
        self.raiser = raiser
        self._latest: dict[tuple[str, str, str], str] = {}
        self._swept_s = -_SWEEP_EVERY_S
        self._sweeping = threading.Lock()

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def reserve(self, project_id: str, ask: Ask, *, reservation_id: str = "") -> Reservation:
        """Hold back what a call may cost at worst, in every budget that applies, or in none.

        The same ``reservation_id`` again gives the same reservation: a request that is sent twice holds back once.

        Raises:
            OverBudget: a budget has too little left; nothing was held back.
            BadRequest: the call is not described well enough, has no known price, or the id was used before.
        """
        _check(ask, reservation_id)
        self._sweep()
        rules, now_ns = self._rules(), self._clock.now_ns()
        found_id = reservation_id or new_id("res")
        subjects: dict[Level, str] = {
            "request": found_id,
            "run": ask.run or found_id,
            "user": ask.user or NOBODY,
            "feature": ask.feature or NOBODY,
            "tenant": ask.tenant or NOBODY,
            "system": "system",
        }
        apply = applying(rules, subjects)
        output = _output_bound(ask, apply)
        tokens = ask.input_tokens + output
        in_dollars = ask.usd is None and any(rule.usd is not None for rule, _ in apply)
        usd = ask.usd or Decimal(0)
        if in_dollars:
            usd = worst_case(
                self._prices,
                model=ask.model,
                provider=ask.provider,
                input_tokens=ask.input_tokens,
                output_tokens=output,
                at_ns=now_ns,
            )
        _check_request(apply, ask, usd, output)
        places = {
            Place(
                budget=rule.name,
                level=rule.level,
                subject=subject,
                period=self._period(project_id, rule, subject, now_ns),
            ): rule
            for rule, subject in apply
            if rule.level != "request"
        }
        accounts = [
            Account(
                budget=place.budget,
                subject=place.subject,
                period=place.period,
                limit_nano=None if rule.usd is None else int(rule.usd * NANO),
                limit_tokens=rule.tokens,
            )
            for place, rule in places.items()
        ]
        detail: dict[str, Any] = {name: getattr(ask, name) for name in ("model", "provider", "run", "user", "feature")}
        detail |= {"tenant": ask.tenant, "output_tokens": output}
        detail["levels"] = {place.budget: place.level for place in places}
        by_name = {(place.budget, place.subject): (place, rule) for place, rule in places.items()}
        for _ in range(_RAISES_MAX):
            try:
                held = self._store.reserve(
                    project_id,
                    found_id,
                    accounts,
                    nano=nano(usd),
                    tokens=tokens,
                    purpose=ask.purpose,
                    detail=detail,
                    lease_ns=int(ask.lease_s * 1e9),
                    now_ns=now_ns,
                )
                break
            except Full as full:
                limits = _limits(full, by_name, usd, tokens, now_ns)
            asked = self._asked(project_id, ask, limits)
            if asked.state != "raised":
                raise OverBudget.of(
                    limits[0], len(limits) - 1, told=asked.told, fix=asked.fix, approval_id=asked.approval_id
                )
        else:
            raise Overloaded("what is allowed is spent as fast as it is allowed", fix="try again", retry_after_s=1)
        if held.state != "held":
            raise BadRequest(
                f"this reservation is {held.state}: its id cannot be used for another call",
                got=found_id,
                fix="leave the id out, or make a new one for each call",
            )
        return _reservation(held)

    def settle(
        self,
        project_id: str,
        reservation_id: str,
        *,
        usd: Decimal | None = None,
        usage: Usage | None = None,
    ) -> Reservation:
        """Book what a call cost and give the rest back; once, however often it is said.

        ``usd``, else the price of ``usage``; where neither is known what was held back is booked, since the money may
        have been spent.

        Raises:
            NotFound: there is no such reservation.
            BadRequest: it was released before, or the amount is none.
        """
        held = self._find(project_id, reservation_id)
        if usd is not None and (not usd.is_finite() or usd < 0):
            raise BadRequest("a call costs 0 or more", got=str(usd))
        if usd is None and usage is not None:
            model, provider = str(held.detail.get("model", "")), str(held.detail.get("provider", ""))
            usd = self._prices.price(usage, model=model, provider=provider, at_ns=self._clock.now_ns()).usd
        amount = held.held_nano if usd is None else nano(usd)
        tokens = held.held_tokens if usage is None else usage.total
        found = self._store.settle(project_id, reservation_id, nano=amount, tokens=tokens, now_ns=self._clock.now_ns())
        assert found is not None, "found above"
        if found.state == "released":
            raise BadRequest(
                "this reservation was released before", got=reservation_id, fix="settle instead of release"
            )
        if found.late or found.spent_nano > found.held_nano:
            LOG.warning(
                "reservation %s was settled %s: %s USD held back, %s USD spent",
                reservation_id,
                "after it had expired" if found.late else "above what was held back",
                _usd(found.held_nano),
                _usd(found.spent_nano),
            )
        return _reservation(found)

    def release(self, project_id: str, reservation_id: str) -> Reservation:
        """Give back what was held for a call that was not made, or cost nothing; once, however often it is said.

        Raises:
            NotFound: there is no such reservation.
            BadRequest: it is settled: what was spent stays spent.
        """
        found = self._store.release(project_id, reservation_id, now_ns=self._clock.now_ns())
        if found is None:
            raise _unknown(reservation_id)
        if found.state == "settled":
            raise BadRequest("this reservation is settled: what was spent stays spent", got=reservation_id)
        return _reservation(found)

    def renew(self, project_id: str, reservation_id: str) -> Reservation:
        """Hold it for its whole lease again, for a call that takes long.

        Raises:
            NotFound: there is no such reservation.
            BadRequest: it is no longer held.
        """
        found = self._store.renew(project_id, reservation_id)
        if found is None:
            raise _unknown(reservation_id)
        if found.state != "held":
            raise BadRequest(f"this reservation is {found.state}", got=reservation_id, fix="reserve anew")
        return _reservation(found)

    def overview(self, project_id: str, *, budget: str = "", subject: str = "", limit: int = 100) -> BudgetOverview:
        """Budgets, how they stand, what retries add, and the rule of which one holds."""
        self._sweep()
        rules = {rule.name: rule for rule in self._rules()}
        version, error = self._policy()
        standing: list[Standing] = []
        for row in self._store.balances(project_id, limit=limit, budget=budget, subject=subject):
            rule = rules.get(row.budget)
            raised = _usd(row.raised_nano)
            usd = rule.usd + raised if rule and rule.usd is not None else None
            spent, held = _usd(row.spent_nano), _usd(row.held_nano)
            standing.append(
                Standing(
                    budget=row.budget,
                    subject=row.subject,
                    period=row.period,
                    usd=usd,
                    tokens=rule.tokens + row.raised_tokens if rule and rule.tokens is not None else None,
                    spent_usd=spent,
                    held_usd=held,
                    left_usd=None if usd is None else max(usd - spent - held, Decimal(0)),
                    spent_tokens=row.tokens,
                    held_tokens=row.held_tokens,
                    calls=row.calls,
                    refused=row.refused,
                    raised_usd=raised,
                    raised_tokens=row.raised_tokens,
                )
            )
        rows = self._store.by_purpose(project_id, self._clock.now_ns() - _DAYS_NS)
        total = sum(row.spent_nano for row in rows)
        calls = {row.purpose: row.calls for row in rows}
        first = calls.get("call", 0)
        return BudgetOverview(
            rules=tuple(_shown(rule) for rule in rules.values() if budget in ("", rule.name)),
            standing=tuple(standing),
            purposes=tuple(
                PurposeSum(
                    purpose=row.purpose,
                    calls=row.calls,
                    usd=_usd(row.spent_nano),
                    tokens=row.tokens,
                    share=(Decimal(row.spent_nano) / total).quantize(Decimal("0.0001")) if total else Decimal(0),
                )
                for row in sorted(rows, key=lambda row: PURPOSES.index(row.purpose))  # type: ignore[arg-type]  # checked when reserved
            ),
            multiplied=(Decimal(sum(calls.values())) / first).quantize(Decimal("0.001")) if first else None,
            precedence=PRECEDENCE,
            policy=version,
            error=error,
        )

    def sweep(self) -> int:
        """Expire reservations whose process has gone; how many those were."""
        expired = self._store.sweep(self._clock.now_ns())
        if expired:
            LOG.warning(
                "%d reservations outlived their lease: their process has gone, the money is free again", expired
            )
        return expired

    def _asked(self, project_id: str, ask: Ask, limits: list[Limit]) -> Asked:
        """What a person says, of the first budget that is full; they are asked only where all that are full may be raised."""
        limit = limits[0]
        if limit.at_limit != "ask" or any(one.at_limit != "ask" for one in limits) or self.raiser is None:
            return Asked(state="refused")

        def raise_it(raise_id: str, usd: Decimal, tokens: int) -> None:
            account = Account(
                budget=limit.budget, subject=limit.subject, period=limit.period, limit_nano=None, limit_tokens=None
            )
            now_ns = self._clock.now_ns()
            if self._store.raise_limit(project_id, raise_id, account, nano=nano(usd), tokens=tokens, now_ns=now_ns):
                LOG.warning(
                    "budget %s of %s may spend %s USD and %d tokens more", limit.budget, limit.subject, usd, tokens
                )

        try:
            return self.raiser(project_id, limit, ask, raise_it)
        except PilothouseError as error:
            # Whatever keeps a person from being asked, the call is refused.
            return Asked(state="refused", told=error.message, fix=error.fix or "")

    def _sweep(self) -> None:
        now_s = time.monotonic()
        if now_s - self._swept_s >= _SWEEP_EVERY_S and self._sweeping.acquire(blocking=False):
            try:
                self._swept_s = now_s
                self.sweep()
            finally:
                self._sweeping.release()

    def _period(self, project_id: str, rule: Rule, subject: str, now_ns: int) -> str:
        if rule.per == "ever":
            return "ever"
        key = (project_id, rule.name, subject)
        latest = self._latest.get(key)
        if latest is None:
            # Of a process before this one; what this one has spent in, it remembers.
            latest = self._store.latest_period(project_id, rule.name, subject)
            if len(self._latest) >= _PERIODS_MAX:
                self._latest.clear()
        period = self._latest[key] = period_of(rule.per, now_ns, latest=latest)
        return period

    def _find(self, project_id: str, reservation_id: str) -> Held:
        held = self._store.find(project_id, reservation_id)
        if held is None:
            raise _unknown(reservation_id)
        return held


def _check(ask: Ask, reservation_id: str) -> None:
    if ask.usd is not None and (not ask.usd.is_finite() or not 0 <= ask.usd <= 1_000_000_000):
        raise BadRequest("usd is an amount from 0 up", got=str(ask.usd))
    for name in ("input_tokens", "output_tokens"):
        value: int | None = getattr(ask, name)
        if value is not None and not 0 <= value <= 10**12:
            raise BadRequest(f"{name} is a whole number from 0 up", got=value)
    if ask.purpose not in PURPOSES:
        raise BadRequest("purpose says what the call is", got=ask.purpose, allowed=list(PURPOSES))
    if not 1 <= ask.lease_s <= 86_400:
        raise BadRequest("lease_s is out of range", got=ask.lease_s, allowed="1 to 86400")
    for name in ("run", "user", "feature", "tenant"):
        value_: str = getattr(ask, name)
        if len(value_) > _SUBJECT_CHARS_MAX or "\x00" in value_:
            raise BadRequest(f"{name} is a name of at most {_SUBJECT_CHARS_MAX} characters", got=value_[:50])
    if len(reservation_id) > 100 or "\x00" in reservation_id:
        raise BadRequest("an id has at most 100 characters", got=reservation_id[:50])


def _output_bound(ask: Ask, apply: tuple[tuple[Rule, str], ...]) -> int:
    if ask.output_tokens is not None:
        return ask.output_tokens
    bounds = [rule.output_tokens for rule, _ in apply if rule.output_tokens is not None]
    return min(bounds, default=OUTPUT_TOKENS_DEFAULT)


def _check_request(apply: tuple[tuple[Rule, str], ...], ask: Ask, usd: Decimal, output: int) -> None:
    """Hold the call against the bounds of level ``request``, which need no account."""
    for rule, subject in apply:
        if rule.level != "request":
            continue
        for name, asked, bound in (
            ("input tokens", ask.input_tokens, rule.input_tokens),
            ("output tokens", output, rule.output_tokens),
            ("tokens", ask.input_tokens + output, rule.tokens),
            ("USD", usd, rule.usd),
        ):
            if bound is not None and asked > bound:
                limit = Limit(
                    budget=rule.name,
                    level="request",
                    subject=subject,
                    period="ever",
                    at_limit=rule.at_limit,
                    asked=_amount(asked, name),
                    left=_amount(bound, name),
                    limit=_amount(bound, name),
                )
                raise OverBudget.of(limit, 0)


def _limits(
    full: Full, places: Mapping[tuple[str, str], tuple[Place, Rule]], usd: Decimal, tokens: int, now_ns: int
) -> list[Limit]:
    """What is full, by the printed rule: the strictest first, which decides; among equals the narrowest."""
    limits: list[Limit] = []
    for account, balance in full.accounts:
        place, rule = places[(account.budget, account.subject)]
        more_usd, more_tokens, texts = Decimal(0), 0, ("", "", "")
        used, allowed = balance.tokens + balance.held_tokens, (rule.tokens or 0) + balance.raised_tokens
        if rule.tokens is not None and used + tokens > allowed:
            room = max(allowed - used, 0)
            texts = (_amount(tokens, "tokens"), _amount(room, "tokens"), _amount(allowed, "tokens"))
            more_tokens = wanted_tokens(rule, used + tokens - allowed)
        spent, bound = balance.spent_nano + balance.held_nano, int((rule.usd or 0) * NANO) + balance.raised_nano
        if rule.usd is not None and spent + nano(usd) > bound:
            left = _usd(max(bound - spent, 0))
            texts = (_amount(usd, "USD"), _amount(left, "USD"), _amount(_usd(bound), "USD"))
            more_usd = wanted_usd(rule, _usd(spent + nano(usd) - bound))
        limits.append(
            Limit(
                budget=place.budget,
                level=place.level,
                subject=place.subject,
                period=place.period,
                at_limit=rule.at_limit,
                asked=texts[0],
                left=texts[1],
                limit=texts[2],
                ends_in_s=ends_in_s(rule.per, now_ns),
                raise_usd=more_usd,
                raise_tokens=more_tokens,
                raised=f"{balance.raised_nano} {balance.raised_tokens}",
            )
        )
    limits.sort(key=lambda limit: (AT_LIMIT.index(limit.at_limit), LEVELS.index(limit.level)))
    return limits


def _usd(value: int) -> Decimal:
    return Decimal(value) / NANO


def _shown(rule: Rule) -> dict[str, Any]:
    return {name: value for name, value in asdict(rule).items() if value is not None}


def _reservation(held: Held) -> Reservation:
    levels: Mapping[str, Level] = held.detail.get("levels", {})
    return Reservation(
        reservation_id=held.reservation_id,
        state=held.state,  # type: ignore[arg-type]  # the store knows these states alone
        usd=_usd(held.held_nano),
        tokens=held.held_tokens,
        output_tokens=held.detail.get("output_tokens"),
        spent_usd=_usd(held.spent_nano),
        spent_tokens=held.spent_tokens,
        late=held.late,
        purpose=held.purpose,
        places=tuple(
            Place(budget=budget, level=levels.get(budget, "system"), subject=subject, period=period)
            for budget, subject, period in held.accounts
        ),
    )


def _unknown(reservation_id: str) -> NotFound:
    return NotFound("there is no such reservation", got=reservation_id, fix="reservations are kept for 35 days")
