"""The ledger of scores and money: of many who ask at once one scores a trace, and all together never pass the cap."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilothouse.store.online_store import Claim, Down, OnlineStore, ScoreRow, ScorerState, Waiting, online_of

DAY = "2026-11-29"
ONE = Claim(project_id="prj_a", scorer="helpful", version="v1", unit_id="t1", trace_id="t1", cluster="chat")


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineStore]:
    """An empty ledger on each database."""
    url = "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))
    made = online_of(url, tmp_path)
    made.forget("prj_a", ["t1", "t2"], "chat")
    yield made
    made.close()


def test_of_many_who_ask_at_once_one_gets_it(kept: OnlineStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: kept.claim(ONE, f"server {number}", 1), range(8)))
    assert won.count(True) == 1
    assert kept.claim(replace(ONE, version="v2"), "me", 1) and kept.take_over("me") == 1
    assert kept.known("prj_a", "helpful", "v1", ["t1", "t2"]) == {"t1"}
    assert kept.rows("prj_a", "helpful", 0) == []


def test_what_came_of_it_is_kept_until_it_is_shown_and_forgotten(kept: OnlineStore) -> None:
    kept.claim(ONE, "me", 1)
    done = ScoreRow(
        **{name: getattr(ONE, name) for name in Claim.__slots__},
        state="scored", value=1.0, label="pass", why="ü", usd_nano=3, at_ns=5, day=DAY, shown=False,
    )  # fmt: skip
    kept.finish(done)
    assert kept.unshown() == [done] and kept.take_over("me") == 0
    kept.mark_shown([done])
    assert kept.unshown() == [] and kept.rows("prj_a", "helpful", 0) == [replace(done, shown=True)]
    two = replace(ONE, unit_id="t2", trace_id="t2")
    assert kept.pass_over([ONE, two], reason="cap", why="spent", at_ns=6, day=DAY) == 1
    assert kept.forget("prj_b", ["t1", "t2"]) == 0 and kept.forget("prj_a", ["t1", "t2"]) == 2


def hold(kept: OnlineStore, scorer: str, nano: int, day: str = DAY, cap: int = 1_000) -> str:
    """Put money aside for a question that is estimated at a third of it."""
    return kept.hold(scorer, day, nano, cap, estimate_nano=nano // 3, now_ns=100)


def test_a_hundred_holds_at_once_do_not_pass_the_cap(kept: OnlineStore) -> None:
    scorer = f"money {id(kept)}"
    with ThreadPoolExecutor(8) as pool:
        held = [one for one in pool.map(lambda _: hold(kept, scorer, 30), range(100)) if one]
    assert len(held) == len(set(held)) == 33
    for one in held:
        kept.settle(one, 10)
    kept.settle(held[0], 10)
    spend = kept.spends(scorer, DAY)[DAY]
    assert (spend.spent_nano, spend.held_nano, spend.calls, spend.full_at_nano) == (330, 0, 33, 1_000)
    last = hold(kept, scorer, 30)
    assert last and not hold(kept, scorer, 700)
    next_day = hold(kept, scorer, 700, "2026-11-30")
    assert next_day
    kept.settle(last, 0)
    kept.settle(next_day, 0)


def test_what_an_ended_process_held_is_booked_at_its_estimate_and_the_rest_is_free(kept: OnlineStore) -> None:
    scorer = f"ended {id(kept)}"
    first, second, third = (hold(kept, scorer, 300) for _ in range(3))
    assert first and second and third and not hold(kept, scorer, 300)
    kept.settle(first, 90)
    assert kept.release_ended(100, lease_ns=1_000) == 0, "whose process lives keeps what it holds, whatever the hour"
    assert kept.release_ended(9_999, lease_ns=1_000) == 0
    assert kept.spends(scorer, DAY)[DAY].held_nano == 600
    assert kept.release_ended(100, lease_ns=1_000, gone=lambda *_: True) == 2
    spend = kept.spends(scorer, DAY)[DAY]
    # The day is open again: it was full because of what nobody used any more.
    assert (spend.spent_nano, spend.held_nano, spend.full_at_nano) == (290, 0, 0)
    # One that was taken for ended says what it really came to; then nothing is booked twice.
    kept.settle(second, 120)
    kept.settle(second, 120)
    assert kept.spends(scorer, DAY)[DAY].spent_nano == 310
    assert kept.release_ended(100, lease_ns=1_000, gone=lambda *_: True) == 0
    held = [one for one in (hold(kept, scorer, 300) for _ in range(4)) if one]
    assert len(held) == 2
    for one in (third, *held):
        kept.settle(one, 0)


def test_what_another_machine_holds_is_let_go_after_a_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("pilothouse.store.online_store.machine", lambda: "another")
        there = online_of("", tmp_path)
    here = online_of("", tmp_path)
    hold(there, "far", 300)
    assert here.release_ended(1_000, lease_ns=1_000, gone=lambda *_: True) == 0
    assert here.release_ended(1_101, lease_ns=1_000, gone=lambda *_: False) == 1
    assert here.spends("far", DAY)[DAY].held_nano == 0
    there.close()
    here.close()


def test_what_waits_is_kept_with_what_was_answered_and_taken_by_one(kept: OnlineStore) -> None:
    kept.claim(ONE, "me", 1)
    waits = Waiting(**ids(ONE), tries=1, since_ns=5, next_ns=10, why="503", answered='["half"]', usd_nano=7)
    kept.wait(waits)
    assert kept.due("prj_a", "helpful", "v1", 9, limit=5) == [] and kept.waiting("prj_a", "helpful", "v1") == 1
    assert kept.due("prj_a", "helpful", "v1", 10, limit=5) == [waits] and kept.rows("prj_a", "helpful", 0) == []
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: kept.claim_again(waits, f"server {number}", 11), range(8)))
    assert won.count(True) == 1 and kept.due("prj_a", "helpful", "v1", 99, limit=5) == []
    # Killed meanwhile: it waits again, and the question counts.
    assert sum(kept.take_over(f"server {number}") for number in range(8)) == 1
    assert kept.due("prj_a", "helpful", "v1", 99, limit=5) == [replace(waits, tries=2)]
    # The store did not answer: nothing was asked.
    kept.claim_again(waits, "me", 12)
    kept.let_go([ONE])
    assert [one.tries for one in kept.due("prj_a", "helpful", "v1", 99, limit=5)] == [2]
    two = replace(ONE, unit_id="t2", trace_id="t2")
    unasked = Waiting(**ids(two), tries=0, since_ns=500, next_ns=500)
    assert kept.wait_unasked([unasked, waits]) == 1
    assert kept.hurry("helpful", "v1", 20, each_try_ns=1) == 1
    assert [one.next_ns for one in kept.due("prj_a", "helpful", "v1", 99, limit=5)] == [10, 20]
    assert kept.give_up(400, why="a day: ", at_ns=600, day=DAY) == 1
    (row,) = kept.rows("prj_a", "helpful", 0)
    assert (row.unit_id, row.state, row.reason, row.why) == ("t1", "unscored", "judge_failed", "a day: 503")
    assert kept.ask_again("prj_a", "helpful", "v1", "judge_failed", 601, 700) == 0
    assert kept.ask_again("prj_a", "helpful", "v1", "judge_failed", 600, 700) == 1
    assert kept.waiting("prj_a", "helpful", "v1") == 2 and kept.waiting("prj_a", "helpful", "v2") == 0
    # What is deleted while it is asked about is not kept by asking.
    kept.claim_again(two, "me", 800)
    assert kept.forget("prj_a", ["t1", "t2"]) == 2
    kept.wait(unasked)
    assert kept.waiting("prj_a", "helpful", "v1") == 0


def test_since_when_a_judge_is_down_is_kept(kept: OnlineStore) -> None:
    assert kept.down("s", "v1") is None
    for tries in (1, 2):
        told = Down(scorer="s", version="v1", since_ns=1, next_ns=tries, tries=tries, why="503")
        kept.set_down(told)
        assert kept.down("s", "v1") == told and kept.down("s", "v2") is None
    kept.set_up("s", "v1")
    assert kept.down("s", "v1") is None


def test_a_ledger_of_before_learns_to_wait(tmp_path: Path) -> None:
    """Without the columns and tables of retries, which an earlier version did not have."""
    first = online_of("", tmp_path)
    first.claim(ONE, "me", 1)
    first.close()
    with closing(sqlite3.connect(tmp_path / "online.db")) as database:
        database.execute("DROP INDEX online_score_waiting")
        for column in ("tries", "since_ns", "next_ns", "answered"):
            database.execute(f"ALTER TABLE online_score DROP COLUMN {column}")
        database.execute("DROP TABLE online_hold")
        database.commit()
    again = online_of("", tmp_path)
    again.wait(Waiting(**ids(ONE), tries=1, since_ns=5, next_ns=10))
    assert again.waiting("prj_a", "helpful", "v1") == 1
    again.close()
    with closing(sqlite3.connect(tmp_path / "online.db")) as database:
        plan = database.execute(
            "EXPLAIN QUERY PLAN SELECT 1 FROM online_score WHERE state = 'waiting' AND scorer = ? AND version = ?",
            ("a", "b"),
        ).fetchall()
    assert "online_score_waiting" in str(plan)


def ids(claim: Claim) -> dict[str, Any]:
    """The fields that name a thing to score."""
    return {name: getattr(claim, name) for name in Claim.__slots__}


def test_where_a_scorer_is_and_who_stopped_it(kept: OnlineStore) -> None:
    assert kept.cursor("prj_a", "s", "v1") is None
    kept.move("prj_a", "s", "v1", 7)
    kept.move("prj_a", "s", "v1", 2**62)
    assert kept.cursor("prj_a", "s", "v1") == 2**62
    assert kept.stop("prj_a", "s", "ann", 1) and not kept.stop("prj_a", "s", "bo", 2)
    assert kept.stopped()["prj_a", "s"] == "ann"
    assert kept.start("prj_a", "s") and not kept.start("prj_a", "s")
    for problem in ("it does not load", ""):
        told = ScorerState(scorer="s", version="v1", scored_by="x", problem=problem, calibrated="", seen_ns=1)
        kept.tell(told)
        assert kept.told()["s"] == told
