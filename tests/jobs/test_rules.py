"""Who is dead, which moments are due, and what may be kept: decided without a database or a clock."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from pilothouse.jobs import RunFailed, Schedule
from pilothouse.jobs.adoption import Watch
from pilothouse.jobs.journal_json import JsonSerializer
from pilothouse.jobs.schedules import due
from pilothouse.records import BadRequest, NotFound
from pilothouse.store.job_store import JobWorker, OpenRun


def worker(name: str, *, beat: int = 0, machine: str = "here", process_id: int = 7) -> JobWorker:
    return JobWorker(
        worker_id=name, machine=machine, process_id=process_id, process_start="1", release="1", workflows=(), beat=beat
    )


def run(name: str, of: str) -> OpenRun:
    return OpenRun(run_id=name, workflow="w.v1", worker_id=of)


def test_a_worker_is_dead_when_its_beat_stands_still_for_the_lease_by_the_watcher_s_clock() -> None:
    watch = Watch("me", "here", lambda _pid, _start: False, lease_s=10)
    others = [worker("me"), worker("slow", machine="elsewhere")]
    assert watch.dead(others, 0) == []
    assert watch.dead(others, 9.9) == []
    assert watch.dead([worker("me"), worker("slow", machine="elsewhere", beat=1)], 12) == []
    assert watch.dead([worker("me"), worker("slow", machine="elsewhere", beat=1)], 22.1) == ["slow"]


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once_and_one_of_another_is_not() -> None:
    watch = Watch("me", "here", lambda pid, _start: pid == 13, lease_s=10)
    seen = [worker("a", process_id=13), worker("b", process_id=13, machine="elsewhere"), worker("c", process_id=14)]
    assert watch.dead(seen, 0) == ["a"]


def test_a_run_without_a_living_worker_is_adopted_those_of_the_dead_at_once_those_of_nobody_at_the_second_look() -> (
    None
):
    watch = Watch("me", "here", lambda _pid, _start: False)
    workers = [worker("me"), worker("alive"), worker("dead")]
    runs = [run("1", "me"), run("2", "alive"), run("3", "dead"), run("4", "nobody")]
    assert [one.run_id for one in watch.to_adopt(workers, ["dead"], runs)] == ["3"]
    assert [one.run_id for one in watch.to_adopt(workers, [], runs)] == ["4"]
    # Another has taken it meanwhile.
    watch = Watch("me", "here", lambda _pid, _start: False)
    watch.to_adopt(workers, [], runs)
    assert watch.to_adopt(workers, [], [run("4", "alive")]) == []


def test_my_own_run_that_nothing_runs_is_gone_on_with_at_the_second_look() -> None:
    watch = Watch("me", "here", lambda _pid, _start: False)
    runs = [run("1", "me"), run("2", "me"), run("3", "other")]
    assert watch.to_resume(runs, {"1": None}, ["w.v1"]) == []
    assert [one.run_id for one in watch.to_resume(runs, {"1": None}, ["w.v1"])] == ["2"]
    assert watch.to_resume(runs, {}, ["other.v1"]) == []


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("latest", ["12:00", "12:10", "12:20"]),
        ("none", ["12:10", "12:20"]),
        ("all", ["11:30", "11:40", "11:50", "12:00", "12:10", "12:20"]),
    ],
)
def test_missed_moments_are_made_up_for_as_the_schedule_says(catch_up: Any, expected: list[str]) -> None:
    schedule = Schedule(name="s", workflow="w", cron="*/10 * * * *", catch_up=catch_up)
    # Served up to 11:25; a worker began at 12:05; now it is 12:21.
    found = due(
        schedule, at("2026-03-01T11:25:00"), at("2026-03-01T12:21:00"), awake_since_ns=at("2026-03-01T12:05:00")
    )
    assert list(found) == [at(f"2026-03-01T{moment}:00") for moment in expected]


def test_years_of_missed_moments_are_a_hundred_at_most() -> None:
    schedule = Schedule(name="s", workflow="w", cron="* * * * *", catch_up="all")
    found = due(schedule, at("2020-01-01T00:00:00"), at("2026-01-01T00:00:30"), awake_since_ns=0)
    assert (len(found), found[-1]) == (100, at("2026-01-01T00:00:00"))


def test_each_moment_is_due_once_whenever_it_is_asked() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    schedule = Schedule(name="s", workflow="w", cron="*/7 * * * *", catch_up="all")
    start = now = at("2026-01-01T00:00:00")
    found: list[int] = []
    since = start
    while now < at("2026-01-01T06:00:00"):
        now += dice.randrange(1, 1200) * 1_000_000_000
        moments = due(schedule, since, now, awake_since_ns=start)
        found += moments
        since = moments[-1] if moments else since
    assert found == sorted(set(found))
    assert found == list(due(schedule, start, now, awake_since_ns=start))


def test_a_schedule_keeps_its_hour_through_the_change_to_summer_time() -> None:
    schedule = Schedule(name="s", workflow="w", cron="0 9 * * *", timezone="Europe/Berlin", catch_up="all")
    found = due(schedule, at("2026-03-28T00:00:00"), at("2026-03-30T12:00:00"), awake_since_ns=0)
    assert list(found) == [at("2026-03-28T08:00:00"), at("2026-03-29T07:00:00"), at("2026-03-30T07:00:00")]


def test_values_and_errors_come_back_as_they_were_kept() -> None:
    kept = JsonSerializer()
    value: Any = {"args": ({"a": [1, 2.5, None, True, "ä\x00"]},), "kwargs": {}}
    assert kept.deserialize(kept.serialize(value)) == {"args": [{"a": [1, 2.5, None, True, "ä\x00"]}], "kwargs": {}}
    back = kept.deserialize(kept.serialize(NotFound("no such thing", got="x", fix="look elsewhere")))
    assert isinstance(back, RunFailed)
    assert (back.message, back.type, back.got, back.fix) == ("no such thing", "NotFound", "x", "look elsewhere")
    # A value that looks like a kept error is still a value.
    assert kept.deserialize(kept.serialize({"error": {"message": "m"}})) == {"error": {"message": "m"}}


@pytest.mark.parametrize("value", [object(), {1: "a"}, b"bytes", {"a": {2}}, float("nan")])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises((BadRequest, ValueError)):
        JsonSerializer().serialize({"value": value})


def test_what_is_too_large_says_where_it_belongs() -> None:
    with pytest.raises(BadRequest, match="too large") as caught:
        JsonSerializer().serialize("x" * 8_000_001)
    assert "file" in (caught.value.fix or "")
