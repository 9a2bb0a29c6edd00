"""A change held against rules: which rules are about which piece, what the model says of it, and what nobody reviewed.

Never raises for what a model does: late, broken, too dear and unreadable are ``unreviewed``, and never clean.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pilothouse.evals.judges.answered import answered
from pilothouse.evals.judges.asking import Purse
from pilothouse.evals.judges.settings import Judge
from pilothouse.records import clean

from .diff import Diff, Hunk, pieces
from .kept import Kept
from .prompt import Mention, Verdicts, question, read_answer
from .rules import FOLDER, SEVERITIES, Rule, Severity
from .settings import FILE, ReviewSettings

PIECE_CHARS_MAX: Final = 12_000
"""Of one question; less where the model's window is small."""
_RULES_AT_ONCE: Final = 12
"""Asked in one question: with more of them a model forgets some."""
_QUOTE_CHARS: Final = 160
_CHARS_PER_TOKEN: Final = 3
Outcome = Literal["clean", "findings", "unreviewed", "nothing_to_review", "not_configured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A line of the change that breaks a rule."""

    rule: str
    severity: Severity
    file: str
    line: int
    """In the file as it is now; of a removed line: where it stood."""
    removed: bool
    why: str
    suggestion: str
    text: str
    """The line itself, shortened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreviewed:
    """A piece of the change that a rule is about, and that nobody judged by it."""

    rules: Sequence[str]
    file: str
    line: int
    why: str


@dataclass(slots=True, kw_only=True)
class Review:
    """What came of a review."""

    reviewer: str
    rules: int
    """That are about a file of the change."""
    files: int
    findings: list[Finding] = field(default_factory=list[Finding])
    unreviewed: list[Unreviewed] = field(default_factory=list[Unreviewed])
    dropped: Counter[str] = field(default_factory=Counter[str])
    """What the model said that does not count, by why."""
    verdicts: int = 0
    """Of a rule on a piece, asked or known."""
    known: int = 0
    """Of these, taken over from earlier reviews."""
    questions: int = 0
    usd: float = 0.0
    notes: list[str] = field(default_factory=list[str])

    @property
    def outcome(self) -> Outcome:
        """In a word; clean only where every rule was judged on every piece that it is about."""
        if self.findings:
            return "findings"
        if self.unreviewed:
            return "unreviewed" if self.reviewer else "not_configured"
        return "clean" if self.verdicts else "nothing_to_review"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    piece: Hunk
    rules: Sequence[Rule]


async def review(
    diff: Diff,
    rules: Sequence[Rule],
    settings: ReviewSettings,
    root: Path,
    *,
    fresh: bool = False,
    told: Callable[[int, int], None] | None = None,
) -> Review:
    """Review a change. ``fresh``: ask again what is known. ``told``: hears how many questions of all are answered."""
    made = Review(
        reviewer=settings.reviewer_id,
        rules=sum(any(rule.about(file) for file in diff.files) for rule in rules),
        files=len(diff.files),
        notes=_notes(diff),
    )
    kept = Kept(root, made.reviewer)
    waiting = list(_questions(diff, rules, settings.reviewer, made, None if fresh else kept))
    judge = settings.reviewer
    if judge is None:
        for one in waiting:
            _skip(made, one, "no model is configured")
        return _sorted(made)
    for one in waiting[settings.pieces :]:
        _skip(made, one, f"the change is larger than {settings.pieces:,} questions")
    waiting = waiting[: settings.pieces]
    purse = Purse(usd_max=judge.max_usd)
    turns = asyncio.Semaphore(settings.parallel)

    async def ask(one: _Question) -> None:
        async with turns:
            await _ask(judge, one, made, kept, purse)
        made.questions += 1
        if told is not None:
            told(made.questions, len(waiting))

    await asyncio.gather(*(ask(one) for one in waiting))
    kept.prune()
    return _sorted(made)


def _questions(
    diff: Diff, rules: Sequence[Rule], judge: Judge | None, made: Review, kept: Kept | None
) -> Sequence[_Question]:
    found: list[_Question] = []
    for hunk in diff.hunks:
        about = [rule for rule in rules if rule.about(hunk.file)]
        if not about:
            continue
        for start in range(0, len(about), _RULES_AT_ONCE):
            group = about[start : start + _RULES_AT_ONCE]
            for piece in pieces(hunk, _room(judge, group)):
                if not piece.changes:
                    continue
                open_: list[Rule] = []
                for rule in group:
                    known = kept.find(rule, piece) if kept is not None and judge is not None else None
                    if known is None:
                        open_.append(rule)
                    else:
                        made.known += 1
                        _count(made, rule, piece, known)
                if open_:
                    found.append(_Question(piece=piece, rules=open_))
    return found


def _room(judge: Judge | None, rules: Sequence[Rule]) -> int:
    if judge is None:
        return PIECE_CHARS_MAX
    around = sum(len(one.text) + sum(map(len, (*one.bad, *one.good))) for one in rules) + 3_000
    return max(500, min(PIECE_CHARS_MAX, judge.max_input_tokens * _CHARS_PER_TOKEN - around))


async def _ask(judge: Judge, one: _Question, made: Review, kept: Kept, purse: Purse) -> None:
    def read(text: str) -> Verdicts | None:
        return read_answer(text, one.rules, one.piece)

    got = await answered(judge, question(one.rules, one.piece), read, purse, price_at=f"price in {FILE}")
    made.usd += got.usd
    if got.value is None:
        _skip(made, one, got.why)
        return
    made.dropped += got.value.dropped
    by_why: dict[str, list[str]] = {}
    for rule in one.rules:
        mentions = got.value.mentions.get(rule.id)
        if mentions is None:
            by_why.setdefault(got.value.unreviewed.get(rule.id, "no verdict"), []).append(rule.id)
            continue
        kept.keep(rule, one.piece, mentions)
        _count(made, rule, one.piece, mentions)
    made.unreviewed += [_unreviewed(one.piece, ids, why) for why, ids in by_why.items()]


def _count(made: Review, rule: Rule, piece: Hunk, mentions: Sequence[Mention]) -> None:
    made.verdicts += 1
    for one in mentions:
        line = piece.lines[one.at]
        made.findings.append(
            Finding(
                rule=rule.id,
                severity=rule.severity,
                file=piece.file,
                line=line.number,
                removed=line.kind == "removed",
                why=one.why,
                suggestion=one.suggestion,
                text=clean(line.text).strip()[:_QUOTE_CHARS],
            )
        )


def _skip(made: Review, one: _Question, why: str) -> None:
    made.unreviewed.append(_unreviewed(one.piece, [rule.id for rule in one.rules], why))


def _unreviewed(piece: Hunk, rules: Sequence[str], why: str) -> Unreviewed:
    line = next((line.number for line in piece.lines if line.kind != "context"), piece.begins)
    return Unreviewed(rules=rules, file=piece.file, line=line, why=why)


def _notes(diff: Diff) -> list[str]:
    notes: list[str] = []
    own = [one for one in diff.files if one.endswith(FILE) or f"/{FOLDER}/" in f"/{one}"]
    if own:
        # Who changes the rules is judged by the changed ones: a reader must know.
        notes.append(f"the change alters the rules it is reviewed by: {', '.join(own[:5])}")
    if diff.binary:
        notes.append(f"{len(diff.binary)} binary files cannot be reviewed: {', '.join(diff.binary[:5])}")
    return notes


def _sorted(made: Review) -> Review:
    made.findings.sort(key=lambda one: (SEVERITIES.index(one.severity), one.file, one.line, one.rule))
    made.unreviewed.sort(key=lambda one: (one.file, one.line))
    return made
