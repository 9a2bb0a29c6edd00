"""A judge's word on a replayed session: the same outcome, right next steps, another valid path, or wrong.

By default a replay is decided by its mode alone. A judge that may gate decides in its place: it may find that another
way is as good, or that equal calls end in a wrong answer. What no judge excuses: a tool that is gone, an agent that
failed. A judge that may not gate, and one that could not be read, change nothing; what they say is told beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from pilothouse.evals import runs
from pilothouse.evals.conversation import turns
from pilothouse.evals.observed import Observed
from pilothouse.evals.recording import Recording
from pilothouse.evals.runs import About, Result, Run, Said
from pilothouse.evals.trajectory import Decision, Replayed
from pilothouse.records import BadRequest, canonical_json, clean, iso

from .asking import Purse, ask_about, item_id, keep_evidence
from .calibration import standing
from .rubrics import TRAJECTORY
from .settings import Judge
from .transcript import Step, Transcript, bounded, from_data, steps_in

Verdict = Literal["same_outcome", "right_next_steps", "different_but_valid", "wrong", "unscored"]
CRITERION: Final = (
    "A recorded session was replayed: at each decision today's agent was given what was known then, and decided again. The"
    " record shows what was decided then and, where it differs, what is decided today; what follows is as it was recorded."
    " The final answer is today's. Say what became of the session"
)
NEVER_EXCUSED: Final = frozenset({"gone", "failed"})
"""Verdicts on a decision that no judge puts right."""
REPLAYS: Final = "replays"
_CHARS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a judge says of a replayed session."""

    judge: str
    """``name@version``."""
    verdict: Verdict
    why: str
    counts: bool
    """Whether the judge may gate: else its word is told and decides nothing."""
    why_not: tuple[str, ...] = ()
    """Why it may not, or what it has not shown where the suite lets it gate all the same."""
    item: str = ""
    """What the judge was shown: people label it by this name."""
    score: float | None = None
    samples: tuple[float, ...] = ()
    usd: float = 0.0

    @property
    def outcome(self) -> runs.Outcome:
        """As a check would say it."""
        return "unscored" if self.verdict == "unscored" else "fail" if self.verdict == "wrong" else "pass"

    def as_data(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {**asdict(self), "outcome": self.outcome, "usd": round(self.usd, 6)}


def check_judge(judge: Judge | None, name: str) -> Judge:
    """The judge, where it can tell what became of a session.

    Raises:
        BadRequest: it is a function, or its rubric asks for other verdicts.
    """
    if judge is None or not judge.rubric.trajectory:
        raise BadRequest(
            "this judge does not say what became of a session: its rubric names no such verdicts",
            got=name,
            allowed=f"a rubric with the verdicts {', '.join(TRAJECTORY)}",
            fix="--judge trajectory",
        )
    return judge


async def judge_replay(
    found: Replayed,
    recording: Recording,
    judge: Judge,
    folder: Path,
    *,
    mask: Callable[[Any], Any] | None = None,
) -> Judged:
    """Ask a judge about a replayed session. Never raises for what a model does: that is ``unscored``.

    ``mask``: applied to all that the judge is shown and that is kept for people to label.
    """
    shown = transcript_of_replay(found, recording)
    if mask is not None:
        shown = from_data(mask(shown.as_data()))
    keep_evidence(folder, shown)
    said = await ask_about(judge, shown, CRITERION, purse=Purse(usd_max=judge.max_usd))
    held = standing(judge, folder)
    label: Any = said.reading.label
    return Judged(
        judge=judge.id,
        verdict=label if said.reading.outcome != "unscored" and label in TRAJECTORY else "unscored",
        why=said.why.removeprefix(f"{label}: ") if label else said.why,
        counts=held.may_gate,
        why_not=held.why_not,
        item=item_id(shown.id, CRITERION),
        score=said.reading.score,
        samples=said.samples,
        usd=said.usd,
    )


def holds(found: Replayed, judged: Judged | None) -> bool:
    """Whether a session holds: by the judge's word where it counts, else by the mode alone."""
    if not decides(judged):
        return found.holds
    assert judged is not None
    return judged.outcome == "pass" and not any(one.verdict in NEVER_EXCUSED for one in found.steps)


def decides(judged: Judged | None) -> bool:
    """Whether there is a judge whose word counts, and that gave one."""
    return judged is not None and judged.counts and judged.outcome != "unscored"


def replay_data(found: Replayed, judged: Judged | None) -> dict[str, Any]:
    """A replay with what a judge says of it, as plain data."""
    data = {**found.as_data(), "holds": holds(found, judged), "decided_by": "judge" if decides(judged) else "mode"}
    return data if judged is None else {**data, "judged": judged.as_data()}


# -- what the judge is shown -----------------------------------------------------------------------------------------


def transcript_of_replay(found: Replayed, recording: Recording) -> Transcript:
    """The recorded session with what is decided today, decision by decision."""
    # Read as one: a result knows its tool by the call that stands before it.
    whole = turns([*recording.given, *recording.later])
    steps, at = steps_in(whole[: len(recording.given)]), 0
    for turn in whole[len(recording.given) :]:
        if turn.role == "assistant" and (turn.calls or turn.text):
            steps += _decided(found, at)
            at += 1
        else:
            steps += steps_in([turn])
    last = max((n for n, one in enumerate(steps) if one.what == "user"), default=None)
    if last is not None:
        steps[last] = replace(steps[last], keep=True)
    answer = found.seen[-1].text or found.seen[-1].error if found.seen else ""
    return bounded(Transcript(case=str(recording.about.get("trace", "session")), steps=tuple(steps), answer=answer))


def _decided(found: Replayed, at: int) -> list[Step]:
    decision, seen, verdict = found.decisions[at], found.seen[at], found.steps[at].verdict
    then, today = _then(decision), _today(seen)
    # What was said where nothing was called is no decision that could be told to be the same by program.
    if verdict == "same" and (decision.calls or then == today):
        return [Step(what=f"decision {at + 1}, then and today", text=then, keep=bool(decision.calls))]
    return [
        Step(what=f"decision {at + 1}, then", text=then, keep=True),
        Step(what=f"decision {at + 1}, today", text=today, keep=True),
    ]


def _then(decision: Decision) -> str:
    return _told([(one.name, one.arguments) for one in decision.calls], decision.text)


def _today(seen: Observed) -> str:
    said = f"the agent failed: {seen.error}" if seen.error and not seen.tools else seen.text
    return _told([(one.name, one.arguments) for one in seen.tools], said)


def _told(calls: list[tuple[str, Any]], text: str) -> str:
    lines = [f"calls {name}({canonical_json(arguments)})" for name, arguments in calls]
    told = "\n".join([*lines, *([f"says: {text}"] if text else [])])
    plain = clean(told)
    return plain if len(plain) <= _CHARS_MAX else f"{plain[:_CHARS_MAX]} […{len(plain) - _CHARS_MAX:,} characters cut]"


# -- kept, for people to label ---------------------------------------------------------------------------------------


def keep_judged(folder: Path, found: Replayed, judged: Judged, *, session: str, target: str, version: str) -> Run:
    """Add a judged replay to the run of all those of the same target, version and judge; people label it there.

    One run for all of them: a random sample is drawn among the sessions of a run, and of a single one it says nothing.
    """
    name, _, judge_version = judged.judge.partition("@")
    about = About(
        run="",
        suite=folder.resolve().name,
        suite_version="",
        target=target,
        version=version,
        judges={name: judge_version},
        started=iso(time.time_ns()),
        # No run of the suite's own cases: nothing takes its results over, or gates by it.
        backtest={REPLAYS: found.mode},
        note=REPLAYS,
    )
    run = next((one for one in runs.every(folder) if _alike(one.about, about)), None) or runs.begin(folder, about)
    said = Said(
        name=CRITERION,
        outcome=judged.outcome,
        why=f"{judged.verdict}: {judged.why}",
        score=judged.score,
        judge=judged.judge,
        item=judged.item,
        samples=judged.samples,
    )
    with run.writing() as writer:
        writer.add(
            Result(
                case=session,
                sha256=judged.item.partition("-")[0],
                repeat=1 + sum(one.case == session for one in run.results()),
                outcome=judged.outcome,
                why="" if judged.outcome == "pass" else said.why,
                said=(said,),
                text=found.seen[-1].text if found.seen else "",
                judge_usd=judged.usd,
                trace_id=session,
            )
        )
    return run


def _alike(one: About, other: About) -> bool:
    return replace(one, run="", started="", suite_version="") == replace(other, run="", started="", suite_version="")
