"""Three support traces, one of a session, and people who label them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from pilothouse import access
from pilothouse.queues import FoundTargets, Queue, Queues
from pilothouse.records import Actor, Target
from pilothouse.store import TraceStore
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.control_store import ControlStore, open_control
from tests.conftest import fresh_store
from tests.traces.support import support_trace, trace_id

_number = itertools.count(1)
SECOND = 1_000_000_000


def person(name: str, *, id: str = "") -> Actor:
    """Somebody who labels."""
    return Actor(id=id or f"key_{name}", name=name, kind="person")


BOT = Actor(id="key_bot", name="bot", kind="agent")


@dataclass
class Hand:
    """A clock that is moved by hand; each look at it is a nanosecond later."""

    ns: int = 1_790_000_000 * SECOND

    def now_ns(self) -> int:
        """The time."""
        self.ns += 1
        return self.ns

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.ns += int(seconds * SECOND)


@dataclass
class Room:
    """Stores with a project of its own, where people label."""

    store: TraceStore
    control: ControlStore
    project: str
    clock: Hand = field(default_factory=Hand)

    def of(self, who: str | Actor) -> Queues:
        """The queues as somebody sees them."""
        actor = person(who) if isinstance(who, str) else who
        return Queues(self.store, self.control, self.project, actor, self.clock)

    def queue(self, name: str, *, choices: tuple[str, ...] = (), items: int = 3, **fields: object) -> Queues:
        """A queue with the first traces in it, as ada sees it."""
        ada = self.of("ada")
        ada.make(Queue(name=name, question="Was it right?", **fields), choices=choices)  # type: ignore[arg-type]
        targets = tuple(Target(trace_id=trace_id(number)) for number in range(1, items + 1))
        ada.add(name, FoundTargets(targets=targets, how="random", reason="drawn", pool=items))
        return ada


@pytest.fixture(scope="module")
def stores(
    chdb_engine: ChdbEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TraceStore, ControlStore]]:
    """A trace store and a control store for a module."""
    control = open_control("", tmp_path_factory.mktemp("control"))
    control.migrate()
    for store in fresh_store(chdb_engine):
        yield store, control
    control.close()


@pytest.fixture
def room(stores: tuple[TraceStore, ControlStore]) -> Room:
    """A project that holds nothing but three traces."""
    store, control = stores
    project = access.create_project(control, f"queues {next(_number)}")
    for number in (1, 2, 3):
        support_trace(number, project=project, session="chat 1" if number == 3 else "").store(store)
    return Room(store=store, control=control, project=project)
