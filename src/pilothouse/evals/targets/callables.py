"""Any function as a target: ``def answer(messages) -> str``, plain or ``async``.

What it is given goes by the name of its first parameter: ``messages`` gets the conversation, ``case`` the case,
``data`` the data; any other gets the user's text, or the data where the case has some. Tools wrapped by
``pilothouse.tool`` are answered as the case says. What it returns is a text, data, a list of messages, a mapping with
``text``, ``output``, ``messages`` or ``tool_calls``, or an :class:`~pilothouse.evals.observed.Observed`.

Where only its decision is wanted, it ends at a call of a wrapped tool: the last of as many as ``decision_calls`` among the
case's settings says, else the first that nothing is recorded for. That call is noted, and does not run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pilothouse.evals.case import Case
from pilothouse.evals.conversation import Turn, as_chat, turns
from pilothouse.evals.observed import Observed, ToolUse
from pilothouse.evals.plain import data_of, list_of, mapping_of
from pilothouse.evals.playback import Decided
from pilothouse.sdk.tool_playback import PLAYER, Answer

from .attempt import Attempt, Target


def callable_target(function: Callable[..., Any]) -> Target:
    """A function as a target."""
    parameter = _first_parameter(function)

    async def run(attempt: Attempt) -> Observed:
        token = PLAYER.set(_Stopping(attempt) if attempt.decision_only else attempt.playback)
        try:
            return await _converse(function, parameter, attempt)
        except Decided:
            return Observed(tools=attempt.playback.uses)
        finally:
            PLAYER.reset(token)

    return run


class _Stopping:
    """Answers calls as the playback does, up to the one that ends the decision."""

    def __init__(self, attempt: Attempt) -> None:
        self._playback = attempt.playback
        calls = attempt.case.settings.get("decision_calls")
        self._left = calls if isinstance(calls, int) and calls > 0 else -1
        self._lock = threading.Lock()

    def answer(self, tool: str, arguments: Mapping[str, Any], effect: str = "") -> Answer | None:
        """The recorded answer, or the end."""
        with self._lock:
            self._left -= 1
            last = self._left == 0
        return self._playback.until_decided(tool, arguments, effect, last=last)

    def permit(self, tool: str, arguments: Mapping[str, Any], effect: str) -> None:
        """A call that cannot be answered is the decision."""
        self._playback.called(tool, dict(arguments))
        raise Decided

    def ran(self, tool: str, arguments: Mapping[str, Any], value: Any, error: BaseException | None) -> None:
        """As the playback notes it; a call that never began is none."""
        if not isinstance(error, Decided):
            self._playback.ran(tool, arguments, value, error)


async def _converse(function: Callable[..., Any], parameter: str, attempt: Attempt) -> Observed:
    case = attempt.case
    if not case.input.turns:
        return seen_in(await _call(function, _given(case, parameter, case.input.messages)), attempt)
    chat: list[dict[str, Any]] = []
    seen = Observed()
    for said in case.input.turns:
        chat.append({"role": "user", "content": said})
        given: Any = list(chat) if parameter == "messages" else said
        seen = seen_in(await _call(function, given), attempt)
        chat.append({"role": "assistant", "content": seen.text})
    return dataclasses.replace(seen, messages=seen.messages or chat)


def _given(case: Case, parameter: str, messages: Sequence[Mapping[str, Any]]) -> Any:
    if parameter == "case":
        return case
    if parameter == "messages":
        # What the orchestrator says to the model itself is today's, not that of the recording.
        return as_chat(_without_system(turns(messages)))
    return case.input.data if not case.input.messages else case.input.text


def _first_parameter(function: Callable[..., Any]) -> str:
    try:
        names = [one for one in inspect.signature(function).parameters if one not in ("self", "cls")]
    except (TypeError, ValueError):
        return ""
    return names[0] if names else ""


async def _call(function: Callable[..., Any], given: Any) -> Any:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        return await function(given)
    found = await asyncio.to_thread(function, given)
    return await found if inspect.isawaitable(found) else found


def seen_in(returned: Any, attempt: Attempt) -> Observed:
    """What a function's return value says, beside the calls that were played back."""
    uses = attempt.playback.uses
    if isinstance(returned, Observed):
        return returned if returned.tools or not uses else dataclasses.replace(returned, tools=uses)
    row, listed = mapping_of(returned), list_of(returned)
    if row is not None and row.keys() & {"text", "output", "messages", "tool_calls"}:
        return _in_mapping(row, uses, attempt.case)
    if listed and all((one := mapping_of(item)) is not None and "role" in one for item in listed):
        return _in_messages(_new(cast("list[Mapping[str, Any]]", listed), attempt.case), uses, listed)
    if isinstance(returned, str):
        return Observed(text=returned, tools=uses)
    if returned is None:
        return Observed(tools=uses)
    output = data_of(returned)
    return Observed(text=str(returned) if isinstance(output, str) else "", output=output, tools=uses)


def _new(messages: Sequence[Mapping[str, Any]], case: Case) -> list[Turn]:
    """What a conversation adds to the one that was given: calls of the history are not made again."""
    found, given = _without_system(turns(messages)), _without_system(turns(case.input.messages))
    same = len(found) >= len(given) and all(map(_alike, found, given))
    return found[len(given) :] if same else found


def _without_system(found: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in found if turn.role not in ("system", "developer")]


def _alike(one: Turn, other: Turn) -> bool:
    """Whether it is the same message, however it is written."""
    calls = [[(call.name, call.id) for call in turn.calls] for turn in (one, other)]
    return one.role == other.role and one.text == other.text and calls[0] == calls[1]


def _in_mapping(row: Mapping[str, Any], uses: tuple[ToolUse, ...], case: Case) -> Observed:
    messages = list_of(row.get("messages")) or []
    seen = _in_messages(_new(messages, case), uses, messages)
    wished = (
        turns([{"role": "assistant", "content": "", "tool_calls": row["tool_calls"]}])[0]
        if row.get("tool_calls")
        else None
    )
    tools = uses or seen.tools
    if wished is not None and not tools:
        tools = tuple(ToolUse(name=one.name, arguments=one.arguments) for one in wished.calls)
    known = {name: row[name] for name in ("model_calls", "tokens", "cost_usd", "trace_id", "error") if row.get(name)}
    text = row.get("text", seen.text)
    return Observed(
        text=text if isinstance(text, str) else "", output=row.get("output"), tools=tools, messages=messages, **known
    )


def _in_messages(found: Sequence[Turn], uses: tuple[ToolUse, ...], messages: Sequence[Any]) -> Observed:
    said = next((turn.text for turn in reversed(found) if turn.role == "assistant" and turn.text), "")
    results = {one.id: one for turn in found for one in turn.results}
    told = tuple(
        ToolUse(name=one.name, arguments=one.arguments, result=results[one.id].content if one.id in results else None)
        for turn in found
        for one in turn.calls
    )
    return Observed(text=said, tools=uses or told, messages=messages)
