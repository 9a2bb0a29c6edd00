"""Online evals: scorers over sampled production traces, within a cap on money. What asks judges is loaded when one runs."""

from .desk import DAYS_MAX, RETRIED, Online, check_days
from .model import (
    REASONS,
    Figures,
    OnlineOverview,
    OnlineScore,
    Retried,
    ScorerDay,
    ScorerReport,
    Switched,
    Tried,
    TriedUnit,
    Unscored,
)
from .rules import CHECKS, LEVELS, Scorer, read_online
from .sampling import chosen, place

__all__ = [
    "CHECKS",
    "DAYS_MAX",
    "LEVELS",
    "REASONS",
    "RETRIED",
    "Figures",
    "Online",
    "OnlineOverview",
    "OnlineScore",
    "Retried",
    "Scorer",
    "ScorerDay",
    "ScorerReport",
    "Switched",
    "Tried",
    "TriedUnit",
    "Unscored",
    "check_days",
    "chosen",
    "place",
    "read_online",
]
