"""The approvals of two policies over the same stored tool calls: who would have been asked, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pilothouse.approvals import Action, ApprovalRules, Demand, demand_of, read_approvals
from pilothouse.records import PilothouseError

from .model import ApprovalOutcome, ApprovalTrial
from .traffic import Passed

_EXAMPLES = 5


def try_approvals(
    in_force: Mapping[str, Any], proposed: Mapping[str, Any], passed: Sequence[Passed]
) -> ApprovalTrial | None:
    """Ask both policies about every stored tool call; None where neither has a rule."""
    now, then = read_approvals(in_force), read_approvals(proposed)
    if not now.rules and not then.rules:
        return None
    counts: dict[tuple[str, str], Counter[str]] = {}
    examples: dict[tuple[str, str], list[str]] = {}
    calls = 0
    asked: Counter[str] = Counter()
    for one in passed:
        if one.gate != "tool_arguments":
            continue
        calls += 1
        old, new = _demand(now, one), _demand(then, one)
        asked["now"] += old is not None and old.do == "ask"
        asked["then"] += new is not None and new.do == "ask"
        before = (old.rule.name, old.do) if old is not None else None
        after = (new.rule.name, new.do) if new is not None else None
        for key in {key for key in (before, after) if key is not None}:
            count = counts.setdefault(key, Counter())
            count["now"] += key == before
            count["then"] += key == after
            count["new"] += key == after and before is None
            count["gone"] += key == before and after is None
            count["unsure"] += key == after and new is not None and bool(new.why)
        if after is not None and before is None:
            found = examples.setdefault(after, [])
            if len(found) < _EXAMPLES and one.trace_id not in found:
                found.append(one.trace_id)
    known = {rule.name: rule for rule in (*now.rules, *then.rules)}
    return ApprovalTrial(
        calls=calls,
        asked_now=asked["now"],
        asked_then=asked["then"],
        rules=tuple(
            ApprovalOutcome(
                rule=name,
                do=do,
                now=count["now"],
                then=count["then"],
                new=count["new"],
                gone=count["gone"],
                unsure=count["unsure"],
                reviewers=known[name].reviewers,
                needs=known[name].needs,
                examples=tuple(examples.get((name, do), ())),
            )
            for (name, do), count in sorted(counts.items(), key=lambda item: (-item[1]["new"], item[0]))
        ),
    )


def _demand(rules: ApprovalRules, one: Passed) -> Demand | None:
    """What a policy wants of a call; None where it may go on."""
    action = Action(tool=one.about.tool, arguments=one.about.arguments, agent=one.about.agent, user=one.about.user)
    try:
        found = demand_of(rules, action)
    except PilothouseError:
        return None
    return None if found.do == "allow" else found
