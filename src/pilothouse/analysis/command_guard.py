"""Ends the commands of an analysis whose own process is gone.

Started before the first command, with a pipe to the process that runs them. A line ``+PID`` names a process group, ``-PID``
one that has ended. When the pipe closes, however that came about, what is left is killed; on Linux also everything whose
environment carries the marker it was given: a command that was started a moment before nobody was left to name it, and
what left its group. Standard library only, and imported by nobody: it starts in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

_ROUNDS_MAX = 20


def main() -> None:
    """Wait for the end of stdin."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        sign, pid = line[:1], line[1:].strip()
        if pid.isdigit():
            (groups.add if sign == "+" else groups.discard)(int(pid))
    for pid in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    marker = sys.argv[1].encode() if len(sys.argv) > 1 else b""
    for _ in range(_ROUNDS_MAX if marker else 0):
        # Again, until a look finds nothing: a process may have forked while the others were killed.
        found = _marked(marker)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            break
        time.sleep(0.02)


def _marked(marker: bytes) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208  # names are all that is needed, a few thousand times over
            if not name.isdigit() or int(name) == os.getpid():
                continue
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if marker in file.read():
                    found.append(int(name))
    return found


if __name__ == "__main__":
    main()
