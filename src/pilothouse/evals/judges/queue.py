"""What a person should label next: by turns an item of a random sample, and the one that tells the most.

The random sample is drawn by a hash of the item, which knows nothing of the verdict: rates of the judge's errors come from
it alone, and stay unbiased. The others are picked because the judge was unsure or contradicted: they teach where it errs,
and would make it look worse than it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .labels import How, Item, Known, Label

SAMPLE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """One item that waits for a person."""

    item: Item
    how: How
    reasons: tuple[str, ...] = ()
    """Why this one; empty for the random sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What is left to label for one person."""

    random: tuple[Queued, ...]
    informative: tuple[Queued, ...]
    labelled: int
    total: int

    @property
    def next(self) -> Queued | None:
        """By turns one of each; the random sample first."""
        turn = self.random if self.labelled % 2 == 0 or not self.informative else self.informative
        rest = turn or self.random or self.informative
        return rest[0] if rest else None

    def hows(self, labelled: Collection[str]) -> dict[str, How]:
        """How items that are labelled now were come by.

        Random are those that leave no gap in the sample: whoever picks among the sample has not drawn one.
        """
        found: dict[str, How] = dict.fromkeys(labelled, "chosen")
        for place in self.informative[:1]:
            if place.item.id in found:
                found[place.item.id] = "informative"
        for place in self.random:
            if place.item.id not in found:
                break
            found[place.item.id] = "random"
        return found


def queue(
    items: Sequence[Item],
    labels: Sequence[Label],
    known: Mapping[str, Mapping[str, Known]],
    *,
    who: str,
    sample: int = SAMPLE,
) -> Queue:
    """The queue of one person over what judges said in a run."""
    mine = {one.item for one in labels if one.who == who}
    drawn = sorted(items, key=lambda one: hashlib.sha256(f"sample:{one.id}".encode()).digest())
    usual = _Usual(
        outcomes=Counter(one.known.outcome for one in items),
        by_case=Counter({key: len(said) for key, said in _said_of(items).items()}),
    )
    told = [(_telling(one, usual, known), one) for one in drawn[sample:]]
    told.sort(key=lambda pair: (-pair[0][0], pair[1].id))
    return Queue(
        random=tuple(Queued(item=one, how="random") for one in drawn[:sample] if one.id not in mine),
        informative=tuple(
            Queued(item=one, how="informative", reasons=reasons) for (_, reasons), one in told if one.id not in mine
        ),
        labelled=sum(one.id in mine for one in items),
        total=len(items),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usual:
    """What the judge says in this run altogether."""

    outcomes: Counter[str]
    by_case: Counter[tuple[str, str]]
    """How many different things it says of the attempts at one case."""


def _said_of(items: Sequence[Item]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for one in items:
        found.setdefault((one.case, one.criterion), set()).add(one.known.outcome)
    return found


def _telling(item: Item, usual: _Usual, known: Mapping[str, Mapping[str, Known]]) -> tuple[float, tuple[str, ...]]:
    """How much a label of this item would tell, and why."""
    weight, reasons = 0.0, list[str]()
    judged = item.known
    if judged.samples:
        mean = sum(judged.samples) / len(judged.samples)
        unsure = 1 - abs(2 * mean - 1)
        if unsure > 0:
            weight += 2 * unsure
            reasons.append(f"the judge's samples or score are near the middle ({mean:.2f})")
    if item.checks_pass is not None and item.checks_pass != (judged.outcome == "pass"):
        weight += 1
        reasons.append("checks and judge contradict each other")
    if usual.by_case[item.case, item.criterion] > 1:
        weight += 1
        reasons.append("the judge says otherwise of other attempts at this case")
    others = {rows[item.id].outcome for judge, rows in known.items() if item.id in rows and judge != judged.judge}
    if others - {judged.outcome, "unscored"}:
        weight += 2
        reasons.append("another judge or version says otherwise")
    if usual.outcomes[judged.outcome] * 2 < usual.outcomes.total():
        weight += 0.5
        reasons.append(f"the judge seldom says {judged.outcome}")
    return weight, tuple(reasons)
