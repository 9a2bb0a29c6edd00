"""A case that was run several times: how often it passes, and whether it is stable, flaky, or not yet known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pilothouse.records import BadRequest

from .distributions import beta_tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """The attempts of one case."""

    passed: int
    attempts: int

    def __post_init__(self) -> None:
        if not 0 <= self.passed <= self.attempts:
            raise BadRequest(
                "no more attempts pass than are made",
                got=f"{self.passed} of {self.attempts}",
                fix="count both over the same attempts",
            )


def pass_hat_k(repeats: Sequence[Repeats], k: int) -> float:
    """pass^k: how probable it is that k attempts at a case all pass, on average over cases, without bias.

    C(passed, k) / C(attempts, k). The plug-in (passed / attempts)^k is too good: 9 of 10 make 0.35 of it at k = 10, where
    not once did ten attempts pass.

    Raises:
        BadRequest: a case has fewer than k attempts, or there is no case.
    """
    _check(repeats, k)
    return sum(math.comb(one.passed, k) / math.comb(one.attempts, k) for one in repeats) / len(repeats)


def pass_at_k(repeats: Sequence[Repeats], k: int) -> float:
    """pass@k: how probable it is that at least one of k attempts at a case passes, on average over cases, without bias."""
    _check(repeats, k)
    missed = (math.comb(one.attempts - one.passed, k) / math.comb(one.attempts, k) for one in repeats)
    return 1 - sum(missed) / len(repeats)


_STABLE: Final = 0.8
_CERTAINTY: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """What the attempts at a case say about it."""

    verdict: Literal["stable", "flaky", "undetermined"]
    passes: bool | None
    """Of a stable case: whether it passes. None for any other, since it is neither."""
    passing: float
    """The probability that at least the asked share of attempts passes."""
    failing: float
    """The probability that at least that share fails."""
    attempts: int


def stability(repeats: Repeats, *, share: float = _STABLE, certainty: float = _CERTAINTY) -> Stability:
    """Whether a case is stable or flaky, by evidence: what is not 95 % certain is undetermined.

    Stable is a case of which at least ``share`` of attempts pass, or fail; flaky is one in between. How probable each is
    follows from Jeffreys' Beta. 10 of 10 attempts, or 19 of 20, make it stable at 80 %; 9 of 10 do not.
    """
    if not 0.5 < share < 1:
        raise BadRequest("stable is a share of attempts above a half", got=share, fix="share=0.8")
    a, b = repeats.passed + 0.5, repeats.attempts - repeats.passed + 0.5
    passing, failing = beta_tail(share, a, b), 1 - beta_tail(1 - share, a, b)
    verdict: Literal["stable", "flaky", "undetermined"] = "undetermined"
    passes: bool | None = None
    if max(passing, failing) >= certainty:
        verdict, passes = "stable", passing > failing
    elif 1 - passing - failing >= certainty:
        verdict = "flaky"
    return Stability(verdict=verdict, passes=passes, passing=passing, failing=failing, attempts=repeats.attempts)


def settled(repeats: Repeats, *, share: float = _STABLE, certainty: float = _CERTAINTY) -> bool | None:
    """Whether the case passes, for a `Pair`: one attempt counts as it fell out, several only where they are stable."""
    if not repeats.attempts:
        return None
    if repeats.attempts == 1:
        return repeats.passed == 1
    return stability(repeats, share=share, certainty=certainty).passes


def _check(repeats: Sequence[Repeats], k: int) -> None:
    if not repeats:
        raise BadRequest("pass^k needs at least one case", got=0, fix="run a case")
    fewest = min(one.attempts for one in repeats)
    if not 1 <= k <= fewest:
        raise BadRequest("k lies between 1 and the fewest attempts at a case", got=k, allowed=f"1 to {fewest}", fix="run more attempts, or ask for a smaller k")  # fmt: skip
