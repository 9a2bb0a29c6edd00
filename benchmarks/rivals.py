"""The same scripted models on others' planning: ``.venv-rivals/bin/python -m benchmarks.rivals`` prints a line a run.

A program of its own in an environment of its own (``python -m tests.clients.install_clients rivals``). Each column is
one that its library offers, with its defaults: pydantic-ai-harness' Planning, with and without its ToolOutputLimits;
LangChain's TodoListMiddleware, which deepagents takes its todos from, with and without deepagents' file system, which
takes large results.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from . import bad_runs
from .bad_models import CALLS_MAX, FAULTS, BadModel, CallsUsedUp, Message, scripted

ENVIRONMENT = ".venv-rivals"


def main() -> None:
    """Play every fault in every setup that is installed, or those named."""
    faults = sys.argv[1:] or list(FAULTS)
    for fault in faults:
        if importlib.util.find_spec("pydantic_ai_harness"):
            for setup in ("harness", "harness+limits"):
                print(_harness(fault, setup).as_json(), flush=True)
        if importlib.util.find_spec("deepagents"):
            for setup in ("todos", "deepagents"):
                print(_langchain(fault, setup).as_json(), flush=True)


def _harness(fault: str, setup: str) -> bad_runs.Played:
    from pydantic_ai_harness.planning import Planning

    if setup == "harness":
        return bad_runs.play(fault, setup, [Planning()])
    from pydantic_ai_harness.tool_output_limits import Band, LocalFileStore, Spill, ToolOutputLimits, Truncate

    with tempfile.TemporaryDirectory() as folder:
        bands = [Band(over=10_000, action=Spill(then=Truncate()))]
        return bad_runs.play(
            fault, setup, [Planning(), ToolOutputLimits(bands=bands, store=LocalFileStore(Path(folder)))]
        )


def _langchain(fault: str, setup: str) -> bad_runs.Played:
    from deepagents import FilesystemMiddleware
    from langchain.agents import create_agent
    from langchain.agents.middleware import TodoListMiddleware

    model, world, request = scripted(fault)
    middleware: list[Any] = [TodoListMiddleware()]
    if setup == "deepagents":
        middleware.append(FilesystemMiddleware())
    agent = create_agent(
        _chat_model(model), tools=bad_runs.desk(world), middleware=middleware, system_prompt=bad_runs.SYSTEM
    )
    try:
        state = agent.invoke(
            cast("Any", {"messages": [{"role": "user", "content": request}]}), {"recursion_limit": 10 * CALLS_MAX}
        )
    except Exception as error:
        return bad_runs.played(fault, setup, model, world, f"{type(error).__name__}: {error}"[:200])
    world.answered = str(state["messages"][-1].content)
    return bad_runs.played(fault, setup, model, world, "answered")


def _chat_model(model: BadModel) -> Any:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langchain_core.utils.function_calling import convert_to_openai_tool

    class Scripted(BaseChatModel):
        """The scripted model as LangChain has models."""

        tools: list[dict[str, Any]] = []  # noqa: RUF012  # pydantic copies it

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def bind_tools(self, tools: Any, **_options: Any) -> Any:
            return Scripted(tools=[convert_to_openai_tool(tool) for tool in tools])

        def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            seen = [Message(role=_ROLES.get(one.type, "user"), text=_text(one)) for one in messages]
            names = [tool["function"]["name"] for tool in self.tools]
            reply = model.reply(seen, names, len(json.dumps(self.tools)))
            calls: list[dict[str, Any]] = []
            invalid: list[dict[str, Any]] = []
            for place, call in enumerate(reply.calls):
                one = {"name": call.tool, "args": call.arguments, "id": f"call_{model.calls}_{place}"}
                # What is no JSON is told apart, as LangChain's clients of real models do.
                if isinstance(call.arguments, str):
                    invalid.append({**one, "error": "not JSON"})
                else:
                    calls.append(one)
            message = AIMessage(content=reply.text, tool_calls=calls, invalid_tool_calls=invalid)
            return ChatResult(generations=[ChatGeneration(message=message)])

    return Scripted()


_ROLES: dict[str, Any] = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool"}


def _text(message: Any) -> str:
    content = message.content if isinstance(message.content, str) else message.text
    calls = getattr(message, "tool_calls", None)
    return content + "".join(json.dumps(call["args"]) for call in calls or ())


__all__ = ["CallsUsedUp", "main"]

if __name__ == "__main__":
    main()
