"""The parts of a backtest by themselves: samples, groups of failures, rates and their verdicts."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from scipy import stats

from pilothouse.evals import runs
from pilothouse.evals.backtests.cases import Making, cases_of, recorded_of
from pilothouse.evals.backtests.escapes import Failure, escapes, escapes_data, is_negative, known_cases
from pilothouse.evals.backtests.failures import failed_of, groups, plain_reason
from pilothouse.evals.backtests.report import report
from pilothouse.evals.backtests.selection import Selected, sample, week_of
from pilothouse.evals.backtests.taking import Taking
from pilothouse.evals.case_text import read_case
from pilothouse.evals.checks import run_check
from pilothouse.evals.interop.tau_bench import read, recording
from pilothouse.evals.recording import Recording
from pilothouse.evals.runs import About, Result, Run, Said
from pilothouse.evals.suite import Suite
from pilothouse.records import BadRequest
from pilothouse.records.statistics import fisher


def row(id: str, customer: str = "a") -> Selected:
    return Selected(id=id, kind="session", trace="ab" * 16, start="2026-11-29T12:00:00Z", customer=customer)


def test_a_sample_is_drawn_again_and_parts_like_the_customers() -> None:
    rows = [row(f"s{n}", "large" if n < 80 else "small" if n < 95 else "tiny") for n in range(100)]
    drawn = sample(rows, 20, seed=3, by_customer=True)
    assert [sum(one.customer == name for one in drawn) for name in ("large", "small", "tiny")] == [16, 3, 1]
    assert drawn == sample(rows[::-1], 20, seed=3, by_customer=True)
    assert drawn != sample(rows, 20, seed=4, by_customer=True)
    # What came since does not change who is drawn before whom.
    assert [one for one in sample([*rows, row("new")], 0, seed=3) if one.id != "new"] == sample(rows, 0, seed=3)
    assert len(sample(rows, 500, seed=1)) == 100


def test_weeks_are_those_of_the_calendar() -> None:
    assert [week_of(one) for one in ("2026-11-29T23:59:59Z", "2026-11-30T00:00:00Z", "2027-01-01T00:00:00+00:00", "x")] == [
        "2026-W48", "2026-W49", "2026-W53", "",
    ]  # fmt: skip


def test_reasons_lose_what_is_their_own() -> None:
    alike = [
        'refund was called, but arguments.amount: it is another value ("50", not 500.00)',
        "refund was called, but arguments.amount: it is another value ({'a': [1, 2]}, not $3)",
    ]
    assert len({plain_reason(one) for one in alike}) == 1
    assert plain_reason("get_order is missing; called: a, b") == plain_reason("get_order is missing; called: c")
    assert plain_reason("no order A-4411 of 0f8fad5bd9cb469fa16570867728950e") == "no order A-‹number› of ‹id›"
    assert (
        plain_reason("it doesn't say that the customer's wish counts")
        == "it doesn't say that the customer's wish counts"
    )


def test_groups_are_the_same_in_any_order_and_prose_is_put_together() -> None:
    said = [
        ("1", Said(name='tool refund {"a": 1}', outcome="fail", why="refund was not called; no tool was; it said 'a'")),
        ("2", Said(name='tool refund {"a": 2}', outcome="fail", why="refund was not called; called: x; it said 'b'")),
        (
            "3",
            Said(name="kind", outcome="fail", judge="j@1", why="The answer blames the customer for the late parcel."),
        ),
        (
            "4",
            Said(
                name="kind", outcome="fail", judge="j@1", why="The answer blames the customer for a late parcel, twice."
            ),
        ),
        ("5", Said(name="kind", outcome="fail", judge="j@1", why="No term is named.")),
    ]
    failed = [failed_of(Result(case=id, sha256="x", repeat=1, outcome="fail", said=(one,))) for id, one in said]
    failed.append(failed_of(Result(case="6", sha256="x", repeat=1, outcome="fail", error="ValueError: order 7")))
    found = [(one.check, one.tool, one.cases) for one in groups(failed)]
    assert found == [
        ("judge j: kind", "", 2), ("tool", "refund", 2), ("agent failed", "", 1), ("judge j: kind", "", 1),
    ]  # fmt: skip
    for order in itertools.permutations(failed):
        assert [(one.check, one.tool, one.cases) for one in groups(order)] == found


@pytest.mark.parametrize("table", [(8, 10, 3, 10), (0, 5, 5, 5), (3, 3, 0, 0), (40, 400, 90, 500), (0, 0, 0, 0)])
def test_fishers_test_is_scipys(table: tuple[int, int, int, int]) -> None:
    a, n, b, m = table
    expected = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
    assert fisher(a, n, b, m) == pytest.approx(expected, rel=1e-9)


def made(folder: Path, outcomes: dict[str, list[str]], *, cluster: str = "") -> Run:
    """A run of cases ``CUSTOMER-N``."""
    found = runs.begin(folder, About(run="", suite="s", suite_version="", target="t", version="v"))
    with found.writing() as writer:
        for customer, listed in outcomes.items():
            for number, outcome in enumerate(listed):
                writer.add(
                    Result(
                        case=f"{customer}-{number:03d}", sha256="x", repeat=1, outcome=outcome,  # type: ignore[arg-type]
                        customer=customer, cluster=cluster and f"{customer}{cluster}",
                    )
                )  # fmt: skip
    return found


def test_a_customer_that_lost_is_found_among_those_that_did_not(tmp_path: Path) -> None:
    before = {name: ["pass"] * 40 for name in "abcdefghijkl"}
    after = {name: ["pass"] * 40 for name in "abcdefghijkl"} | {"c": ["fail"] * 12 + ["unscored"] * 8 + ["pass"] * 20}
    found = report(made(tmp_path, after), made(tmp_path, before), mode="reference")
    assert found.clusters == "customer" and found.verdict is not None and found.verdict.clusters == 12
    first = found.customers[0]
    assert (first.name, first.verdict, first.cases, first.unscored) == ("c", "worse", 32, 8)
    assert first.p_adjusted == pytest.approx(12 * 2 / 2**12)
    assert {one.verdict for one in found.customers[1:]} == {"not_enough_data"}, "40 cases do not show 2 points"
    # One customer's loss is one cluster's: of all of them it proves nothing.
    assert found.outcome == "not_enough_data" and found.overall.cases == 472
    assert found.overall.interval.high - found.overall.interval.low > 2 * (
        stats.norm.ppf(0.975) * (460 * 12 / 472**3) ** 0.5
    ), "wider than if the cases were independent"


def test_production_alone_is_held_against_a_bar_and_customers_against_each_other(tmp_path: Path) -> None:
    outcomes = {"a": ["pass"] * 90 + ["fail"] * 10, "b": ["pass"] * 60 + ["fail"] * 40}
    run = made(tmp_path, outcomes)
    assert [report(run, None, mode="rate", least=one).outcome for one in (0.5, 0.73, 0.9, 0.0)] == [
        "pass", "not_enough_data", "fail", "not_enough_data",
    ]  # fmt: skip
    found = report(run, None, mode="rate", least=0.73)
    assert "cases more would tell" in found.reasons[0] and "too few to be clusters" in found.reasons[1]
    worse, better = found.customers
    assert (worse.name, worse.verdict, better.verdict) == ("b", "worse", "better")
    assert worse.difference == pytest.approx(-0.3)
    assert worse.p == pytest.approx(stats.fisher_exact([[60, 40], [90, 10]]).pvalue)


def test_what_gave_no_case_is_counted_by_its_reason(tmp_path: Path) -> None:
    taking = Taking(tmp_path)
    taking.choose([row("a"), row("b"), row("c")])
    with taking.open() as keeping:
        keeping.leave_out(row("a"), "the content was not recorded")
        keeping.leave_out(row("b"), "the content was not recorded")
        keeping.keep(row("c"), [{"id": "c", "input": "hello"}])
    assert taking.left_out() == [{"why": "the content was not recorded", "count": 2, "example": "a"}]
    assert list(Suite(tmp_path).places()) == ["c"] and [one.id for one in taking.rows()] == ["a", "b", "c"]


def test_real_sessions_become_cases_that_what_was_done_passes(fixtures_folder: Path) -> None:
    """Every conversation of tau-bench, as a whole and decision by decision."""
    path = fixtures_folder / "tau_bench/gpt-4o-airline_10tasks.json"
    if not path.is_file():
        pytest.skip("no runs of tau-bench among the fixtures")
    decisions = 0
    for trial in read(path):
        told = recording(trial)
        selected = row(f"{trial.id}-{trial.trial}", trial.user)
        for unit in ("session", "decision"):
            for data in cases_of(told, selected, Making(unit=unit)):
                case = read_case(data)
                seen = recorded_of(case)
                assert case.metadata.customer == trial.user and case.metadata.week == "2026-W48"
                assert case.checks and seen.messages
                assert [one.outcome for one in (run_check(check, seen) for check in case.checks)].count("fail") == 0
                decisions += unit == "decision"
    assert decisions > 400


def test_a_session_with_nothing_to_hold_against_is_no_reference() -> None:

    with pytest.raises(BadRequest, match="nothing to give an agent"):
        cases_of(Recording(), row("x"), Making())


def failure(trace: str, day: int, asked: str = "") -> Failure:
    return Failure(trace=trace, start=f"2026-11-{day:02d}T12:00:00Z", why=["error"], asked=asked, session=trace)


def test_what_a_suite_had_said_of_a_failure(tmp_path: Path) -> None:
    """Red before: foretold. Green before: passed. Run only afterwards: captured. Each by its own question or trace."""
    suite = Suite(tmp_path)
    (tmp_path / "cases").mkdir()
    for id, asked, trace in (
        ("red", "Refund  order 1", ""),
        ("green", "Hello", ""),
        ("late", "x", "t3"),
        ("not", "y", "t9"),
    ):
        suite.add({"id": id, "input": asked, "metadata": {"provenance": {"trace": trace} if trace else {}}})
    for day, outcomes in (
        (10, {"red": "pass", "green": "fail"}),
        (12, {"red": "fail", "green": "pass"}),
        (20, {"late": "fail"}),
    ):
        about = About(
            run="", suite="s", suite_version="", target="t", version="v", started=f"2026-11-{day}T00:00:00.000Z"
        )
        with runs.begin(tmp_path, about).writing() as writer:
            for case, outcome in outcomes.items():
                writer.add(Result(case=case, sha256="x", repeat=1, outcome=outcome))  # type: ignore[arg-type]
    failures = [
        failure("t1", 15, "refund order 1"), failure("t2", 15, "hello"), failure("t3", 15, "other"),
        failure("t4", 15, "no case"), failure("t5", 11, "Hello"), failure("t6", 8, "hello"),
    ]  # fmt: skip
    found = escapes(failures, known_cases(suite))
    assert [(one.caught, one.case) for one in found] == [
        ("foretold", "red"), ("passed", "green"), ("captured", "late"), ("uncovered", ""), ("foretold", "green"),
        ("captured", "green"),
    ]  # fmt: skip
    data = escapes_data(found, suite="s")
    assert (data["failures"], data["escaped"], [one["week"] for one in data["weeks"]]) == (
        6,
        4,
        ["2026-W45", "2026-W46"],
    )
    assert [one["trace"] for one in data["missing"]] == ["t4"] and data["passed"][0]["case"] == "green"


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        ({"kind": "label", "name": "Bad"}, "label Bad"),
        ({"kind": "label", "name": "rude"}, "label rude"),
        ({"kind": "label", "name": "fine"}, ""),
        ({"kind": "label", "name": "bad", "actor_kind": "evaluator"}, ""),
        ({"kind": "score", "name": "helpful", "value": 0.2}, "score helpful 0.2"),
        ({"kind": "score", "name": "helpful", "value": 0.5}, ""),
        ({"kind": "score", "name": "right", "value": 0.0, "label": "pass"}, ""),
        ({"kind": "score", "name": "right", "label": "fail"}, "score right fail"),
        ({"kind": "note", "text": "bad"}, ""),
    ],
)
def test_only_a_persons_word_against_a_trace_counts(annotation: dict[str, object], told: str) -> None:
    assert is_negative({"actor_kind": "person", **annotation}, ["RUDE"]) == told
