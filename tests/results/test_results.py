"""What a server keeps of runs: all of it once, taken apart and compared as it would be in a folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilothouse.evals.case import Metadata
from pilothouse.evals.compare import compare
from pilothouse.evals.grouping import groups_of
from pilothouse.evals.judges.calibration import Standing
from pilothouse.evals.judges.gating import Hearing
from pilothouse.evals.runs import Said
from pilothouse.evals.sending import batches, head_of, run_id
from pilothouse.evals.settings import Gate
from pilothouse.evals.statistics import JudgeRates
from pilothouse.records import BadRequest, NotFound, TooLarge
from pilothouse.results import Results
from pilothouse.store import result_store

from .support import PROJECT, make_run, send, trace


def test_a_run_is_kept_whole_and_counted(either: Results, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    project = request.node.name[:60]
    run = make_run(tmp_path, "v1", cases=1_200, failing=lambda n: n % 10 == 0)
    kept = send(either, run, project=project)
    totals = kept.totals
    assert (totals.cases, totals.passed, totals.failed, totals.attempts) == (1_200, 1_080, 120, 1_200)
    assert totals.pass_rate == pytest.approx(0.9)
    assert totals.pass_low < 0.9 < totals.pass_high
    assert totals.cost_usd == pytest.approx(1.2)
    assert (kept.suite, kept.version, kept.commit, kept.state, kept.who) == (
        "refunds", "v1", "0123456789ab", "finished", "ann",
    )  # fmt: skip
    assert kept.keys == {"capability": 2, "customer": 3, "week": 2}
    assert kept.held is None
    by = either.groups(project, kept.run_id, "customer")
    assert {one.value: one.totals.cases for one in by.groups} == {"acme": 400, "bolt": 400, "core": 400}
    weeks = either.groups(project, kept.run_id, "week").groups
    assert (weeks[0].value, weeks[0].totals.failed, weeks[1].totals.failed) == ("2026-W44", 120, 0)
    nothing = either.groups(project, kept.run_id, "nothing").groups
    assert [(one.value, one.totals.cases) for one in nothing] == [("", 1_200)]


def test_cases_are_listed_page_by_page_and_chosen(
    either: Results, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    project = request.node.name[:60]
    kept = send(either, make_run(tmp_path, "v1", cases=30, failing=lambda n: n in (7, 9)), project=project)
    seen: list[str] = []
    cursor = ""
    while True:
        found = either.cases(project, kept.run_id, limit=7, cursor=cursor)
        assert found.total == 30
        seen += [one.case for one in found.items]
        cursor = found.next
        if not cursor:
            break
    assert seen[:2] == ["case-0007", "case-0009"]
    assert len(set(seen)) == len(seen) == 30
    failing = either.cases(project, kept.run_id, outcomes=["fail"]).items
    assert (failing[0].why, failing[0].traces) == ("no refund was made", (trace(8),))
    acme = either.cases(project, kept.run_id, where="customer=acme", limit=500)
    assert acme.total == 10 and {one.groups["customer"] for one in acme.items} == {"acme"}
    assert either.cases(project, kept.run_id, where="capability=returns", words="0009").total == 1
    assert either.cases(project, kept.run_id, where="customer=").total == 0
    assert either.cases(project, kept.run_id, where="nobody=").total == 30
    assert either.cases(project, kept.run_id, words="%").total == 0
    shown = either.case(project, kept.run_id, "case-0007")
    assert shown.attempts[0]["said"][0]["name"] == "tool refund"
    assert shown.attempts[0]["text"] == "sorry, no"


def test_what_is_sent_twice_changes_nothing(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "v1", cases=1_100)
    first = send(results, run)
    asked: list[str] = []
    add = results.add
    monkeypatch.setattr(results, "add", lambda *words: (asked.append(words[2]), add(*words))[1])
    assert send(results, run) == first
    assert asked == []
    one = next(iter(batches(run)))
    assert results.add(PROJECT, first.run_id, one.digest, one.cases) is False
    assert results.run(PROJECT, first.run_id) == first


def test_a_run_that_was_broken_off_is_gone_on_with(results: Results, tmp_path: Path) -> None:
    run = make_run(tmp_path, "v1", cases=1_100, finished=False)
    parts = list(batches(run))
    id = run_id(run)
    results.begin(PROJECT, id, head_of(run, gate=Gate()), who="ann")
    results.add(PROJECT, id, parts[0].digest, parts[0].cases)
    # Here the sender is killed. The run is there, and says that it is not whole.
    open_ = results.run(PROJECT, id)
    assert open_.state == "open" and "broken off" in open_.stopped
    assert results.begin(PROJECT, id, head_of(run, gate=Gate()), who="bob").have == (parts[0].digest,)
    whole = send(results, run)
    assert (whole.totals.cases, whole.state, whole.who) == (1_100, "finished", "ann")
    # The run itself goes on: what is new or other is sent, and it is counted again.
    with run.writing() as writer:
        writer.add(replace(next(iter(run.results())), repeat=2, outcome="fail", why="this time not"))
    run.finish({"stopped": ""})
    again = send(results, run)
    assert (again.totals.cases, again.totals.flaky, again.totals.attempts, again.stopped) == (1_100, 1, 1_101, "")


def test_projects_do_not_see_each_other(results: Results, tmp_path: Path) -> None:
    run = make_run(tmp_path, "v1")
    kept = send(results, run)
    for ask in (results.run, results.delete):
        with pytest.raises(NotFound):
            ask("prj_other", kept.run_id)
    assert results.runs("prj_other").total == 0 and results.suites("prj_other") == ()
    with pytest.raises(NotFound):
        results.add("prj_other", kept.run_id, "ab" * 8, next(iter(batches(run))).cases)
    other = send(results, run, project="prj_other")
    results.delete("prj_other", other.run_id)
    assert results.run(PROJECT, kept.run_id) == kept
    assert results.cases(PROJECT, kept.run_id).total == 40


def test_a_run_is_compared_as_it_would_be_in_its_folder(results: Results, tmp_path: Path) -> None:
    before = make_run(tmp_path, "v1", cases=847, failing=lambda n: n < 8)
    after = make_run(tmp_path, "v2", cases=847, failing=lambda n: 100 <= n < 118, started="2026-11-29T11:00:00Z")
    gate = Gate(margin=0.0)
    here = compare(before, after, gate=gate)
    base, kept = send(results, before, gate=gate), send(results, after, gate=gate)
    found = results.compare(PROJECT, base.run_id, kept.run_id)
    assert (found.verdict, found.p, found.mid_p) == (here.outcome, here.verdict.p, here.verdict.mid_p)
    assert found.p == pytest.approx(0.0755187, abs=1e-7)
    assert found.counts == {name: count for name, count in here.counts.items() if count}
    assert list(found.reasons) == list(here.reasons)
    assert [one.case for one in found.changes] == [
        one.case for one in here.changes if one.bucket in ("regressed", "improved")
    ]
    assert (found.changes[0].trace_before, found.changes[0].trace_after) == (trace(101), trace(10_101))
    # It was held against the run before it by itself.
    assert kept.held is not None
    assert (kept.held.baseline, kept.held.verdict, kept.held.regressed, kept.held.improved) == (
        base.run_id, here.outcome, 18, 8,
    )  # fmt: skip
    assert kept.held.sentence == "; ".join(here.reasons[:3])
    only = results.compare(PROJECT, base.run_id, kept.run_id, bucket="improved", limit=5)
    assert ({one.bucket for one in only.changes}, len(only.changes), only.changes_more) == ({"improved"}, 5, 3)


def test_the_gate_and_quarantine_of_the_suite_hold(results: Results, tmp_path: Path) -> None:
    base = send(results, make_run(tmp_path, "v1", cases=200))
    after = make_run(
        tmp_path, "v2", cases=200, failing=lambda n: n == 3, severity="critical", started="2026-11-30T00:00:00Z"
    )
    strict = send(results, after, quarantined={"case-0003": "flaky since the move"})
    found = results.compare(PROJECT, base.run_id, strict.run_id)
    assert (found.verdict, found.counts["quarantined"]) == ("pass", 1)
    assert results.case(PROJECT, strict.run_id, "case-0003").case.quarantined == "flaky since the move"
    results.delete(PROJECT, strict.run_id)
    failed = send(results, after)
    assert failed.held is not None and failed.held.verdict == "fail"
    assert failed.held.sentence.startswith("a critical case regressed: case-0003; ")


def test_a_judge_that_may_not_gate_decides_nothing(results: Results, tmp_path: Path) -> None:
    def judged(version: str, started: str, outcome: Any) -> Any:
        said = (Said(name="kind", outcome=outcome, judge="careful@1"),)
        return make_run(
            tmp_path, version, cases=60, judges={"careful": "1"}, started=started, outcome=outcome, said=said
        )

    rates = JudgeRates(items=0, truly_pass=0, truly_fail=0, passes_kept=0, fails_caught=0)
    barred = Standing(judge="careful@1", may_gate=False, why_not=("0 labelled items",), rates=rates)
    hearing = Hearing(standings={"careful@1": barred})
    send(results, judged("v1", "2026-11-29T10:00:00Z", "pass"), hearing=hearing)
    kept = send(results, judged("v2", "2026-11-29T11:00:00Z", "fail"), hearing=hearing)
    assert kept.barred == ("careful@1: 0 labelled items",)
    assert kept.totals.failed == 60
    assert kept.held is not None and kept.held.verdict == "not_enough_data"
    found = results.compare(PROJECT, kept.held.baseline, kept.run_id)
    assert found.counts == {"undetermined": 60}
    assert any("may not gate" in reason for reason in found.reasons)


def test_a_baseline_is_named_or_found(results: Results, tmp_path: Path) -> None:
    def run(version: str, hour: int, cases: int = 40) -> Any:
        return make_run(tmp_path, version, cases=cases, started=f"2026-11-29T{hour:02}:00:00Z")

    first = send(results, run("v1", 1))
    send(results, run("one case", 2, cases=1))
    third = send(results, run("v3", 3))
    assert third.held is not None and third.held.baseline == first.run_id, "a run of one case is no measure"
    named = send(results, run("v4", 4), baseline=first.run_id)
    assert named.held is not None and named.held.baseline == first.run_id
    lost = send(results, run("v5", 5), baseline="evr_00000000")
    assert lost.held is not None and lost.held.verdict == "" and "no such run" in lost.held.sentence
    assert [one.version for one in results.runs(PROJECT, suite="refunds").items] == ["v5", "v4", "v3", "one case", "v1"]
    page = results.runs(PROJECT, limit=2)
    assert (page.total, [one.version for one in results.runs(PROJECT, limit=2, cursor=page.next).items]) == (
        5, ["v3", "one case"],
    )  # fmt: skip
    assert [(one.suite, one.total, len(one.runs)) for one in results.suites(PROJECT)] == [("refunds", 5, 5)]
    with pytest.raises(BadRequest, match="another one"):
        results.compare(PROJECT, first.run_id, first.run_id)


def test_secrets_and_what_no_database_takes_are_not_kept(
    either: Results, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    project = request.node.name[:60]
    secret = "sk-proj-" + "aB3dE5" * 8
    kept = send(
        either,
        make_run(tmp_path, "v1", cases=1, text=f"the key is {secret}\x00\ud800", why="\x00", outcome="fail"),
        project=project,
    )
    told = json.dumps(either.case(project, kept.run_id, "case-0000").attempts)
    assert secret not in told and "masked" in told
    assert "\\u0000" not in told and "\\ud800" not in told


def test_a_run_has_bounds(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_store, "CASES_MAX", 30)
    run = make_run(tmp_path, "v1")
    with pytest.raises(TooLarge, match="at most 30 cases"):
        send(results, run)
    assert results.cases(PROJECT, run_id(run)).total == 0, "a batch is kept whole or not at all"
    for words, error in ((("nonsense",), "come out"), ((), "KEY=VALUE")):
        with pytest.raises(BadRequest, match=error):
            results.cases(PROJECT, run_id(run), outcomes=words, where="" if words else "acme")
    with pytest.raises(BadRequest, match="cursor"):
        results.cases(PROJECT, run_id(run), cursor="x")
    with pytest.raises(BadRequest, match="grouped"):
        results.groups(PROJECT, run_id(run), 'a"b')


def test_what_cases_may_be_grouped_by() -> None:
    metadata = Metadata(
        difficulty="hard",
        tags=("customer:acme", "slow", "not a key: x"),
        provenance={"week": "2026-W48", "trace": "ab", "step": 3, "minimised": {"runs": 3}, "turns": 4},
    )
    assert groups_of(metadata) == {
        "customer": "acme", "slow": "yes", "difficulty": "hard", "week": "2026-W48", "turns": "4",
    }  # fmt: skip
