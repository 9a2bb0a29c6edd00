"""What is wrong with rules before any model is asked: what cannot be read, is not told apart, or is about no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from .paths import matches
from .rules import Rule, read_folder

_CHARS_MIN: Final = 30
_WORDS_MAX: Final = 250
_VAGUE: Final = ("appropriate", "high quality", "good quality", "best practice", "clean", "nice", "well written")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to put right."""

    check: str
    severity: Literal["error", "warning", "note"]
    message: str
    rule: str = ""
    file: str = ""


def lint(folder: Path, tracked: Sequence[str] | None) -> list[Finding]:
    """What a folder of rules should be put right in. ``tracked``: every file of the repository, where that is known."""
    rules, problems = read_folder(folder)
    found = [Finding(check="unreadable", severity="error", message=one.message, file=one.file) for one in problems]
    if not rules and not problems:
        found.append(Finding(check="empty", severity="error", message="there are no rules here", file=str(folder)))
    texts: dict[str, str] = {}
    for rule in rules:
        found += _of_rule(rule, tracked)
        same = " ".join(rule.text.lower().split())
        if same in texts:
            found.append(_finding(rule, "same-text", "warning", f"says the same as {texts[same]}"))
        texts.setdefault(same, rule.id)
    return found


def _of_rule(rule: Rule, tracked: Sequence[str] | None) -> list[Finding]:
    found: list[Finding] = []
    if len(rule.text) < _CHARS_MIN:
        found.append(
            _finding(rule, "short", "warning", "too short to tell a change that breaks it from one that does not")
        )
    if len(rule.text.split()) > _WORDS_MAX:
        found.append(_finding(rule, "long", "warning", f"more than {_WORDS_MAX} words: make several rules of it"))
    vague = next((word for word in _VAGUE if word in rule.text.lower()), "")
    if vague:
        found.append(_finding(rule, "vague", "note", f"“{vague}” says nothing that can be seen in a line"))
    if not rule.bad:
        found.append(_finding(rule, "no-example", "note", "an example of what breaks it (examples.bad) makes verdicts steadier"))  # fmt: skip
    if not rule.paths:
        found.append(_finding(rule, "every-file", "note", "it is asked about every file of a change: name paths"))
    for pattern in rule.paths if tracked is not None else ():
        if not any(matches(one, pattern) for one in tracked or ()):
            found.append(_finding(rule, "no-file", "warning", f"no file of the repository is like {pattern}"))
    return found


def _finding(rule: Rule, check: str, severity: Literal["error", "warning", "note"], message: str) -> Finding:
    return Finding(check=check, severity=severity, message=message, rule=rule.id, file=rule.file)
