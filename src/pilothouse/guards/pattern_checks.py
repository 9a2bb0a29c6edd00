"""Checks that are rules over text: injection, secrets, personal data, terms. All of them share one pass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .scan import Hit
from .subject import Subject
from .verdict import Action, Finding

_NEAR_CHARS = 600
"""Within which two different weak signs are taken for one attempt."""
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "„": "“", "「": "」"}
_MENTION = re.compile(
    r"(?i)\b(?:inject(?:ion|ions|ed)?|jailbreak(?:s|ing)?|attack(?:s|er|ers)?|phrases?|examples?|e\.g|such as|like|says?|said|wrote|contains?|detect(?:s|ion|or)?|"
    r"filters?|block(?:s|ed|ing)?|defend|defen[cs]e|against|security|article|paper|blog|research|explain|mean(?:s|ing)?|translate|called|titled|headline|prompts? like|string|test case|subtitle|quote[ds]?)\b"
)
_MENTION_CHARS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternCheck:
    """Findings of one group of rules."""

    name: str
    group: str
    action: Action
    only: frozenset[str] | None = None
    """The rules that count; None: all."""
    message: str
    slow: bool = False

    def run(self, subject: Subject) -> list[Finding]:
        """Every hit is a finding."""
        return [
            _finding(self.name, hit, self.action, self.message)
            for hit in subject.hits.get(self.group, ())
            if self.only is None or hit.rule.name in self.only
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionCheck:
    """Attempts to take over the model.

    A weak sign alone is flagged; so is a phrase that is only spoken of: it stands in quotation marks, beside words such
    as "attack" or "phrase". People who build agents talk about these things with agents.
    """

    name: str
    action: Action
    only: frozenset[str] | None = None
    quoted: Action = "flag"
    """What becomes of a phrase that is only spoken of."""
    slow: bool = False

    def run(self, subject: Subject) -> list[Finding]:
        """Findings, each with the action it deserves."""
        hits = [hit for hit in subject.hits.get("injection", ()) if self.only is None or hit.rule.name in self.only]
        found: list[Finding] = []
        for hit in hits:
            if not hit.rule.alone and not _has_company(hit, hits):
                found.append(_finding(self.name, hit, "flag", "one sign of an attempt to direct the model"))
            elif not hit.disguise and _spoken_of(subject.text, hit):
                found.append(_finding(self.name, hit, self.quoted, "a phrase of injection that is spoken of"))
            else:
                found.append(_finding(self.name, hit, self.action, "an attempt to direct the model"))
        return found


def _finding(check: str, hit: Hit, action: Action, message: str) -> Finding:
    return Finding(
        check=check,
        rule=hit.rule.name,
        action=action,
        start=hit.start,
        end=hit.end,
        message=f"{message}: {hit.rule.name}",
        disguise=hit.disguise,
    )


def _has_company(hit: Hit, hits: Sequence[Hit]) -> bool:
    if hit.disguise and hit.disguise != "look-alike or hidden characters":
        # Nobody encodes such words by accident.
        return True
    return any(other.rule.name != hit.rule.name and abs(other.start - hit.start) <= _NEAR_CHARS for other in hits)


def _spoken_of(text: str, hit: Hit) -> bool:
    line_start = text.rfind("\n", 0, hit.start) + 1
    before = text[max(line_start, hit.start - _MENTION_CHARS) : hit.start]
    after = text[hit.end : hit.end + _MENTION_CHARS].split("\n", 1)[0]
    quoted = any(
        before.count(left) % 2 == 1 if left == right else before.rfind(left) > before.rfind(right)
        for left, right in _QUOTES.items()
        if left in before and right in after
    )
    return quoted and _MENTION.search(f"{before} {after}") is not None
