"""Memory across sessions as a capability: ``Agent(model, capabilities=[UserMemory(user="ann")])``."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from pilothouse.records import BadRequest
from pilothouse.runtime.folders import runtime_folder
from pilothouse.runtime.memory import CHARS, MemoryKeeper, MemoryTools
from pilothouse.runtime.steps import observed

from .pydantic_ai import request_of


@cache
def _memories_at(folder: Path) -> MemoryKeeper:
    from pilothouse.store.memory_store import memories_in

    return memories_in(folder)


@dataclass
class UserMemory(AbstractCapability[Any]):
    """``remember``, ``recall`` and ``forget``; what the request speaks of is recalled by itself, beside the request.

    Each memory belongs to one user and one agent and says when and in which run it was written.
    """

    user: str | Callable[[RunContext[Any]], str] = ""
    """Whose memories: a name, or a function of the run, e.g. ``lambda ctx: ctx.deps.user_id``."""
    agent: str = ""
    """Whose memory it is; empty: the agent's name."""
    memories: MemoryKeeper | None = None
    """Where they are kept; None: ``memory.db`` in the runtime's folder."""
    recalled: int = 5
    """How many are put beside the request at most; 0: only when the model asks."""
    chars: int = CHARS
    id: str | None = "pilothouse_memory"
    _tools: MemoryTools | None = field(default=None, init=False, repr=False)
    _beside: str = field(default="", init=False, repr=False)
    _from: int = field(default=0, init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> UserMemory:
        """The memories of this run's user.

        Raises:
            BadRequest: no user is named: memories without an owner would be everybody's.
        """
        user = self.user(ctx) if callable(self.user) else self.user
        if not user:
            raise BadRequest("memory needs a user", got=user, fix='UserMemory(user="ann"), or a function of the run')
        mine = replace(self)
        mine._tools = MemoryTools(
            keeper=self.memories or _memories_at(runtime_folder()),
            user=user,
            agent=self.agent or (ctx.agent.name if ctx.agent else None) or "agent",
            run_id=ctx.run_id or "",
            chars=self.chars,
            # One mark a run: what was recalled stays the same text, and the provider's cache good.
            marker=secrets.token_hex(8),
        )
        mine._from = len(ctx.messages)
        return mine

    async def before_run(self, ctx: RunContext[Any]) -> None:
        """Recall once, in the run's own span."""
        if self.recalled > 0:
            recall = self._run_tools().for_context
            self._beside = await observed("memory beside the request", lambda: recall(request_of(ctx), self.recalled))

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Put what was recalled beside the request; the history stays as it was."""
        if self._beside:
            request_context.messages = _beside_request(request_context.messages, self._beside, self._from)
        return request_context

    def get_toolset(self) -> AbstractToolset[Any]:
        """The three tools."""

        def remember(text: str, kind: str = "note") -> str:
            """Keep something for later sessions with this user. Never secrets, and nothing the user did not want kept.

            Args:
                text: One fact or note, a sentence.
                kind: fact (holds of the user) or note (for next time).
            """
            return self._run_tools().remember(text, kind)

        def recall(query: str = "", limit: int = 10) -> str:
            """Search what you remember of this user; without a query the newest.

            Args:
                query: Words.
                limit: How many at most.
            """
            return self._run_tools().recall(query, limit)

        def forget(id: str) -> str:
            """Delete a memory for good, e.g. when the user asks for it or it is wrong.

            Args:
                id: The memory's id, mem_…; or all.
            """
            return self._run_tools().forget(id)

        return FunctionToolset[Any]([remember, recall, forget], id="pilothouse_memory")

    def _run_tools(self) -> MemoryTools:
        assert self._tools is not None, "only within a run"
        return self._tools


def _beside_request(messages: list[ModelMessage], text: str, start: int) -> list[ModelMessage]:
    """The messages with a text behind the prompt of this run: at the same place in each call, so that caches hold."""
    found = list(messages)
    prompts = [
        place
        for place, message in enumerate(found)
        if isinstance(message, ModelRequest) and any(isinstance(part, UserPromptPart) for part in message.parts)
    ]
    if prompts:
        # Where the history was made shorter meanwhile, the newest prompt is the nearest there is.
        place = next((place for place in prompts if place >= start), prompts[-1])
        message = found[place]
        assert isinstance(message, ModelRequest)
        found[place] = replace(message, parts=[*message.parts, UserPromptPart(content=text)])
    return found
