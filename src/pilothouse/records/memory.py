"""What an agent remembers of a user beyond a run, and where it has it from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

MemoryKind = Literal["fact", "note"]
"""``fact``: something about the user that holds; ``note``: something an agent wants to know next time."""
MEMORY_KINDS: tuple[MemoryKind, ...] = get_args(MemoryKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One thing that is remembered. Its text is data, whoever wrote it."""

    id: str
    user: str
    agent: str
    """Whose memory it is: another agent of the same user does not see it."""
    kind: MemoryKind
    text: str
    created_ns: int
    """When it was said first; said again it keeps its id and moves ``confirmed_ns``."""
    confirmed_ns: int
    run_id: str
    """The run it was last said in."""
    trace_id: str
    """The trace of that run; empty where nothing recorded."""
