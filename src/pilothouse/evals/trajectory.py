"""A recorded session replayed decision by decision: today's agent is given what was known then, and decides again.

Each decision stands alone, so that one that differs does not carry the rest away with it. Tools answer from the
recording; what writes never runs itself unless it is declared safe.

| mode | a decision holds where |
| --- | --- |
| ``strict`` | it is the same: the same calls with the same arguments, or an answer where there was one |
| ``in_order`` | the same tools are called, whatever their arguments |
| ``nearest`` | whatever is called exists, and the agent does not fail |
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from pilothouse.records import BadRequest, PilothouseError, canonical_json

from .case import Case, Input, Replay, Stubs
from .conversation import Wish, turns
from .matching import match
from .observed import Observed, ToolUse
from .playback import Playback
from .recording import Message, Recording, calls_in, structured, written
from .targets.attempt import Attempt, Target

Verdict = Literal["same", "arguments", "other_tool", "fewer", "more", "text", "tool", "gone", "failed"]
MEANING: Final[Mapping[Verdict, str]] = {
    "same": "the same calls, or an answer where there was one",
    "arguments": "the same tools with other arguments",
    "other_tool": "another tool, which exists: it may be a valid path",
    "fewer": "some of the calls",
    "more": "the same calls and others",
    "text": "an answer where a tool was called",
    "tool": "a tool where an answer was given",
    "gone": "a tool that was called then, or is called now, does not exist any more",
    "failed": "the agent failed",
}
_HOLDS: Final[Mapping[Replay, frozenset[Verdict]]] = {
    "strict": frozenset({"same"}),
    "in_order": frozenset({"same", "arguments"}),
    "nearest": frozenset({"same", "arguments", "other_tool", "fewer", "more", "text", "tool"}),
}
DECISIONS_MAX: Final = 2_000
PARALLEL: Final = 4
_SHOWN_CHARS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One answer of the model, and all that came before."""

    number: int
    """From 1."""
    history: Sequence[Message]
    calls: tuple[Wish, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What became of one decision."""

    number: int
    verdict: Verdict
    holds: bool
    recorded: str
    """What was decided then, in a line."""
    today: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of a session."""

    mode: Replay
    steps: tuple[Step, ...]
    decisions: tuple[Decision, ...] = ()
    """What was decided then, step by step."""
    seen: tuple[Observed, ...] = ()
    """What the agent of today did from there, step by step."""

    @property
    def holds(self) -> bool:
        """Whether every decision does."""
        return all(one.holds for one in self.steps)

    @property
    def counts(self) -> dict[str, int]:
        """How many decisions there are of each verdict."""
        return dict(Counter(one.verdict for one in self.steps))

    def as_data(self) -> dict[str, Any]:
        """All of it as plain data."""
        failing = sum(not one.holds for one in self.steps)
        return {
            "mode": self.mode,
            "holds": self.holds,
            "decisions": len(self.steps),
            "failing": failing,
            "counts": self.counts,
            "steps": [asdict(one) for one in self.steps],
        }


def decisions(recording: Recording) -> list[Decision]:
    """The decisions of a recorded session, in order.

    Raises:
        BadRequest: it holds none.
    """
    found: list[Decision] = []
    given, later = turns(recording.given), turns(recording.later)
    for number, turn in enumerate(later):
        if turn.role == "assistant" and (turn.calls or turn.text):
            found.append(
                Decision(
                    number=len(found) + 1,
                    history=written([*given, *later[:number]]),
                    calls=turn.calls,
                    text=turn.text,
                )
            )
    if not found or not given:
        raise BadRequest("the recording holds no decision of a model", got=recording.about.get("trace"))
    if len(found) > DECISIONS_MAX:
        raise BadRequest(f"at most {DECISIONS_MAX:,} decisions are replayed", got=len(found))
    return found


async def replay(
    recording: Recording,
    target: Target,
    *,
    mode: Replay = "in_order",
    live: Sequence[str] = (),
    safe: Sequence[str] = (),
    writing: frozenset[str] = frozenset(),
    timeout_s: float = 300.0,
    parallel: int = PARALLEL,
    watch: Callable[[Step], None] | None = None,
) -> Replayed:
    """Let a target decide again at each decision of a session.

    ``live``: tools that run themselves where the recording does not answer. ``safe``: those of them that may although
    they write. ``writing``: tools that change the world.
    """
    todo = decisions(recording)
    calls = structured(calls_in([*recording.given, *recording.later]), recording.calls) or recording.calls
    # What was answered before a decision stands in its history; from there on the recording answers.
    done = [sum(len(turn.results) for turn in turns(one.history)) for one in todo]
    slots = asyncio.Semaphore(max(1, parallel))

    async def one(at: int) -> tuple[Step, Observed]:
        async with slots:
            decision = todo[at]
            stubs = Stubs(calls=tuple(calls[done[at] :]), mode="nearest", live=tuple(live), safe=tuple(safe))
            step, seen = await _decide_again(decision, recording, stubs, target, mode, writing, timeout_s)
            if watch is not None:
                watch(step)
            return step, seen

    made = await asyncio.gather(*(one(at) for at in range(len(todo))))
    return Replayed(
        mode=mode, steps=tuple(step for step, _ in made), decisions=tuple(todo), seen=tuple(seen for _, seen in made)
    )


async def _decide_again(
    decision: Decision,
    recording: Recording,
    stubs: Stubs,
    target: Target,
    mode: Replay,
    writing: frozenset[str],
    timeout_s: float,
) -> tuple[Step, Observed]:
    case = Case(
        id=f"decision-{decision.number}",
        input=Input(messages=decision.history),
        stubs=stubs,
        # Where an answer was given, the first call is another decision already.
        settings={**recording.settings, "decision_only": True, "decision_calls": max(1, len(decision.calls))},
    )
    # Never live by default: a decision for which nothing is recorded is looked at, not carried out.
    playback = Playback(stubs, writing=writing, live=False)
    try:
        async with asyncio.timeout(timeout_s):
            seen = await target(Attempt(case=case, playback=playback, decision_only=True))
    except TimeoutError:
        seen = Observed(tools=playback.uses, error=f"it took more than {timeout_s:g} s")
    except PilothouseError:
        # It was never run as it should be: that says nothing about the agent.
        raise
    except Exception as error:
        seen = Observed(tools=playback.uses, error=f"{type(error).__name__}: {error}"[:500])
    verdict, why = _compared(decision, seen, playback)
    step = Step(
        number=decision.number,
        verdict=verdict,
        holds=verdict in _HOLDS[mode],
        recorded=_line([_shown(one.name, one.arguments) for one in decision.calls], decision.text),
        today=_line([_shown(one.name, one.arguments) for one in seen.tools], seen.text or seen.error),
        why=why,
    )
    return step, seen


def _compared(decision: Decision, seen: Observed, playback: Playback) -> tuple[Verdict, str]:
    wanted = decision.calls
    gone = [one for one in seen.tools if one.answered == "gone"]
    lost = [one.name for one in wanted if not playback.exists(one.name)]
    if gone or lost:
        return "gone", f"there is no tool {(lost or [gone[0].name])[0]!r} any more"
    # A target that cannot be stopped goes on after its decision: so many calls as were decided are looked at.
    made = seen.tools if not wanted else seen.tools[: max(len(wanted), _decided(seen))]
    if seen.error and len(made) < len(wanted):
        return "failed", seen.error
    if not wanted:
        if seen.error and not made:
            return "failed", seen.error
        return ("tool", f"{made[0].name} is called") if made else ("same", "")
    if not made:
        return "text", "no tool is called"
    return _calls_compared(wanted, made)


def _decided(seen: Observed) -> int:
    """How many calls belong to the decision, where the target says so: those that no tool answered."""
    return sum(one.answered == "" for one in seen.tools)


def _calls_compared(wanted: Sequence[Wish], made: Sequence[ToolUse]) -> tuple[Verdict, str]:
    left = list(made)
    for one in wanted:
        fits = [two for two in left if two.name == one.name and not match(_plain(one.arguments), two.arguments)]
        if fits:
            left.remove(fits[0])
    if len(made) - len(left) == len(wanted):
        return ("more", f"{left[0].name} is called too") if left else ("same", "")
    names, today = Counter(one.name for one in wanted), Counter(one.name for one in made)
    if names == today:
        return "arguments", _first_difference(wanted, left)
    other = next(iter(today - names), "")
    if other:
        return "other_tool", f"{other} is called"
    return "fewer", f"{next(iter(names - today), '')} is not called"


def _first_difference(wanted: Sequence[Wish], made: Sequence[ToolUse]) -> str:
    """Where a call that fits none of those then differs from the one of its name."""
    for two in made:
        for one in wanted:
            found = match(_plain(one.arguments), two.arguments) if one.name == two.name else ()
            if found:
                return f"{one.name}, {found[0].path or 'arguments'}: {found[0].why}"
    return ""


def _plain(arguments: Any) -> Any:
    """Recorded arguments as they are: a key that begins with ``$`` asks for nothing here."""
    try:
        match(arguments, arguments)
    except BadRequest:
        return {"$present": True}
    return arguments


def _shown(name: str, arguments: Any) -> str:
    return f"{name}({canonical_json(arguments)})"


def _line(calls: Sequence[str], text: str) -> str:
    said = "; ".join(calls) or " ".join(text.split())
    return said if len(said) <= _SHOWN_CHARS else f"{said[:_SHOWN_CHARS]}…"
