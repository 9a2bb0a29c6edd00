"""What a person should label next: by turns an item of a random sample, and the one that tells the most.

The random sample is drawn by a hash of the item, which knows nothing of the verdict: rates of the judge's errors come from
it alone, and stay unbiased. The others are picked because the judge was unsure or contradicted: they teach where it errs,
and would make it look worse than it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
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

    def how(self, item: str) -> How:
        """How an item that is labelled now was come by: random only where it was next in the sample."""
        if self.random and self.random[0].item.id == item:
            return "random"
        return "informative" if self.informative and self.informative[0].item.id == item else "chosen"


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
    told = [(_telling(one, items, known), one) for one in drawn[sample:]]
    told.sort(key=lambda pair: (-pair[0][0], pair[1].id))
    return Queue(
        random=tuple(Queued(item=one, how="random") for one in drawn[:sample] if one.id not in mine),
        informative=tuple(
            Queued(item=one, how="informative", reasons=reasons) for (_, reasons), one in told if one.id not in mine
        ),
        labelled=sum(one.id in mine for one in items),
        total=len(items),
    )


def _telling(
    item: Item, items: Sequence[Item], known: Mapping[str, Mapping[str, Known]]
) -> tuple[float, tuple[str, ...]]:
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
    like = [one.known.outcome for one in items if one.case == item.case and one.criterion == item.criterion]
    if len(set(like)) > 1:
        weight += 1
        reasons.append("the judge says otherwise of other attempts at this case")
    others = {rows[item.id].outcome for judge, rows in known.items() if item.id in rows and judge != judged.judge}
    if others - {judged.outcome, "unscored"}:
        weight += 2
        reasons.append("another judge or version says otherwise")
    outcomes = Counter(one.known.outcome for one in items)
    if outcomes[judged.outcome] * 2 < len(items):
        weight += 0.5
        reasons.append(f"the judge seldom says {judged.outcome}")
    return weight, tuple(reasons)
