"""A real store, real ledgers, a scripted model as the judge's; rounds are run by hand, with a clock of the test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pilothouse.access import create_project
from pilothouse.annotations import of_session, of_traces
from pilothouse.online import Scorer, read_online
from pilothouse.online.rounds import Rounds
from pilothouse.online.scoring import Means
from pilothouse.records import Annotation
from pilothouse.store import TraceStore
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.control_store import ControlStore, open_control
from pilothouse.store.online_store import OnlineStore, online_of
from pilothouse.testing.model_server import ModelServer
from pilothouse.testing.script import Script
from tests.conftest import fresh_store
from tests.traces.support import NOW_NS, TraceBuilder, support_trace

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
PASS = json.dumps({"reason": "it says who decides", "verdict": "pass"})
FAIL = json.dumps({"reason": "the order is the wrong one", "verdict": "fail"})


@dataclass
class Bench:
    """What the tests turn the handle of."""

    store: TraceStore
    control: ControlStore
    kept: OnlineStore
    folder: Path
    model: ModelServer
    project: str
    now_ns: int = NOW_NS
    allowed: tuple[str, ...] = ()
    opened: list[Rounds] = field(default_factory=list[Rounds])
    answered: list[str] = field(default_factory=list[str])

    def judge(self, **more: Any) -> dict[str, Any]:
        """The settings of a judge that asks the scripted model."""
        return {"model": "gpt-4.1-mini", "url": self.model.openai_url, "rubric": "helpfulness", **more}

    def scorer(self, name: str = "helpful", **more: Any) -> Scorer:
        """A judge of traces, unless something else is said."""
        row: dict[str, Any] = {"judge": self.judge(), "criterion": "It helps", "per_minute": 6000, **more}
        for way in ("check", "code"):
            if way in more:
                row = {key: value for key, value in row.items() if key not in ("judge", "criterion")}
        return read_online({name: row})[0]

    def rounds(self) -> Rounds:
        """What a process of the server holds."""
        means = Means(store=self.store, kept=self.kept, folder=self.folder, allowed_code=self.allowed)
        made = Rounds(means=means, control=self.control, owner="this server", clock_ns=lambda: self.now_ns)
        made.begin()
        self.opened.append(made)
        return made

    def score(self, *scorers: Scorer) -> int:
        """One round of a new process."""
        return self.rounds().round(scorers, [self.project])

    def add(self, number: int, **more: Any) -> str:
        """A trace of the support agent that has been quiet for ten minutes."""
        return self.put(self.trace(number, **more))

    def trace(self, number: int, **more: Any) -> TraceBuilder:
        """A trace of the support agent, of this test's project."""
        return support_trace(number, project=self.project, **more)

    def put(self, trace: TraceBuilder, **columns: Any) -> str:
        """Store a trace as one that last changed ten minutes ago."""
        return trace.store(self.store, version=self.now_ns - 600 * SECOND_NS, **columns)

    def written(self, *trace_ids: str) -> list[Annotation]:
        """The scores that stand on traces."""
        return [one for one in of_traces(self.store, self.project, trace_ids) if one.kind == "score"]

    def written_on_session(self, session: str) -> list[Annotation]:
        """The scores that stand on a session."""
        return [one for one in of_session(self.store, self.project, session) if one.kind == "score"]

    def states(self, name: str = "helpful") -> dict[str, tuple[str, str]]:
        """State and reason by unit, as the ledger has them."""
        return {row.unit_id: (row.state, row.reason) for row in self.kept.rows(self.project, name, 0)}

    def say(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """What the judge's model answers from now on."""
        self.answered = self.asked
        self.model.close()
        self.model = ModelServer(script=Script.from_data({"rules": list(rules)}))
        self.model.__enter__()

    @property
    def asked(self) -> list[str]:
        """What the judge's model was asked, whole."""
        return [*self.answered, *(json.dumps(one.body) for one in self.model.requests)]


@dataclass(frozen=True)
class Ground:
    """What the tests of this folder share: making a store anew takes longer than they do."""

    store: TraceStore
    control: ControlStore


@pytest.fixture(scope="package")
def ground(chdb_engine: ChdbEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A real store, and what is written about its traces."""
    folder = tmp_path_factory.mktemp("online")
    control = open_control("", folder)
    control.migrate()
    for store in fresh_store(chdb_engine):
        yield Ground(store, control)
    control.close()


@pytest.fixture
def bench(ground: Ground, tmp_path: Path) -> Iterator[Bench]:
    """A project of its own and an empty ledger; the judge finds all of it good."""
    project = create_project(ground.control, tmp_path.name)
    model = ModelServer(script=Script.from_data({"rules": [{"reply": {"text": PASS}}]}))
    model.__enter__()
    kept = online_of("", tmp_path)
    made = Bench(ground.store, ground.control, kept, tmp_path, model, project)
    yield made
    for one in made.opened:
        one.close()
    made.model.close()
    kept.close()
