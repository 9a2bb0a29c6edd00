"""How far two readers of the same items agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pilothouse.records.statistics import kappa, wilson

from .answers import Stored

_N_MIN = 20
"""Fewer items read twice bear no conclusion."""


def agreement(first: Sequence[Stored], second: Sequence[Stored], drawn: set[str]) -> dict[str, Any]:
    """Percent, interval and Cohen's kappa for each thing both readers say.

    ``drawn`` are the items that were read twice by lot: those alone stand for the run. The others were read twice
    because the first reader was unsure, and are counted apart.
    """
    by_item = {answer.job.item.id: answer for answer in second}
    pairs = [(one, by_item[one.job.item.id]) for one in first if one.job.item.id in by_item]
    lot = [pair for pair in pairs if pair[0].job.item.id in drawn]
    unsure = [pair for pair in pairs if pair[0].job.item.id not in drawn]
    return {
        "drawn": _of(lot),
        "unsure": _of(unsure),
        "enough": len(lot) >= _N_MIN,
        "same_worker": all(a.run.get("worker") == b.run.get("worker") for a, b in pairs),
    }


def _of(pairs: Sequence[tuple[Stored, Stored]]) -> dict[str, Any]:
    both_see = [(a, b) for a, b in pairs if _says(a, "verdict") == _says(b, "verdict") == "problem"]
    return {
        "n": len(pairs),
        "verdict": _measure(pairs, lambda one: _says(one, "verdict")),
        "component": _measure(both_see, lambda one: _says(one, "component")),
        "first_bad_step": _measure(both_see, lambda one: _says(one, "first_bad_step")),
    }


def _says(answer: Stored, name: str) -> str:
    return str(answer.answer.get(name, ""))


def _measure(pairs: Sequence[tuple[Stored, Stored]], says: Callable[[Stored], str]) -> dict[str, Any]:
    left, right = [says(a) for a, _ in pairs], [says(b) for _, b in pairs]
    agreed = sum(a == b for a, b in zip(left, right, strict=True))
    interval = wilson(agreed, len(pairs))
    value = kappa(left, right)
    return {
        "n": len(pairs),
        "agreed": agreed,
        "percent": round(100 * agreed / len(pairs), 1) if pairs else None,
        "interval": [round(100 * interval.low, 1), round(100 * interval.high, 1)],
        "kappa": None if value is None else round(value, 3),
    }
