"""The gates around a call: what is new in its request, and everything in its answer, before either goes on.

Blocks for as long as the checks take, so it is called in a thread. What a gate does not let through raises; what it
rewrites is written into the body, which then is no longer the sender's byte for byte.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from pilothouse.guards import About, Finding, Gate, Guard, Verdict, check_data, event_of
from pilothouse.records import Forbidden

from .answer import told
from .call import Call, GateTold
from .replies import StandIn, template
from .request_body import parsed

_ANSWERED: Final = ("function_call", "custom_tool_call", "reasoning", "mcp_call")
"""Items of the responses API that the model made."""
_NOTES_MAX: Final = 20
_TOLD_MAX: Final = 100

Look = Callable[[Gate, str, str], str]
"""Decides about a text at a gate; the third is the tool's name. Gives the text to go on with."""


class GuardBlocked(Forbidden):
    """A gate does not let this through."""

    kind = "guard_blocked"


def guarded(guard: Guard) -> bool:
    """Whether an answer has to be whole before it may go on."""
    return bool(guard.settings.gates["output"] or guard.settings.gates["tool_arguments"])


def check_request(guard: Guard, call: Call) -> bytes:
    """Decide about what is new in a request: texts of users and results of tools since the model spoke last.

    Raises:
        GuardBlocked: a gate blocks it, or wants a person to decide.
    """
    body = cast("dict[str, Any]", parsed(call.request))
    before = json.dumps(body, sort_keys=True)
    look = _looker(guard, call)
    if call.endpoint.operation == "embeddings":
        given = body.get("input")
        if isinstance(given, str):
            body["input"] = look("input", given, "")
        elif isinstance(given, list):
            body["input"] = [
                look("input", one, "") if isinstance(one, str) else one for one in cast("list[Any]", given)
            ]
    for name in ("messages", "input"):
        given = body.get(name)
        if call.endpoint.operation == "embeddings":
            break
        if isinstance(given, str):
            body[name] = look("input", given, "")
        elif isinstance(given, list):
            for item in _new(cast("list[Any]", given)):
                _visit_item(item, look)
    return call.request if json.dumps(body, sort_keys=True) == before else json.dumps(body).encode()


def check_answer(guard: Guard, call: Call, body: bytes) -> StandIn:
    """Decide about a whole answer, as it is kept in the call; gives what to send in its place.

    Raises:
        GuardBlocked: a gate blocks it or wants a person to decide, or what would have to be rewritten cannot be.
    """
    sent = StandIn(body=body, content_type=call.content_type)
    answer = told(call).data
    if call.cut or not isinstance(answer, dict):
        raise unreadable(call, "output", "the answer cannot be read, so that no gate can decide about it")
    data = cast("dict[str, Any]", answer)
    before = json.dumps(data, sort_keys=True)
    texts = _visit_answer(data, _looker(guard, call), guard, call)
    if json.dumps(data, sort_keys=True) == before:
        return sent
    if "text/event-stream" not in call.content_type:
        return StandIn(body=json.dumps(data).encode(), content_type=call.content_type)
    rendered = template(call, "".join(texts.said)) if not texts.calls else None
    if rendered is None:
        raise unreadable(call, "output", "a stream that calls tools would have to be rewritten, which it cannot be")
    return rendered


class _Texts:
    """What an answer consists of."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.calls = False


def _looker(guard: Guard, call: Call) -> Look:
    def look(gate: Gate, text: str, tool: str) -> str:
        verdict = guard.check(gate, text, about(call, tool))
        note(call, verdict, tool)
        return verdict.text

    return look


def about(call: Call, tool: str = "", arguments: dict[str, Any] | None = None) -> About:
    """Whom a text of a call is about."""
    get = call.labels.attributes.get
    return About(
        user=get("user.id", ""),
        session=get("session.id", ""),
        agent=get("gen_ai.agent.name", ""),
        tool=tool,
        arguments=arguments or {},
        tenant=call.project_id,
    )


def note(call: Call, verdict: Verdict, tool: str = "") -> None:
    """Keep what a gate said for the trace, and stop the call where it does not let it through."""
    if verdict.action != "allow" and len(call.verdicts) < _NOTES_MAX:
        call.verdicts.append(f"{verdict.gate} {verdict.action}: {verdict.reason}")
    event, facts = event_of(verdict, tool)
    _tell(call, event, facts)
    if not verdict.allowed:
        asks = " (a person would have to allow it)" if verdict.action == "ask" else ""
        raise GuardBlocked(
            f"the gate {verdict.gate.replace('_', ' ')} does not let this through: {verdict.reason}{asks}",
            fix="change what is sent, or the section guards of the policy file",
        )


def unreadable(call: Call, gate: Gate, why: str) -> GuardBlocked:
    """The error of what no check can read, told on the trace like a check that blocks."""
    verdict = Verdict(
        gate=gate, action="block", text="", findings=[Finding(check="unreadable", rule=why, action="block")]
    )
    _tell(call, *event_of(verdict))
    return GuardBlocked(why)


def _tell(call: Call, event: str, facts: Mapping[str, str | int | list[str]]) -> None:
    for one in call.gates:
        if one.facts == facts:
            one.times += 1
            return
    if len(call.gates) < _TOLD_MAX:
        call.gates.append(GateTold(event=event, facts=facts, time_ns=time.time_ns()))


def _new(items: list[Any]) -> list[dict[str, Any]]:
    """What came since the model spoke last: the rest was new in an earlier call."""
    found: list[dict[str, Any]] = []
    for item in reversed(items):
        if not isinstance(item, dict):
            continue
        one = cast("dict[str, Any]", item)
        if one.get("role") == "assistant" or one.get("type") in _ANSWERED:
            break
        found.append(one)
    return found


def _visit_item(item: dict[str, Any], look: Look) -> None:
    if item.get("role") in ("system", "developer"):
        return
    gate: Gate = "tool_results" if item.get("role") in ("tool", "function") else "input"
    if str(item.get("type", "")).endswith("_output"):
        item["output"] = _visit(item.get("output"), "tool_results", look)
    elif "content" in item:
        item["content"] = _visit(item["content"], gate, look)


def _visit(content: Any, gate: Gate, look: Look) -> Any:
    if isinstance(content, str):
        return look(gate, content, "")
    for part in cast("list[Any]", content) if isinstance(content, list) else []:
        if not isinstance(part, dict):
            continue
        piece = cast("dict[str, Any]", part)
        if piece.get("type") == "tool_result":
            piece["content"] = _visit(piece.get("content"), "tool_results", look)
        elif isinstance(piece.get("text"), str):
            piece["text"] = look(gate, piece["text"], "")
    return cast("Any", content)


def _visit_answer(data: dict[str, Any], look: Look, guard: Guard, call: Call) -> _Texts:
    texts = _Texts()
    for choice in _dicts(data.get("choices")):
        message = choice.get("message")
        if isinstance(message, dict):
            _visit_said(cast("dict[str, Any]", message), "content", look, texts)
            for asked in _dicts(cast("dict[str, Any]", message).get("tool_calls")):
                function = asked.get("function")
                if isinstance(function, dict):
                    _visit_call(cast("dict[str, Any]", function), "arguments", guard, call, texts)
        _visit_said(choice, "text", look, texts)
    for block in (*_dicts(data.get("content")), *_dicts(data.get("output"))):
        _visit_said(block, "text", look, texts)
        if block.get("type") == "tool_use":
            _visit_call(block, "input", guard, call, texts)
        elif block.get("type") in ("function_call", "custom_tool_call"):
            _visit_call(block, "arguments" if "arguments" in block else "input", guard, call, texts)
        for part in _dicts(block.get("content")):
            _visit_said(part, "text", look, texts)
    return texts


def _visit_said(holder: dict[str, Any], name: str, look: Look, texts: _Texts) -> None:
    if isinstance(holder.get(name), str):
        holder[name] = look("output", holder[name], "")
        texts.said.append(holder[name])


def _visit_call(holder: dict[str, Any], name: str, guard: Guard, call: Call, texts: _Texts) -> None:
    """Arguments are read as what they are; a text that is no JSON is read as text."""
    texts.calls = True
    given: Any = holder.get(name)
    data: Any = given
    if isinstance(given, str):
        try:
            data = cast("Any", json.loads(given) if given.strip() else dict[str, Any]())
        except (ValueError, RecursionError):
            data = given
    arguments = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    tool = str(holder.get("name") or "")
    verdict, kept = check_data(guard, "tool_arguments", data, about(call, tool, arguments))
    note(call, verdict, tool)
    if verdict.action == "rewrite":
        holder[name] = json.dumps(kept) if isinstance(given, str) and not isinstance(kept, str) else kept


def _dicts(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, dict)]
