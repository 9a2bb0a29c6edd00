"""Guards as a capability: ``Agent(model, capabilities=[Guards(agent="support")])``.

What users write is checked before the model is asked, a tool's arguments before it runs, what it brings before the
model reads it, and the answer before the user does: one after the other, never beside each other. Under the policy
file of now; without one, under the built-in gates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ApprovalRequired, SkipToolExecution
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_core import PydanticSerializationError, to_jsonable_python

from pilothouse.guards import About, Guard, Verdict, check_data, event_of
from pilothouse.guards import Guards as PolicyGuards
from pilothouse.policy import watch
from pilothouse.records import GateFailed, PilothouseError
from pilothouse.runtime.folders import FolderCounts
from pilothouse.runtime.tracing import note

Named = str | Callable[[RunContext[Any]], str]

_SOURCES_MAX = 200


class GuardBlocked(GateFailed):
    """A gate refused: it says which, and why, without the text."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(
            f"the {verdict.gate} gate refused: {verdict.reason}",
            got=verdict.action,
            fix="change the text, or the section guards of the policy file",
        )
        self.verdict = verdict


def own_guards() -> PolicyGuards:
    """The gates under the policy file that is found from here: PILOTHOUSE_POLICY, else the working folder's.

    What capped actions have used is kept in ``guards.db`` of the runtime's folder: it holds for all processes that use
    it, and over restarts.
    """
    watched = watch()
    return PolicyGuards(lambda: (watched.policy.version, watched.policy.section("guards")), counts=FolderCounts())


@dataclass
class Guards(AbstractCapability[Any]):
    """The four gates around the loop of an agent. Put it first, so that it stands around all others."""

    guards: PolicyGuards | None = None
    """The gates; None: under the policy file that is found from here."""
    agent: Named = ""
    """Whose switches and caps count; empty: the agent's name."""
    user: Named = ""
    refusal: str | None = None
    """What the user is answered where the input or the output is refused; None: :class:`GuardBlocked` is raised."""
    id: str | None = "pilothouse_guards"
    _verdicts: dict[tuple[str, str], Verdict] = field(
        default_factory=dict[tuple[str, str], Verdict], init=False, repr=False
    )

    def __post_init__(self) -> None:
        # Read now: a policy that is wrong is an error where the agent is made, not in its first run.
        self.guards = self.guards or own_guards()

    async def for_run(self, ctx: RunContext[Any]) -> Guards:
        """What was decided in a run is its own."""
        return replace(self)

    async def wrap_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, handler: Callable[..., Any]
    ) -> ModelResponse:
        """Check what users wrote, before the model is asked; masked texts are masked in every request."""
        messages, refused = await self._read(ctx, request_context.messages)
        if refused is not None:
            if self.refusal is None:
                raise GuardBlocked(refused)
            return ModelResponse(parts=[TextPart(content=self.refusal)], model_name="pilothouse guard")
        request_context.messages = messages
        return await handler(request_context)

    async def before_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: dict[str, Any]
    ) -> dict[str, Any]:
        """Check a tool's arguments, its caps and switches. A refused call does not run, and the model is told so.

        Raises:
            ApprovalRequired: the policy says that a person decides first.
        """
        plain = _plain(args)
        about = self._about(ctx, tool=call.tool_name, arguments=cast("Mapping[str, Any]", plain))
        verdict, onward = check_data(self._now(), "tool_arguments", plain, about)
        _noted(verdict, call.tool_name)
        if verdict.action == "ask" and not ctx.tool_call_approved:
            raise ApprovalRequired
        if verdict.action == "block":
            raise SkipToolExecution(f"This call was refused and did not run: {verdict.reason}. Do not try it again.")
        if verdict.action == "rewrite":
            return cast("dict[str, Any]", onward)
        return args

    async def after_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: Mapping[str, Any],
        result: Any,
    ) -> Any:
        """Check what a tool brings, before the model reads it. What is refused is replaced by a sentence that says so."""
        try:
            plain = _plain(result)
        except PydanticSerializationError:
            return _withheld("it cannot be read by the guards")
        try:
            verdict, onward = await self._asked("tool_results", plain, self._about(ctx, tool=call.tool_name))
        except PilothouseError as error:
            return _withheld(error.message)
        _noted(verdict, call.tool_name)
        if not verdict.allowed:
            return _withheld(verdict.reason)
        return onward if verdict.action == "rewrite" else result

    async def after_output_process(self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any) -> Any:
        """Check the answer, parts of it included where it is streamed.

        Raises:
            GuardBlocked: it is refused and no refusal is set, or the output is no text.
        """
        about = self._about(ctx, sources=_sources(ctx.messages))
        verdict, onward = await self._asked("output", _plain(output), about)
        _noted(verdict, "")
        if not verdict.allowed:
            if self.refusal is not None and isinstance(output, str):
                return self.refusal
            raise GuardBlocked(verdict)
        if verdict.action != "rewrite":
            return output
        # pydantic's models are made anew from what is left.
        made: Any = getattr(output, "model_validate", None)
        if made is not None:
            return made(onward)
        if isinstance(output, str | dict | list | tuple):
            return tuple(onward) if isinstance(output, tuple) else onward
        raise GuardBlocked(verdict)

    async def _read(
        self, ctx: RunContext[Any], messages: Sequence[ModelMessage]
    ) -> tuple[list[ModelMessage], Verdict | None]:
        """The messages with what was rewritten; and the verdict that refuses them, where one does."""
        found: list[ModelMessage] = []
        before = ""
        for message in messages:
            if not isinstance(message, ModelRequest):
                found.append(message)
                continue
            parts: list[Any] = []
            for part in message.parts:
                if isinstance(part, UserPromptPart):
                    content, refused = await self._user(ctx, cast("Any", part.content), before)
                    if refused is not None:
                        return [], refused
                    before = content if isinstance(content, str) else before
                    parts.append(part if content is part.content else replace(part, content=content))
                elif isinstance(part, ToolReturnPart) and isinstance(part.content, str):
                    # What a tool said when it failed, and what stood in a history from elsewhere, came by no other way.
                    verdict = await self._once(ctx, "tool_results", part.content, "")
                    text = verdict.text if verdict.allowed else _withheld(verdict.reason)
                    parts.append(part if text == part.content else replace(part, content=text))
                else:
                    parts.append(part)
            found.append(replace(message, parts=parts))
        return found, None

    async def _user(self, ctx: RunContext[Any], content: Any, before: str) -> tuple[Any, Verdict | None]:
        if isinstance(content, str):
            verdict = await self._once(ctx, "input", content, before)
            return (verdict.text if verdict.action == "rewrite" else content), (None if verdict.allowed else verdict)
        items: list[Any] = []
        changed = False
        for item in cast("Sequence[Any]", content):
            text = item if isinstance(item, str) else getattr(item, "content", None)
            if not isinstance(text, str):
                items.append(item)
                continue
            verdict = await self._once(ctx, "input", text, before)
            if not verdict.allowed:
                return content, verdict
            before = text
            changed = changed or verdict.action == "rewrite"
            rewritten = verdict.text if isinstance(item, str) else replace(item, content=verdict.text)
            items.append(rewritten if verdict.action == "rewrite" else item)
        return (items if changed else content), None

    async def _once(self, ctx: RunContext[Any], gate: Any, text: str, before: str) -> Verdict:
        """A verdict of this run on a text; each text is asked about once."""
        key = (gate, f"{before}\x1f{text}")
        if key not in self._verdicts:
            verdict = await self._now().acheck(gate, text, self._about(ctx, before=before))
            _noted(verdict, "")
            self._verdicts[key] = verdict
        return self._verdicts[key]

    async def _asked(self, gate: Any, data: Any, about: About) -> tuple[Verdict, Any]:
        guard = self._now()
        if not guard.waits(gate):
            return check_data(guard, gate, data, about)
        import asyncio  # loaded by whoever runs agents

        return await asyncio.to_thread(check_data, guard, gate, data, about)

    def _now(self) -> Guard:
        assert self.guards is not None, "set when it was made"
        return self.guards.now()

    def _about(self, ctx: RunContext[Any], **more: Any) -> About:
        agent = _name(self.agent, ctx) or (ctx.agent.name if ctx.agent is not None else "") or ""
        return About(agent=agent, user=_name(self.user, ctx), session=ctx.conversation_id or "", **more)


def _name(named: Named, ctx: RunContext[Any]) -> str:
    return named if isinstance(named, str) else named(ctx)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="strings")


def _withheld(reason: str) -> str:
    return f"[withheld by a guard: {reason}. The user's request stands; go on without this.]"


def _sources(messages: Sequence[ModelMessage]) -> list[str]:
    """What the tools of this conversation brought: all that an answer may rest on."""
    return [
        part.content if isinstance(part.content, str) else str(_plain(cast("Any", part.content)))
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    ][-_SOURCES_MAX:]


def _noted(verdict: Verdict, tool: str) -> None:
    """On the trace: which checks ran, which rule spoke, never the text."""
    event, facts = event_of(verdict, tool)
    note(event, lambda: facts)
