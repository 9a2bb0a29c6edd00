"""What the policy wants of an action: go on, ask a person, or never. Pure; whatever cannot be said means: ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.records import Unverified
from pilothouse.records.harmless import line

from .action import Action, canonical
from .rules import ASKED, ApprovalRules, Do, Rule, fits

_PLACE = re.compile(r"\{([^{}]*)\}")
_VALUE_CHARS: Final = 200
SENTENCE_CHARS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the policy wants."""

    do: Do
    rule: Rule
    """The rule that says so; one called ``(none)`` where no rule fits."""
    why: str = ""
    """Where a condition could not be answered: what failed."""


_NONE: Final = Demand(do="allow", rule=Rule(name="(none)", do="allow"))


def demand_of(rules: ApprovalRules, action: Action) -> Demand:
    """What the policy wants of this action: the first rule that fits decides.

    A condition that cannot be answered asks a person. The rules behind it are looked at all the same, and one of them
    can only make it stricter: forbid it, or ask for more people.
    """
    facts = action.facts()
    unsure: Demand | None = None
    for rule in rules.rules:
        if not fits(rule, action.tool):
            continue
        try:
            if rule.when is not None and not rule.when.holds(facts):
                continue
        except Unverified as error:
            if unsure is None or rule.needs > unsure.rule.needs:
                unsure = Demand(do="ask", rule=rule, why=f"{rule.name}: {error.message}")
            continue
        found = Demand(do=rule.do, rule=rule)
        if unsure is None or found.do == "forbid":
            return found
        stricter = found.do == "ask" and rule.needs > unsure.rule.needs
        return Demand(do="ask", rule=rule, why=unsure.why) if stricter else unsure
    return unsure or _NONE


def sentence(rule: Rule, action: Action) -> str:
    """What the action will do, in one sentence: by the rule's words, else by the tool and its arguments."""
    if not rule.say or rule.name == ASKED.name:
        return line(f"{action.tool} {canonical(action.arguments)}", SENTENCE_CHARS_MAX)
    facts = action.facts()
    return line(_PLACE.sub(lambda found: _value(facts, found[1]), rule.say), SENTENCE_CHARS_MAX)


def _value(facts: Mapping[str, Any], place: str) -> str:
    # The value is an argument: plain JSON of any kind.
    value: Any = facts
    for step in place.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if value is None:
        return "(not known)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return line(value if isinstance(value, str) else canonical({"": value})[4:-1], _VALUE_CHARS)
