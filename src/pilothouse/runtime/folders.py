"""Where the runtime keeps what outlives a run."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

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
