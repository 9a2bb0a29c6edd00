"""Two rates of cases that are not the same ones: one customer's and all others'."""

from __future__ import annotations

import numpy as np
from scipy import special

from pilothouse.records import BadRequest

from .distributions import Numbers

_HAIR = 1e-7


def fisher(hits: int, of: int, other_hits: int, other_of: int) -> float:
    """Fisher's exact test, two-sided: how probable a split at most as probable as this one is, were the rates equal.

    Raises:
        BadRequest: there are more hits than cases.
    """
    if not (0 <= hits <= of and 0 <= other_hits <= other_of):
        raise BadRequest(
            "a rate is a count of a number that is no smaller",
            got=f"{hits} of {of}, {other_hits} of {other_of}",
            fix="count both",
        )
    total = hits + other_hits
    ways = np.arange(max(0, total - other_of), min(of, total) + 1, dtype=np.float64)
    logs = _log_choose(of, ways) + _log_choose(other_of, total - ways)
    weights: Numbers = np.exp(logs - logs.max())
    seen = weights[hits - int(ways[0])]
    return min(1.0, float(weights[weights <= seen * (1 + _HAIR)].sum() / weights.sum()))


def _log_choose(of: float, taken: Numbers) -> Numbers:
    return special.gammaln(of + 1) - special.gammaln(taken + 1) - special.gammaln(of - taken + 1)
