"""The ledger of scores and money: of many who ask at once one scores a trace, and all together never pass the cap."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pilothouse.store.online_store import Claim, OnlineStore, ScoreRow, ScorerState, online_of

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


def test_a_hundred_holds_at_once_do_not_pass_the_cap(kept: OnlineStore) -> None:
    scorer = f"money {id(kept)}"
    with ThreadPoolExecutor(8) as pool:
        held = list(pool.map(lambda _: kept.hold(scorer, DAY, 30, 1_000), range(100)))
    assert held.count(True) == 33
    for _ in range(33):
        kept.settle(scorer, DAY, 30, 10)
    spend = kept.spends(scorer, DAY)[DAY]
    assert (spend.spent_nano, spend.held_nano, spend.calls, spend.full_at_nano) == (330, 0, 33, 1_000)
    assert kept.hold(scorer, DAY, 30, 1_000) and not kept.hold(scorer, DAY, 700, 1_000)
    assert kept.hold(scorer, "2026-11-30", 700, 1_000)


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
