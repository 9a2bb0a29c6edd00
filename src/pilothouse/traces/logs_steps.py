"""Which step of a trace was at work at a moment, and whether one failed there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from pilothouse.store import TraceStore
from pilothouse.store.log_reads import span_moments
from pilothouse.store.trace_reads import Stretch

from .load import SPANS_MAX, depths_of, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step and when it was open."""

    span_id: str
    step: int
    depth: int
    start_ns: int
    end_ns: int
    label: str
    service: str
    failed: bool


class Steps:
    """The steps of a trace, to be asked about moments. ``failures`` are those that did not fail by one below alone."""

    def __init__(self, steps: Sequence[Step], failures: Sequence[Step]) -> None:
        self._steps = steps
        self._failures = failures
        self._by_id = {step.span_id: step for step in steps}
        self._services = {step.service for step in steps}
        self._courses: dict[str, tuple[list[int], list[Step | None]]] = {}

    @property
    def moments(self) -> tuple[int, ...]:
        """When steps failed: where they began and ended."""
        return tuple(moment for step in self._failures for moment in (step.start_ns, step.end_ns))

    def number(self, span_id: str) -> int:
        """The number of a step; 0 where the trace has no such span."""
        step = self._by_id.get(span_id)
        return step.step if step else 0

    def at(self, at_ns: int, *, service: str, span_id: str) -> Step | None:
        """The step a line belongs to: that of its span id, else the deepest open then, of its own service if any."""
        known = self._by_id.get(span_id)
        if known is not None:
            return known
        for name in (service, ""):
            if name in self._services or not name:
                times, steps = self._course(name)
                place = bisect_right(times, at_ns) - 1
                if place >= 0 and (found := steps[place]) is not None:
                    return found
        return None

    def failed_near(self, at_ns: int, allowance_ns: int, *, span_id: str) -> bool:
        """True where a step failed around a moment, or the very step of a line did."""
        known = self._by_id.get(span_id)
        if known is not None and known.failed:
            return True
        return any(step.start_ns - allowance_ns <= at_ns <= step.end_ns + allowance_ns for step in self._failures)

    def _course(self, service: str) -> tuple[list[int], list[Step | None]]:
        """From which moment on which step is the deepest open one, among those of a service or (empty) all."""
        if service not in self._courses:
            steps = [step for step in self._steps if not service or step.service == service]
            times = sorted({step.start_ns for step in steps} | {step.end_ns + 1 for step in steps})
            course: list[Step | None] = []
            open_steps: list[tuple[int, int, int]] = []
            following = 0
            for time_ns in times:
                while following < len(steps) and steps[following].start_ns <= time_ns:
                    heappush(open_steps, (-steps[following].depth, -steps[following].start_ns, following))
                    following += 1
                while open_steps and steps[open_steps[0][2]].end_ns < time_ns:
                    heappop(open_steps)
                course.append(steps[open_steps[0][2]] if open_steps else None)
            self._courses[service] = (times, course)
        return self._courses[service]


def read_steps(store: TraceStore, project: str, trace_id: str, stretch: Stretch) -> Steps:
    """The steps of a trace, at most 100,000."""
    return steps_of(span_moments(store, project, trace_id, stretch, limit=SPANS_MAX))


def steps_of(columns: Sequence[Sequence[Any]]) -> Steps:
    """The steps from the columns that ``span_moments`` gives."""
    numbers = number(columns[:3])
    parents = dict(zip(columns[0], columns[1], strict=True))
    depths = depths_of(parents)
    steps = [
        Step(
            span_id=span_id,
            step=numbers[span_id],
            depth=depths[span_id],
            start_ns=start_ns,
            end_ns=start_ns + duration_ns,
            label=label,
            service=service,
            failed=bool(failed),
        )
        for span_id, _, start_ns, duration_ns, label, service, failed in zip(*columns, strict=True)
    ]
    failed = {step.span_id for step in steps if step.failed}
    # A step that failed because one below it did tells of that one moment, not of its whole length.
    above = {parents.get(span_id, "") for span_id in failed}
    return Steps(steps, [step for step in steps if step.span_id in failed - above])
