"""A policy that is read again when its file changes.

By itself nothing runs in the background: who asks for the policy pays for one ``stat`` a second at most. A server starts
a thread for it (:meth:`Watch.start`), which also makes what the policy says ready for use, so that no caller waits for
that. A new file that is wrong changes nothing but :attr:`Watch.error`: the policy before it stays in force, and says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pilothouse.records import NotFound, PilothouseError

from .file import Policy, find, load

LOG = logging.getLogger("pilothouse.policy")
Check = Callable[[Policy], None]

CHECK_S = 1.0


class Watch:
    """The policy of now. Safe to share between threads."""

    def __init__(
        self,
        locate: Callable[[], Path | None],
        *,
        check: Check | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._locate, self._check, self._clock = locate, check, clock
        self._lock = threading.Lock()
        self._due = clock() + CHECK_S
        self._stamp = self._stamped()
        self._ahead: list[Check] = []
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self.error: PilothouseError | None = None
        """What is wrong with the file as it is now; None: it is in force."""
        self._policy: Policy = load(self._stamp[0])
        if check is not None:
            check(self._policy)

    @property
    def policy(self) -> Policy:
        """The newest policy that could be read."""
        if self._thread is None and self._clock() >= self._due:
            self.refresh()
        return self._policy

    def ahead(self, prepare: Check) -> None:
        """Have each new policy prepared before it comes into force: by whoever found it, and no caller waits for it.

        ``prepare`` may raise what is wrong with a policy, which then does not come into force.
        """
        self._ahead.append(prepare)

    def start(self) -> None:
        """Look at the file in a thread of its own from now on; :meth:`stop` ends it."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._look, name="policy", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; who asks looks at the file again."""
        thread, self._thread = self._thread, None
        self._stopped.set()
        if thread is not None:
            thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(CHECK_S):
            try:
                self.refresh()
            except Exception:
                LOG.exception("the policy file could not be looked at; it is tried again")

    @property
    def path(self) -> Path | None:
        """Where the file is: also one that is wrong, or gone; None where there is none and never was."""
        try:
            found = self._locate()
        except PilothouseError:
            found = None
        return found or (Path(self._policy.path) if self._policy.path else None)

    def refresh(self) -> Policy:
        """Look at the file now, whenever it was looked at last."""
        with self._lock:
            self._due = self._clock() + CHECK_S
            try:
                stamp = self._stamped()
                if stamp == self._stamp:
                    self.error = None
                    return self._policy
                if stamp[0] is None:
                    # Editors take a file away for a moment; and no rule may go because a file got lost.
                    raise NotFound(
                        "the policy file is gone: what it said stays in force",
                        got=self._policy.path,
                        fix="put it back, or start again without it",
                    )
                fresh = load(stamp[0])
                if fresh.version != self._policy.version and self._check is not None:
                    self._check(fresh)
                for prepare in self._ahead:
                    prepare(fresh)
            except PilothouseError as error:
                # The stamp stays: the file is tried again at the next look, so that `error` goes away with its cause.
                self.error = error
                return self._policy
            self._stamp, self._policy, self.error = stamp, fresh, None
            return fresh

    def _stamped(self) -> tuple[Path | None, int, int, int]:
        path = self._locate()
        try:
            found = path.stat() if path is not None else None
        except OSError:
            found = None
        # The inode too: editors put a new file in the old one's place, sometimes with its time.
        return (path, 0, 0, 0) if found is None else (path, found.st_mtime_ns, found.st_size, found.st_ino)


def watch(
    path: Path | str | None = None,
    *,
    data_folder: Path | None = None,
    check: Check | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Watch:
    """Watch one file, or where no path is given whichever file :func:`find` finds, also one that is made later.

    ``check`` is called with each new policy, the first included, and raises what is wrong with it: a policy that it
    refuses does not come into force.

    Raises:
        BadRequest: the file is wrong now, at the start.
        NotFound: the file is not there at the start, though it was named.
    """
    named = None if path is None else Path(path)
    return Watch(lambda: named if named is not None else find(data_folder), check=check, clock=clock)
