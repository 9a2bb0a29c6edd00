"""Whether an agent still does what it was asked: a watch over its calls, its plan and its answer.

A decision without I/O, by rules that would rather stay silent. What it finds is said to the agent first; where the
same goes on, an operator is told. A judge, where there is one, decides what words alone cannot.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol, runtime_checkable

from .asks import Ask, on_the_way, terms_of, touches, untouched
from .plan import Plan

Kind = Literal["no_answer", "same_call", "plan_untouched", "plan_misses", "answer_misses"]
To = Literal["agent", "operator"]

CALLS_MAX: Final = 27
"""Tool calls without an answer."""
SAME_MAX: Final = 2
"""Times that the same call may give the same result before the agent is told."""
UNTOUCHED_MAX: Final = 12
"""Calls without a change to a plan that has open tasks."""
_SEEN_MAX: Final = 200
PLAN_TOOLS: Final = frozenset({"todo_write", "todo_update", "todo_read"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a signal is raised."""

    calls_max: int = CALLS_MAX
    same_max: int = SAME_MAX
    untouched_max: int = UNTOUCHED_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One sign of drift."""

    kind: Kind
    to: To
    text: str
    """What to say to the agent; what an operator reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is remembered of a run; each function gives the next one."""

    limits: Limits = Limits()
    calls: int = 0
    untouched: int = 0
    """Calls since the plan last changed."""
    plan_version: int = 0
    seen: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each call gave the same result, by a digest of both."""
    raised: tuple[Kind, ...] = ()
    """Signals so far: the agent was told of these."""
    plan_checked: int = 0
    """The version of the plan that was held against the asks."""
    answers_refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The watch after something was seen, and what it raises."""

    watch: Watch
    signals: tuple[Signal, ...] = ()


@runtime_checkable
class Judge(Protocol):
    """Somebody who reads, e.g. a model. Everything it is given is data. It MAY fail: then the rules stand alone."""

    async def asks(self, request: str) -> Sequence[str]:
        """What the request asks for, one text each."""
        ...

    async def missed(self, asks: Sequence[Ask], answer: str, plan: Plan) -> Mapping[str, str]:
        """By the id of an ask that the answer leaves open: why."""
        ...


def called(watch: Watch, tool: str, arguments: object, result: object) -> Seen:
    """A tool call is over. Calls to the planning tools are no work and are not counted, but may go round in circles too."""
    work = tool not in PLAN_TOOLS
    limits = watch.limits
    digest = _digest(tool, arguments, result)
    times = watch.seen.get(digest, 0) + 1
    seen = {**{key: count for key, count in watch.seen.items() if key != digest}, digest: times}
    while len(seen) > _SEEN_MAX:
        seen.pop(next(iter(seen)))
    now = replace(watch, calls=watch.calls + work, untouched=watch.untouched + work, seen=seen)
    signals: list[Signal] = []
    if times in (limits.same_max, limits.same_max * 2):
        signals.append(_same_call(tool, times, "agent" if times == limits.same_max else "operator"))
    if work and now.calls in (limits.calls_max, limits.calls_max * 2):
        text = (
            f"{now.calls} tool calls and no answer yet. Answer now with what you have and say what is missing, or name "
            "in the plan the step that still stands between you and the answer."
        )
        signals.append(Signal(kind="no_answer", to="agent" if now.calls == limits.calls_max else "operator", text=text))
    return Seen(watch=replace(now, raised=_raised(now, signals)), signals=tuple(signals))


def looked(watch: Watch, plan: Plan, asks: Sequence[Ask]) -> Seen:
    """Before a model call: the plan as it stands."""
    if plan.version != watch.plan_version:
        watch = replace(watch, plan_version=plan.version, untouched=0)
    signals: list[Signal] = []
    if plan.tasks and watch.plan_checked == 0:
        watch = replace(watch, plan_checked=plan.version)
        there = "\n".join(task.text for task in plan.tasks)
        missing = [ask for ask in untouched(asks, there) if not on_the_way(ask)]
        if missing:
            text = "No task of the plan names this of the request:\n" + _listed(missing)
            text += "\nAdd it with todo_write, unless a task covers it in other words."
            signals.append(Signal(kind="plan_misses", to="agent", text=text))
    most = watch.limits.untouched_max
    if plan.open_tasks and watch.untouched in (most, most * 2):
        current = plan.current or plan.open_tasks[0]
        text = (
            f"The plan has not changed for {watch.untouched} tool calls; task {current.id} ({current.text}) is "
            f"{current.state}. Is it done, or are you on something else? Say so with todo_update."
        )
        told = watch.untouched == most
        signals.append(Signal(kind="plan_untouched", to="agent" if told else "operator", text=text))
        # Counted on from here, or the same look would be taken for a second one when no call lies between.
        watch = replace(watch, untouched=watch.untouched + 1)
    return Seen(watch=replace(watch, raised=_raised(watch, signals)), signals=tuple(signals))


def left_open(plan: Plan, asks: Sequence[Ask], answer: str) -> tuple[Ask, ...]:
    """The asks that neither the answer nor a finished task of the plan says a word of. The rules' part of the judgement."""
    done = [f"{task.text} {task.note}" for task in plan.tasks if not task.open]
    said = terms_of("\n".join([answer, *done]))
    open_asks = [ask for ask in untouched(asks, answer) if not on_the_way(ask)]
    return tuple(ask for ask in open_asks if not touches(ask, said))


def answered(watch: Watch, missed: Mapping[str, str], asks: Sequence[Ask]) -> Seen:
    """A final answer, and why asks are held to be open in it: the agent is sent back once, then an operator is told."""
    open_asks = [ask for ask in asks if ask.id in missed]
    if not open_asks:
        return Seen(watch=watch)
    lines = "\n".join(f"- {ask.text}" + (f" ({missed[ask.id]})" if missed[ask.id] else "") for ask in open_asks)
    to: To = "operator" if watch.answers_refused else "agent"
    text = (
        f"Your answer says nothing of this part of the request:\n{lines}\n"
        "Do it and answer again with all of it; or say in the answer why it cannot be done."
    )
    signal = Signal(kind="answer_misses", to=to, text=text)
    after = replace(watch, answers_refused=watch.answers_refused + 1)
    return Seen(watch=replace(after, raised=_raised(after, [signal])), signals=(signal,))


def signals_text(signals: Sequence[Signal]) -> str:
    """The signals as the agent reads them in its next model call."""
    return "\n\n".join(f"[{signal.kind}] {signal.text}" for signal in signals)


def _same_call(tool: str, times: int, to: To) -> Signal:
    text = (
        f"You have called {tool} {times} times with the same arguments and got the same result each time. "
        "Use that result, change the arguments, or go on to the next step."
    )
    return Signal(kind="same_call", to=to, text=text)


def _raised(watch: Watch, signals: Sequence[Signal]) -> tuple[Kind, ...]:
    kinds: tuple[Kind, ...] = (*watch.raised, *(signal.kind for signal in signals))
    return kinds[-_SEEN_MAX:]


def _listed(asks: Sequence[Ask]) -> str:
    return "\n".join(f"- {ask.text}" for ask in asks)


def _digest(tool: str, arguments: object, result: object) -> str:
    text = json.dumps([tool, arguments, result], sort_keys=True, default=_as_text, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _as_text(value: Any) -> str:
    return repr(value)[:100_000]
