"""The section ``approvals``: what an owner can say, what is refused, and that doubt asks a person."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.approvals import Action, demand_of, read_approvals, sentence
from pilothouse.records import BadRequest

from .support import WRITES, write


def _rules(*rules: dict[str, Any]) -> Any:
    return read_approvals({"rules": list(rules)})


def test_any_sql_write_over_1000_rows_needs_approval() -> None:
    rules = read_approvals(WRITES)
    demand = demand_of(rules, write(rows=1_001))
    assert (demand.do, demand.rule.name, demand.why) == ("ask", "large-writes", "")
    assert sentence(demand.rule, write(rows=1_001)) == "Change 1,001 rows: DELETE FROM orders"
    assert demand_of(rules, write(rows=1_000)).do == "allow"
    assert demand_of(rules, Action(tool="drop_table")).do == "forbid"
    assert demand_of(rules, Action(tool="read")).do == "allow"


@pytest.mark.parametrize(
    ("when", "arguments"),
    [
        ("rows > 1000", {}),
        ("args.to.size() > 3", {}),
        ("args.amount > 3", {"amount": "three"}),
        ("1 / args.zero > 1", {"zero": 0}),
        ("args.list[7] == 1", {"list": [1]}),
        ("args.text == 'a'", {"text": "\ud800"}),
        ("args.text", {"text": "yes"}),
        ("args.size() + 1", {}),
        ("nothing(args)", {}),
    ],
)
def test_a_condition_that_cannot_be_answered_asks_a_person(when: str, arguments: dict[str, Any]) -> None:
    action = Action(tool="sql", arguments=arguments)
    for do in ("ask", "allow", "forbid"):
        demand = demand_of(_rules({"name": "one", "when": when, "do": do}), action)
        assert demand.do == "ask", (when, do)
        assert demand.why.startswith("one: the condition ")


def test_behind_a_condition_that_failed_the_rules_can_only_become_stricter() -> None:
    broken = {"name": "broken", "when": "rows > 1"}
    action = Action(tool="sql")
    assert demand_of(_rules(broken, {"name": "all", "do": "allow"}), action).rule.name == "broken"
    assert demand_of(_rules(broken, {"name": "no", "do": "forbid"}), action).do == "forbid"
    two = demand_of(_rules(broken, {"name": "two", "needs": 2}), action)
    assert (two.do, two.rule.name, two.why != "") == ("ask", "two", True)


def test_conditions_know_who_does_what_where() -> None:
    when = (
        "environment == 'production' && agent.startsWith('ref') && agent_version != '1' && user == 'eve' "
        "&& people > 3 && money >= 10.5 && cost_so_far < 1.0 && args.to.exists(x, x.endsWith('@example.com'))"
    )
    action = Action(
        tool="send",
        arguments={"to": ["a@example.org", "b@example.com"]},
        people=4,
        money_usd=10.5,
        environment="production",
        agent="refunds",
        agent_version="2",
        user="eve",
        cost_so_far_usd=0.25,
    )
    assert demand_of(_rules({"name": "all", "when": when}), action).do == "ask"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"name": "a", "when": "rows >"}, "(a).when is no expression"),
        ({"name": "a", "when": "row > 1"}, "(a).when uses a name that is not known"),
        ({"name": "a", "when": True}, "(a).when is an expression in quotes"),
        ({"name": "a", "when": "(" * 40 + "1" + ")" * 40}, "(a).when is nested too deeply"),
        ({"name": "a", "needs": 3}, "(a).needs is how many people"),
        ({"name": "a", "needs": True}, "(a).needs is how many people"),
        ({"name": "a", "needs": 2, "reviewers": ["ann", "Ann"]}, "(a).reviewers are too few"),
        ({"name": "a", "deadline": "4"}, "(a).deadline is a time"),
        ({"name": "a", "deadline": 240}, "(a).deadline is a time"),
        ({"name": "a", "deadline": "1h", "escalate": [{"after": "2h", "to": "x"}]}, "escalate[0].after is later"),
        ({"name": "a", "on_timeout": "fallback"}, "on_timeout: fallback and fallback go together"),
        ({"name": "a", "fallback": {"tool": "x"}}, "on_timeout: fallback and fallback go together"),
        ({"name": "a", "on_timeout": "escalate"}, "on_timeout: escalate needs a ladder"),
        ({"name": "a", "say": "Pay {amount}"}, "(a).say has a place that is not known"),
        ({"name": "a", "say": "{args.__class__.x"}, None),
        ({"name": "a", "notify": ["ops"]}, "(a).notify names no channel"),
        ({"name": "a", "tool": []}, "(a).tool is one name or a list"),
        ({"name": "a", "whom": "x"}, "rules[0] has no setting of this name"),
        ({"tool": "x"}, "rules[0].name is a text"),
        ("x", "rules[0] holds names and values"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place(rule: Any, said: str | None) -> None:
    if said is None:
        read_approvals({"rules": [rule]})
        return
    with pytest.raises(BadRequest) as refused:
        read_approvals({"rules": [rule]})
    assert said in str(refused.value)


def test_the_address_of_a_channel_is_named_and_never_repeated() -> None:
    secret = "https://hooks.example.com/T000/secret"
    with pytest.raises(BadRequest) as refused:
        read_approvals({"notify": {"ops": {"slack": secret}}})
    assert "secret" not in str(refused.value.as_dict())
    assert read_approvals({"notify": {"ops": {"slack": "env:HOOK"}}}).channels[0].source == "env:HOOK"


def test_a_sentence_reaches_nothing_but_the_action() -> None:
    rules = _rules({"name": "a", "say": "Run {args.__class__} {args.deep.er} {tool}"})
    action = Action(tool="x\u202ey", arguments={"deep": {"er": "\x1b[31mred\nline"}})
    assert sentence(rules.rules[0], action) == "Run (not known) red line xy"
