"""Statistics of evaluations: whether a change made things better or worse, and how far a judge can be believed.

Pure functions over numbers. Each module is imported by its name; `decide` and what it takes stand here.
"""

from importlib.util import find_spec

from pilothouse.records import BadRequest

if find_spec("scipy") is None:
    raise BadRequest(
        "statistics of evaluations need an extra", got="scipy is not installed", fix="pip install 'pilothouse[evals]'"
    )

from .agreement import JudgeRates
from .gates import Decision, Gate, Slice, compare_slices, decide_all
from .judged_verdict import decide_judged
from .model import Counts, Looks, Outcome, Pair, ScorePair, Verdict
from .score_verdict import decide_scores
from .verdict import decide, decide_counts

__all__ = [
    "Counts",
    "Decision",
    "Gate",
    "JudgeRates",
    "Looks",
    "Outcome",
    "Pair",
    "ScorePair",
    "Slice",
    "Verdict",
    "compare_slices",
    "decide",
    "decide_all",
    "decide_counts",
    "decide_judged",
    "decide_scores",
]
