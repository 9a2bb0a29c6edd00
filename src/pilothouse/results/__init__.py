"""Runs of suites as they were sent to the server: kept, listed, taken apart and compared."""

from .desk import Results
from .model import (
    Begun,
    CaseChange,
    CasePage,
    CaseResult,
    CaseShown,
    Compared,
    EvalRun,
    Group,
    Groups,
    Held,
    RunPage,
    SuiteRuns,
    Totals,
)

__all__ = [
    "Begun",
    "CaseChange",
    "CasePage",
    "CaseResult",
    "CaseShown",
    "Compared",
    "EvalRun",
    "Group",
    "Groups",
    "Held",
    "Results",
    "RunPage",
    "SuiteRuns",
    "Totals",
]
