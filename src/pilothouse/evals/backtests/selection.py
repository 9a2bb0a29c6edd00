"""What of history is taken: sessions or traces with their customer, week and release; and samples of them.

A sample is drawn by a hash over seed and id: the same question draws the same sessions, whatever came in between.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from pilothouse.records import BadRequest

Unit = Literal["session", "trace", "decision"]
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)
TAKEN_MAX: Final = 20_000
"""Sessions of one backtest."""
UNKNOWN: Final = "unknown"
"""The customer, week or release of what does not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """One session, or one trace that belongs to none or is taken by itself."""

    id: str
    kind: Literal["session", "trace"]
    trace: str
    """The newest of its traces that fit the question."""
    start: str
    """When that began, ISO 8601."""
    status: str = ""
    """``error`` where any of its traces that fit failed."""
    customer: str = ""
    release: str = ""

    @property
    def week(self) -> str:
        """The ISO week it began in."""
        return week_of(self.start)


def week_of(moment: str) -> str:
    """The ISO week of a moment, as ``2026-W48``; empty where it is none."""
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return ""
    year, week, _ = (at if at.tzinfo is None else at.astimezone(UTC)).isocalendar()
    return f"{year}-W{week:02d}"


def sample(rows: Sequence[Selected], wanted: int, *, seed: int, by_customer: bool = False) -> list[Selected]:
    """So many of the rows, or all where 0 are wanted, in the order of the draw.

    ``by_customer``: each customer has the same share of the sample as of the rows, so that rates need no weights.

    Raises:
        BadRequest: more would be taken than one backtest may.
    """
    drawn = sorted(rows, key=lambda one: hashlib.sha256(f"{seed} {one.id}".encode("utf-8", "replace")).digest())
    wanted = wanted or len(drawn)
    if min(wanted, len(drawn)) > TAKEN_MAX:
        raise BadRequest(
            f"a backtest takes at most {TAKEN_MAX:,} sessions", got=f"{len(drawn):,}", fix=f"--sample {TAKEN_MAX}"
        )
    if not by_customer or wanted >= len(drawn):
        return drawn[:wanted]
    left = _shares(Counter(one.customer for one in drawn), wanted)
    taken: list[Selected] = []
    for one in drawn:
        if left[one.customer]:
            left[one.customer] -= 1
            taken.append(one)
    return taken


def _shares(counts: Counter[str], wanted: int) -> dict[str, int]:
    """How many each has of so many, by its largest remainder."""
    total = sum(counts.values())
    exact = {name: count * wanted / total for name, count in counts.items()}
    found = {name: int(share) for name, share in exact.items()}
    rest = sorted(exact, key=lambda name: (found[name] - exact[name], name))
    for name in rest[: wanted - sum(found.values())]:
        found[name] += 1
    return found


def by_name(names: Iterable[str]) -> list[dict[str, object]]:
    """How often each name is there, the most frequent first."""
    counts = Counter(name or UNKNOWN for name in names)
    return [{"name": name, "count": count} for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]
