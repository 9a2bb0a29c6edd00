"""Which processes go first where there are fewer cores than work."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_LOWER: Final = 5
"""A third of what a process beside it gets on a core that is short: a caller that comes goes first, and storing still goes
on where callers never pause. Ten lower it would get a tenth and fall behind; Linux's idle class, nothing at all."""


def give_way(lower: int = _LOWER) -> None:
    """Let other processes go first from now on: for what nobody waits for, after it has started.

    A core with nothing better to do still works for this one as before. Once is for good: a process may lower itself, and
    only an administrator may raise it again.
    """
    if not hasattr(os, "setpriority"):
        return
    wanted = os.getpriority(os.PRIO_PROCESS, 0) + lower
    lowered: set[int] = set()
    while threads := _threads() - lowered:
        for thread in threads:
            # A thread that has ended meanwhile needs none.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, wanted)
        lowered |= threads


def _threads() -> set[int]:
    """Linux keeps a priority for each thread, and those to come take after the one that makes them; elsewhere 0, for all."""
    listed = Path("/proc/self/task")
    return {int(path.name) for path in listed.iterdir()} if listed.is_dir() else {0}
