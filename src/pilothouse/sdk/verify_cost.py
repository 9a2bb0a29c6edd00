"""What recording costs: measured in the agent's interpreter (``python -m``), and over whole runs with and without it."""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

CALLS: Final = 400
"""Tool calls in one round of the measurement inside the interpreter."""
ROUNDS: Final = 7
_TEXT: Final = "a word and another " * 54
"""About 1 kB: the argument and the result of each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A median of differences and between what it lies with 95 % confidence."""

    median: float
    low: float
    high: float


def median_interval(values: Sequence[float]) -> Interval:
    """The median with its distribution-free interval: the narrowest pair of ranks that holds it with at least 95 %.

    With fewer than six values no pair does, and the extremes are given.
    """
    ordered = sorted(values)
    count = len(ordered)
    rank = 0
    # Chance that the median lies outside the ranks (rank, count - rank): twice the binomial tail.
    while rank + 1 < count / 2 and 2 * sum(math.comb(count, k) for k in range(rank + 2)) / 2**count <= 0.05:
        rank += 1
    return Interval(median=statistics.median(ordered), low=ordered[rank], high=ordered[count - 1 - rank])


def measure() -> dict[str, float]:
    """Milliseconds of CPU to start the recorder, and microseconds of CPU for each recorded call with 1 kB in and out."""
    began = time.process_time()
    import pilothouse

    pilothouse.init(service="pilothouse-verify", instrument=False)
    startup_s = time.process_time() - began

    def work(text: str) -> str:
        return text

    recorded: Any = pilothouse.tool(work)
    costs: list[float] = []
    for _ in range(ROUNDS):
        with_s, without_s = _cpu_of(recorded), _cpu_of(work)
        costs.append((with_s - without_s) / CALLS)
        # Encoding and sending belong to the cost, and must not fall into the next round.
        began = time.process_time()
        pilothouse.flush(5)
        costs[-1] += (time.process_time() - began) / CALLS
    return {"startup_ms": startup_s * 1e3, "span_us": statistics.median(costs) * 1e6}


def _cpu_of(function: Any) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        function(_TEXT)
    return time.process_time() - began


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
