"""Undo: after it, each annotation is what the other runs' writes make it; it survives kill -9 and other writers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.annotations import Change, runs, settle
from pilothouse.records import Forbidden, NotFound
from pilothouse.store.annotation_log import AnnotationLog

from .conftest import ADA, BOT, Desk, of_a_new_project

RUNS = ("red", "green", "blue")
Step = tuple[str, str, str, float | None]
"""Run, kind, key, and what is said; None removes."""

STEPS = st.tuples(
    st.sampled_from(RUNS),
    st.sampled_from(("score", "label", "note")),
    # Shared identifiers make the runs write over each other; "" makes each write its own.
    st.sampled_from(("", "k1", "k2")),
    st.sampled_from((None, 1.0, 2.0)),
)


def change_of(desk: Desk, step: Step) -> Change:
    _, kind, key, value = step
    remove = value is None
    if kind == "note":
        return desk.note("" if remove else f"said {value}", identifier=key or "own", remove=remove)
    if kind == "label":
        return desk.label("x", identifier=key, remove=remove)
    return desk.score("s", value, identifier=key, remove=remove)


def play(desk: Desk, history: list[Step]) -> None:
    """Make the writes of a history, one after the other, as one actor."""
    for step in history:
        desk.write(change_of(desk, step), run=step[0], anybodys=True)


def without(history: list[Step], *left_out: str) -> list[Step]:
    return [step for step in history if step[0] not in left_out]


def effective(history: list[Step]) -> list[Step]:
    """Without removals by name alone: what such a removal takes depends on what is there, and so on the other runs."""
    return [step for step in history if step[2] or step[3] is not None or step[1] == "note"]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(STEPS, max_size=10).map(effective), order=st.permutations(RUNS))
def test_undoing_runs_leaves_exactly_what_the_others_wrote(
    module_desk: Desk, history: list[Step], order: list[str]
) -> None:
    desk, other = of_a_new_project(module_desk), of_a_new_project(module_desk)
    play(desk, history)
    undone: list[str] = []
    for run in order:
        if any(step[0] == run for step in history) and run in {one.run for one in runs(desk.control, desk.project)}:
            dry = desk.undo(run, dry_run=True, anybodys=True)
            real = desk.undo(run, anybodys=True)
            assert (dry.removed, dry.restored, dry.kept_count) == (real.removed, real.restored, real.kept_count)
            again = desk.undo(run, anybodys=True)
            assert (again.removed, again.restored, again.kept_count, again.undo_id) == (0, 0, 0, "")
        undone.append(run)
        other = of_a_new_project(module_desk)
        play(other, without(history, *undone))
        assert desk.said() == other.said(), (history, undone)


def test_undo_restores_what_was_replaced_and_says_so(desk: Desk) -> None:
    desk.write(desk.score("s", 1.0, identifier="k"), run="first")
    desk.write(desk.score("s", 2.0, identifier="k"), desk.note("new"), run="second")
    undone = desk.undo("second")
    assert (undone.removed, undone.restored, undone.kept_count) == (1, 1, 0)
    restored = next(item for item in undone.items if item.outcome == "restored")
    assert restored.annotation is not None and restored.annotation.value == 1.0 and restored.annotation.run == "first"
    assert restored.before is not None and restored.before.value == 2.0
    assert desk.said() == [("score", "s", 1.0, "", "")]


def test_what_another_run_wrote_since_stays_and_is_listed(desk: Desk) -> None:
    desk.write(desk.score("s", 1.0, identifier="k"), run="first")
    desk.write(desk.score("s", 2.0, identifier="k"), run="second", actor=BOT)
    undone = desk.undo("first")
    assert (undone.removed, undone.restored, undone.kept_count) == (0, 0, 1)
    assert [(one.run, one.actor) for one in undone.kept] == [("second", "triage bot")]
    assert desk.said() == [("score", "s", 2.0, "", "")]


def test_removing_what_another_run_removed_keeps_it_removed_when_that_is_undone(desk: Desk) -> None:
    desk.write(desk.label("x", identifier="k"), run="first")
    desk.write(desk.label("x", identifier="k", remove=True), run="second")
    desk.write(desk.label("x", identifier="k", remove=True), run="third")
    assert desk.undo("second").kept_count == 1
    assert desk.said() == []


def test_saying_the_same_in_another_run_keeps_it_when_the_first_is_undone(desk: Desk) -> None:
    desk.write(desk.label("x", identifier="k"), run="first")
    assert desk.write(desk.label("x", identifier="k"), run="second").items[0].outcome == "unchanged"
    assert desk.undo("first").kept_count == 1
    assert desk.said() == [("label", "x", None, "", "")]
    desk.undo("second")
    assert desk.said() == []


def test_a_removal_is_undone_too(desk: Desk) -> None:
    desk.write(desk.label("x"), run="first")
    desk.write(desk.label("x", remove=True), run="second")
    assert desk.said() == []
    assert desk.undo("second").restored == 1
    assert desk.said() == [("label", "x", None, "", "")]


def test_an_unknown_run_names_those_there_are(desk: Desk) -> None:
    desk.write(desk.note("x"), run="triage-1")
    with pytest.raises(NotFound) as refused:
        desk.undo("triage-2")
    assert refused.value.allowed == ["triage-1"] and "triage-1" in str(refused.value.fix)


def test_who_only_annotates_cannot_undo_what_somebody_else_wrote(desk: Desk) -> None:
    desk.write(desk.note("x"), run="r", actor=ADA)
    with pytest.raises(Forbidden):
        desk.undo("r", actor=BOT)
    assert desk.undo("r", actor=BOT, anybodys=True).removed == 1


_WORKER = """
import itertools, json, sys, time
from pathlib import Path
from pilothouse.annotations import Change, undo, write
from pilothouse.records import Actor, Target, Unreachable
from pilothouse.store.control_store import open_control

class Away:
    def insert(self, *_):
        raise Unreachable("no trace store in this process")

given = json.loads(sys.argv[1])
control = open_control("", Path(given["data"]))
actor = Actor(id="key_ada", name="ada", kind="person")
print("ready", flush=True)
if given["do"] == "undo":
    undo(Away(), control, given["project"], given["run"], actor=actor, now_ns=time.time_ns())
else:
    for number in range(given["count"]):
        change = Change(kind="score", target=Target(trace_id="t"), name="s", value=float(number), identifier="k")
        write(Away(), control, given["project"], [change], actor=actor, run=given["run"], now_ns=time.time_ns())
print("done", flush=True)
"""


def worker(desk: Desk, folder: Path, **given_: Any) -> subprocess.Popen[str]:
    """Another process at the same log, without a trace store."""
    given_ |= {"data": str(folder), "project": desk.project}
    command = [sys.executable, "-c", _WORKER, json.dumps(given_)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def log_folder(desk: Desk) -> Iterator[Path]:
    """The folder of the desk's log."""
    url = desk.control._engine.url.database
    yield Path(str(url)).parent


@pytest.mark.slow
def test_an_undo_that_is_killed_goes_on_where_it_was(desk: Desk, log_folder: Path) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    desk.write(*(desk.score(f"s{n}", 1.0, identifier="k") for n in range(200)), run="before")
    for first in range(0, 1_000, 500):
        desk.write(*(desk.note(f"n{n}") for n in range(first, first + 500)), run="gone")
    desk.write(*(desk.score(f"s{n}", 2.0, identifier="k") for n in range(200)), run="gone")
    log = AnnotationLog(desk.control)
    left = [len(log.run_items(desk.project, "gone"))]
    assert left == [1_200]
    for _ in range(2):
        process = worker(desk, log_folder, do="undo", run="gone")
        deadline = time.monotonic() + 30
        # Killed once it has got somewhere: at a moment that only the seed knows.
        while len(log.run_items(desk.project, "gone")) == left[-1] and time.monotonic() < deadline:
            pass
        time.sleep(chance.random() * 0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        left.append(len(log.run_items(desk.project, "gone")))
    assert left[0] > left[1], left
    rest = desk.undo("gone")
    assert rest.removed + rest.restored == left[-1]
    settle(desk.store, desk.control, time.time_ns())
    assert desk.said() == sorted(("score", f"s{n}", 1.0, "", "") for n in range(200))
    assert desk.undo("gone").undo_id == ""


def test_two_processes_write_to_one_annotation_and_no_write_is_lost(desk: Desk, log_folder: Path) -> None:
    count = 25
    processes = [worker(desk, log_folder, do="write", run=run, count=count) for run in ("one", "two")]
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert out == "done\n" and process.returncode == 0
    written = {one.run: one.writes for one in runs(desk.control, desk.project)}
    assert written == {"one": count, "two": count}
    log = AnnotationLog(desk.control)
    with log.writing(desk.project, keep=False) as reading:
        (annotation_id,) = log.run_items(desk.project, "one")
        entries = reading.entries([annotation_id])[annotation_id]
        item = reading.items([annotation_id])[annotation_id]
    # The annotation is what the last of them all made it.
    assert len(entries) == 2 * count and item.state == entries[-1].after
