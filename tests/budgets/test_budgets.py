"""What a user of budgets can rely on: held back before, settled once, nothing lost, and a refusal that says it all."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pilothouse.budgets import Ask, Limit, OverBudget, period_of, read_budgets
from pilothouse.budgets.rules import applying
from pilothouse.records import BadRequest, NotFound, Usage
from pilothouse.store.budget_store import BudgetStore

from .support import DAY_NS, NOON_NS, SetClock, budgets

COMPANY = {"company": {"level": "system", "usd": 1}}
TWENTY = Ask(usd=Decimal("0.2"))


def _limit(caught: pytest.ExceptionInfo[OverBudget]) -> Limit:
    assert caught.value.limit is not None
    return caught.value.limit


def test_what_is_held_back_is_no_longer_there_and_what_was_not_spent_comes_back(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    held = [spending.reserve("p", TWENTY) for _ in range(5)]
    with pytest.raises(OverBudget) as caught:
        spending.reserve("p", Ask(usd=Decimal("0.000000001")))
    assert _limit(caught).left == "0 USD"
    assert spending.settle("p", held[0].reservation_id, usd=Decimal("0.05")).spent_usd == Decimal("0.05")
    assert spending.release("p", held[1].reservation_id).state == "released"
    [standing] = spending.overview("p").standing
    assert (standing.spent_usd, standing.held_usd, standing.left_usd) == (
        Decimal("0.05"),
        Decimal("0.6"),
        Decimal("0.35"),
    )
    assert (standing.calls, standing.refused) == (1, 1)


def test_projects_do_not_share_budgets(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    for _ in range(5):
        spending.reserve("p", TWENTY)
    assert spending.reserve("q", TWENTY).usd == Decimal("0.2")


def test_settling_twice_books_once_and_releasing_after_is_refused(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    held = spending.reserve("p", TWENTY)
    for usd in ("0.1", "0.7"):
        assert spending.settle("p", held.reservation_id, usd=Decimal(usd)).spent_usd == Decimal("0.1")
    with pytest.raises(BadRequest, match="is settled"):
        spending.release("p", held.reservation_id)
    other = spending.reserve("p", TWENTY)
    for _ in range(2):
        spending.release("p", other.reservation_id)
    with pytest.raises(BadRequest, match="was released"):
        spending.settle("p", other.reservation_id, usd=Decimal("0.1"))
    [standing] = spending.overview("p").standing
    assert (standing.spent_usd, standing.held_usd, standing.calls) == (Decimal("0.1"), 0, 1)


def test_a_request_that_is_sent_twice_holds_back_once(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    first = spending.reserve("p", TWENTY, reservation_id="call-1")
    assert spending.reserve("p", TWENTY, reservation_id="call-1") == first
    assert spending.overview("p").standing[0].held_usd == Decimal("0.2")
    spending.settle("p", "call-1", usd=Decimal("0.1"))
    with pytest.raises(BadRequest, match="this reservation is settled"):
        spending.reserve("p", TWENTY, reservation_id="call-1")


def test_what_cost_more_than_was_held_back_is_booked_in_full(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    held = spending.reserve("p", TWENTY)
    spending.settle("p", held.reservation_id, usd=Decimal("1.5"))
    [standing] = spending.overview("p").standing
    assert (standing.spent_usd, standing.left_usd) == (Decimal("1.5"), 0)
    with pytest.raises(OverBudget):
        spending.reserve("p", Ask(usd=Decimal("0.01")))


def test_a_call_without_a_known_cost_is_booked_as_it_was_held_back(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    held = spending.reserve("p", TWENTY)
    assert spending.settle("p", held.reservation_id).spent_usd == Decimal("0.2")


def test_the_worst_case_is_worked_out_and_settled_by_usage(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    held = spending.reserve("p", Ask(model="large", input_tokens=10_000, output_tokens=2_000))
    assert (held.usd, held.tokens, held.output_tokens) == (Decimal("0.18"), 12_000, 2_000)
    usage = Usage(input_uncached=8_000, output_text=100)
    settled = spending.settle("p", held.reservation_id, usage=usage)
    assert (settled.spent_usd, settled.spent_tokens) == (Decimal("0.084"), 8_100)


def test_a_model_without_a_price_is_no_way_around_a_budget(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    with pytest.raises(BadRequest, match="no price is known") as caught:
        spending.reserve("p", Ask(model="my-own-model-7", provider="nobody"))
    assert "[[prices]]" in (caught.value.fix or "")
    assert spending.overview("p").standing == ()


def test_a_call_must_fit_every_level_and_takes_from_none_when_one_is_full(store: BudgetStore) -> None:
    spending = budgets(
        store,
        company={"level": "system", "usd": 10, "per": "month"},
        user={"level": "user", "usd": 1, "per": "day", "at_limit": "cheaper"},
        run={"level": "run", "usd": 0.5},
    )
    ask = Ask(usd=Decimal("0.4"), user="ann", run="r1", feature="chat")
    spending.reserve("p", ask)
    with pytest.raises(OverBudget) as caught:
        spending.reserve("p", ask)
    assert (_limit(caught).budget, _limit(caught).at_limit) == ("run", "refuse")
    spending.reserve("p", Ask(usd=Decimal("0.4"), user="ann", run="r2"))
    with pytest.raises(OverBudget) as caught:
        spending.reserve("p", Ask(usd=Decimal("0.4"), user="ann", run="r3"))
    assert (_limit(caught).budget, _limit(caught).at_limit) == ("user", "cheaper")
    assert caught.value.message == (
        "budget user of user ann has 0.2 USD left of 1 USD in 2026-11-29, the call may take 0.4 USD"
    )
    held = {(row.budget, row.subject): row.held_usd for row in spending.overview("p").standing}
    assert held["company", "system"] == held["user", "ann"] == Decimal("0.8")
    assert held.get(("run", "r3"), Decimal(0)) == 0


def test_several_full_budgets_are_told_by_the_printed_rule(store: BudgetStore) -> None:
    spending = budgets(
        store,
        company={"level": "system", "usd": 1, "at_limit": "ask"},
        user={"level": "user", "usd": 1, "at_limit": "cheaper"},
    )
    for _ in range(5):
        spending.reserve("p", Ask(usd=Decimal("0.2"), user="ann"))
    with pytest.raises(OverBudget) as caught:
        spending.reserve("p", Ask(usd=Decimal("0.2"), user="ann"))
    assert (_limit(caught).budget, _limit(caught).at_limit) == ("company", "ask")
    assert "(1 more budgets are full too)" in caught.value.message


def test_leaving_the_user_out_is_no_way_around_a_budget(store: BudgetStore) -> None:
    spending = budgets(store, user={"level": "user", "usd": 0.3})
    spending.reserve("p", TWENTY)
    with pytest.raises(OverBudget, match=r"of user \(none\) has 0\.1 USD left"):
        spending.reserve("p", TWENTY)
    assert spending.reserve("p", Ask(usd=Decimal("0.2"), user="ann")).places[0].subject == "ann"


def test_runs_without_a_name_are_runs_of_their_own(store: BudgetStore) -> None:
    spending = budgets(store, run={"level": "run", "usd": 0.3})
    subjects = {spending.reserve("p", TWENTY).places[0].subject for _ in range(5)}
    assert len(subjects) == 5


def test_one_request_is_held_to_its_caps_and_told_the_bound_of_its_output(store: BudgetStore) -> None:
    spending = budgets(store, one={"level": "request", "usd": 0.25, "input_tokens": 10_000, "output_tokens": 500})
    assert spending.reserve("p", Ask(model="large", input_tokens=100)).output_tokens == 500
    for ask, said in (
        (Ask(model="large", input_tokens=10_001), "has 10,000 input tokens left of 10,000 input tokens"),
        (Ask(model="large", output_tokens=501), "501 output tokens"),
        (Ask(usd=Decimal("0.26")), "0.25 USD left of 0.25 USD, the call may take 0.26 USD"),
    ):
        with pytest.raises(OverBudget, match=said):
            spending.reserve("p", ask)


def test_tokens_are_a_budget_too(store: BudgetStore) -> None:
    spending = budgets(store, user={"level": "user", "tokens": 1_000, "per": "hour"})
    held = spending.reserve("p", Ask(input_tokens=300, output_tokens=300))
    with pytest.raises(OverBudget, match="has 400 tokens left of 1,000 tokens in 2026-11-29T12"):
        spending.reserve("p", Ask(input_tokens=300, output_tokens=300))
    spending.settle("p", held.reservation_id, usage=Usage(input_uncached=300, output_text=10))
    spending.reserve("p", Ask(input_tokens=300, output_tokens=300))


def test_a_dead_processs_reservation_expires_and_a_late_settle_still_counts(store: BudgetStore) -> None:
    clock = SetClock()
    spending = budgets(store, clock, **COMPANY)
    spending.sweep()
    held = [spending.reserve("p", Ask(usd=Decimal("0.2"), lease_s=120)) for _ in range(5)]
    for _ in range(2):
        clock.ns += 50 * 10**9
        assert spending.sweep() == 0
    spending.renew("p", held[0].reservation_id)
    clock.ns += 50 * 10**9
    assert spending.sweep() == 4
    spending.reserve("p", TWENTY)
    late = spending.settle("p", held[1].reservation_id, usd=Decimal("0.1"))
    assert (late.state, late.late) == ("settled", True)
    [standing] = spending.overview("p").standing
    assert (standing.spent_usd, standing.held_usd) == (Decimal("0.1"), Decimal("0.4"))
    with pytest.raises(BadRequest, match="is expired"):
        spending.renew("p", held[2].reservation_id)


def test_a_clock_that_jumps_ahead_expires_nothing_that_is_alive(store: BudgetStore) -> None:
    clock = SetClock()
    spending = budgets(store, clock, **COMPANY)
    spending.sweep()
    held = spending.reserve("p", Ask(usd=Decimal("0.2"), lease_s=120))
    clock.ns += 400 * DAY_NS
    assert spending.sweep() == 0
    clock.ns -= 800 * DAY_NS
    assert spending.sweep() == 0
    assert spending.settle("p", held.reservation_id, usd=Decimal("0.1")).late is False


def test_a_clock_that_goes_back_over_midnight_opens_no_new_day(store: BudgetStore) -> None:
    clock = SetClock()
    spending = budgets(store, clock, user={"level": "user", "usd": 0.3, "per": "day"})
    spending.reserve("p", TWENTY)
    clock.ns += DAY_NS
    spending.reserve("p", TWENTY)
    clock.ns -= DAY_NS // 2 + 10**9
    with pytest.raises(OverBudget, match="in 2026-11-30"):
        spending.reserve("p", TWENTY)


@pytest.mark.parametrize(
    ("per", "name", "after"),
    [
        ("hour", "2026-11-29T12", "2026-11-29T13"),
        ("day", "2026-11-29", "2026-11-30"),
        ("week", "2026-W48", "2026-W49"),
        ("month", "2026-11", "2026-12"),
        ("ever", "ever", "ever"),
    ],
)
def test_periods_have_names_and_stand_against_jumps(per: Any, name: str, after: str) -> None:
    assert period_of(per, NOON_NS) == name
    assert period_of(per, NOON_NS, latest=after) == after
    # A year ahead was the jump, not now.
    year_ahead = period_of(per, NOON_NS + 365 * DAY_NS)
    assert period_of(per, NOON_NS, latest=year_ahead) == name


def test_what_retries_and_judges_add_is_shown(store: BudgetStore) -> None:
    spending = budgets(store, **COMPANY)
    for purpose, usd in (("call", "0.1"), ("call", "0.1"), ("retry", "0.05"), ("judge", "0.15")):
        held = spending.reserve("p", Ask(usd=Decimal("0.2"), purpose=purpose))  # type: ignore[arg-type]
        spending.settle("p", held.reservation_id, usd=Decimal(usd))
    overview = spending.overview("p")
    told = {one.purpose: (one.calls, one.usd, str(one.share)) for one in overview.purposes}
    assert told == {
        "call": (2, Decimal("0.2"), "0.5000"),
        "retry": (1, Decimal("0.05"), "0.1250"),
        "judge": (1, Decimal("0.15"), "0.3750"),
    }
    assert overview.multiplied == 2
    assert any("Every level holds" in line for line in overview.precedence)


def test_which_of_several_budgets_holds() -> None:
    rules = read_budgets(
        {
            "everybody": {"level": "user", "usd": 1, "per": "day"},
            "team": {"level": "user", "match": "team-*", "usd": 5, "per": "day"},
            "ann": {"level": "user", "match": "team-ann", "usd": 9, "per": "day"},
            "odd": {"level": "user", "match": "team[1]", "usd": 2, "per": "day"},
            "monthly": {"level": "user", "usd": 20, "per": "month"},
            "company": {"level": "system", "usd": 100},
        }
    )

    def names(user: str) -> list[str]:
        return [rule.name for rule, _ in applying(rules, {"user": user, "system": "system"})]

    assert names("bob") == ["everybody", "monthly", "company"]
    assert names("team-bob") == ["team", "monthly", "company"]
    assert names("team-ann") == ["ann", "monthly", "company"]
    assert names("team[1]") == ["odd", "monthly", "company"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"a": {"level": "galaxy", "usd": 1}}, r"budgets\.a\.level says whose"),
        ({"a": {"level": "user"}}, r"budgets\.a bounds nothing"),
        ({"a": {"level": "user", "usd": "1"}}, r"budgets\.a\.usd is an amount"),
        ({"a": {"level": "user", "usd": -1}}, r"budgets\.a\.usd is out of range"),
        ({"a": {"level": "user", "usd": float("nan")}}, r"budgets\.a\.usd is out of range"),
        ({"a": {"level": "user", "usd": True}}, r"budgets\.a\.usd is an amount"),
        ({"a": {"level": "user", "tokens": 1.5}}, r"budgets\.a\.tokens is a whole number"),
        ({"a": {"level": "run", "usd": 1, "per": "day"}}, r"budgets\.a\.per is when"),
        ({"a": {"level": "user", "usd": 1, "input_tokens": 3}}, r"budgets\.a\.input_tokens is a bound of one request"),
        ({"a": {"level": "system", "usd": 1, "match": "x"}}, r"budgets\.a\.match: level system"),
        ({"a": {"level": "user", "usd": 1, "at_limit": "cry"}}, r"budgets\.a\.at_limit is what happens"),
        ({"a": {"level": "user", "usd": 1, "dollars": 1}}, r"budgets\.a has no setting of this name"),
        ({"a": 5}, r"budgets\.a holds names and values"),
        (["a"], "budgets holds budgets by name"),
    ],
)
def test_a_mistake_in_the_policy_is_named_with_its_path(section: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        read_budgets(section)


@pytest.mark.parametrize(
    "ask",
    [
        Ask(usd=Decimal("-1")),
        Ask(usd=Decimal("nan")),
        Ask(usd=Decimal("1e30")),
        Ask(input_tokens=-1),
        Ask(user="x" * 301),
        Ask(user="a\x00b"),
        Ask(lease_s=0),
        Ask(purpose="fun"),  # type: ignore[arg-type]
    ],
)
def test_a_call_that_is_described_wrongly_is_refused(make_url: Callable[[str], str], ask: Ask) -> None:
    spending = budgets(BudgetStore(make_url("sqlite")), **COMPANY)
    with pytest.raises(BadRequest):
        spending.reserve("p", ask)


def test_an_unknown_reservation_is_said(make_url: Callable[[str], str]) -> None:
    spending = budgets(BudgetStore(make_url("sqlite")), **COMPANY)
    for verb in (spending.settle, spending.release, spending.renew):
        with pytest.raises(NotFound, match="no such reservation"):
            verb("p", "res_none")
