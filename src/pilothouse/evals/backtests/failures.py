"""Why cases fail, in groups: by the check that failed, the tool it is about, and the reason without what is each case's own.

No model is asked: the same results give the same groups. Reasons of judges are prose, so that those that share half of
their words are put together; whichever comes first, by the id of its case, names the group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pilothouse.evals.runs import Result, Said

EXAMPLES: Final = 3
_ALIKE: Final = 0.5
"""The share of words that two reasons of a judge have in common."""
_GROUPS_MAX: Final = 500
"""Groups that are told apart; what comes after joins the group of its check and tool."""
_OWN = re.compile(
    r"""(?P<value>"(?:[^"\\]|\\.)*"|(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|\{[^{}]*\}|\[[^\[\]]*\])
    |(?P<id>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{16,64}\b|\b(?=\w*\d)(?=\w*[A-Za-z])[\w-]{4,}\b)
    |(?P<number>[$€£]?\b\d[\d,.:/]*%?)""",
    re.VERBOSE,
)
_TAIL = re.compile(r"; (?:called: [^;]*|no tool was|it said (?:nothing|.*)|it failed: .*)")
"""What else was done: it is told for one case, and would part those that fail alike."""
_MISSING = re.compile(r"^([\w.-]+) is missing")
_WORD = re.compile(r"\w+")
_MANY = re.compile(r"(?:‹\w+›[,;/ ]*){2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One case that does not pass, and by which word."""

    case: str
    check: str
    """The kind of the check, or ``judge`` and its criterion."""
    tool: str
    reason: str
    customer: str = ""
    trace: str = ""
    """Of the recorded session."""
    trace_now: str = ""
    """Of the candidate's attempt."""


@dataclass(slots=True, kw_only=True)
class Group:
    """Cases that fail alike."""

    check: str
    tool: str
    reason: str
    """Of the first of them, what is its own taken out."""
    cases: int = 0
    customers: set[str] = field(default_factory=set[str])
    examples: list[Failed] = field(default_factory=list[Failed])
    words: frozenset[str] = frozenset()

    def as_data(self, failures: int) -> dict[str, Any]:
        """Plain data; ``failures``: of how many it is a part."""
        return {
            "check": self.check,
            "tool": self.tool,
            "reason": self.reason,
            "cases": self.cases,
            "share": round(self.cases / failures, 4) if failures else 0.0,
            "customers": len(self.customers),
            "examples": [
                {"case": one.case, "customer": one.customer, "trace": one.trace, "trace_now": one.trace_now,
                 "why": one.reason}
                for one in self.examples
            ],
        }  # fmt: skip


def failed_of(result: Result, *, trace: str = "") -> Failed:
    """By what an attempt fails: its first check or judge that says so, else the agent's own failure."""
    said = next((one for one in result.said if one.outcome == "fail"), None)
    if result.error and said is None:
        said = Said(name="agent failed", outcome="fail", why=result.error)
    name = said.name if said is not None else result.outcome
    check, tool = _about(said) if said is not None else (name, "")
    return Failed(
        case=result.case,
        check=check,
        tool=tool,
        reason=(said.why if said is not None else result.why) or result.why,
        customer=result.customer,
        trace=trace,
        trace_now=result.trace_id,
    )


def groups(failed: Iterable[Failed]) -> list[Group]:
    """The failures in groups, the largest first."""
    found: dict[tuple[str, str, str], Group] = {}
    for one in sorted(failed, key=lambda it: (it.case, it.check, it.reason)):
        group = _place(found, one)
        group.cases += 1
        group.customers.add(one.customer)
        if len(group.examples) < EXAMPLES:
            group.examples.append(one)
    return sorted(found.values(), key=lambda it: (-it.cases, it.check, it.tool, it.reason))


def plain_reason(text: str) -> str:
    """A reason without values, ids and numbers: what is left is the same for cases that fail alike."""
    told = _TAIL.sub("", " ".join(text.split())[:2_000])
    while (shorter := _OWN.sub(_named, told)) != told:
        told = shorter
    return _MANY.sub("‹…› ", told).strip()[:200]


def _named(found: re.Match[str]) -> str:
    return f"‹{found.lastgroup}›"


def _place(found: dict[tuple[str, str, str], Group], one: Failed) -> Group:
    reason = plain_reason(one.reason)
    key = one.check, one.tool, reason
    if key in found:
        return found[key]
    words = frozenset(_WORD.findall(reason.lower()))
    if one.check.startswith("judge"):
        for group in found.values():
            if (group.check, group.tool) == key[:2] and _like(group.words, words):
                return group
    if len(found) >= _GROUPS_MAX:
        key = one.check, one.tool, "other reasons"
        if key in found:
            return found[key]
    found[key] = Group(check=one.check, tool=one.tool, reason=key[2], words=words)
    return found[key]


def _like(first: frozenset[str], second: frozenset[str]) -> bool:
    return len(first & second) >= _ALIKE * len(first | second) if first or second else True


def _about(said: Said) -> tuple[str, str]:
    """The kind of a check and the tool it is about, from its name: ``tool refund {"amount": 5}``."""
    if said.judge:
        return f"judge {said.judge.partition('@')[0]}: {said.name[:80]}", ""
    kind, _, rest = said.name.partition(" ")
    if kind in ("tool", "no_tool"):
        return kind, rest.split(" ", 1)[0]
    if kind == "tools":
        missing = _MISSING.match(said.why)
        return kind, missing[1] if missing else ""
    return (kind, "") if kind in ("contains", "number", "text", "excludes", "output") else (said.name[:80], "")
