"""The loop: fail, propose, try on training, prove on validation, simplify, and one answer on what nobody looked at.

A change is taken only where it is proven on the validation part to be better than what it would replace, and no case of
either part regressed. Validation is looked at once a round, so each round may use its share of alpha (Bonferroni); the
held-out part is run once, at the end, and alone says what the result is worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pilothouse.evals.case import Case
from pilothouse.evals.compare import Comparison, compare
from pilothouse.evals.judges.answered import answered
from pilothouse.evals.judges.asking import Purse
from pilothouse.evals.judges.gating import Hearing, hearing
from pilothouse.evals.judges.settings import Judge, read_judges
from pilothouse.evals.runs import by_case
from pilothouse.evals.settings import Gate, load_settings
from pilothouse.evals.suite import Suite

from .journal import Journal
from .parts import Parts
from .proposing import OUTPUT_TOKENS_MAX, Failing, Proposal, objection, question, read_answer, sentences
from .trial import Runs, Trial, run_of

SIMPLIFY: Final = 8
"""Sentences that are tried without, at most."""


class Stopped(Exception):
    """No further step is made: the reason is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Within what an optimization stays."""

    rounds: int
    usd_max: float
    repeats: int = 0
    simplify: int = SIMPLIFY
    alpha: float = 0.05


@dataclass(slots=True, kw_only=True)
class Work:
    """What the steps share."""

    suite: Suite
    journal: Journal
    parts: Parts
    bounds: Bounds
    target: str
    code: str
    """Version of the agent's code: part of what a trial is of."""
    optimizer: Judge
    runs: Runs
    told: Callable[[str], None]
    spent: float = 0.0
    stopped: str = ""

    def trial(self, prompt: str, part: str, cases: Sequence[str], *, known: Sequence[Trial] = ()) -> Trial:
        """Run a prompt on a part, where that is not known yet. ``known``: trials of the same prompt with results of it."""
        path = self.journal.keep(prompt)
        left = self.bounds.usd_max - self.spent
        trial = Trial(
            suite=str(self.suite.folder), folder=str(self.journal.folder / "trials" / f"{path.stem}-{part}"),
            prompt=str(path.resolve()), cases=list(cases), target=self.target, version=f"{self.code}+{path.stem}",
            repeats=self.bounds.repeats, usd_max=left if self.bounds.usd_max else 0.0,
        )  # fmt: skip
        name = f"trial {path.stem} {part}"
        if name not in self.journal.steps and self.bounds.usd_max and left <= 0:
            raise Stopped(f"the money is spent: {self.spent:.4f} of {self.bounds.usd_max:g} USD")
        said = self.journal.step(name, lambda: self._run(trial, known))
        self.spent += said["usd"]
        return trial

    def _run(self, trial: Trial, known: Sequence[Trial]) -> dict[str, Any]:
        run = run_of(trial)
        if known and not run.folder.exists():
            run.folder.mkdir(parents=True)
            with run.writing() as writer:
                for one in known:
                    for result in run_of(one).results():
                        writer.add(replace(result, taken_from=Path(one.folder).name))
        tried = self.runs(trial)
        if tried.stopped:
            raise Stopped(tried.stopped)
        # From the results: those that a killed process had made already were paid for too.
        return {"usd": sum((one.cost_usd or 0.0) + one.judge_usd for one in run.results() if not one.taken_from)}

    def compared(self, before: Trial, after: Trial, *, alpha: float) -> Comparison:
        """Two prompts on a part; better means better by any amount."""
        base, candidate = run_of(before), run_of(after)
        gate = Gate(margin=0.0, alpha=alpha, critical=False)
        return compare(
            base, candidate, gate=gate, hearing=self._hearing(before, after), quarantined=self._quarantined()
        )

    def _hearing(self, *trials: Trial) -> Hearing | None:
        settings = load_settings(self.suite.folder)
        found = [run_of(one) for one in trials]
        if not any(one.about.judges for one in found):
            return None
        return hearing(self.suite.folder, read_judges(settings.judges, self.suite.folder), *found)

    def _quarantined(self) -> dict[str, str]:
        return {id: one.quarantined for id, one in self.suite.places().items() if one.quarantined}


def optimize(work: Work, original: str) -> dict[str, Any]:
    """Improve a prompt; what came of it as plain data. Known steps are taken from the journal, the others are made."""
    best = original
    rows: list[dict[str, Any]] = []
    try:
        best = _rounds(work, original, rows)
        if best != original:
            best = _simplified(work, best)
    except Stopped as stop:
        work.stopped = str(stop)
        best = _accepted(work, original)
    final = _final(work, original, best) if best != original else None
    return {
        "rounds": rows,
        "prompt": best,
        "changed": best != original,
        "stopped": work.stopped,
        "spent_usd": round(work.spent, 6),
        "final": final,
    }


def _rounds(work: Work, original: str, rows: list[dict[str, Any]]) -> str:
    best, tried = original, list[str]()
    parts, bounds = work.parts, work.bounds
    for number in range(1, bounds.rounds + 1):
        training = work.trial(best, "training", parts.training)
        failing = _failing(work, training)
        work.told(f"round {number} of {bounds.rounds}: {len(failing)} of {len(parts.training)} training cases fail")
        if not failing:
            work.told("no training case fails: there is nothing to learn from")
            break
        row = _propose(work, number, best, failing, tried)
        rows.append(row)
        if row["outcome"] != "proposed":
            tried.append(f"{row['reason']} → {row['why']}")
            work.told(f"  {row['why']}")
            continue
        candidate = (work.journal.folder / "prompts" / f"{row['candidate']}.md").read_text("utf-8")
        judged = _judge(work, best, candidate, training)
        row |= judged
        work.told(f"  {judged['outcome']}: {judged['why']}")
        tried.append(f"{row['reason']} → {judged['outcome']}: {judged['why']}")
        if judged["outcome"] == "accepted":
            best = candidate
        work.journal.step(f"decided {number}", lambda said={**judged, "candidate": row["candidate"]}: said)
    return best


def _accepted(work: Work, original: str) -> str:
    """The newest prompt that was taken before the work was stopped."""
    best = original
    for name, said in work.journal.steps.items():
        taken = said.get("candidate")
        if taken and (name.startswith("simpler ") or said.get("outcome") == "accepted"):
            best = (work.journal.folder / "prompts" / f"{taken}.md").read_text("utf-8")
    return best


def _failing(work: Work, trial: Trial) -> list[Failing]:
    found: list[Failing] = []
    for id, attempts in by_case(run_of(trial).results()).items():
        one = next((it for it in attempts if it.outcome == "fail"), None)
        if one is None or work.suite.place(id).quarantined:
            continue
        calls = f"{', '.join(one.tools[:5])} → " if one.tools else ""
        found.append(Failing(case=id, input=_input(work.suite.case(id)), answer=f"{calls}{one.text or one.error}", why=one.why))  # fmt: skip
    return found


def _input(case: Case) -> str:
    return case.input.text or str(case.input.data or "")


def _propose(work: Work, number: int, best: str, failing: Sequence[Failing], tried: Sequence[str]) -> dict[str, Any]:
    def ask() -> dict[str, Any]:
        left = work.bounds.usd_max - work.spent
        if work.bounds.usd_max and left <= 0:
            raise Stopped(f"the money is spent: {work.spent:.4f} of {work.bounds.usd_max:g} USD")
        got = asyncio.run(
            answered(
                work.optimizer, question(best, failing, tried), read_answer,
                Purse(usd_max=left if work.bounds.usd_max else 0.0), price_at="optimizer.price in suite.yaml",
                output_tokens_max=OUTPUT_TOKENS_MAX,
            )
        )  # fmt: skip
        if got.value is None:
            return {"candidate": "", "reason": "no proposal", "why": got.why, "usd": got.usd}
        return {**_tried(work, got.value, best), "usd": got.usd}

    said = work.journal.step(f"proposal {number}", ask)
    work.spent += said["usd"]
    outcome = "refused" if said["why"] else "proposed"
    return {
        "round": number,
        "outcome": outcome,
        "candidate": said["candidate"],
        "reason": said["reason"],
        "why": said["why"],
    }


def _tried(work: Work, proposal: Proposal, best: str) -> dict[str, Any]:
    inputs = [_input(work.suite.case(id)) for id in work.parts.training]
    why = objection(proposal.prompt, best, inputs)
    name = work.journal.keep(proposal.prompt).stem
    known = {said.get("candidate") for key, said in work.journal.steps.items() if key.startswith("proposal ")}
    if not why and (name in known or proposal.prompt == best):
        why = "it was proposed before"
    return {"candidate": name, "reason": proposal.reason, "why": why}


def _judge(work: Work, best: str, candidate: str, training: Trial) -> dict[str, Any]:
    """Whether a candidate replaces the best so far."""
    parts, bounds = work.parts, work.bounds
    first = work.compared(training, work.trial(candidate, "training", parts.training), alpha=bounds.alpha)
    if first.counts["regressed"]:
        return {"outcome": "rejected", "why": f"{first.counts['regressed']} training cases regressed"}
    if not first.counts["improved"]:
        return {"outcome": "rejected", "why": "no training case improved"}
    second = work.compared(
        work.trial(best, "validation", parts.validation),
        work.trial(candidate, "validation", parts.validation),
        alpha=bounds.alpha / bounds.rounds,
    )
    told = f"validation: {second.counts['improved']} improved, {second.counts['regressed']} regressed, p {second.verdict.p:.3g}"
    if second.counts["regressed"]:
        return {"outcome": "rejected", "why": told}
    if second.verdict.verdict != "pass":
        more = second.verdict.cases_more
        missing = f"; about {more:,} more cases would tell" if more else ""
        return {"outcome": "not_enough_data", "why": f"{told}: no proof at {bounds.alpha / bounds.rounds:.3g}{missing}"}
    return {"outcome": "accepted", "why": told}


def _simplified(work: Work, best: str) -> str:
    """Leave sentences out, the longest first, while every case that passes still does."""
    both = (*work.parts.training, *work.parts.validation)
    halves = [work.trial(best, "training", work.parts.training), work.trial(best, "validation", work.parts.validation)]
    whole = work.trial(best, "both", both, known=halves)
    pieces = sentences(best)
    order = sorted(range(len(pieces)), key=lambda n: (-len(pieces[n].strip()), n))
    left: set[int] = set()
    for number in [n for n in order if pieces[n].strip()][: work.bounds.simplify]:
        shorter = "".join(piece for n, piece in enumerate(pieces) if n not in left and n != number)
        if not shorter.strip() or objection(shorter, best, ()):
            continue
        found = work.compared(whole, work.trial(shorter, "both", both), alpha=work.bounds.alpha)
        if not any(_passed(one.before) and not _passed(one.after) for one in found.changes):
            left.add(number)
            candidate = work.journal.keep(shorter).stem
            work.journal.step(f"simpler {candidate}", lambda name=candidate: {"candidate": name})
            work.told(f"  simpler without: {pieces[number].strip()[:80]}")
    return "".join(piece for n, piece in enumerate(pieces) if n not in left)


def _passed(tally: str) -> bool:
    """Whether every scored attempt of a tally such as ``3/3`` passed."""
    passed, _, scored = tally.partition("/")
    return bool(scored) and passed == scored


def _final(work: Work, original: str, best: str) -> dict[str, Any]:
    """The answer on the held-out part: run once, with what is taken, and never looked at before."""
    held = work.parts.held_out
    bounds = work.bounds
    # The answer is what all was spent for: it is given also where the money is gone by now.
    work.bounds = replace(bounds, usd_max=0.0)
    try:
        before, after = work.trial(original, "held-out", held), work.trial(best, "held-out", held)
    except Stopped as stop:
        return {"outcome": "not_enough_data", "sentence": str(stop)}
    finally:
        work.bounds = bounds
    found = work.compared(before, after, alpha=bounds.alpha)
    return {
        "outcome": found.verdict.verdict,
        "sentence": found.verdict.sentence,
        "counts": {name: count for name, count in found.counts.items() if count},
        "difference": found.verdict.difference,
        "p": found.verdict.p,
        "cases_more": found.verdict.cases_more,
        "interval": asdict(found.verdict.interval) if found.verdict.interval is not None else None,
    }
