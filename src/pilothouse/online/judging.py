"""Judges of online evals: found beside the policy, shown a trace, paid from a purse of the day."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pilothouse.evals.judges.asking import Purse, Sample, Verdict, ask_about
from pilothouse.evals.judges.calibration import standing
from pilothouse.evals.judges.model import THREADS
from pilothouse.evals.judges.prompt import Reading
from pilothouse.evals.judges.rubrics import TEMPLATES, Rubric
from pilothouse.evals.judges.settings import PROMPT_VERSION, Judge, read_judge, read_judges
from pilothouse.evals.judges.transcript import Step, Transcript
from pilothouse.evals.settings import load_settings
from pilothouse.records import BadRequest, NotFound, PilothouseError, clean
from pilothouse.store.online_store import NANO, OnlineStore
from pilothouse.traces.model import MessageView, TranscriptStep

from .model import Outcome
from .rules import Scorer
from .units import Seen

ASKED_AT_ONCE: Final = min(4, THREADS)
"""Questions under way at once, of all scorers together."""
HOLD_FACTOR: Final = 3
"""What is put aside for a question, as a multiple of its estimate: with it no token is counted for less than a byte of the
prompt, and an answer may be three times as long as the longest one expected."""
AGENT: Final = "pilothouse-judge"
"""Who the gateway's traces of judges are of: online evals do not score these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnGateway:
    """The gateway of the server that the judges belong to."""

    url: str
    """Of the server; empty: it is not known, and each judge needs an address of its own."""
    keys: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """By project, the variable of this process that holds the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A judge that is ready to be asked."""

    judge: Judge
    calibrated: str
    """``yes``, or why it is below its bar."""

    @property
    def told(self) -> str:
        """Its model and the hash of its prompt."""
        prompt = hashlib.sha256(f"{PROMPT_VERSION} {self.judge.rubric.text}".encode()).hexdigest()[:8]
        return f"{self.judge.model}, prompt {prompt}"


def seat(scorer: Scorer, folder: Path) -> Seat:
    """The judge of a scorer, and whether it is as good as its bar asks. ``folder``: that of the policy file.

    Raises:
        BadRequest: its settings or its rubric are wrong.
        NotFound: there is no such suite, judge or rubric.
    """
    home = _within(folder, scorer.suite) if scorer.suite else folder
    if isinstance(scorer.judge, str):
        known = read_judges(load_settings(home).judges, home)
        found = known.get(scorer.judge)
        if found is None:
            raise NotFound(
                "the suite has no judge of this name", got=scorer.judge, allowed=list(known) or "it has none"
            )
    else:
        found = _inline(scorer, scorer.judge, home)
    return Seat(judge=found, calibrated=_calibrated(found, home) if scorer.suite else "no suite holds labels for it")


def _inline(scorer: Scorer, row: Mapping[str, Any], home: Path) -> Judge:
    rubric = str(row.get("rubric") or "correctness")
    try:
        if rubric in TEMPLATES or (len(rubric) < 300 and (home / rubric).is_file()):
            return read_judge(scorer.name, row, home)
    except OSError:
        pass  # a text that cannot be a file's name
    if len(rubric.split()) < 3:
        raise NotFound(
            "there is no such rubric",
            got=rubric[:200],
            allowed=[*TEMPLATES, "a file beside the policy", "the text itself"],
        )
    judge = read_judge(scorer.name, {**row, "rubric": "style"}, home)
    text = Rubric(name="inline", text=rubric.strip(), reference=False)
    return replace(judge, rubric=text, reference=False)


def _calibrated(judge: Judge, home: Path) -> str:
    held = standing(judge, home)
    return "yes" if held.may_gate and not held.unchecked else "; ".join(held.why_not) or "it has not been calibrated"


def _within(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BadRequest("a suite stands in the folder of the policy file, or below it", got=name)
    if not path.is_dir():
        raise NotFound("there is no such suite", got=str(name), fix="pilothouse eval init NAME")
    return path


@dataclass(slots=True, kw_only=True)
class DayPurse(Purse):
    """What a scorer may still spend today, kept where every process sees it."""

    store: OnlineStore
    scorer: str
    day: str
    refused: bool = False
    _holds: dict[float, list[str]] = field(default_factory=dict[float, list[str]])
    """Under way, by what each is estimated at: of those of one estimate any may be settled for another."""

    def take(self, usd: float) -> bool:
        """Put aside what a question may come to at worst."""
        hold = self.store.hold(
            self.scorer,
            self.day,
            round(usd * HOLD_FACTOR * NANO),
            round(self.usd_max * NANO),
            estimate_nano=round(usd * NANO),
            now_ns=time.time_ns(),
        )
        if hold:
            self._holds.setdefault(usd, []).append(hold)
        self.refused |= not hold
        return bool(hold)

    def give_back(self, usd: float, *, spent: float) -> None:
        """Book what it came to."""
        self.spent += spent
        self.store.settle(self._holds[usd].pop(), round(spent * NANO))


async def judged(
    scorer: Scorer,
    held: Seat,
    seen: Seen,
    *,
    project: str,
    store: OnlineStore,
    day: str,
    gateway: OwnGateway,
    answered: str = "",
) -> Outcome:
    """What the judge says of a unit; ``answered``: by an earlier outcome. Never raises for what a judge or its model did."""
    if seen.too_large:
        return Outcome.none("too_long", f"it was not read: {seen.too_large}")
    shown = transcript(seen)
    if not shown.steps and not shown.answer:
        return Outcome.none("no_content", "what was said is not recorded")
    purse = DayPurse(usd_max=scorer.usd_per_day, store=store, scorer=scorer.name, day=day)
    try:
        judge = _aimed(held.judge, project, gateway)
        verdict = await ask_about(judge, shown, scorer.criterion, purse=purse, before=_samples(answered))
    except PilothouseError as error:
        return Outcome.none("judge_failed", error.message, usd=purse.spent)
    return _outcome(verdict, purse)


def _aimed(judge: Judge, project: str, gateway: OwnGateway) -> Judge:
    if judge.url:
        # It may be our own gateway all the same, by its address: what it is asked there must not be scored in its turn.
        return replace(judge, agent=AGENT)
    key = gateway.keys.get(project, "")
    if not gateway.url or not key:
        raise BadRequest("the judge has no address", got=judge.model, fix="url: https://api.openai.com/v1")
    path = "/gateway/anthropic" if judge.api == "anthropic" else "/gateway/openai/v1"
    return replace(judge, url=f"{gateway.url}{path}", key=f"env:{key}", agent=AGENT)


_READ: Final = (
    ("too long for the judge", "too_long"),
    ("the judge's money is spent", "cap"),
    ("the price of", "no_price"),
    ("the judge's answer is not one", "unreadable"),
    ("the judge's answer has no", "unreadable"),
    ("the judge's score is", "unreadable"),
    ("the judge finds it unclear", "unclear"),
    ("the judge's samples are split", "unclear"),
)


def _outcome(verdict: Verdict, purse: DayPurse) -> Outcome:
    reading = verdict.reading
    why = clean(verdict.why)
    if reading.outcome == "unscored":
        reason = next((name for begins, name in _READ if why.startswith(begins)), "judge_failed")
        if purse.refused:
            reason, why = "cap", f"${purse.usd_max:g} of the day leave no room for another question"
        elif verdict.down:
            said = json.dumps([asdict(one) for one in verdict.asked])
            return Outcome(reason="judge_failed", why=why, usd=purse.spent, down=True, answered=said)
        return Outcome.none(reason, why, usd=purse.spent)
    return Outcome(value=reading.score, label=reading.outcome, why=why, usd=purse.spent)


def _samples(answered: str) -> list[Sample]:
    """Of our own rows, and of a judge whose version is the same."""
    rows: list[dict[str, Any]] = json.loads(answered) if answered else []
    return [Sample(reading=Reading(**row["reading"]), down=bool(row["down"]), unread=row["unread"]) for row in rows]


# -- what a judge is shown ---------------------------------------------------------------------------------------------


def transcript(seen: Seen) -> Transcript:
    """A unit as a judge reads it: what was said and called, in order, and the final answer apart."""
    steps: list[Step] = []
    answer = ""
    tools = {one.span.tool_call_id for one in seen.steps if one.span.kind == "tool"} - {""}
    named = {one.span.label for one in seen.steps if one.span.kind == "tool"}
    for one in seen.steps:
        if one.span.kind == "tool":
            steps += _tool(one)
            continue
        steps += _said(one.said, tools, named)
        if not one.said and one.input_value and _speaks(one):
            steps.append(Step(what="input", text=clean(one.input_value)))
        steps += _said(one.output, tools, named)
        if not one.output and one.output_value and _speaks(one):
            steps.append(Step(what="assistant", text=clean(one.output_value)))
    if seen.level == "tool_call":
        return _of_tool_call(seen, steps)
    last = next((n for n in reversed(range(len(steps))) if steps[n].what == "assistant" and steps[n].text), None)
    if last is not None and not any(one.what == "user" for one in steps[last:]):
        answer = steps.pop(last).text
    elif seen.traces[-1].output_text:
        answer = clean(seen.traces[-1].output_text)
    asked = max((n for n, one in enumerate(steps) if one.what in ("user", "input")), default=None)
    if asked is not None:
        steps[asked] = replace(steps[asked], keep=True)
    elif seen.traces[0].input_text and seen.level != "task":
        steps.insert(0, Step(what="user", text=clean(seen.traces[0].input_text), keep=True))
    return Transcript(case=seen.unit.id, steps=tuple(steps), answer=answer)


def _speaks(one: TranscriptStep) -> bool:
    return one.span.kind == "agent" or not one.span.parent_span_id


def _tool(one: TranscriptStep) -> list[Step]:
    name = clean(one.span.label)
    given = one.input_value or "\n".join(view.text for view in one.said)
    failed = one.span.error_message or one.span.tool_error
    told = one.output_value or "\n".join(view.text for view in one.output)
    result = f"error: {failed} {told}".strip() if failed else told
    return [
        Step(what=f"call {name}", text=clean(given)[:2_000], keep=True),
        Step(what=f"result of {name}", text=clean(result)),
    ]


def _said(views: Sequence[MessageView], tools: set[str], named: set[str]) -> list[Step]:
    steps: list[Step] = []
    for view in views:
        text = clean("\n".join(str(p.get("text", "")) for p in view.parts if p.get("type") == "text") or view.text)
        results = [part for part in view.parts if part.get("type") == "tool_result"]
        if text.strip() and not results:
            steps.append(Step(what=clean(view.role) or "assistant", text=text))
        for part in view.parts:
            # A call that has a span of its own stands there, with its result.
            if part.get("type") == "tool_call" and part.get("id") not in tools and part.get("name") not in named:
                given = clean(str(part.get("arguments", "")))[:2_000]
                steps.append(Step(what=f"call {clean(str(part.get('name', '')))}", text=given, keep=True))
            elif part.get("type") == "tool_result" and part.get("id") not in tools and not named:
                steps.append(Step(what="result", text=clean(str(part.get("text", part.get("content", ""))))))
    return steps


def _of_tool_call(seen: Seen, steps: list[Step]) -> Transcript:
    """What led to the call; then the call, and its result as the end of the record."""
    *before, call, result = steps
    asked = max((n for n, one in enumerate(before) if one.what in ("user", "input")), default=None)
    if asked is not None:
        before[asked] = replace(before[asked], keep=True)
    answer = (
        f"(none yet: this record ends with the tool call that is judged, {call.what})\n[{result.what}]\n{result.text}"
    )
    return Transcript(case=seen.unit.id, steps=(*before, call), answer=answer)
