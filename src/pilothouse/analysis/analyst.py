"""The built-in analyst: reads a trace without any model. Two readers, which look at different things.

The first goes forward through what failed, by status and by body, and asks whether it was made good. The second goes
backward from how it ended (``second_analyst.py``). Where both say the same, that means something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .answers import Said
from .evidence import evidence
from .export import Export
from .failures import Failure, Step, TraceFacts, cause_of, read_trace
from .second_analyst import read_backward
from .task import Task
from .worker import WorkerFailed

SEVERE = {
    "no_answer": "it ended without a reply",
    "empty_output": "the final answer is empty",
    "truncated": "the final answer was cut off",
    "premature_finish": "the final answer announces, claims or leaves open what was not done",
    "loop": "the same call was made again and again with the same result",
    "ping_pong": "it went round in a circle of calls",
    "retry_storm": "a failing call was repeated at once, again and again",
    "context_overflow": "the input did not fit into the context window",
    "tool_not_found": "it called a tool that it was not offered",
    "died": "its process stopped without saying goodbye",
    "stalled": "it is open and nothing happens",
}
"""Signals that make a trace a problem by themselves, in the order in which they are believed."""


class Analyst:
    """Reads items as plain code. Its answers fit the schema of readings; a playbook with another one needs a worker."""

    def __init__(self, *, second: bool = False) -> None:
        self._second = second

    def __repr__(self) -> str:
        return f"Analyst(second={self._second})"

    def read(self, task: Task) -> Said:
        """Read one item."""
        if not task.playbook.reads_failures:
            raise WorkerFailed("the built-in analyst answers in the schema of readings only: name a worker")
        export = Export(task.export)
        marks = ",".join("?" * len(task.job.item.traces))
        found = export.query(f"SELECT * FROM traces WHERE trace_id IN ({marks})", task.job.item.traces)
        rows = {str(row["folder"]): row for row in found}
        traces = [read_trace(task.export, folder, rows.get(folder, {})) for folder in task.folders]
        readings = [(read_backward if self._second else read_forward)(trace, task.export) for trace in traces]
        return Said(answer=_together(readings))

    def stop(self) -> None:
        """Nothing to end: a reading takes milliseconds."""


def read_forward(trace: TraceFacts, export: Path) -> dict[str, Any]:
    """The first reading: the first failure that was not made good, else the worst signal, else nothing."""
    signals = [name for name in str(trace.row.get("signals") or "").split(",") if name]
    severe = [name for name in SEVERE if name in signals]
    open_failures = [failure for failure in trace.failures if not failure.recovered]
    blamed = open_failures[0] if open_failures else None
    if blamed is None and not severe and str(trace.row.get("status")) != "error":
        return _fine(trace, export)
    if blamed is None and trace.failures and (severe or str(trace.row.get("status")) == "error"):
        # Made good by itself, and it still ended badly: the last failure is the nearest to that end.
        blamed = trace.failures[-1]
    if blamed is not None:
        kind, guess = cause_of(blamed)
        again = sum(failure.text == blamed.text for failure in trace.failures)
        symptom = f"{blamed.step.component} failed at step {blamed.step.step}: {blamed.text}"
        if again > 1:
            symptom += f" ({again} times)"
        hard = blamed.how == "status" or str(trace.row.get("status")) == "error"
        return {
            "verdict": "problem",
            "first_bad_step": blamed.step.step,
            "component": blamed.step.component,
            "symptom": symptom[:400],
            "root_cause": f"{kind}: {guess}"[:800],
            "evidence": evidence(trace, export, [blamed, *[one for one in trace.failures if one is not blamed]]),
            "confidence": "high" if hard or len(open_failures) > 1 else "medium",
            "failures": failures_as_data(trace.failures),
        }
    step = _last_step(trace)
    reason = SEVERE.get(severe[0], "") if severe else "the trace failed, though none of its steps says why"
    return {
        "verdict": "problem",
        "first_bad_step": step.step if step is not None else "",
        "component": step.component if step is not None else "unknown",
        "symptom": f"{reason} ({', '.join(severe) or 'status error'})",
        "root_cause": f"{severe[0] if severe else 'failed'}: no step failed; how it ended is all there is to see",
        "evidence": evidence(trace, export, [], [step] if step is not None else []),
        "confidence": "low",
        "failures": failures_as_data(trace.failures),
    }


def _fine(trace: TraceFacts, export: Path) -> dict[str, Any]:
    made_good = len(trace.failures)
    return {
        "verdict": "ok",
        "first_bad_step": "",
        "component": "",
        "symptom": f"{made_good} failures, each made good later" if made_good else "",
        "root_cause": "",
        "evidence": evidence(trace, export, trace.failures),
        "confidence": "medium" if made_good or not trace.steps else "high",
        "failures": failures_as_data(trace.failures),
    }


def failures_as_data(failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """Failures as an answer lists them."""
    return [
        {
            "step": failure.step.step,
            "component": failure.step.component[:120],
            "text": failure.text,
            "recovered": failure.recovered,
        }
        for failure in failures[:100]
    ]


def _last_step(trace: TraceFacts) -> Step | None:
    for step in reversed(trace.steps):
        if step.kind in ("model", "tool"):
            return step
    return trace.steps[-1] if trace.steps else None


def _together(readings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One reading of a session out of those of its traces: the first that is a problem."""
    worst = next((one for one in readings if one["verdict"] == "problem"), readings[0])
    if len(readings) == 1:
        return dict(worst)
    failures = [failure for one in readings for failure in one.get("failures", ())]
    return {**worst, "failures": failures[:100]} if failures else dict(worst)
