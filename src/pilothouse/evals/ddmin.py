"""Delta debugging: the few of many pieces without which something is not shown any more.

Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002. Half of the pieces is left
out, then a quarter, and so on to single ones; where the rest still shows it, what was left out stays out. What is
returned is 1-minimal: no single piece of it can be left out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(pieces: Sequence[T]) -> Generator[list[T], bool, list[T]]:
    """Yields what to try; is sent whether that still shows it. All pieces together are known to.

    Whoever runs it may stop at any time: the last try that was answered with True is the best so far.
    """
    kept = list(pieces)
    if kept and (yield []):
        return []
    size = (len(kept) + 1) // 2
    while size:
        before = len(kept)
        # From the end: what was said last is nearest to what was decided, and what is early goes in large pieces.
        at = ((len(kept) - 1) // size) * size if kept else -1
        while at >= 0 and len(kept) > 1:
            rest = [*kept[:at], *kept[at + size :]]
            # All of them was tried at the beginning.
            if rest and (yield rest):
                kept = rest
            at -= size
        if size == 1 and len(kept) == before:
            break
        # One that goes may let others go: single pieces are tried until none does.
        size = size // 2 or 1
    return kept
