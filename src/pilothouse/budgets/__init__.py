"""What may be spent: held back at worst case before a call, settled after, never a cent over under concurrency."""

from __future__ import annotations

from .model import PURPOSES, Ask, BudgetOverview, Limit, OverBudget, Place, Purpose, PurposeSum, Reservation, Standing
from .periods import ends_in_s, lasts_s, period_of
from .raising import Asked, RaiseIt, Raiser, sentence
from .rules import AT_LIMIT, LEVELS, NOBODY, PERIODS, PRECEDENCE, AtLimit, Level, Per, Rule, applying, read_budgets
from .spending import Budgets
from .worst_case import OUTPUT_TOKENS_DEFAULT, Prices, worst_case

__all__ = [
    "AT_LIMIT",
    "LEVELS",
    "NOBODY",
    "OUTPUT_TOKENS_DEFAULT",
    "PERIODS",
    "PRECEDENCE",
    "PURPOSES",
    "Ask",
    "Asked",
    "AtLimit",
    "BudgetOverview",
    "Budgets",
    "Level",
    "Limit",
    "OverBudget",
    "Per",
    "Place",
    "Prices",
    "Purpose",
    "PurposeSum",
    "RaiseIt",
    "Raiser",
    "Reservation",
    "Rule",
    "Standing",
    "applying",
    "ends_in_s",
    "lasts_s",
    "period_of",
    "read_budgets",
    "sentence",
    "worst_case",
]
