"""A judge that is down loses no trace: what it could not be asked waits, is asked again, and only in the end is unscored."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pilothouse.online.retrying import TRIES_MAX, given_up, judge_pause_ns, trace_pause_ns
from pilothouse.records import BadRequest
from pilothouse.store.online_store import NANO, Waiting

from .conftest import DAY_NS, PASS, SECOND_NS, Bench
from .test_rounds import online_of_bench

HOUR_NS = 3_600 * SECOND_NS
GOOD = {"reply": {"text": PASS}}


def broken(status: int = 503, **more: Any) -> Mapping[str, Any]:
    """A rule of a model that fails at once, and says that there is nothing to wait for."""
    return {**more, "reply": {"fault": {"status": status, "retry_after_s": 0}}}


def report(bench: Bench, **settings: Any) -> Any:
    return online_of_bench(bench, bench.scorer(**settings)).report(bench.project, "helpful", now_ns=bench.now_ns)


def test_what_a_judge_that_is_down_could_not_be_asked_is_scored_once_it_is_back(bench: Bench) -> None:
    traces = [bench.add(number) for number in range(1, 6)]
    bench.say([broken()])
    rounds = bench.rounds()
    assert rounds.round([bench.scorer()], [bench.project]) == 0
    assert bench.states() == {} and bench.written(*traces) == []
    # Four at once find it down, each asking three times; the fifth is not tried, and all wait.
    assert len(bench.asked) == 12
    found = report(bench)
    assert (found.state, found.to_retry, found.figures.unscored) == ("down", 5, 0)
    assert found.down_since and "503" in found.down_why and found.next_retry > found.down_since
    # Let alone for a while, and what arrives meanwhile waits unasked; then one question tells.
    late = bench.trace(6).store(bench.store, version=bench.now_ns - 31 * SECOND_NS)
    assert rounds.round([bench.scorer()], [bench.project]) == 0 and len(bench.asked) == 12
    assert report(bench).to_retry == 6
    bench.now_ns += 100 * SECOND_NS
    assert rounds.round([bench.scorer()], [bench.project]) == 0 and len(bench.asked) == 15
    # A new process knows what waits, and that its judge was down.
    bench.say([GOOD])
    bench.now_ns += HOUR_NS
    assert bench.score(bench.scorer()) == 6 and len(bench.asked) == 21
    assert bench.states() == dict.fromkeys([*traces, late], ("scored", ""))
    found = report(bench)
    assert (found.state, found.to_retry, found.down_since, found.figures.scored) == ("running", 0, "", 6)


def test_a_judge_that_cannot_be_reached_is_asked_again(bench: Bench) -> None:
    trace = bench.add(1)
    nowhere = bench.judge(url="http://127.0.0.1:9/v1")
    assert bench.score(bench.scorer(judge=nowhere)) == 0
    found = report(bench, judge=nowhere)
    assert (found.to_retry, found.state) == (1, "down") and "cannot be reached" in found.down_why
    # Where a judge is asked is no part of its version: it goes on at another address.
    bench.now_ns += HOUR_NS
    assert bench.score(bench.scorer()) == 1 and bench.states() == {trace: ("scored", "")}


def test_one_trace_that_the_judge_fails_at_holds_up_no_other_and_is_given_up(bench: Bench) -> None:
    poison = bench.add(1)
    fine = [bench.add(number) for number in (2, 3)]
    bench.say([broken(500, seen="order 4401"), GOOD])
    rounds = bench.rounds()
    for _ in range(2):
        rounds.round([bench.scorer()], [bench.project])
        bench.now_ns += 11 * SECOND_NS
    assert bench.states() == dict.fromkeys(fine, ("scored", ""))
    (waits,) = waiting(bench)
    bench.kept.claim_again(waits, "me", bench.now_ns)
    bench.kept.wait(replace(waits, tries=TRIES_MAX - 1))
    bench.now_ns += HOUR_NS
    assert rounds.round([bench.scorer()], [bench.project]) == 1
    row = next(row for row in bench.kept.rows(bench.project, "helpful", 0) if row.unit_id == poison)
    assert row.reason == "judge_failed" and row.why.startswith(f"asked {TRIES_MAX} times within 60 minutes")
    assert "500" in row.why and waiting(bench) == []


def waiting(bench: Bench) -> list[Waiting]:
    """What waits, whenever it is asked."""
    version = bench.kept.told()["helpful"].version
    return bench.kept.due(bench.project, "helpful", version, bench.now_ns + DAY_NS, limit=9)


def test_an_answer_that_could_not_be_read_is_asked_about_and_not_for_again(bench: Bench) -> None:
    trace = bench.add(1)
    # The first answer cannot be read, and the second question finds nobody.
    bench.say([broken(user="That was not one JSON object"), {"reply": {"text": "Well done!"}}])
    assert bench.score(bench.scorer()) == 0 and report(bench).to_retry == 1
    bench.say([GOOD])
    asked = len(bench.asked)
    bench.now_ns += HOUR_NS
    assert bench.score(bench.scorer()) == 1 and bench.states() == {trace: ("scored", "")}
    (again,) = bench.asked[asked:]
    assert "Well done!" in again and "That was not one JSON object" in again
    (row,) = bench.kept.rows(bench.project, "helpful", 0)
    # Of both times together.
    assert row.usd_nano == sum(one.spent_nano for one in bench.kept.spends("helpful", "").values())


def test_samples_that_were_answered_are_not_asked_again(bench: Bench) -> None:
    trace = bench.add(1)
    bench.say([broken()])
    bench.score(bench.scorer(judge=bench.judge(samples=3)))
    (waits,) = waiting(bench)
    answers = json.loads(waits.answered)
    assert [one["down"] for one in answers] == [True] * 3
    said = {"outcome": "fail", "why": "it says nothing", "score": 0.0, "label": "", "readable": True}
    answers[1] |= {"reading": said, "down": False}
    bench.kept.claim_again(waits, "me", bench.now_ns)
    bench.kept.wait(replace(waits, answered=json.dumps(answers)))
    bench.say([GOOD])
    asked = len(bench.asked)
    bench.now_ns += HOUR_NS
    assert bench.score(bench.scorer(judge=bench.judge(samples=3))) == 1 and len(bench.asked) == asked + 2
    (score,) = bench.written(trace)
    assert score.label == "pass" and "2 of 3 samples" in score.text


def test_killed_in_a_retry_nothing_is_lost_and_the_question_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = bench.add(1)
    bench.say([broken()])
    bench.score(bench.scorer())
    bench.say([GOOD])
    bench.now_ns += HOUR_NS

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bench.kept, "finish", dies)
        with pytest.raises(KeyboardInterrupt):
            bench.score(bench.scorer())
    assert waiting(bench) == []
    rounds = bench.rounds()
    assert [one.tries for one in waiting(bench)] == [2]
    assert rounds.round([bench.scorer()], [bench.project]) == 1 and bench.states() == {trace: ("scored", "")}
    assert len(bench.written(trace)) == 1


def test_the_cap_of_the_day_holds_over_retries(bench: Bench) -> None:
    for number in range(1, 5):
        bench.add(number)
    bench.say([broken()])
    # There is room for one question at once: of those that find no room nothing is asked, now or later.
    bench.score(bench.scorer(usd_per_day=0.0105))
    bench.say([GOOD])
    for _ in range(2):
        bench.now_ns += 1_801 * SECOND_NS
        bench.score(bench.scorer(usd_per_day=0.0105))
    (day,) = bench.kept.spends("helpful", "").values()
    assert day.held_nano == 0 and 0 < day.spent_nano <= 0.0105 * NANO
    states = list(bench.states().values())
    assert len(states) == 4 and set(states) <= {("scored", ""), ("unscored", "cap")}


def test_an_answer_that_comes_too_late_is_paid_for_and_asked_again(bench: Bench) -> None:
    trace = bench.add(1)
    bench.say([{"reply": {"text": PASS, "latency": {"median_s": 3}}}])
    bench.score(bench.scorer(judge=bench.judge(timeout_s=0.05)))
    (day,) = bench.kept.spends("helpful", "").values()
    assert bench.states() == {} and day.spent_nano > 0 and day.held_nano == 0
    bench.say([GOOD])
    bench.now_ns += HOUR_NS
    bench.score(bench.scorer(judge=bench.judge(timeout_s=60)))
    assert bench.states() == {trace: ("scored", "")}
    (row,) = bench.kept.rows(bench.project, "helpful", 0)
    assert row.usd_nano == sum(one.spent_nano for one in bench.kept.spends("helpful", "").values())


def test_what_nobody_asks_about_any_more_is_given_up_after_a_day(bench: Bench) -> None:
    trace = bench.add(1)
    bench.say([broken()])
    rounds = bench.rounds()
    rounds.round([bench.scorer()], [bench.project])
    assert bench.states() == {}
    # The scorer is out of the policy: its judge will never be asked.
    bench.now_ns += DAY_NS + HOUR_NS
    rounds.round([], [bench.project])
    assert bench.states() == {trace: ("unscored", "judge_failed")}
    (row,) = bench.kept.rows(bench.project, "helpful", 0)
    assert row.why.startswith("waited a day") and "503" in row.why


def test_what_was_left_unscored_is_asked_again_on_request(bench: Bench) -> None:
    bench.add(1)
    bench.say([broken(400)])
    assert bench.score(bench.scorer()) == 1
    online = online_of_bench(bench, bench.scorer())
    assert online.retry(bench.project, "helpful", since_ns=bench.now_ns + 1).count == 0
    assert online.retry(bench.project, "helpful").count == 1
    with pytest.raises(BadRequest, match="may be gone"):
        online.retry(bench.project, "helpful", reason="unclear")
    bench.say([GOOD])
    # It waits from the moment of the wish on, which is none of this test's clock.
    bench.now_ns = time.time_ns() + DAY_NS // 2
    assert bench.score(bench.scorer()) == 1 and list(bench.states().values()) == [("scored", "")]


def test_pauses_grow_to_a_bound() -> None:
    assert [trace_pause_ns(tries) // SECOND_NS for tries in (1, 2, 3, 4, 5, 6, 99)] == [
        15,
        45,
        135,
        405,
        1215,
        1800,
        1800,
    ]
    assert [judge_pause_ns(tries) // SECOND_NS for tries in (1, 2, 3, 7, 99)] == [10, 20, 40, 600, 600]
    assert given_up(1, 0, HOUR_NS) == "" and "24 hours" not in given_up(TRIES_MAX, 0, HOUR_NS)
    assert given_up(1, 0, DAY_NS + HOUR_NS).startswith("waited 25 hours")
