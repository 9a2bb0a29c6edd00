"""Where the runtime keeps what outlives a run."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

from pilothouse.guards import Counts

from .plan_tools import PlanKeeper

VALUES: Final = "values"
"""The folder of large values, within the runtime's."""


def runtime_folder() -> Path:
    """Where the runtime keeps what outlives a run: ``PILOTHOUSE_RUNTIME``, else ``runtime`` in the data folder."""
    named = os.environ.get("PILOTHOUSE_RUNTIME")
    data = os.environ.get("PILOTHOUSE_DATA") or "~/.pilothouse"
    return Path(named).expanduser() if named else Path(data).expanduser() / "runtime"


@cache
def plans_at(folder: Path) -> PlanKeeper:
    """The plans of a folder, opened once a process."""
    from pilothouse.store.plan_store import plans_in

    return plans_in(folder)


@cache
def counts_at(folder: Path) -> Counts:
    """The counts of capped actions of a folder, opened once a process; processes share them."""
    from pilothouse.store.count_store import counts_of

    return counts_of("", folder)


class FolderCounts:
    """The counts of the runtime's folder, opened with the first action that has a cap."""

    def take(self, key: str, amount: int, *, at_most: int, period_s: int, now_s: float) -> bool:
        """Count an amount within the period of now, unless it would pass the most; says whether it was counted."""
        return counts_at(runtime_folder()).take(key, amount, at_most=at_most, period_s=period_s, now_s=now_s)
