"""The database of kept answers: bounded in bytes by route, emptied of what has expired, and its figures add up."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilothouse.cache import overview
from pilothouse.records import BadRequest
from pilothouse.store.cache_store import CacheStore, Comparison, KeptAnswer, Question, Tally, cache_of

HOUR_NS = 3_600_000_000_000


@pytest.fixture(scope="module")
def postgresql_database(postgresql_url: str) -> str:
    """A database of this module's own; making one takes longer than a test."""
    name = f"cache_{time.time_ns()}"
    subprocess.run(["psql", "-q", postgresql_url, "-c", f"CREATE DATABASE {name}"], check=True)
    return f"{postgresql_url.rpartition('/')[0]}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CacheStore]:
    """An empty database on each engine in turn."""
    url = "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_database"))
    if url:
        drop = "DROP TABLE IF EXISTS cache_answer, cache_tally, cache_question, cache_comparison"
        subprocess.run(["psql", "-q", url, "-c", f"SET client_min_messages = error; {drop}"], check=True)
    opened = cache_of(url, tmp_path)
    yield opened
    opened.close()


def kept(number: int, *, size: int = 1_000, route: str = "gpt-*", form: str = "whole", made_ns: int = 0) -> KeptAnswer:
    return KeptAnswer(
        key=f"{number:064d}",
        form=form,
        project_id="prj",
        route=route,
        model="gpt-5",
        content_type="application/json",
        body=bytes(size),
        worth_nano=7,
        made_ns=made_ns or number,
        expires_ns=(made_ns or number) + HOUR_NS,
    )


def test_a_full_route_lets_go_of_what_was_used_least_recently(store: CacheStore) -> None:
    for number in range(10):
        assert store.keep(kept(number), bytes_max=10_000) == 0
    store.keep(kept(100, route="other"), bytes_max=10_000)
    store.used({(f"{0:064d}", "whole"): (1_000, 3)})
    assert store.keep(kept(10), bytes_max=10_000) == 2
    left = {number for number in range(11) if store.find(f"{number:064d}", now_ns=1_000)}
    assert left == {0, 3, 4, 5, 6, 7, 8, 9, 10}
    assert store.find(f"{100:064d}", now_ns=1_000)


def test_what_expired_is_not_found_and_then_gone(store: CacheStore) -> None:
    store.keep(kept(1), bytes_max=10_000)
    assert store.find(f"{1:064d}", now_ns=HOUR_NS)
    assert not store.find(f"{1:064d}", now_ns=HOUR_NS + 1)
    assert store.sweep(HOUR_NS + 1) == 1
    assert store.spaces("prj", now_ns=0) == []


def test_an_answer_kept_again_takes_the_place_of_the_first(store: CacheStore) -> None:
    store.keep(kept(1, size=10), bytes_max=10_000)
    store.keep(kept(1, size=20, form="stream"), bytes_max=10_000)
    store.keep(kept(1, size=30, made_ns=5), bytes_max=10_000)
    assert {(one.form, len(one.body)) for one in store.find(f"{1:064d}", now_ns=2)} == {("whole", 30), ("stream", 20)}


def test_figures_add_up_by_route_and_day(store: CacheStore) -> None:
    day = 24 * HOUR_NS
    for _ in range(2):
        store.count(
            "prj",
            [
                Tally(route="gpt-*", day=10, outcome="hit", calls=3, tokens=50, nano=2_000_000_000),
                Tally(route="gpt-*", day=10, outcome="miss", calls=1, tokens=0, nano=0),
                Tally(route="gpt-*", day=4, outcome="hit", calls=100, tokens=1, nano=1),
                Tally(route="gpt-*", day=10, outcome="bypass", calls=1, tokens=0, nano=0),
            ],
        )
    store.count("other", [Tally(route="gpt-*", day=10, outcome="hit", calls=9, tokens=9, nano=9)])
    found = overview(store, "prj", days=2, now_ns=10 * day)
    (route,) = found.routes
    assert (route.calls, route.hits, route.hit_rate, route.bypassed) == (8, 6, 0.75, 2)
    assert (str(found.saved_usd), route.saved_tokens) == ("4.000000000", 100)


def test_questions_are_bounded_and_go_with_their_answers(store: CacheStore) -> None:
    for number in range(5):
        question = Question(
            key=f"{number:064d}",
            together="t",
            question=f"q{number}",
            vector=b"v",
            expires_ns=HOUR_NS,
            made_ns=number + 1,
        )
        store.keep(kept(number), bytes_max=10**6, question=question, questions_max=3)
    assert [one.question for one in store.questions("t", now_ns=0, limit=10)] == ["q4", "q3", "q2"]
    assert store.clear("prj") == 5
    assert store.questions("t", now_ns=0, limit=10) == []


def test_comparisons_are_counted_and_those_that_differ_come_first(store: CacheStore) -> None:
    for number, same in enumerate((True, False, True)):
        store.compare(
            Comparison(
                comparison_id=f"c{number}",
                project_id="prj",
                route="gpt-*",
                made_ns=number,
                same=same,
                why="",
                similarity=0.9,
                trace_id="a" * 32,
                asked="a",
                kept_for="b",
                kept_answer="c",
                fresh_answer="d",
            )
        )
    assert store.compared("prj", since_ns=0) == (3, 1)
    assert [one.comparison_id for one in store.comparisons("prj", since_ns=0, limit=10)] == ["c1", "c2", "c0"]


def test_the_file_is_whole_after_kill_9_in_the_middle_of_keeping(tmp_path: Path) -> None:
    program = (
        "import itertools, pathlib, sys\n"
        "from tests.cache.test_store import kept\n"
        "from pilothouse.store.cache_store import cache_of\n"
        "store = cache_of('', pathlib.Path(sys.argv[1]))\n"
        "for number in itertools.count():\n"
        "    store.keep(kept(number, size=20_000), bytes_max=1_000_000)\n"
        "    print(number, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    while (number := int(child.stdout.readline())) < 80:
        pass
    child.kill()
    number = int(([str(number), *child.stdout.read().split()])[-1])
    child.wait()
    store = cache_of("", tmp_path)
    assert len(store.find(f"{number:064d}", now_ns=1)[0].body) == 20_000
    (space,) = store.spaces("prj", now_ns=1)
    assert 900_000 - 20_000 <= space.bytes <= 1_000_000
    assert store.keep(kept(number + 2), bytes_max=1_000_000) >= 0
    store.close()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="no database address"):
        CacheStore("nonsense")
