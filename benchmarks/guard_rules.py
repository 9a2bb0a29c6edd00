"""Masking rules on one message of prose."""

from __future__ import annotations

import time
from statistics import median

from pilothouse.guards import masker

from .agent_load import Writer


def measure() -> float:
    """Median microseconds for 1 kB with every rule on."""
    text = Writer().text(1000)
    rules = masker(("secrets", "personal"))
    taken = []
    for _ in range(7):
        begun = time.perf_counter()
        for _ in range(5000):
            rules.mask(text)
        taken.append((time.perf_counter() - begun) / 5000 * 1e6)
    return median(taken)
