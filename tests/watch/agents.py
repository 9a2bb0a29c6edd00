"""Real agents for tests that watch: ``python -m tests.watch.agents``, recorded by the recorder itself.

They take orders on stdin, one a line: ``tool NAME`` calls a tool, ``open NAME`` opens one that stays open, ``wait FOR``
waits, ``go`` ends what is open, ``end`` ends the run. Each is answered with a line on stdout: the trace's id.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pilothouse


@pilothouse.agent
def refunds(question: str) -> str:
    """Do what stdin says."""
    with contextlib.ExitStack() as open_:
        for line in _orders():
            what, _, name = line.partition(" ")
            if what == "tool":
                pilothouse.tool(name=name)(lambda: "done")()
            elif what == "open":
                open_.enter_context(pilothouse.span(name, kind="tool"))
            elif what == "wait":
                open_.enter_context(pilothouse.waiting(name, reason="refund of $900"))  # type: ignore[arg-type]
            elif what == "go":
                open_.close()
            elif what == "end":
                break
    return question


def _orders() -> Iterator[str]:
    """The orders as they come."""
    for line in sys.stdin:
        sys.stdout.write(f"{pilothouse.current_trace_id()}\n")
        sys.stdout.flush()
        yield line.strip()


if __name__ == "__main__":
    pilothouse.init(service="desk", environment="production", instrument=False, heartbeat_interval_s=1)
    refunds("Where is my order?")
