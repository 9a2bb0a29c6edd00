"""What is usual for each agent, as the worker remembers it between two looks into the store."""

from __future__ import annotations

import time

from pilothouse.signals import NO_BASELINE, Baseline, Rulebook, Spread
from pilothouse.store import TraceStore
from pilothouse.store.baseline_reads import BASELINE_DAYS, canned_inputs, usual_rows

INTERVAL_S = 60.0
"""Pause between two looks at least."""
SHARE_OF_TIME = 0.005
"""A look may take this share of the worker's time: where it takes long, the next one comes later."""


class Baselines:
    """The baselines of all agents; those that are not known have none."""

    def __init__(self, store: TraceStore, rulebook: Rulebook) -> None:
        self._store = store
        of_agents = (entry.canned_traces for entry in rulebook.agents.values())
        self._canned_min = min([rulebook.everyone.canned_traces, *of_agents])
        self._known: dict[tuple[str, str], Baseline] = {}
        self._due = 0.0

    def of(self, project: str, agent: str) -> Baseline:
        """What is usual for an agent."""
        return self._known.get((project, agent), NO_BASELINE)

    def refresh_when_due(self, now_ns: int) -> None:
        """Look again, where the last look is long enough ago."""
        if time.monotonic() >= self._due:
            self.refresh(now_ns)

    def refresh(self, now_ns: int) -> None:
        """Look now."""
        began = time.monotonic()
        canned: dict[tuple[str, str], dict[str, int]] = {}
        for project, agent, digest, times in canned_inputs(self._store, now_ns, traces_min=self._canned_min):
            canned.setdefault((project, agent), {})[digest] = times
        known: dict[tuple[str, str], Baseline] = {}
        for row in usual_rows(self._store, now_ns):
            key = (row.project_id, row.agent)
            known[key] = Baseline(
                traces=row.finished,
                days=BASELINE_DAYS,
                seconds=Spread(low=row.seconds[0], middle=row.seconds[1], high=row.seconds[2]),
                # Quartiles of a few priced traces among many would say nothing of the rest.
                usd=Spread(low=row.usd[0], middle=row.usd[1], high=row.usd[2])
                if 2 * row.priced > row.finished
                else None,
                gap_s=row.gap_s,
                rooted=row.rooted,
                canned_counts=canned.pop(key, {}),
            )
        for key, counts in canned.items():
            known[key] = Baseline(canned_counts=counts)
        self._known = known
        took = time.monotonic() - began
        self._due = time.monotonic() + max(INTERVAL_S, took / SHARE_OF_TIME)
