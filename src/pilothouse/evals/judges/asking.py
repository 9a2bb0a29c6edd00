"""Asking the judges of a suite: samples, one repair, a cap on money, and evidence kept of what each was shown.

Never raises and never scores what it could not read: too long, too dear, late, broken and unreadable are all ``unscored``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pilothouse.evals import payloads
from pilothouse.evals.case import Case
from pilothouse.evals.observed import Observed
from pilothouse.evals.runner import Judged
from pilothouse.evals.runs import Said
from pilothouse.records import NotFound, PilothouseError

from .model import OUTPUT_TOKENS_MAX, Down, TooLate, ask, price_of, told
from .prompt import Reading, question, read_answer, repair
from .settings import Judge
from .transcript import BYTES_PER_TOKEN, Transcript, fit, from_data, transcript_of

EVIDENCE: Final = ".pilothouse/judged"
VERSIONS: Final = ".pilothouse/judges"
_PROMPT_TOKENS: Final = 400
"""For the words around rubric, criterion and record."""


@dataclass(slots=True, kw_only=True)
class Purse:
    """What a judge may still spend in a run."""

    usd_max: float
    spent: float = 0.0
    reserved: float = 0.0

    def take(self, usd: float) -> bool:
        """Put so much aside for a question; false where it is not there."""
        if self.usd_max and self.spent + self.reserved + usd > self.usd_max:
            return False
        self.reserved += usd
        return True

    def give_back(self, usd: float, *, spent: float) -> None:
        """Settle a question: what was put aside, and what it came to."""
        self.reserved -= usd
        self.spent += spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How far one sample has come: what was answered is not asked again."""

    reading: Reading
    usd: float = 0.0
    down: bool = False
    """True where the judge did not answer, and may answer later."""
    unread: str | None = None
    """Its first answer, where that could not be read and the second question found nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge says of one thing, over all its samples."""

    reading: Reading
    samples: tuple[float, ...] = ()
    """The score of each sample that could be read."""
    usd: float = 0.0
    cut: str = ""
    asked: tuple[Sample, ...] = ()
    """Each sample; empty where nothing was asked."""

    @property
    def down(self) -> bool:
        """Whether there is no score because the judge did not answer: asked later for what is missing, it may be one."""
        return self.reading.outcome == "unscored" and any(one.down for one in self.asked)

    @property
    def why(self) -> str:
        """The reason, and what the judge was not shown."""
        return f"{self.reading.why} [the judge was not shown all: {self.cut}]" if self.cut else self.reading.why


@dataclass(slots=True, kw_only=True)
class Panel:
    """The judges of a suite, ready to be asked in a run."""

    folder: Path
    judges: Mapping[str, Judge]
    purses: dict[str, Purse] = field(default_factory=dict[str, Purse])

    def __post_init__(self) -> None:
        self.purses = {name: Purse(usd_max=one.max_usd) for name, one in self.judges.items()}

    @property
    def versions(self) -> dict[str, str]:
        """Of each judge, for the head of a run."""
        return {name: one.version for name, one in self.judges.items()}

    def keep_versions(self) -> None:
        """Write down what each version means, so that it can be read when the suite says something else."""
        for one in self.judges.values():
            path = self.folder / VERSIONS / f"{one.version}.json"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                data = {"judge": one.id, **{k: v for k, v in asdict(one).items() if k not in ("key", "url")}}
                payloads.write(path, json.dumps(data, indent=1).encode())

    async def __call__(self, case: Case, seen: Observed) -> Judged:
        """Ask about every criterion of a case."""
        found = transcript_of(case, seen)
        if any(self._of(one.judge) for one in case.criteria):
            keep_evidence(self.folder, found)
        answers = await asyncio.gather(*(self._one(found, one.text, one.judge) for one in case.criteria))
        return Judged(said=tuple(one for one, _ in answers), cost_usd=sum(usd for _, usd in answers))

    def _of(self, name: str) -> Judge | None:
        if name:
            return self.judges.get(name)
        return next(iter(self.judges.values()), None)

    async def _one(self, found: Transcript, criterion: str, name: str) -> tuple[Said, float]:
        judge = self._of(name)
        if judge is None:
            known = f"; it has {', '.join(self.judges)}" if self.judges else ""
            why = f"the suite has no judge{f' {name}' if name else ''}{known}"
            return Said(name=criterion, outcome="unscored", why=why), 0.0
        verdict = await ask_about(judge, found, criterion, purse=self.purses[judge.name])
        said = Said(
            name=criterion,
            outcome=verdict.reading.outcome,
            why=verdict.why,
            score=verdict.reading.score,
            judge=judge.id,
            item=item_id(found.id, criterion),
            samples=verdict.samples,
        )
        return said, verdict.usd


async def ask_about(
    judge: Judge, found: Transcript, criterion: str, *, purse: Purse | None = None, before: Sequence[Sample] = ()
) -> Verdict:
    """What a judge says of an attempt by one criterion. ``before``: the samples of a time when it was down."""
    around = len((judge.rubric.text + criterion + (found.expected if judge.reference else "")).encode())
    fitted = fit(found, judge.max_input_tokens - around // BYTES_PER_TOKEN - _PROMPT_TOKENS)
    if fitted.too_long:
        return _unscored(f"too long for the judge: {fitted.too_long}")

    def messages() -> list[dict[str, str]]:
        # New markers for each sample: what one answer tells of them is worth nothing for the next.
        return question(judge, criterion, fitted.text, cut=fitted.cut, expected=found.expected)

    def read(text: str) -> Reading:
        return read_answer(text, judge.scale, pass_at=judge.pass_at, trajectory=judge.rubric.trajectory)

    async def one(number: int) -> Sample:
        last = before[number] if number < len(before) else None
        if last is not None and not last.down:
            return replace(last, usd=0.0)
        return await _ask_sample(judge, messages, read, purse, number, unread=last.unread if last else None)

    each = await asyncio.gather(*(one(number) for number in range(judge.samples)))
    found_together = _together(judge, [one.reading for one in each], sum(one.usd for one in each), fitted.cut)
    return replace(found_together, asked=tuple(each))


async def _ask_sample(
    judge: Judge,
    messages: Callable[[], list[dict[str, str]]],
    read: Callable[[str], Reading],
    purse: Purse | None,
    number: int,
    *,
    unread: str | None,
) -> Sample:
    """One sample, and a second question where its answer cannot be read. ``unread``: such an answer of an earlier time."""
    spent = 0.0
    asked = messages() if unread is None else repair(messages(), unread)
    reading = _no("it was not asked")

    def ended(why: str, *, down: bool = False) -> Sample:
        return Sample(reading=_no(why), usd=spent, down=down, unread=unread)

    for _ in range(2 if unread is None else 1):
        size = sum(len(one["content"].encode("utf-8", "replace")) for one in asked) // BYTES_PER_TOKEN
        worst = price_of(judge, size, OUTPUT_TOKENS_MAX)
        if purse is not None and purse.usd_max and worst is None:
            return ended(f"the price of {judge.model} is not known, so max_usd cannot be kept: set judges.{judge.name}.price")  # fmt: skip
        if purse is not None and not purse.take(worst or 0.0):
            return ended(f"the judge's money is spent: {purse.spent:.4f} of {purse.usd_max:g} USD")
        cost = 0.0
        try:
            said = await ask(judge, asked, sample=number)
            # Whoever does not say what was used is taken to have used all that was put aside.
            cost = (said.usd or 0.0) if said.input_tokens or said.output_tokens else (worst or 0.0)
        except PilothouseError as error:
            if isinstance(error, TooLate):
                cost = worst or 0.0
            spent += cost
            return ended(told(error), down=isinstance(error, Down))
        finally:
            if purse is not None:
                purse.give_back(worst or 0.0, spent=cost)
        spent += cost
        reading = read(said.text)
        if reading.readable:
            break
        unread, asked = said.text[:4_000], repair(asked, said.text)
    return Sample(reading=reading, usd=spent)


def _together(judge: Judge, readings: Sequence[Reading], usd: float, cut: str) -> Verdict:
    scored = [one for one in readings if one.outcome != "unscored" and one.score is not None]
    samples = tuple(one.score for one in scored if one.score is not None)
    # A majority of all that were asked: two verdicts of five say too little.
    if len(scored) * 2 <= len(readings):
        why = next((one.why for one in readings if one.outcome == "unscored"), "no sample could be read")
        return Verdict(reading=Reading(outcome="unscored", why=why), samples=samples, usd=usd, cut=cut)
    passes = sum(one.outcome == "pass" for one in scored)
    if passes * 2 == len(scored):
        why = f"the judge's samples are split, {passes} to {len(scored) - passes}"
        return Verdict(reading=Reading(outcome="unscored", why=why), samples=samples, usd=usd, cut=cut)
    outcome = "pass" if passes * 2 > len(scored) else "fail"
    alike = [one for one in scored if one.outcome == outcome]
    # Of several words for the same outcome, the one that most samples take.
    one = max(alike, key=lambda each: sum(each.label == other.label for other in alike))
    split = f" ({max(passes, len(scored) - passes)} of {len(scored)} samples)" if 0 < passes < len(scored) else ""
    label = f"{one.label}: " if one.label else ""
    reading = Reading(
        outcome=outcome, why=f"{label}{one.why}{split}", score=sum(samples) / len(samples), label=one.label
    )
    return Verdict(reading=reading, samples=samples, usd=usd, cut=cut)


def _no(why: str) -> Reading:
    return Reading(outcome="unscored", why=why)


def _unscored(why: str) -> Verdict:
    return Verdict(reading=_no(why))


# -- evidence --------------------------------------------------------------------------------------------------------


def item_id(transcript: str, criterion: str) -> str:
    """Names one thing to judge: an attempt, and what is asked of it."""
    return f"{transcript}-{hashlib.sha256(criterion.encode()).hexdigest()[:8]}"


def keep_evidence(folder: Path, found: Transcript) -> None:
    """Keep what is judged, so that people and later judges see the same."""
    path = folder / EVIDENCE / f"{found.id}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        payloads.write(path, json.dumps(found.as_data(), ensure_ascii=False).encode("utf-8", "replace"))


def evidence_of(folder: Path, item: str, *, beside: str = "labelled") -> Transcript:
    """What was judged; from the labelled ones beside the suite, or from its runs.

    Raises:
        NotFound: it is not there any more.
    """
    name = f"{item.partition('-')[0]}.json"
    for path in (folder / beside / name, folder / EVIDENCE / name):
        try:
            data: Any = json.loads(path.read_bytes())
            return from_data(data)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    raise NotFound("what was judged is not there any more", got=item, fix="pilothouse eval run --fresh")
