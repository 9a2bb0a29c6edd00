"""A log in SQLite and a trace store, with what a test needs to write to them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pilothouse import access
from pilothouse.annotations import Change, Undone, Written, of_traces, undo, write
from pilothouse.records import Actor, Annotation, Target
from pilothouse.store import TraceStore
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.control_store import ControlStore, open_control
from tests.conftest import fresh_store
from tests.traces.support import trace_id

ADA = Actor(id="key_ada", name="ada", kind="person")
BOT = Actor(id="key_bot", name="triage bot", kind="agent")
_clock = itertools.count(1_790_000_000_000_000_000)


def next_moment() -> int:
    """The next nanosecond of the clock."""
    return next(_clock)


@dataclass
class Desk:
    """Writes with a clock that goes on by one nanosecond a write."""

    store: TraceStore
    control: ControlStore
    project: str
    trace: str = field(default_factory=lambda: trace_id(1))

    def write(self, *changes: Change, run: str = "", actor: Actor = ADA, **more: Any) -> Written:
        """Write as an actor."""
        now = next(_clock)
        return write(self.store, self.control, self.project, changes, actor=actor, run=run, now_ns=now, **more)

    def undo(self, run: str, *, actor: Actor = ADA, **more: Any) -> Undone:
        """Take a run back."""
        return undo(self.store, self.control, self.project, run, actor=actor, now_ns=next(_clock), **more)

    def note(self, text: str, **more: Any) -> Change:
        """A note on the trace."""
        return Change(kind="note", target=self.target, text=text, **more)

    def score(self, name: str, value: float | None = None, **more: Any) -> Change:
        """A score on the trace."""
        return Change(kind="score", target=self.target, name=name, value=value, **more)

    def label(self, name: str, **more: Any) -> Change:
        """A label on the trace."""
        return Change(kind="label", target=self.target, name=name, **more)

    @property
    def target(self) -> Target:
        """The trace."""
        return Target(trace_id=self.trace)

    def shown(self) -> list[Annotation]:
        """What readers see on the trace."""
        return of_traces(self.store, self.project, [self.trace])

    def said(self) -> list[tuple[Any, ...]]:
        """The same without ids, stamps and times, sorted."""
        return sorted((one.kind, one.name, one.value, one.label, one.text) for one in self.shown())


@pytest.fixture(scope="module")
def module_desk(chdb_engine: ChdbEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One store and one log for a module: making tables takes longer than most tests."""
    for store in fresh_store(chdb_engine):
        yield from a_desk(tmp_path_factory.mktemp("log"), store)


@pytest.fixture
def desk(module_desk: Desk) -> Desk:
    """An empty project on the embedded engine."""
    return of_a_new_project(module_desk)


@pytest.fixture
def any_desk(tmp_path: Path, any_store: TraceStore) -> Iterator[Desk]:
    """A project on each engine in turn."""
    yield from a_desk(tmp_path, any_store)


def a_desk(folder: Path, store: TraceStore) -> Iterator[Desk]:
    """A desk over a trace store and a log in SQLite."""
    control = open_control("", folder)
    control.migrate()
    yield of_a_new_project(Desk(store=store, control=control, project=""))
    control.close()


def of_a_new_project(desk: Desk) -> Desk:
    """The same stores with a project that holds nothing."""
    project = access.create_project(desk.control, f"test {next(_clock)}")
    return Desk(store=desk.store, control=desk.control, project=project)
