"""A compiled graph of LangGraph as a target: its own prompts and tools, with the tools' answers played back.

The tools of its tool nodes are played back, those of its sub-graphs too; so are tools wrapped by ``pilothouse.tool`` that its
own nodes call. A graph with ``messages`` in its state is given the conversation, any other the case's data as its state.
"""

# langgraph lives in an environment of its own (tests/clients): here its types are not known.
# pyright: basic, reportMissingImports=false
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

from pilothouse.evals.case import Case
from pilothouse.evals.conversation import as_chat, turns
from pilothouse.evals.observed import Observed
from pilothouse.evals.plain import data_of, mapping_of
from pilothouse.evals.playback import NotRecorded, Playback, ToolFailed
from pilothouse.records import BadRequest
from pilothouse.sdk.tool_playback import PLAYER, effect_of

from .attempt import Attempt, Target

try:
    from langchain_core.callbacks import AsyncCallbackHandler
    from langchain_core.messages import AIMessage, ToolMessage
    from langgraph.prebuilt import ToolNode
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("LangGraph is not installed: pip install langgraph", name=error.name) from error

_PLAYED = "_pilothouse_played"
_LOCK = threading.Lock()


class _Decided(Exception):
    """The graph's model has decided; nothing further runs."""


class _Watched(AsyncCallbackHandler):
    """Notes what the models decide, and ends the run at the first decision where only that is wanted."""

    raise_error = True
    run_inline = True

    def __init__(self, playback: Playback, decision_only: bool) -> None:
        self.playback, self.decision_only = playback, decision_only
        self.model_calls, self.tokens = 0, 0
        self.text = ""

    async def on_llm_end(self, response: Any, **_: Any) -> None:
        """Note what was decided."""
        self.model_calls += 1
        message = getattr(response.generations[0][0], "message", None)
        if message is None:
            return
        self.tokens += (getattr(message, "usage_metadata", None) or {}).get("total_tokens", 0)
        if self.decision_only:
            for call in getattr(message, "tool_calls", ()):
                self.playback.called(call["name"], call["args"])
            self.text = _text(message)
            raise _Decided


def langgraph_target(graph: Any, *, recursion_limit: int = 60) -> Target:
    """A compiled graph as a target."""
    nodes = list(_tool_nodes(graph))
    for node in nodes:
        _play(node)
    tools = {name for node in nodes for name in node.tools_by_name}
    talks = "messages" in graph.channels

    async def run(attempt: Attempt) -> Observed:
        if nodes:
            attempt.playback.knows(tools)
        watch = _Watched(attempt.playback, attempt.decision_only)
        token = PLAYER.set(attempt.playback)
        state: Any = {}
        try:
            for given in _inputs(attempt.case, talks):
                if talks and given.get("messages") is not None and state:
                    given = {"messages": [*state["messages"], *given["messages"]]}
                config: Any = {
                    "callbacks": [watch],
                    "recursion_limit": recursion_limit,
                    "configurable": {"thread_id": uuid4().hex},
                }
                state = await graph.ainvoke(given, config)
        except _Decided:
            return Observed(text=watch.text, tools=attempt.playback.uses, model_calls=watch.model_calls)
        finally:
            PLAYER.reset(token)
        return _observed(state, attempt.playback, watch, talks)

    return run


def _observed(state: Any, playback: Playback, watch: _Watched, talks: bool) -> Observed:
    row = mapping_of(state) or {}
    messages = row.get("messages") or [] if talks else []
    said = next((_text(one) for one in reversed(messages) if isinstance(one, AIMessage)), "")
    structured = row.get("structured_response")
    output = None if talks and structured is None else data_of(structured if talks else state)
    return Observed(
        text=said,
        output=output,
        tools=playback.uses,
        model_calls=watch.model_calls,
        tokens=watch.tokens,
    )


# -- tools played back -----------------------------------------------------------------------------------------------


def _tool_nodes(graph: Any) -> Iterator[ToolNode]:
    graphs = [graph, *(inner for _, inner in graph.get_subgraphs(recurse=True))]
    for one in graphs:
        for node in one.nodes.values():
            bound = getattr(node, "bound", None)
            for step in [bound, *getattr(bound, "steps", ())]:
                if isinstance(step, ToolNode):
                    yield step


def _play(node: Any) -> None:
    """Have a tool node ask the player of the attempt under way, where there is one. Once for each node."""
    with _LOCK:
        if getattr(node, _PLAYED, False):
            return
        if not hasattr(node, "_wrap_tool_call") or not hasattr(node, "_awrap_tool_call"):
            raise BadRequest(
                "tools of this version of LangGraph cannot be played back",
                got=type(node).__name__,
                allowed="langgraph-prebuilt from 1.0 on",
            )
        own, own_async = node._wrap_tool_call, node._awrap_tool_call

        def wrap(request: Any, execute: Any) -> Any:
            answered = _answer(request)
            if answered is not None:
                return answered
            with _within():
                value = own(request, execute) if own is not None else execute(request)
            return _ran(request, value)

        async def awrap(request: Any, execute: Any) -> Any:
            answered = _answer(request)
            if answered is not None:
                return answered
            with _within():
                value = await (own_async(request, execute) if own_async is not None else execute(request))
            return _ran(request, value)

        node._wrap_tool_call = wrap
        # A node with a plain wrapper only goes on with that.
        if own is None or own_async is not None:
            node._awrap_tool_call = awrap
        setattr(node, _PLAYED, True)


def _answer(request: Any) -> Any:
    player: Any = PLAYER.get()
    if player is None:
        return None
    call = request.tool_call
    try:
        answer = player.answer(call["name"], call["args"], effect_of(request.tool))
    except (ToolFailed, NotRecorded) as error:
        return ToolMessage(f"error: {error}", tool_call_id=call["id"], name=call["name"], status="error")
    if answer is None:
        return None
    value = answer.value if isinstance(answer.value, str) else json.dumps(answer.value, ensure_ascii=False)
    return ToolMessage(value, tool_call_id=call["id"], name=call["name"])


def _within() -> Any:
    """Around a tool that runs itself: what it is wrapped by is not asked for a second time."""
    player: Any = PLAYER.get()
    return player.within() if isinstance(player, Playback) else nullcontext()


def _ran(request: Any, value: Any) -> Any:
    player: Any = PLAYER.get()
    if player is not None:
        call = request.tool_call
        failed = getattr(value, "status", "") == "error"
        content = getattr(value, "content", None)
        player.ran(call["name"], call["args"], content, RuntimeError(str(content)) if failed else None)
    return value


# -- the history -----------------------------------------------------------------------------------------------------


def _inputs(case: Case, talks: bool) -> list[dict[str, Any]]:
    if not talks:
        data = mapping_of(case.input.data)
        if data is None:
            raise BadRequest("the graph has no messages in its state: the case gives data", got=case.id)
        return [dict(data)]
    if case.input.turns:
        return [{"messages": [{"role": "user", "content": said}]} for said in case.input.turns]
    if not case.input.messages:
        data = mapping_of(case.input.data) or {}
        given = data if "messages" in data else {"messages": [{"role": "user", "content": case.input.text}]}
        return [dict(given)]
    found = [turn for turn in turns(case.input.messages) if turn.role not in ("system", "developer")]
    if not found:
        raise BadRequest("the case has no message for the agent", got=case.id)
    return [{"messages": [{**one, "content": one.get("content") or ""} for one in as_chat(found)]}]


def _text(message: Any) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") if isinstance(part, dict) else str(part) for part in content)
