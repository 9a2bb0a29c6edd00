"""Which sessions and traces are in a sample: by a hash of their id, so that each is always in or always out."""

from __future__ import annotations

import hashlib

_MOST = 1 << 64


def place(session_id: str, trace_id: str) -> float:
    """Where a trace lies between 0 and 1; all traces of a session lie where their session does.

    No scorer and no moment goes into it: what one scorer reads of a tenth, another reads too, and a sample of a tenth is
    part of a sample of a fifth.
    """
    name = f"session {session_id}" if session_id else f"trace {trace_id}"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / _MOST


def chosen(session_id: str, trace_id: str, share: float) -> bool:
    """Whether it is in a sample of this share."""
    return place(session_id, trace_id) < share
