"""A verdict as a trace tells of it: what each check did and which rule spoke; never a word of the text."""

from __future__ import annotations

from collections.abc import Mapping

from pilothouse.records import names

from .verdict import Action, Verdict, stricter

_RULES_CHARS_MAX = 300
_BETWEEN = "|"

Facts = Mapping[str, str | int | list[str]]


def checks_told(verdict: Verdict) -> list[str]:
    """``check|outcome|rules`` of each check of the gate, in order.

    The outcome is ok, skipped, failed, late, or the strictest action that the check wants.
    """
    wanted: dict[str, Action] = {}
    rules: dict[str, dict[str, None]] = {}
    for found in verdict.findings:
        wanted[found.check] = stricter(wanted.get(found.check, "allow"), found.action)
        named = f"{found.rule} ({found.disguise})" if found.disguise else found.rule
        rules.setdefault(found.check, {})[named] = None
    told: list[str] = []
    for one in verdict.ran:
        outcome = wanted.get(one.check, "ok") if one.outcome == "found" else one.outcome
        told.append(_line(one.check, outcome, rules.get(one.check, {})))
    ran = {one.check for one in verdict.ran}
    # Switches, caps and the bound of length stand before all checks.
    told += [_line(check, action, rules[check]) for check, action in wanted.items() if check not in ran]
    return told


def event_of(verdict: Verdict, tool: str = "") -> tuple[str, Facts]:
    """The name and the attributes of the span event that tells of a verdict."""
    facts: dict[str, str | int | list[str]] = {
        names.GUARD_GATE: verdict.gate,
        names.GUARD_ACTION: verdict.action,
        names.GUARD_CHECKS: checks_told(verdict),
        names.GUARD_POLICY: verdict.policy_version,
    }
    if tool:
        facts[names.GUARD_TOOL] = tool
    if verdict.action == "allow":
        return names.GUARD_PASSED_EVENT, facts
    spoke = dict.fromkeys(f"{found.check}: {found.rule}" for found in verdict.findings)
    facts[names.GUARD_RULES] = ", ".join(spoke)[:500]
    return names.GUARD_EVENT, facts


def _line(check: str, outcome: str, rules: Mapping[str, None]) -> str:
    return _BETWEEN.join((check.replace(_BETWEEN, "/"), outcome, ", ".join(rules)[:_RULES_CHARS_MAX]))
