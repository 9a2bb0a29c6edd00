"""Checks by a function of the user's own, asked once for each tool call of an attempt, or once for the attempt.

The levels are those of online evals. In a suite an attempt is one task, one trace and one session: a function at these
levels is given what was observed of it. At ``tool_call`` it is given each call, and what was observed too where it takes two.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from .observed import Observed, ToolUse

Level = Literal["tool_call", "task", "trace", "session"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
CALLS_MAX: Final = 200
"""Calls of one attempt whose scores are kept, as many as a result names; all of them count."""
_WHY_CHARS: Final = 300

Outcome = Literal["pass", "fail", "unscored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallScore:
    """What a function says of one tool call."""

    tool: str
    call: int
    """Which of the attempt's calls, from 1."""
    outcome: Outcome
    score: float | None = None
    """As the function says it; 1 and 0 for true and false; None where it is unscored."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSaid:
    """What a function says of an attempt."""

    outcome: Outcome
    why: str = ""
    score: float | None = None
    """The mean over the calls where it is asked of each."""
    calls: tuple[CallScore, ...] = ()


def ask_code(function: Callable[..., Any], seen: Observed, options: Mapping[str, Any]) -> CodeSaid:
    """Ask a function about an attempt at the level that the check says. Never raises: what it raises is ``unscored``."""
    least = float(options.get("at_least", 1.0))
    if options.get("level", "trace") != "tool_call":
        return _read(lambda: function(seen), least)
    wanted: Sequence[str] = options.get("of", ())
    numbered = [(n, one) for n, one in enumerate(seen.tools, start=1) if not wanted or one.name in wanted]
    if not numbered:
        named = " or ".join(wanted) or "any tool"
        return CodeSaid(outcome="unscored", why=f"there is no call of {named} to score")
    both = _takes_two(function)
    calls = [_of_call(function, n, one, seen if both else None, least) for n, one in numbered]
    bad = [one for one in calls if one.outcome == "fail"] or [one for one in calls if one.outcome == "unscored"]
    scores = [one.score for one in calls if one.score is not None]
    return CodeSaid(
        outcome=bad[0].outcome if bad else "pass",
        why=f"call {bad[0].call}, {bad[0].tool}: {bad[0].why}" if bad else "",
        score=sum(scores) / len(scores) if scores else None,
        # Of thousands of calls, the ones that somebody has to look at first.
        calls=tuple(calls if len(calls) <= CALLS_MAX else [*bad, *(one for one in calls if one.outcome == "pass")])[:CALLS_MAX],
    )  # fmt: skip


def _of_call(function: Callable[..., Any], number: int, use: ToolUse, seen: Observed | None, least: float) -> CallScore:
    said = _read(lambda: function(use) if seen is None else function(use, seen), least)
    score = float(said.outcome == "pass") if said.score is None and said.outcome != "unscored" else said.score
    return CallScore(tool=use.name, call=number, outcome=said.outcome, score=score, why=said.why)


def _read(ask: Callable[[], Any], least: float) -> CodeSaid:
    try:
        said = ask()
    except Exception as error:  # the user's own code: it may raise anything, and one case must not end the others
        return CodeSaid(outcome="unscored", why=f"{type(error).__name__}: {_short(error)}")
    if isinstance(said, CodeSaid):
        return said
    outcome: Any = getattr(said, "outcome", None)
    if outcome in get_args(Outcome):
        # A result of a check, made by the function itself.
        return CodeSaid(outcome=outcome, why=str(getattr(said, "why", "")), score=getattr(said, "score", None))
    pair = cast("tuple[Any, ...]", said if isinstance(said, tuple) else (said, ""))
    value, why = (pair[0], _short(pair[1] or "")) if len(pair) == 2 else (None, f"the function gives {_short(said)}")
    if value is None:
        return CodeSaid(outcome="unscored", why=why or "the function says nothing")
    if not isinstance(value, int | float) or not math.isfinite(value):
        return CodeSaid(
            outcome="unscored", why=f"the function says {_short(value)}, which is neither true, false nor a number"
        )
    passed = value if isinstance(value, bool) else value >= least
    told = why or ("" if passed else f"the function says {value}")
    return CodeSaid(
        outcome="pass" if passed else "fail", why=told, score=None if isinstance(value, bool) else float(value)
    )


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [
        one
        for one in found
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty
    ]
    return len(needed) == 2


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _WHY_CHARS else f"{text[:_WHY_CHARS]}…"
