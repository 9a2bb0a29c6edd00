"""What an agent did once, as plain data: what it was given, what it said and called, what its tools answered.

A trace becomes one, and so does a run that another tool wrote. Cases are made of it, and it is replayed step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pilothouse.records import canonical_json

from .case import Call
from .conversation import Result, Turn, Wish, turns
from .observed import Observed, ToolUse
from .plain import mapping_of

Message = Mapping[str, Any]
_NOT_SAID = ("trace", "traces", "step", "recorded", "prompt_sha256", "tools", "agent_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One decision, or a session from its first message to its last answer."""

    given: Sequence[Message] = ()
    """The conversation up to the first decision that counts, as it was sent to the model."""
    later: Sequence[Message] = ()
    """What came after: answers of the model, results of tools, and what users said in between."""
    data: Any = None
    """What was given where there is no conversation."""
    answer: str = ""
    """The last answer where there is no conversation."""
    calls: tuple[Call, ...] = ()
    """Calls of tools from there on, in order, with what they answered."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Model, temperature, and whatever else it was made with."""
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Where it comes from: ``trace``, ``step``, ``time``, ``agent``, ``agent_version``, ``tools``, ``session``, …"""

    @property
    def step(self) -> int | None:
        """The step of the decision; None for a whole session."""
        found = self.about.get("step")
        return found if isinstance(found, int) else None

    @property
    def wishes(self) -> list[Wish]:
        """Every call that the model asked for, in order."""
        return [one for turn in turns(self.later) for one in turn.calls]

    def did(self) -> Observed:
        """What was done, as a target's attempt would be seen."""
        if self.step is not None or not self.calls:
            uses = [ToolUse(name=one.name, arguments=one.arguments) for one in self.wishes]
        else:
            uses = [
                ToolUse(name=one.name, arguments=one.arguments, result=one.result, error=one.error, answered="recorded")
                for one in self.calls
            ]
        last = turns(self.later)[-1:]
        # What was said before a call, or before a user spoke again, is no last answer.
        text = "".join(
            turn.text for turn in last if turn.role == "assistant" and (not turn.calls or self.step is not None)
        )
        text = text if self.given else self.answer
        return Observed(text=text, tools=tuple(uses), messages=[*self.given, *self.later])

    def changed(self, change: Callable[[Any], Any]) -> Recording:
        """The same with ``change`` made to all that anybody said or did: messages, values, calls."""
        return Recording(
            given=cast("Sequence[Message]", change(list(self.given))),
            later=cast("Sequence[Message]", change(list(self.later))),
            data=change(self.data),
            answer=change(self.answer),
            calls=tuple(
                Call(name=one.name, arguments=change(one.arguments), result=change(one.result), error=change(one.error))
                for one in self.calls
            ),
            settings=change(dict(self.settings)),
            # A session may be called by a person's address; ids and moments stay what they are.
            about={name: value if name in _NOT_SAID else change(value) for name, value in self.about.items()},
        )


def recorded(messages: Sequence[Message]) -> Recording:
    """The recording of a whole conversation, in any form that a case may have its messages in."""
    first = next((n for n, turn in enumerate(turns(messages)) if turn.role == "assistant"), len(messages))
    return Recording(given=list(messages[:first]), later=list(messages[first:]), calls=calls_in(messages[first:]))


def calls_in(messages: Sequence[Message]) -> tuple[Call, ...]:
    """The calls of a conversation with their results, in the order they were asked for; those without one are left out."""
    waiting: list[tuple[int, Wish]] = []
    found: list[tuple[int, Call]] = []
    count = 0
    for turn in turns(messages):
        for one in turn.results:
            # Ids come again in long conversations: the oldest call that waits is meant.
            fits = [pair for pair in waiting if pair[1].id == one.id] or [pair for pair in waiting if not one.id]
            if fits:
                waiting.remove(fits[0])
                found.append((fits[0][0], _call(fits[0][1], one)))
        for wish in turn.calls:
            waiting.append((count, wish))
            count += 1
    return tuple(call for _, call in sorted(found, key=lambda pair: pair[0]))


def structured(calls: Sequence[Call], known: Sequence[Call]) -> tuple[Call, ...]:
    """Calls as a conversation tells them, with what their tools gave where that is known: a message holds its text alone."""
    given: dict[tuple[str, str], list[Call]] = {}
    for one in known:
        given.setdefault(_key(one), []).append(one)
    return tuple(fits.pop(0) if (fits := given.get(_key(one))) else one for one in calls)


def _key(call: Call) -> tuple[str, str]:
    return call.name, canonical_json(call.arguments)


def _call(wish: Wish, answer: Result) -> Call:
    arguments = mapping_of(wish.arguments)
    if answer.error:
        return Call(name=wish.name, arguments=arguments, error=str(answer.content) or "the tool failed")
    return Call(name=wish.name, arguments=arguments, result=answer.content)


def written(found: Sequence[Turn]) -> list[dict[str, Any]]:
    """Messages in the form that a case shows a reader: calls with their arguments as data."""
    made: list[dict[str, Any]] = []
    for turn in found:
        for one in turn.results:
            made.append({"role": "tool", "tool_call_id": one.id, "name": one.name, "content": one.content})
        if turn.role == "tool" or (turn.results and not turn.text):
            continue
        message: dict[str, Any] = {"role": turn.role, "content": turn.text}
        if turn.calls:
            message["tool_calls"] = [{"id": one.id, "name": one.name, "arguments": one.arguments} for one in turn.calls]
        made.append(message)
    return made
