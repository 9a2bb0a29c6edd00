"""Paused runs that wait for an approval: noted in a folder, and gone on with once somebody has decided.

A note is a small file, written before the run pauses and taken away once it has gone on. Whoever works for the folder
looks at the notes now and then: no process, thread or connection belongs to a run that waits.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilothouse.records import BadRequest, NotFound, PilothouseError

from .approval_desk import ApprovalDesk
from .approval_gate import TASK_PREFIX

if TYPE_CHECKING:
    from .durable_runs import DurableRuns

LOG = logging.getLogger("pilothouse")
LOOK_EVERY_S: Final = 1.0
_GOES_ON: Final = ("queued", "running", "held")


class ApprovalWaits:
    """The notes of one folder."""

    def __init__(self, folder: Path, desk: ApprovalDesk, *, every_s: float = LOOK_EVERY_S) -> None:
        self._folder, self._desk, self._every_s = folder, desk, every_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, run_id: str, approval_id: str) -> None:
        """Note that a run is about to wait; the same again changes nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', approval_id)}.json"
        temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"run_id": run_id, "approval_id": approval_id}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)

    def look(self, runs: DurableRuns) -> int:
        """Go on with the runs whose approvals are decided, or whose reviewers ask something; how many those were."""
        gone_on = 0
        for place in sorted(self._folder.glob("*.json")):
            try:
                note: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
                gone_on += self._look_at(runs, place, note["run_id"], note["approval_id"])
            except PilothouseError as error:
                LOG.info("a run that waits could not be looked at: %s", error.message)
            except (OSError, ValueError, KeyError):
                # Another worker took it away in between; or it is none of ours.
                continue
        return gone_on

    def _look_at(self, runs: DurableRuns, place: Path, run_id: str, approval_id: str) -> bool:
        try:
            run = runs.show(run_id)
        except NotFound:
            return False
        if run.state in _GOES_ON:
            return False
        if run.state != "paused" or f"{TASK_PREFIX}{approval_id}" not in run.tasks:
            place.unlink(missing_ok=True)
            return False
        found = self._desk.find(approval_id)
        if found.state in ("reserved", "unknown") or (found.open and not found.question):
            return False
        with contextlib.suppress(BadRequest):  # another worker was quicker
            runs.answer(run_id, tasks={f"{TASK_PREFIX}{approval_id}": f"{found.state} {found.question}".strip()})
        return True

    def start(self, runs: DurableRuns) -> None:
        """Look now and then, until :meth:`stop`."""

        def work() -> None:
            while not self._stopped.wait(self._every_s):
                try:
                    self.look(runs)
                except Exception:
                    LOG.exception("runs that wait for approvals could not be looked at; it is tried again")

        self._thread = threading.Thread(target=work, name="approvals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
