"""The verbs of policies on a server: keep, check, try."""

from __future__ import annotations

import threading
import time

from pilothouse.budgets import Prices
from pilothouse.policy import Policy, Watch, read, refusal
from pilothouse.records import Overloaded
from pilothouse.store import TraceStore

from .keeping import Keeper
from .model import Bounds, Progress, Trial, no_progress
from .proposing import Proposals
from .trial import try_policy

TRIES_MAX = 2
"""Trials under way at once: each takes a share of a core and up to its bound of memory."""


class Policies:
    """The policy of a server: its versions, and what another one would do. Safe to share between threads."""

    def __init__(self, keeper: Keeper, watched: Watch, store: TraceStore, prices: Prices, proposals: Proposals) -> None:
        self.keeper, self.proposals = keeper, proposals
        self._watched, self._store, self._prices = watched, store, prices
        self._running = threading.BoundedSemaphore(TRIES_MAX)

    def in_force(self) -> Policy:
        """The policy in force."""
        return self._watched.policy

    def try_text(
        self,
        project: str,
        text: str,
        *,
        since_ns: int,
        until_ns: int | None = None,
        seed: int | None = None,
        bounds: Bounds | None = None,
        progress: Progress = no_progress,
    ) -> Trial:
        """What a proposed policy would have done with the traffic of a window.

        Raises:
            BadRequest: the text has problems, all of which are named.
            Overloaded: as many trials run already as may.
        """
        found = self.keeper.problems(text)
        if found:
            raise refusal(found)
        if not self._running.acquire(timeout=1):
            raise Overloaded(
                "other dry runs are under way", got=TRIES_MAX, fix="try again in a minute", retry_after_s=30
            )
        try:
            return try_policy(
                self._store,
                project,
                self._watched.policy,
                read(text),
                self._prices,
                since_ns=since_ns,
                until_ns=time.time_ns() if until_ns is None else until_ns,
                seed=seed,
                bounds=bounds,
                progress=progress,
            )
        finally:
            self._running.release()
