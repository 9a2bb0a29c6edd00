"""An analysis on the server as a durable workflow: export, freeze, read, report.

The folder is the truth. Each step only brings it on, so a step that is run again after a crash finds what was done: the
export knows its watermark, the run its frozen items, each item its answer. Reading is one step over all items, because
their leases lie beside them in the folder and outlive any process; the step is repeated, no finished reading is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilothouse.analysis.ask import Ask
from pilothouse.analysis.shelf import Progress, Shelf
from pilothouse.jobs import StepContext, Work
from pilothouse.store import TraceStore

if TYPE_CHECKING:
    from pilothouse.analysis.drive import Drive
    from pilothouse.analysis.state import RunState

_LOOK_S = 1.0


class AnalysisWorkflow:
    """The function of the workflow ``analysis``, bound to a store and a data folder."""

    def __init__(self, store: Callable[[], TraceStore], data: Path) -> None:
        self._store = store
        self._shelf = Shelf(data)

    def run(self, work: Work, given: Any) -> dict[str, Any]:
        """Export, freeze, read, report."""
        one = _One(work, Ask(**given), self._store, self._shelf)
        exported = work.step("export", one.export)
        frozen = work.step("freeze", one.freeze)
        driven = work.step("read", one.read)
        reported = work.step("report", one.report)
        return {**exported, **frozen, **driven, **reported}


class _One:
    """One analysis while it is made."""

    def __init__(self, work: Work, ask: Ask, store: Callable[[], TraceStore], shelf: Shelf) -> None:
        self._work = work
        self._ask = ask
        self._store = store
        self._shelf = shelf
        self._folder = shelf.folder(work.project_id, work.run_id)

    def export(self, _: StepContext) -> dict[str, Any]:
        """The traces as files, in this process: no request, no copy."""
        from pilothouse.files.folder import ExportFolder
        from pilothouse.files.stream import stream

        self._tell(phase="export")
        self._folder.mkdir(parents=True, exist_ok=True)
        target = ExportFolder(self._folder / "export", self._ask.spec)
        complete, traces = False, 0
        try:
            while not complete:
                self._work.go_on()
                lines = stream(
                    self._store(), self._work.project_id, target.spec, after=target.watermark, now_ns=time.time_ns()
                )
                pulled = target.take(lines)
                complete, traces = pulled.complete, traces + pulled.traces
                self._tell(phase="export", traces=traces)
        finally:
            manifest = target.finish(complete=complete)
            target.close()
        traces = int(manifest["counts"]["traces"])
        self._tell(phase="freeze", traces=traces)
        return {"traces": traces}

    def freeze(self, _: StepContext) -> dict[str, Any]:
        """Which items are read; what can be counted is counted."""
        from pilothouse.analysis.export import Export
        from pilothouse.analysis.plan import begin, plan
        from pilothouse.analysis.playbook import load_playbook
        from pilothouse.analysis.profile import profile, write_profile

        export, ask = Export(self._folder / "export"), self._ask
        planned = plan(
            export, load_playbook(ask.playbook), worker=ask.worker, sample=ask.sample, seed=ask.seed, by=ask.by
        )
        write_profile(begin(export, planned), profile(export, planned))
        self._tell(phase="read", items=len(planned.items))
        return {"run": planned.id, "items": len(planned.items), "limits": list(planned.limits)}

    def read(self, _: StepContext) -> dict[str, Any]:
        """Every item, side by side, within the bounds."""
        from pilothouse.analysis.drive import Drive

        ask = self._ask
        drive = Drive(
            self._shelf.run_folder(self._work.project_id, self._work.run_id),
            concurrency=ask.concurrency,
            max_tokens=ask.max_tokens,
            max_usd=ask.max_usd,
            heard=self._heard,
        )
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(drive, ended), name="analysis-watch", daemon=True)
        watch.start()
        try:
            driven = drive.go()
        finally:
            ended.set()
            watch.join()
        self._work.go_on()
        state = driven.state
        self._heard(state, note=driven.blocked)
        return {
            "readings": len(state.jobs),
            "done": state.counts["done"],
            "blocked": state.counts["blocked"],
            "tokens": state.tokens,
            "usd": round(state.usd, 6),
            "note": driven.blocked,
        }

    def report(self, _: StepContext) -> dict[str, Any]:
        """Cohorts, claims, and the report."""
        from pilothouse.analysis.merge import merge

        self._tell(phase="report")
        merged = merge(self._shelf.run_folder(self._work.project_id, self._work.run_id))
        self._tell(phase="done")
        return {"findings": merged.findings, "dropped": merged.dropped, "small": merged.small}

    def _watch(self, drive: Drive, ended: threading.Event) -> None:
        while not ended.wait(_LOOK_S):
            if self._work.should_stop:
                drive.stop()
                return

    def _heard(self, state: RunState, note: str = "") -> None:
        counts = state.counts
        self._tell(
            phase="read",
            readings=len(state.jobs),
            done=counts["done"],
            blocked=counts["blocked"],
            tokens=state.tokens,
            usd=round(state.usd, 6),
            note=note,
        )

    def _tell(self, **changed: Any) -> None:
        before: Progress = self._shelf.progress(self._work.project_id, self._work.run_id)
        after = replace(before, **changed)
        if asdict(after) != asdict(before):
            self._shelf.set_progress(self._work.project_id, self._work.run_id, after)
