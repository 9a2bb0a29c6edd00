"""Calls of agents that wait for a person: they run as approved, once, and the model hears what was said."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pilothouse.approvals import Approval, Approvals, read_approvals
from pilothouse.records import Actor, BadRequest, Unreachable
from pilothouse.runtime.adapters.approvals import Approvals as ApprovalsCapability
from pilothouse.runtime.adapters.approvals import Reach
from pilothouse.runtime.adapters.durable import Durable
from pilothouse.runtime.adapters.durable_agents import DurableAgents
from pilothouse.runtime.approval_desk import OwnApprovalDesk, ServerApprovalDesk
from pilothouse.runtime.dry_run import count_rows
from pilothouse.store.approval_store import ApprovalStore

from .scripted import Scripted, agent_of, calls, says

ANN = Actor(id="key_ann", name="ann", kind="person")
BEN = Actor(id="key_ben", name="ben", kind="person")
SECTION = {
    "rules": [
        {"name": "writes", "tool": "delete", "when": "rows > 2"},
        {"name": "never", "tool": "drop", "do": "forbid"},
        {
            "name": "send",
            "tool": "send",
            "deadline": "1s",
            "on_timeout": "fallback",
            "fallback": {"tool": "draft", "args": {"to": "me"}},
        },
    ]
}


class World:
    """A desk, the tools of an agent, and what they did."""

    def __init__(self, folder: Path) -> None:
        self.store = ApprovalStore(f"sqlite:///{folder / 'approvals.db'}")
        rules = read_approvals(SECTION)
        self.approvals = Approvals(self.store, lambda: ("v1", rules), key=bytes(range(32)))
        self.desk = OwnApprovalDesk(self.approvals)
        self.did: list[str] = []
        self.folder = folder

    def tools(self) -> list[Callable[..., str]]:
        def delete(year: int) -> str:
            self.did.append(f"delete {year}")
            return f"deleted {year}"

        def drop(table: str) -> str:
            self.did.append(f"drop {table}")
            return "dropped"

        def send(to: str) -> str:
            self.did.append(f"send {to}")
            return "sent"

        def draft(to: str) -> str:
            self.did.append(f"draft {to}")
            return "drafted"

        return [delete, drop, send, draft]

    def capability(self, **more: Any) -> ApprovalsCapability:
        describe = {"delete": lambda arguments: Reach(rows=arguments["year"] - 2_000, counted="dry run")}
        return ApprovalsCapability(desk=self.desk, describe=describe, **more)

    def agent(self, model: Scripted, *capabilities: Any, **more: Any) -> Any:
        return agent_of(model, *capabilities, self.capability(**more), tools=self.tools(), name="cleaner")

    def waiting(self) -> Approval:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if found := self.approvals.list("local", states=["pending"]).items:
                return found[0]
            time.sleep(0.01)
        raise AssertionError("nothing waits")

    def later(self, act: Callable[[Approval], Any]) -> threading.Thread:
        """Do something about what will wait."""
        thread = threading.Thread(target=lambda: act(self.waiting()))
        thread.start()
        return thread

    def yes(self, one: Approval) -> Approval:
        return self.approvals.approve("local", one.approval_id, ANN, digest=one.digest)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.store.close()


def test_what_the_policy_does_not_want_just_runs(world: World) -> None:
    agent = world.agent(Scripted(calls("delete", year=2001), says("done")))
    assert agent.run_sync("go").output == "done"
    assert world.did == ["delete 2001"] and world.approvals.list("local").items == ()


def test_an_approved_call_runs_and_is_noted(world: World) -> None:
    model = Scripted(calls("delete", year=2019), says("done"))
    thread = world.later(world.yes)
    assert world.agent(model, environment="production").run_sync("clean up").output == "done"
    thread.join()
    [one] = world.approvals.list("local").items
    assert (one.state, one.outcome, one.action.rows, one.counted) == ("executed", "deleted 2019", 19, "dry run")
    assert (one.action.agent, one.action.environment) == ("cleaner", "production")
    assert world.did == ["delete 2019"]


def test_what_was_rejected_is_told_and_the_model_plans_anew(world: World) -> None:
    model = Scripted(calls("delete", year=2019), calls("delete", year=2001), says("done"))
    thread = world.later(lambda one: world.approvals.reject("local", one.approval_id, ANN, why="only before 2002"))
    world.agent(model).run_sync("clean up")
    thread.join()
    assert "only before 2002" in model.shown(1) and "plan anew" in model.shown(1)
    assert world.did == ["delete 2001"]


def test_edited_arguments_are_what_runs(world: World) -> None:
    def edit(one: Approval) -> None:
        world.approvals.edit("local", one.approval_id, ANN, digest=one.digest, arguments={"year": 2007})

    thread = world.later(edit)
    model = Scripted(calls("delete", year=2019), says("done"))
    world.agent(model).run_sync("clean up")
    thread.join()
    assert world.did == ["delete 2007"] and "deleted 2007" in model.shown(1)


def test_a_question_is_answered_by_the_agents_own_model(world: World) -> None:
    def ask(one: Approval) -> None:
        world.approvals.question("local", one.approval_id, ANN, text="why 2019?")
        while not any(event.kind == "answer" for event in world.approvals.history("local", one.approval_id)):
            time.sleep(0.01)
        world.yes(world.approvals.find("local", one.approval_id))

    thread = world.later(ask)
    model = Scripted(calls("delete", year=2019), says("The ticket says so."), says("done"))
    assert world.agent(model).run_sync("clean up").output == "done"
    thread.join()
    [one] = world.approvals.list("local").items
    texts = [event.text for event in world.approvals.history("local", one.approval_id)]
    assert "The ticket says so." in texts and world.did == ["delete 2019"]


def test_nobody_decides_and_it_is_called_off(world: World) -> None:
    model = Scripted(calls("delete", year=2019), says("it waits for a person"))
    world.agent(model, wait_s=0.2).run_sync("clean up")
    [one] = world.approvals.list("local").items
    assert one.state == "cancelled" and world.did == []
    assert "nobody decided" in model.shown(1)


def test_what_is_forbidden_is_told(world: World) -> None:
    model = Scripted(calls("drop", table="users"), says("done"))
    world.agent(model).run_sync("go")
    assert "the policy forbids this" in model.shown(1) and world.did == []


def test_the_declared_fallback_is_done_instead(world: World) -> None:
    model = Scripted(calls("send", to="everybody"), says("done"))
    world.agent(model).run_sync("go")
    assert world.did == ["draft me"] and "draft was done instead: drafted" in model.shown(1)


@pytest.mark.parametrize(
    "answer", [None, {}, {"needed": None}, {"needed": "false"}, {"approval": {"state": "approved"}}]
)
def test_an_answer_in_no_known_form_is_no_yes(world: World, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServerApprovalDesk, "_call", lambda *_, **__: answer)
    model = Scripted(calls("delete", year=2001), says("done"))
    agent_of(model, ApprovalsCapability(desk=ServerApprovalDesk()), tools=world.tools()).run_sync("go")
    assert world.did == [] and "did not run" in model.shown(1)


def test_a_server_that_is_away_means_no(world: World) -> None:
    model = Scripted(calls("delete", year=2001), says("done"))
    desk = ServerApprovalDesk("http://127.0.0.1:9", "ph_key")
    agent_of(model, ApprovalsCapability(desk=desk), tools=world.tools()).run_sync("go")
    assert world.did == [] and "could not be found out" in model.shown(1)


def test_a_server_that_goes_away_while_it_waits_means_no(world: World) -> None:
    class Away(OwnApprovalDesk):
        def find(self, approval_id: str, *, wait_s: float = 0) -> Any:
            raise Unreachable("gone")

    model = Scripted(calls("delete", year=2019), says("done"))
    capability = world.capability(wait_s=0.2)
    capability.desk = Away(world.approvals)
    agent = agent_of(model, capability, tools=world.tools())
    agent.run_sync("go")
    assert world.did == []


def test_a_call_that_fails_is_noted_and_not_repeated(world: World) -> None:
    def delete(year: int) -> str:
        world.did.append("tried")
        raise RuntimeError("disk full")

    thread = world.later(world.yes)
    agent = agent_of(Scripted(calls("delete", year=2019), says("done")), world.capability(), tools=[delete])
    with pytest.raises(RuntimeError):
        agent.run_sync("go")
    thread.join()
    [one] = world.approvals.list("local").items
    assert (one.state, one.outcome, world.did) == ("failed", "RuntimeError: disk full", ["tried"])


def test_a_durable_run_pauses_holds_nothing_and_goes_on_when_it_is_decided(world: World, tmp_path: Path) -> None:
    model = Scripted(calls("delete", year=2019), says("done"))
    agent = world.agent(model, Durable())
    with DurableAgents({"cleaner": agent}, folder=tmp_path) as runs:
        runs.start("cleaner", "clean up", run_id="ticket-7")
        paused = runs.wait("ticket-7", timeout_s=30)
        one = world.waiting()
        assert (paused.state, paused.tasks) == ("paused", (f"approval:{one.approval_id}",))
        assert one.run == "ticket-7" and world.did == []
        world.yes(one)
        deadline = time.monotonic() + 30
        while (run := runs.show("ticket-7")).state != "done":
            assert time.monotonic() < deadline, run
            time.sleep(0.05)
        assert (run.output, run.legs, world.did) == ("done", 2, ["delete 2019"])
        assert len(model.seen) == 2, "the recorded request was not made again"


def test_a_durable_run_hears_a_rejection_and_answers_questions(world: World, tmp_path: Path) -> None:
    model = Scripted(calls("delete", year=2019), says("The ticket says so."), says("I will not"))
    agent = world.agent(model, Durable())
    with DurableAgents({"cleaner": agent}, folder=tmp_path) as runs:
        runs.start("cleaner", "clean up", run_id="ticket-8")
        runs.wait("ticket-8", timeout_s=30)
        one = world.waiting()
        world.approvals.question("local", one.approval_id, ANN, text="why?")
        deadline = time.monotonic() + 30
        while not any(event.kind == "answer" for event in world.approvals.history("local", one.approval_id)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        world.approvals.reject("local", one.approval_id, BEN, why="not today")
        while (run := runs.show("ticket-8")).state != "done":
            assert time.monotonic() < deadline, run
            time.sleep(0.05)
        assert (run.output, world.did) == ("I will not", [])
        assert "not today" in model.shown(2)


def test_rows_are_counted_and_rolled_back(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id INTEGER, year INTEGER)")
        connection.exec_driver_sql("INSERT INTO orders VALUES (1, 2018), (2, 2019), (3, 2019)")
    delete = "DELETE FROM orders WHERE year = :year"
    assert count_rows(engine, delete, {"year": 2019}) == 2
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM orders").scalar() == 3
        connection.rollback()
        assert count_rows(connection, delete, {"year": 2018}) == 1
        # In a transaction of the user's own: that one stays as it was.
        with connection.begin():
            connection.exec_driver_sql("INSERT INTO orders VALUES (4, 2019)")
            assert count_rows(connection, delete, {"year": 2019}) == 3
        assert connection.exec_driver_sql("SELECT count(*) FROM orders").scalar() == 4
    with sqlite3.connect(tmp_path / "shop.db") as own:
        assert count_rows(own, "UPDATE orders SET year = 0 WHERE id > ?", (1,)) == 3
        assert own.execute("SELECT count(*) FROM orders WHERE year = 0").fetchone() == (0,)
    for wrong in (
        "DROP TABLE orders",
        "SELECT 1",
        "DELETE FROM orders; COMMIT",
        "-- a note\nDROP TABLE orders",
        "DELETE FROM nowhere",
    ):
        with pytest.raises((BadRequest, Unreachable)):
            count_rows(engine, wrong)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM orders").scalar() == 4
    engine.dispose()


def test_rows_are_counted_in_postgresql(postgresql_url: str) -> None:
    engine = sa.create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE orders (id int, year int)")
        connection.exec_driver_sql("INSERT INTO orders VALUES (1, 2018), (2, 2019), (3, 2019)")
        assert count_rows(connection, "DELETE FROM orders WHERE year = :year", {"year": 2019}) == 2
        driver: Any = connection.connection.dbapi_connection
        assert count_rows(driver, "DELETE FROM orders WHERE year = %s", (2018,)) == 1
        assert connection.exec_driver_sql("SELECT count(*) FROM orders").scalar() == 3
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"
    engine.dispose()
