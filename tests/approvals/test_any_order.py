"""Whatever happens in whatever order: nothing runs that was not approved, as it was approved, in time; nothing twice.

What is said here is counted beside the code, from nothing but which calls were answered. Clicks come twice, on two
servers, with old digests; clocks of both servers are put forward and back; servers are killed and started again;
policies change. Real time is the steady clock of the test, which no program sees the whole of.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from pilothouse.approvals import Action, Approvals, Ask, Moment, Right, read_approvals
from pilothouse.records import Actor, BadRequest, Forbidden, NeedsApproval, NotApproved
from pilothouse.store.approval_store import ApprovalStore

from .support import AGENT, ANN, BEN, CAROL, KEY, NOON_NS, PROJECT

DEADLINE_S, USE_S, LEASE_S = 600, 300, 60
PEOPLE = (ANN, BEN, CAROL, Actor(id="key_ann_2", name="Ann ", kind="person"))
BASE: dict[str, Any] = {"deadline": f"{DEADLINE_S}s", "use_within": f"{USE_S}s"}
ONE = {"name": "one", "tool": "one", **BASE}
TWO = {"name": "two", "tool": "two", "needs": 2, "escalate": [{"after": "100s", "to": "carol"}], **BASE}
ELSE = {"name": "else", "tool": "else", **BASE, "on_timeout": "fallback", "fallback": {"tool": "draft"}}
POLICIES = {
    "usual": read_approvals({"rules": [ONE, TWO, ELSE]}),
    "two people": read_approvals({"rules": [{**ONE, "needs": 2}, TWO, {**ELSE, "needs": 2}]}),
    "forbidden": read_approvals(
        {"rules": [{"name": "no", "tool": "*", "when": "args.n > 5", "do": "forbid"}, ONE, TWO]}
    ),
    "allowed": read_approvals({}),
}
WHO = strategies.sampled_from(PEOPLE)
PICK, SERVER = strategies.integers(0, 2), strategies.integers(0, 1)
RARELY = strategies.sampled_from([False, False, False, True])
JUMPS = (-100_000, -601, -120, -61, 10, 120, 601)
NO = (NotApproved, NeedsApproval, Forbidden, BadRequest)

_template: list[Path] = []


def _fresh(folder: Path) -> str:
    """A database with its tables; making them takes longer than all that follows."""
    if not _template:
        path = Path(tempfile.mkdtemp()) / "template.db"
        ApprovalStore(f"sqlite:///{path}").close()
        _template.append(path)
    shutil.copy(_template[0], folder / "approvals.db")
    return f"sqlite:///{folder / 'approvals.db'}"


@dataclass
class Known:
    """What the test knows of an approval, from the answers alone."""

    asked_s: float
    deadline_s: int
    """As the answer to asking said: where no rule speaks, a day."""
    use_s: int
    tool: str
    digests: list[str]
    arguments: dict[str, dict[str, Any]]
    agreed: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    agreed_s: float = 0.0
    over: bool = False
    running: Right | None = None
    runs: int = 0
    may_run: int = 1


class World:
    """Two servers over one database, three people, one agent, and time."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        # In memory where the system has such a folder: the disk is what takes the time, and nothing is killed here.
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.url = _fresh(self.folder)
        self.real_s = 0.0
        self.policy = "usual"
        self.walls = [NOON_NS, NOON_NS]
        self.servers = [self._server(0), self._server(1)]
        self.known: dict[str, Known] = {}
        self.ids: list[str] = []
        for tool, n in zip(("one", "two", "else"), numbers, strict=True):
            one = self.servers[0].ask(PROJECT, Ask(action=Action(tool=tool, arguments={"n": n})), AGENT)
            self.known[one.approval_id] = Known(
                asked_s=self.real_s,
                deadline_s=one.deadline_s,
                use_s=one.use_within_s,
                tool=tool,
                digests=[one.digest],
                arguments={one.digest: {"n": n}},
            )
            self.ids.append(one.approval_id)

    def _server(self, number: int) -> Approvals:
        test = self

        class Wall:
            def now_ns(self) -> int:
                return test.walls[number]

        moment = Moment(Wall(), steady_ns=lambda: int(self.real_s * 1e9))
        return Approvals(ApprovalStore(self.url), lambda: (self.policy, POLICIES[self.policy]), key=KEY, moment=moment)

    def end_of_it(self) -> None:
        for server in self.servers:
            server.close()
        shutil.rmtree(self.folder)

    # -- what people and agents do

    def _picked(self, pick: int) -> tuple[str, Known]:
        return self.ids[pick], self.known[self.ids[pick]]

    def approve(self, pick: int, who: Actor, old: bool, at: int) -> None:
        self._approve(pick, who, old, at)

    def _approve(self, pick: int, who: Actor, old: bool, at: int) -> None:
        id, one = self._picked(pick)
        digest = one.digests[0 if old else -1]
        try:
            self.servers[at].approve(PROJECT, id, who, digest=digest)
        except NO:
            return
        assert digest == one.digests[-1], "an old digest was approved"
        self._agree(one, digest, who)

    def everybody_approves(self, pick: int, at: int) -> None:
        for who in PEOPLE:
            self._approve(pick, who, False, at)

    def edit(self, pick: int, who: Actor, n: int, at: int) -> None:
        id, one = self._picked(pick)
        try:
            found = self.servers[at].edit(PROJECT, id, who, digest=one.digests[-1], arguments={"n": n})
        except NO:
            return
        one.digests.append(found.digest)
        one.arguments[found.digest] = {"n": n}
        one.agreed = {}
        self._agree(one, found.digest, who)

    def one_edits_what_another_approved(self, pick: int, n: int, at: int) -> None:
        # By itself such a row of steps comes up once in fifty worlds.
        self._approve(pick, ANN, False, at)
        self.edit(pick, BEN, n, at)
        self.run(pick, False, at)

    def _agree(self, one: Known, digest: str, who: Actor) -> None:
        known = one.agreed.setdefault(digest, set())
        if who.name.strip().casefold() not in known:
            one.agreed_s = self.real_s
            assert self.real_s - one.asked_s < one.deadline_s, "a late decision counted"
        known.add(who.name.strip().casefold())

    def end(self, pick: int, what: str, at: int) -> None:
        id, one = self._picked(pick)
        try:
            if what == "reject":
                self.servers[at].reject(PROJECT, id, ANN, why="no")
            else:
                self.servers[at].cancel(PROJECT, id, AGENT)
        except NO:
            return
        one.over = True

    def talk(self, pick: int, what: str) -> None:
        id, _ = self._picked(pick)
        try:
            if what == "question":
                self.servers[0].question(PROJECT, id, BEN, text="why?")
            elif what == "answer":
                self.servers[0].answer(PROJECT, id, AGENT, text="so")
            else:
                self.servers[1].delegate(PROJECT, id, ANN, to="carol")
        except NO:
            return

    # -- what runs

    def run(self, pick: int, old: bool, at: int) -> None:
        id, one = self._picked(pick)
        self._run_instead(id, one, at)
        digest = one.digests[0 if old else -1]
        try:
            right = self.servers[at].reserve(PROJECT, id, AGENT, digest=digest, holder=id, lease_s=LEASE_S)
        except NO:
            return
        needs = 2 if one.tool == "two" or self.policy == "two people" else 1
        if self.policy == "allowed":
            needs = 2 if one.tool == "two" else 1
        assert right.digest == digest == one.digests[-1]
        assert right.arguments == one.arguments[digest], "other arguments than were approved"
        assert len(one.agreed.get(digest, set())) >= needs, "too few people agreed to it"
        assert not one.over, "it was rejected or called off"
        assert self.real_s - one.agreed_s < one.use_s, "it began too late"
        assert not (self.policy == "forbidden" and right.arguments["n"] > 5), "the policy forbids it"
        one.running, one.runs = right, one.runs + 1

    def _run_instead(self, id: str, one: Known, at: int) -> None:
        found = self.servers[at].find(PROJECT, id)
        child = f"{id}-instead"
        if not found.instead:
            return
        # It is judged to be over at the moment of looking; whoever acts next writes that down.
        self.servers[at].sweep()
        if child not in self.known:
            made = self.servers[at].find(PROJECT, child)
            assert self.real_s - one.asked_s >= 0 and one.runs == 0
            self.known[child] = Known(
                asked_s=self.real_s,
                deadline_s=0,
                use_s=USE_S,
                tool="draft",
                digests=[made.digest],
                arguments={made.digest: {}},
            )
        try:
            self.servers[at].reserve(PROJECT, child, AGENT, digest=self.known[child].digests[0], lease_s=LEASE_S)
        except NO:
            return
        self.known[child].runs += 1

    def finish(self, pick: int, how: str, at: int) -> None:
        id, one = self._picked(pick)
        if one.running is None:
            return
        server = self.servers[at]
        try:
            if how == "lost":
                server.lost(PROJECT, id, AGENT, holder=id)
            elif how == "wrong":
                server.done(PROJECT, id, AGENT, reservation_id="run_x", outcome="executed")
                pytest.fail("a guessed reservation was taken")
            else:
                outcome: Any = how
                server.done(PROJECT, id, AGENT, reservation_id=one.running.reservation_id, outcome=outcome)
        except NO:
            return

    def settle(self, pick: int, happened: bool | None, by_holder: bool) -> None:
        id, one = self._picked(pick)
        before = self.servers[0].find(PROJECT, id).state
        try:
            who, holder = (AGENT, id) if by_holder else (BEN, "")
            found = self.servers[0].settle(PROJECT, id, who, happened=happened, holder=holder)
        except NO:
            return
        if before == "unknown" and found.state == "approved":
            assert happened is False
            one.may_run, one.running = one.runs + 1, None

    # -- what the world does

    def time_passes(self, seconds: int) -> None:
        self.real_s += seconds
        self.walls = [wall + seconds * 1_000_000_000 for wall in self.walls]

    def server(self, what: str, at: int, seconds: int) -> None:
        if what == "jump":
            self.walls[at] += seconds * 1_000_000_000
            return
        # What a process counted since its last sweep goes with it; a server sweeps every few seconds.
        self.servers[at].sweep()
        if what == "restart":
            self.servers[at].close()
            self.servers[at] = self._server(at)

    def policy_changes(self, policy: str) -> None:
        self.policy = policy

    def nothing_runs_twice(self) -> None:
        for id, one in self.known.items():
            assert one.runs <= one.may_run, f"{id} ran {one.runs} times"


STEP = strategies.one_of(
    *[strategies.tuples(strategies.just("approve"), PICK, WHO, RARELY, SERVER)] * 2,
    *[strategies.tuples(strategies.just("everybody_approves"), PICK, SERVER)] * 5,
    strategies.tuples(strategies.just("edit"), PICK, WHO, strategies.integers(1, 9), SERVER),
    strategies.tuples(strategies.just("one_edits_what_another_approved"), PICK, strategies.integers(1, 9), SERVER),
    strategies.tuples(strategies.just("end"), PICK, strategies.sampled_from(["reject", "cancel"]), SERVER),
    strategies.tuples(strategies.just("talk"), PICK, strategies.sampled_from(["question", "answer", "delegate"])),
    *[strategies.tuples(strategies.just("run"), PICK, RARELY, SERVER)] * 9,
    *[
        strategies.tuples(
            strategies.just("finish"), PICK, strategies.sampled_from(["executed", "failed", "wrong", "lost"]), SERVER
        )
    ]
    * 2,
    *[
        strategies.tuples(
            strategies.just("settle"), PICK, strategies.sampled_from([True, False, None]), strategies.booleans()
        )
    ]
    * 2,
    *[strategies.tuples(strategies.just("time_passes"), strategies.sampled_from([1, 1, 1, 59, 61, 301]))] * 2,
    strategies.tuples(
        strategies.just("server"),
        strategies.sampled_from(["jump", "sweep", "restart"]),
        SERVER,
        strategies.sampled_from(JUMPS),
    ),
    strategies.tuples(strategies.just("policy_changes"), strategies.sampled_from(["usual", "usual", *POLICIES])),
)
STEPS = strategies.lists(STEP, min_size=20, max_size=40)
NUMBERS = strategies.tuples(*[strategies.integers(1, 9)] * 3)
HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]


def _go(numbers: tuple[int, ...], steps: list[tuple[Any, ...]]) -> None:
    world = World(numbers)
    try:
        for name, *given_ in steps:
            getattr(world, name)(*given_)
            world.nothing_runs_twice()
    finally:
        world.end_of_it()


@given(numbers=NUMBERS, steps=STEPS)
@settings(max_examples=20, deadline=None, print_blob=True, suppress_health_check=HEALTH)
def test_nothing_runs_that_was_not_approved_and_nothing_twice(
    numbers: tuple[int, ...], steps: list[tuple[Any, ...]]
) -> None:
    _go(numbers, steps)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@given(numbers=NUMBERS, steps=strategies.lists(STEP, min_size=30, max_size=120))
@settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=HEALTH)
def test_the_same_for_long(numbers: tuple[int, ...], steps: list[tuple[Any, ...]]) -> None:
    _go(numbers, steps)
