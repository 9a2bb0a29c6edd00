"""Three parts of a suite: what the model learns from, what a change must prove itself on, and what nobody looks at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pilothouse.records import BadRequest

SHARES: Final = (0.3, 0.4, 0.3)
"""Of training, validation, held out. Validation is the largest: each round has to prove something on it."""
CASES_MIN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Ids of cases, each in one part."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    held_out: tuple[str, ...]


def part(cases: Iterable[tuple[str, str]], *, seed: int) -> Parts:
    """Part cases, given as id and cluster; cases of one cluster stay together, and equal seeds part alike.

    Raises:
        BadRequest: there are too few.
    """
    groups: dict[str, list[str]] = {}
    total = 0
    for id, cluster in cases:
        groups.setdefault(f"cluster {cluster}" if cluster else f"case {id}", []).append(id)
        total += 1
    if total < CASES_MIN or len(groups) < 3:
        raise BadRequest(
            f"a suite of at least {CASES_MIN} cases, of three clusters, can be parted in three",
            got=f"{total} cases, {len(groups)} clusters", fix="pilothouse eval from-trace last-error --bad",
        )  # fmt: skip
    order = sorted(groups, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    found: list[list[str]] = [[], [], []]
    for name in order:
        # To the part that lacks most of its share.
        at = min(range(3), key=lambda n: len(found[n]) / SHARES[n])
        found[at] += groups[name]
    training, validation, held_out = (tuple(sorted(one)) for one in found)
    return Parts(training=training, validation=validation, held_out=held_out)
