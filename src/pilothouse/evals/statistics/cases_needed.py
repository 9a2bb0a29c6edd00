"""How many cases would decide, after a comparison that did not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .distributions import normal_quantile
from .model import Looks
from .paired_anytime import log_evidence
from .power import NEEDED_MAX, pairs_needed, unchanged_needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Counts of what the cases are worth, and what is asked of them."""

    regressed: float
    improved: float
    total: float
    margin: float
    alpha: float
    power: float
    looks: Looks

    @property
    def difference(self) -> float:
        return (self.improved - self.regressed) / self.total


def cases_needed(seen: Seen) -> int | None:
    """How many independent cases decide at the rates seen, by the kind of look that is meant."""
    unchanged = unchanged_needed(seen.margin, alpha=seen.alpha)
    if seen.looks == "anytime":
        return _needed_anytime(seen if seen.total else replace(seen, total=1.0))
    if not seen.total:
        return unchanged
    worse = seen.difference < -seen.margin
    needed = pairs_needed(
        min(1.0, (seen.regressed + seen.improved) / seen.total),
        seen.difference,
        margin=seen.margin,
        alpha=seen.alpha,
        power=seen.power,
        sides=2 if worse else 1,
    )
    if needed is None:
        return None
    if not worse:
        needed = max(needed, unchanged or 0)
    # The exact tests ask for a little more than the formula; what was not enough is not what is needed.
    return max(needed, math.floor(seen.total) + 1)


def _needed_anytime(seen: Seen) -> int | None:
    """The first number of cases at which evidence that falls out somewhat unluckily reaches the threshold."""
    enough = math.log(1 / seen.alpha)
    worse, better = seen.regressed / seen.total, seen.improved / seen.total
    spread = math.sqrt(max(0.0, worse + better - (worse - better) ** 2))
    unlucky = normal_quantile(seen.power)
    fails = seen.difference < -seen.margin

    def decided(n: float) -> bool:
        shift = unlucky * spread / math.sqrt(n) / 2
        b, c = (worse - shift, better + shift) if fails else (worse + shift, better - shift)
        b, c = max(0.0, b) * n, max(0.0, c) * n
        if b + c > n or ((b - c) / n <= seen.margin if fails else (b - c) / n >= seen.margin):
            return False
        if fails:
            return log_evidence(c, b, n, -seen.margin) >= math.log(2) + enough
        return log_evidence(b, c, n, seen.margin) >= enough

    n = max(1.0, seen.total)
    while not decided(n):
        n *= 1.05
        if n > NEEDED_MAX:
            return None
    return max(math.ceil(n), math.floor(seen.total) + 1)


def scaled(cases: int | None, effect: float) -> int | None:
    """Independent cases as cases that hang together."""
    if cases is None or cases * effect > NEEDED_MAX:
        return None
    return math.ceil(cases * effect - 1e-9)
