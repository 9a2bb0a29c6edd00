"""What may be spent: each budget with what is spent, held back and left, and when it runs out as things go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pilothouse.budgets import BudgetOverview, Per, Standing, ends_in_s, lasts_s, period_of
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit

ROWS = 200
_EARLY = Decimal("0.02")
"""Of a period that has hardly begun nothing is foretold."""
NEARLY = 0.9
_GONE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """One account: a budget of one name in one period."""

    standing: Standing
    level: str
    at_limit: str
    spent: float | None
    """Of the limit, 0 to 1; None: there is none any more. Of money and tokens, whichever is further."""
    held: float
    """The same of what is held back for calls under way."""
    ends_in_s: int | None
    """Until the period ends; None: it never does, or has ended."""
    runs_out_s: int | None
    """Until it is spent, as the period has gone so far; None: not in this period."""

    @property
    def full(self) -> bool:
        """Whether hardly anything is left."""
        return self.spent is not None and self.spent + self.held >= NEARLY


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetsPage(PageContext):
    """The budgets."""

    overview: BudgetOverview = field(metadata=told("the budgets, how they stand, and what retries and judges add"))
    rows: tuple[BudgetRow, ...] = field(metadata=told("one a budget, name and period; those that changed last first"))
    past: tuple[BudgetRow, ...] = field(metadata=told("the same of periods that are over"))


def gather(visit: Visit) -> BudgetsPage:
    """Read the budgets."""
    found = visit.reader.budgets(limit=ROWS)
    rows = [_row(found, one, visit.now_ns) for one in found.standing]
    return BudgetsPage(
        title="Budgets",
        command="pilothouse budgets",
        overview=found,
        rows=tuple(row for row in rows if _current(found, row.standing, visit.now_ns)),
        past=tuple(row for row in rows if not _current(found, row.standing, visit.now_ns)),
    )


def _row(found: BudgetOverview, one: Standing, now_ns: int) -> BudgetRow:
    rule = _rule(found, one.budget)
    spent, held = _shares(one)
    per: Per = rule.get("per", "ever")
    current = _current(found, one, now_ns)
    ends = ends_in_s(per, now_ns) if rule and current else None
    return BudgetRow(
        standing=one,
        level=rule.get("level", ""),
        at_limit=rule.get("at_limit", ""),
        spent=None if spent is None else float(spent),
        held=float(held),
        ends_in_s=ends,
        runs_out_s=None if ends is None else _runs_out_s(spent, lasts_s(per, now_ns), ends),
    )


def _current(found: BudgetOverview, one: Standing, now_ns: int) -> bool:
    rule = _rule(found, one.budget)
    return bool(rule) and one.period == period_of(rule.get("per", "ever"), now_ns, latest=one.period)


def _rule(found: BudgetOverview, name: str) -> Mapping[str, Any]:
    """A budget as the policy file has it now; empty where it is no longer there."""
    return next((rule for rule in found.rules if rule["name"] == name), _GONE)


def _shares(one: Standing) -> tuple[Decimal | None, Decimal]:
    """Spent and held back, of whichever bound is nearer."""
    found: list[tuple[Decimal, Decimal]] = []
    if one.usd:
        found.append((one.spent_usd / one.usd, one.held_usd / one.usd))
    if one.tokens:
        found.append((Decimal(one.spent_tokens) / one.tokens, Decimal(one.held_tokens) / one.tokens))
    return max(found, key=sum) if found else (None, Decimal(0))


def _runs_out_s(spent: Decimal | None, lasts: int | None, ends: int) -> int | None:
    """A straight line from the beginning of the period."""
    if spent is None or lasts is None or spent <= 0 or spent >= 1:
        return None
    gone = Decimal(lasts - ends)
    if gone / lasts < _EARLY:
        return None
    left = int(gone / spent * (1 - spent))
    return left if left < ends else None


BUDGETS = PageSpec(name="budgets", path="/budgets", context=BudgetsPage, gather=gather)
