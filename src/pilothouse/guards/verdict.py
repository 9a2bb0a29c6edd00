"""What a gate answers: one verdict, with everything that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["allow", "flag", "rewrite", "ask", "block"]
"""``allow``: as it is. ``flag``: as it is, and noted. ``rewrite``: the verdict's text takes its place. ``ask``: a person
decides first. ``block``: it goes no further."""

Gate = Literal["input", "output", "tool_arguments", "tool_results"]

ACTIONS: tuple[Action, ...] = ("allow", "flag", "rewrite", "ask", "block")
"""From the mildest to the strictest: of several findings the strictest decides."""

GATES: tuple[Gate, ...] = ("input", "output", "tool_arguments", "tool_results")

_RANK = {action: rank for rank, action in enumerate(ACTIONS)}


def stricter(one: Action, other: Action) -> Action:
    """The stricter of two."""
    return one if _RANK[one] >= _RANK[other] else other


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check found."""

    check: str
    rule: str
    """What of the check spoke, e.g. ``email``."""
    action: Action
    start: int = 0
    """Where in the text that was given, in characters; 0 to 0 where it is about the whole."""
    end: int = 0
    message: str = ""
    """One sentence for a person."""
    put: str = ""
    """What takes its place where it is rewritten; empty: a mark that says what it was."""
    disguise: str = ""
    """How it was hidden: ``base64``, ``homoglyphs``, …; empty where it stood in plain sight."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "check": self.check,
            "rule": self.rule,
            "action": self.action,
            "start": self.start,
            "end": self.end,
            "message": self.message,
            "disguise": self.disguise,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How one check went."""

    check: str
    outcome: Literal["ok", "found", "failed", "late", "skipped"]
    """``failed``: it raised; ``late``: it missed its deadline; ``skipped``: an earlier check had blocked."""
    took_us: float = 0.0
    error: str = ""
    instead: str = ""
    """The check that decided in its place."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "check": self.check,
            "outcome": self.outcome,
            "took_us": round(self.took_us, 1),
            "error": self.error,
            "instead": self.instead,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate decided about one text."""

    gate: Gate
    action: Action
    text: str
    """The text to go on with: the one given, or the rewritten one. Empty where it is blocked."""
    findings: Sequence[Finding] = ()
    ran: Sequence[Ran] = ()
    policy_version: str = "none"
    took_us: float = 0.0

    @property
    def allowed(self) -> bool:
        """Whether it may go on: allow, flag and rewrite."""
        return self.action in ("allow", "flag", "rewrite")

    @property
    def reason(self) -> str:
        """In one line why it is not simply allowed; names no content."""
        decisive = [finding for finding in self.findings if finding.action == self.action]
        if self.action == "allow" or not decisive:
            return ""
        first = decisive[0]
        more = f" and {len(decisive) - 1} more" if len(decisive) > 1 else ""
        return f"{first.check}: {first.message or first.rule}{more}"

    def as_dict(self) -> Mapping[str, Any]:
        """Plain data, as every surface gives it."""
        return {
            "gate": self.gate,
            "action": self.action,
            "text": self.text,
            "reason": self.reason,
            "findings": [finding.as_dict() for finding in self.findings],
            "ran": [one.as_dict() for one in self.ran],
            "policy_version": self.policy_version,
            "took_us": round(self.took_us, 1),
        }
