"""Which traces are judged when, by which thresholds, and against what is usual."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.costs import context_window
from pilothouse.records import Signal
from pilothouse.signals import Pulse, Rulebook, detect, expects_more
from pilothouse.store import TraceStore

from .baselines import Baselines
from .trace_state import Fact, TraceState

OFTEN_SPANS = 300
"""A trace of up to so many spans is judged with every batch that brings some of it."""
GROWTH = 0.1
"""A larger one is judged when it has grown by a tenth or has ended: the work stays in proportion to its spans."""


class Pulses:
    """The last heartbeat of each process, by process and by the traces it works on."""

    def __init__(self, *, processes_max: int = 10_000) -> None:
        self._processes_max = processes_max
        self._traces: dict[tuple[str, str], set[str]] = {}
        self._by_trace: dict[tuple[str, str], tuple[str, Pulse]] = {}
        self._last: dict[tuple[str, str], int] = {}

    def hear(
        self, project: str, instance: str, pulse: Pulse, open_by_trace: dict[str, list[tuple[str, str]]]
    ) -> list[str]:
        """Take a heartbeat in: what it says of every trace. Gives the traces it tells something of.

        ``open_by_trace`` holds, by trace, the open spans' ids and what each waits for.
        """
        process = (project, instance)
        if pulse.last_ns < self._last.get(process, 0):
            # What the store remembers may be older than what was heard.
            return []
        self._last[process] = pulse.last_ns
        named = set(open_by_trace)
        before = self._traces.get(process, set())
        for trace_id in named | before:
            open_spans = open_by_trace.get(trace_id, [])
            waits = next((wait for _, wait in reversed(open_spans) if wait), "")
            told = Pulse(
                last_ns=pulse.last_ns,
                interval_s=pulse.interval_s,
                said_goodbye=pulse.said_goodbye,
                waiting_for=waits,
                open_spans=tuple(span_id for span_id, _ in open_spans),
            )
            if trace_id in named:
                self._by_trace[(project, trace_id)] = (instance, told)
            elif self._by_trace.get((project, trace_id), ("",))[0] == instance:
                # No span of it is open there any more: this process has no more to say of it.
                del self._by_trace[(project, trace_id)]
        self._traces[process] = named
        if not named:
            del self._traces[process]
        while len(self._last) > self._processes_max:
            self._last.pop(next(iter(self._last)))
        while len(self._traces) > self._processes_max:
            oldest = next(iter(self._traces))
            for trace_id in self._traces.pop(oldest):
                self._by_trace.pop((oldest[0], trace_id), None)
        return list(named | before)

    def of(self, project: str, trace_id: str) -> Pulse | None:
        """The heartbeat of whoever works on a trace; None where none does or none tells."""
        found = self._by_trace.get((project, trace_id))
        return found[1] if found is not None else None


class Judge:
    """Looks for what is wrong with traces."""

    def __init__(self, store: TraceStore, rulebook: Rulebook | None = None) -> None:
        self.rulebook = rulebook or Rulebook()
        self.baselines = Baselines(store, self.rulebook)
        self.pulses = Pulses()

    def judge(
        self, state: TraceState, facts: Sequence[Fact], *, agent: str, open_: bool, now_ns: int
    ) -> tuple[Signal, ...]:
        """What is wrong with a trace, as far as it has arrived. ``facts`` are in order of their start."""
        open_ = open_ and not state.settled
        spans = len(facts)
        if spans > OFTEN_SPANS and state.judged_open == open_ and state.fresh < spans * GROWTH:
            return state.signals
        state.fresh, state.judged_open = 0, open_
        state.signals = detect(
            facts,
            self.rulebook.of(agent),
            self.baselines.of(state.project_id, agent),
            now_ns=now_ns,
            open_=open_,
            received_ns=state.received_ns,
            pulse=self.pulses.of(state.project_id, state.trace_id) if open_ else None,
            window_of=_window,
            by_id=state.facts,
        )
        return state.signals

    def expects_more(self, state: TraceState, facts: Sequence[Fact], *, agent: str) -> bool:
        """True where an open trace is plainly at work, rather than one whose root will never be sent."""
        return expects_more(
            facts,
            self.rulebook.of(agent),
            self.baselines.of(state.project_id, agent),
            pulse=self.pulses.of(state.project_id, state.trace_id),
            by_id=state.facts,
        )


def _window(provider: str, model: str) -> int:
    return context_window(model, provider) or 0
