"""How many cases it takes: before a run, and after one that could not decide."""

from __future__ import annotations

import math
from typing import Final

from pilothouse.records import BadRequest

from .distributions import normal_quantile

NEEDED_MAX: Final = 1_000_000
"""Beyond this many cases the answer is: no number that anybody would run."""


def pairs_needed(
    discordant: float,
    difference: float,
    *,
    margin: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: int = 2,
) -> int | None:
    """How many paired cases tell a difference from a loss of ``margin`` (Connor 1987; at a margin of 0, for McNemar's test).

    ``discordant`` is the share of cases on which the versions disagree. None where the difference lies at the margin, or
    where it takes more than a million.
    """
    _check(alpha=alpha, power=power)
    if not abs(difference) <= discordant <= 1:
        raise BadRequest(
            "versions disagree at least as often as they differ on the whole",
            got=f"discordant {discordant:g}, difference {difference:g}",
            fix="give both as shares of all cases",
        )
    effect = abs(difference + margin)
    if not effect:
        return None
    z_alpha, z_beta = normal_quantile(1 - alpha / sides), normal_quantile(power)
    at_margin = math.sqrt(max(0.0, discordant - margin**2))
    as_seen = math.sqrt(max(0.0, discordant - difference**2))
    return _whole(((z_alpha * at_margin + z_beta * as_seen) / effect) ** 2)


def unchanged_needed(margin: float, *, alpha: float = 0.05) -> int | None:
    """How many cases, none of which changes, show that less than ``margin`` is lost: (1 − margin)ⁿ < α."""
    if not 0 < margin < 1:
        return None
    return _whole(math.log(alpha) / math.log1p(-margin))


def means_needed(
    between: float,
    within_a: float,
    within_b: float,
    difference: float,
    *,
    repeats_a: float = 1,
    repeats_b: float = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int | None:
    """How many paired cases show a difference of mean scores (Miller 2024, eq. 9).

    Args:
        between: variance of the difference between cases, were each scored without noise.
        within_a: variance of a score on one case between repeats of version A.
        within_b: the same of version B.
        difference: the smallest one worth finding.
        repeats_a: how often A runs each case; infinite is allowed.
        repeats_b: how often B does.
        alpha: false alarms accepted, two-sided.
        power: how surely it is to be found.
    """
    _check(alpha=alpha, power=power)
    if not difference:
        return None
    variance = between + within_a / repeats_a + within_b / repeats_b
    return _whole((normal_quantile(1 - alpha / 2) + normal_quantile(power)) ** 2 * variance / difference**2)


def rates_needed(rate: float, difference: float, *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """How many cases for each of two versions that do not share them, for a difference of two pass rates."""
    _check(alpha=alpha, power=power)
    other = rate + difference
    if not (0 <= rate <= 1 and 0 <= other <= 1):
        raise BadRequest("rates lie between 0 and 1", got=f"{rate:g} and {other:g}", fix="give shares, not percent")
    if not difference:
        return None
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return _whole(z**2 * (rate * (1 - rate) + other * (1 - other)) / difference**2)


def _whole(cases: float) -> int | None:
    # A hair below, so that a value that is whole but for its last bits is not one case more.
    return math.ceil(cases - 1e-9) if cases <= NEEDED_MAX else None


def _check(*, alpha: float, power: float) -> None:
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise BadRequest(
                f"{name} lies between 0 and 1", got=value, fix=f"{name}=0.05" if name == "alpha" else "power=0.8"
            )
