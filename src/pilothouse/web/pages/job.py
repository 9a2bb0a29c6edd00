"""One durable run: what it was given, what it has done step by step, what it gave or why it failed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pilothouse.jobs import Run, Step
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit

STEPS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage(PageContext):
    """One durable run."""

    run: Run = field(metadata=told("the run, with its input and its result"))
    steps: tuple[Step, ...] = field(metadata=told("its recorded steps, oldest first, 500 at most"))

    @property
    def open(self) -> bool:
        """True while it can still be cancelled."""
        return self.run.state in ("queued", "running", "held")

    @property
    def given(self) -> str:
        """The input, to read."""
        return _shown(self.run.input)

    @property
    def gave(self) -> str:
        """The result, to read."""
        return _shown(self.run.result)


def _shown(value: object) -> str:
    return "" if value is None else json.dumps(value, indent=1, ensure_ascii=False)


def gather(visit: Visit) -> JobPage:
    """Read one run."""
    found = visit.reader.job(visit.parts["id"], limit=STEPS)
    return JobPage(
        title=f"{found.run.workflow} {found.run.run_id}",
        command=f"pilothouse jobs show {found.run.run_id}",
        run=found.run,
        steps=found.steps,
    )


JOB = PageSpec(name="job", path="/jobs/{id}", context=JobPage, gather=gather, nav="jobs")
