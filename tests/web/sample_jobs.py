"""Durable runs in each state, for pages."""

from __future__ import annotations

from pilothouse.jobs import STATES, Run, Step
from pilothouse.records import iso

from .sample import NOW_NS

_MINUTE = 60_000_000_000
_ERRORS = {
    "failed": "the model said no: <script>alert('run')</script> \x1b[31m401 wrong key\x1b[0m " + "and again " * 30,
    "held": "the worker's release 0.1.0 does not know analysis.v2; a newer worker takes it over",
    "cancelled": "cancelled",
}


def sample_runs() -> list[Run]:
    """Sixty runs, newest first."""
    return [_run(number) for number in range(60)]


def _run(number: int) -> Run:
    state = STATES[number % len(STATES)]
    created = NOW_NS - number * 7 * _MINUTE
    return Run(
        run_id=f"run_01m8j5mrwwx9r99e{number:04d}",
        workflow="analysis",
        version=1,
        state=state,
        project_id="prj_1",
        queue="analysis",
        created=iso(created),
        started="" if state == "queued" else iso(created + _MINUTE),
        ended=iso(created + 3 * _MINUTE) if state in ("succeeded", "failed", "cancelled") else "",
        worker="" if state == "queued" else "worker_01m8j5mqjb4mra07kk6q",
        attempts=0 if state == "queued" else 1 + number % 3,
        steps=0 if state == "queued" else number * 37,
        error=_ERRORS.get(state, ""),
        parent="run_01m8j5mrwwx9r99e0001" if number % 5 == 4 else "",
        input={"playbook": "triage", "filter": "status:error"},
        result={"items": 200, "report": "report.md"} if state == "succeeded" else None,
    )


def sample_steps(run: Run) -> tuple[Step, ...]:
    """The steps of a run."""
    words = ("export", "freeze", "read", "report")
    return tuple(
        Step(
            number=number + 1,
            name=words[min(number, 3)],
            started=iso(NOW_NS - _MINUTE),
            ended=iso(NOW_NS),
            error=run.error if run.state == "failed" and number == 3 else "",
            output='{"traces": 200}',
        )
        for number in range(min(run.steps, 40))
    )
