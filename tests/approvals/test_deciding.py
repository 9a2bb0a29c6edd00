"""Deciding about an action, on SQLite and PostgreSQL: who may, what it allows, and what it never does."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pilothouse.approvals import Action, Approvals, Ask, Moment, Right
from pilothouse.records import Actor, BadRequest, Forbidden, NeedsApproval, NotApproved, NotFound, Unreachable
from pilothouse.store.approval_store import ApprovalStore

from .support import AGENT, ANN, BEN, CAROL, HOUR_S, KEY, PROJECT, Clocks, asked, desk, write


def _run(approvals: Approvals, approval_id: str, digest: str, **more: Any) -> Right:
    return approvals.reserve(PROJECT, approval_id, AGENT, digest=digest, **more)


def test_an_approved_action_runs_once(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals, expected="fewer rows", rollback="restore the backup")
    assert (one.state, one.sentence, one.rule) == ("pending", "Change 5,000 rows: DELETE FROM orders", "large-writes")
    with pytest.raises(NeedsApproval):
        _run(approvals, one.approval_id, one.digest)
    approvals.see(PROJECT, one.approval_id, ANN)
    assert approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest, note="go").state == "approved"
    # The second click of the same person changes nothing.
    assert approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest).agreed == ("ann",)
    right = _run(approvals, one.approval_id, one.digest)
    assert (right.tool, right.arguments) == ("sql", {"statement": "DELETE FROM orders"})
    with pytest.raises(NotApproved, match="it is being run"):
        _run(approvals, one.approval_id, one.digest)
    with pytest.raises(NotApproved, match="reservation is not known"):
        approvals.done(PROJECT, one.approval_id, AGENT, reservation_id="run_guessed", outcome="executed")
    ended = approvals.done(
        PROJECT, one.approval_id, AGENT, reservation_id=right.reservation_id, outcome="executed", text="5,000 rows"
    )
    assert (ended.state, ended.outcome) == ("executed", "5,000 rows")
    with pytest.raises(NotApproved, match="an approval is used once"):
        _run(approvals, one.approval_id, one.digest)
    history = approvals.history(PROJECT, one.approval_id)
    assert [event.kind for event in history] == ["asked", "seen", "approved", "reserved", "executed"]
    assert [event.who for event in history] == ["refunds-agent", "ann", "ann", "refunds-agent", "refunds-agent"]
    assert history[2].text == "go"


def test_only_a_person_who_is_named_and_did_not_ask_decides(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals)
    for who in (AGENT, CAROL, Actor(id="key_e", name="ann", kind="evaluator")):
        for act in (
            lambda: approvals.approve(PROJECT, one.approval_id, who, digest=one.digest),  # noqa: B023
            lambda: approvals.reject(PROJECT, one.approval_id, who, why="no"),  # noqa: B023
            lambda: approvals.edit(PROJECT, one.approval_id, who, digest=one.digest, arguments={}),  # noqa: B023
            lambda: approvals.delegate(PROJECT, one.approval_id, who, to="x"),  # noqa: B023
            lambda: approvals.question(PROJECT, one.approval_id, who, text="why?"),  # noqa: B023
        ):
            with pytest.raises(Forbidden):
                act()
    mine = approvals.ask(PROJECT, Ask(action=write("DELETE FROM mine")), ANN)
    with pytest.raises(Forbidden, match="who asked for it cannot decide it"):
        approvals.approve(PROJECT, mine.approval_id, ANN, digest=mine.digest)
    # Not by another way in under the same name, either.
    with pytest.raises(Forbidden, match="who asked for it cannot decide it"):
        approvals.approve(PROJECT, mine.approval_id, Actor(id="link", name="ANN ", kind="person"), digest=mine.digest)
    with pytest.raises(NotFound):
        approvals.approve("prj_other", one.approval_id, ANN, digest=one.digest)


def test_two_people_are_two_people(store: ApprovalStore) -> None:
    approvals = desk(store)
    pay = Action(tool="pay", arguments={"to": "x"}, money_usd=250.0)
    one = asked(approvals, pay)
    assert (one.needs, one.risk) == (2, "high")
    again = Actor(id="key_other", name=" Ann", kind="person")
    local = [Actor(id=f"local:{name}", name=name, kind="person") for name in ("x", "y")]
    for who in (ANN, ANN, again):
        assert approvals.approve(PROJECT, one.approval_id, who, digest=one.digest).state == "pending"
    with pytest.raises(NeedsApproval):
        _run(approvals, one.approval_id, one.digest)
    assert approvals.approve(PROJECT, one.approval_id, BEN, digest=one.digest).state == "approved"
    other = asked(approvals, pay)
    for who in local:
        # Whoever sits at the server's own machine can give any name.
        assert approvals.approve(PROJECT, other.approval_id, who, digest=other.digest).missing == 1


def test_a_rejection_ends_it_and_says_why(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals)
    approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    assert approvals.reject(PROJECT, one.approval_id, BEN, why="use a soft delete").state == "rejected"
    with pytest.raises(NotApproved, match="it was rejected: use a soft delete"):
        _run(approvals, one.approval_id, one.digest)
    with pytest.raises(NotApproved):
        approvals.approve(PROJECT, one.approval_id, ANN, digest="")


def test_an_edit_is_what_runs_and_needs_everybodys_yes_again(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals, Action(tool="pay", arguments={"to": "x", "usd": 900}, money_usd=900.0))
    approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    edited = approvals.edit(PROJECT, one.approval_id, BEN, digest=one.digest, arguments={"to": "x", "usd": 90})
    assert (edited.state, edited.agreed, edited.edited) == ("pending", ("ben",), True)
    assert edited.digest != one.digest
    with pytest.raises(NotApproved, match="it has changed since you looked at it"):
        approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    approvals.approve(PROJECT, one.approval_id, ANN, digest=edited.digest)
    with pytest.raises(NotApproved, match="another action was approved"):
        _run(approvals, one.approval_id, one.digest)
    assert _run(approvals, one.approval_id, edited.digest).arguments == {"to": "x", "usd": 90}


def test_an_edit_is_checked_by_the_policy_and_the_guards(store: ApprovalStore) -> None:
    section = {
        "rules": [
            {"name": "no-orders", "tool": "sql", "when": "args.statement.contains('users')", "do": "forbid"},
            {"name": "two", "tool": "sql", "when": "args.statement.contains('orders')", "needs": 2},
            {"name": "fixed", "tool": "fixed", "edit": "forbid"},
            {"name": "one", "tool": "sql"},
        ]
    }
    approvals = desk(store, section=section)
    one = asked(approvals, write("DELETE FROM old"))
    with pytest.raises(NotApproved, match="the policy forbids these arguments"):
        approvals.edit(PROJECT, one.approval_id, ANN, digest=one.digest, arguments={"statement": "DELETE FROM users"})
    stricter = approvals.edit(
        PROJECT, one.approval_id, ANN, digest=one.digest, arguments={"statement": "DELETE FROM orders"}
    )
    assert (stricter.state, stricter.needs, stricter.missing) == ("pending", 2, 1)
    fixed = asked(approvals, Action(tool="fixed"))
    with pytest.raises(Forbidden, match="does not let reviewers change it"):
        approvals.edit(PROJECT, fixed.approval_id, ANN, digest=fixed.digest, arguments={"a": 1})

    def refuse(project_id: str, action: Action) -> None:
        raise BadRequest("a secret in the arguments")

    guarded = Approvals(
        store, lambda: ("v1", approvals.rules), key=KEY, check_arguments=refuse, moment=Moment(Clocks())
    )
    two = asked(guarded, write("DELETE FROM old"))
    with pytest.raises(BadRequest, match="a secret"):
        guarded.edit(PROJECT, two.approval_id, ANN, digest=two.digest, arguments={"statement": "x"})
    assert guarded.find(PROJECT, two.approval_id).state == "pending"


def test_a_question_is_answered_and_it_stays_pending(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals)
    assert approvals.question(PROJECT, one.approval_id, ANN, text="which orders?").question == "which orders?"
    with pytest.raises(BadRequest, match="not answered yet"):
        approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    assert approvals.answer(PROJECT, one.approval_id, AGENT, text="those of 2019").question == ""
    assert approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest).state == "approved"
    kinds = [(event.kind, event.text) for event in approvals.history(PROJECT, one.approval_id)]
    assert kinds[1:3] == [("question", "which orders?"), ("answer", "those of 2019")]


def test_it_is_handed_to_somebody_else(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals)
    assert approvals.delegate(PROJECT, one.approval_id, ANN, to="Carol").reviewers == ("ben", "Carol")
    with pytest.raises(Forbidden, match="others decide this"):
        approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    assert approvals.approve(PROJECT, one.approval_id, CAROL, digest=one.digest).state == "approved"


def test_time_escalates_then_ends_it_and_no_sweep_is_needed(store: ApprovalStore) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks)
    one = asked(approvals)
    clocks.passes(HOUR_S - 1)
    with pytest.raises(Forbidden):
        approvals.approve(PROJECT, one.approval_id, CAROL, digest=one.digest)
    clocks.passes(1)
    assert approvals.find(PROJECT, one.approval_id).reviewers == ("ann", "ben", "carol")
    clocks.passes(3 * HOUR_S)
    with pytest.raises(NotApproved, match="nobody decided in time"):
        approvals.approve(PROJECT, one.approval_id, CAROL, digest=one.digest)
    assert approvals.list(PROJECT, states=["pending"]).items == ()
    kinds = [event.kind for event in approvals.history(PROJECT, one.approval_id)]
    assert kinds == ["asked", "escalated", "expired"]


def test_the_sweep_writes_down_what_time_has_done(store: ApprovalStore) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks)
    one = asked(approvals)
    clocks.passes(5 * HOUR_S)
    assert (approvals.sweep(), approvals.sweep()) == (1, 0)
    assert [event.kind for event in approvals.history(PROJECT, one.approval_id)] == ["asked", "escalated", "expired"]


def test_an_approval_that_is_not_begun_in_time_is_none(store: ApprovalStore) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks)
    one = asked(approvals)
    approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    clocks.passes(HOUR_S)
    with pytest.raises(NotApproved, match="not begun in time"):
        _run(approvals, one.approval_id, one.digest)


@pytest.mark.parametrize("back_s", [60, 10 * HOUR_S, 400 * 24 * HOUR_S])
def test_a_clock_that_is_put_back_gives_no_more_time(store: ApprovalStore, back_s: int) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks)
    one = asked(approvals)
    clocks.jump(-back_s)
    clocks.passes(4 * HOUR_S)
    with pytest.raises(NotApproved):
        approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)


def test_what_was_late_once_stays_late(store: ApprovalStore) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks)
    one = asked(approvals)
    clocks.jump(5 * HOUR_S)
    approvals.sweep()
    clocks.jump(-5 * HOUR_S)
    for server in (approvals, desk(store, clocks)):
        with pytest.raises(NotApproved):
            server.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    # A server whose clock is behind knows what time another has seen.
    two = asked(approvals)
    clocks.passes(4 * HOUR_S)
    approvals.sweep()
    with pytest.raises(NotApproved):
        desk(store).approve(PROJECT, two.approval_id, ANN, digest=two.digest)


def test_a_server_that_begins_with_a_clock_that_is_behind_loses_no_time(store: ApprovalStore) -> None:
    clocks = Clocks()
    first = desk(store, clocks)
    one = asked(first)
    first.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    clocks.jump(-10 * HOUR_S)
    second = desk(store, clocks)
    clocks.passes(HOUR_S)
    with pytest.raises(NotApproved, match="not begun in time"):
        _run(second, one.approval_id, one.digest)


def test_at_the_deadline_it_is_handed_up_once_where_the_rule_says_so(store: ApprovalStore) -> None:
    clocks = Clocks()
    rule = {
        "name": "a",
        "tool": "sql",
        "reviewers": ["ann"],
        "deadline": "2h",
        "escalate": [{"after": "1h", "to": "carol"}],
        "on_timeout": "escalate",
    }
    approvals = desk(store, clocks, {"rules": [rule]})
    one = asked(approvals)
    clocks.passes(3 * HOUR_S)
    assert approvals.find(PROJECT, one.approval_id).extended
    clocks.passes(HOUR_S)
    assert approvals.find(PROJECT, one.approval_id).state == "expired"


def test_the_declared_fallback_runs_once_where_the_policy_allows_it(store: ApprovalStore) -> None:
    clocks = Clocks()
    fallback = {"on_timeout": "fallback", "deadline": "1h"}
    section = {
        "rules": [
            {"name": "send", "tool": "send", **fallback, "fallback": {"tool": "draft", "args": {"to": "me"}}},
            {"name": "wipe", "tool": "wipe", **fallback, "fallback": {"tool": "send"}},
        ]
    }
    approvals = desk(store, clocks, section)
    one, two = asked(approvals, Action(tool="send")), asked(approvals, Action(tool="wipe"))
    clocks.passes(HOUR_S)
    with pytest.raises(NotApproved, match="something else is done"):
        _run(approvals, one.approval_id, one.digest)
    over = approvals.find(PROJECT, one.approval_id)
    instead = approvals.find(PROJECT, over.instead)
    assert (over.state, instead.state, instead.parent) == ("fallback", "approved", one.approval_id)
    right = _run(approvals, instead.approval_id, instead.digest)
    assert (right.tool, right.arguments) == ("draft", {"to": "me"})
    with pytest.raises(NotApproved):
        _run(approvals, instead.approval_id, instead.digest)
    approvals.sweep()
    assert approvals.find(PROJECT, two.approval_id).state == "expired"
    assert "not allowed (send)" in approvals.find(PROJECT, two.approval_id).feedback


def test_a_policy_that_has_become_stricter_since_takes_it_back(store: ApprovalStore) -> None:
    lenient = desk(store)
    one = asked(lenient)
    lenient.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    for section, said in (
        ({"rules": [{"name": "no", "tool": "sql", "do": "forbid"}]}, "forbids this now"),
        ({"rules": [{"name": "large-writes", "tool": "sql", "needs": 2}]}, "needs 2 people"),
        ({"rules": [{"name": "others", "tool": "sql", "reviewers": ["carol"]}]}, "names other reviewers"),
    ):
        with pytest.raises(NotApproved, match=said):
            _run(desk(store, section=section), one.approval_id, one.digest)
    assert _run(desk(store, section={}), one.approval_id, one.digest).tool == "sql"


def test_nobody_knows_whether_it_ran_and_it_is_not_run_again(store: ApprovalStore) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks)
    one = asked(approvals)
    approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    _run(approvals, one.approval_id, one.digest, holder="run 7", lease_s=60)
    clocks.passes(60)
    with pytest.raises(NotApproved, match="nobody knows whether it ran"):
        _run(approvals, one.approval_id, one.digest)
    with pytest.raises(Forbidden):
        approvals.settle(PROJECT, one.approval_id, AGENT, happened=False)
    assert approvals.settle(PROJECT, one.approval_id, ANN, happened=None).state == "unknown"
    # Its holder can ask the tool, and is believed.
    assert approvals.settle(PROJECT, one.approval_id, AGENT, happened=False, holder="run 7").state == "approved"
    second = _run(approvals, one.approval_id, one.digest, holder="run 7", lease_s=60)
    approvals.lost(PROJECT, one.approval_id, AGENT, holder="run 7")
    assert approvals.settle(PROJECT, one.approval_id, ANN, happened=True).state == "executed"
    with pytest.raises(NotApproved):
        _run(approvals, one.approval_id, one.digest)
    assert second.reservation_id


def test_the_same_question_twice_is_one(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals, ask_key="run 7/call 3")
    assert asked(approvals, ask_key="run 7/call 3").approval_id == one.approval_id
    with pytest.raises(BadRequest, match="used for another action"):
        asked(approvals, write("DELETE FROM users"), ask_key="run 7/call 3")
    assert len(approvals.list(PROJECT).items) == 1


def test_two_hundred_clicks_give_one_right(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals)
    rights: list[Right] = []
    failures: list[BaseException] = []

    def click(number: int) -> None:
        server = desk(store)
        try:
            server.approve(PROJECT, one.approval_id, (ANN, BEN)[number % 2], digest=one.digest)
        except NotApproved:
            pass
        except BaseException as error:
            failures.append(error)
        try:
            rights.append(_run(server, one.approval_id, one.digest))
        except (NotApproved, NeedsApproval):
            pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=click, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(rights) == 1
    kinds = [event.kind for event in approvals.history(PROJECT, one.approval_id)]
    assert kinds.count("reserved") == 1


def test_a_record_that_was_changed_in_the_database_does_not_run(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals)
    approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)
    moment = Moment(Clocks())
    other = Approvals(store, lambda: ("v1", approvals.rules), key=bytes(range(1, 33)), moment=moment)
    with pytest.raises(NotApproved, match="another key signed it"):
        _run(other, one.approval_id, one.digest)


def test_a_policy_that_cannot_be_read_means_no(store: ApprovalStore) -> None:
    approvals = desk(store)
    one = asked(approvals)
    approvals.approve(PROJECT, one.approval_id, ANN, digest=one.digest)

    def refuse() -> Any:
        raise Unreachable("the policy cannot be read")

    with pytest.raises(Unreachable):
        _run(Approvals(store, refuse, key=KEY, moment=Moment(Clocks())), one.approval_id, one.digest)
    assert approvals.find(PROJECT, one.approval_id).state == "approved"
