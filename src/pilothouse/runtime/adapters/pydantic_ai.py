"""Capabilities for pydantic-ai: ``Agent(model, capabilities=[Planning(), FinishGate(), LargeData()])``.

Each is thin: what is decided is decided in the cores, which know no framework.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    CachePoint,
    ModelMessage,
    ModelRequest,
    SystemPromptPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from pilothouse.runtime.data_tools import Answer, DataTools
from pilothouse.runtime.finish_gate import PUSHES_MAX, GateState, PersonNeeded, may_finish
from pilothouse.runtime.folders import VALUES, plans_at, runtime_folder
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.plan import as_dict, from_dict, plan_text
from pilothouse.runtime.plan_tools import PlanKeeper, PlanTools
from pilothouse.runtime.source_tools import SourceTools
from pilothouse.runtime.sources import RowReader
from pilothouse.runtime.steps import observed
from pilothouse.runtime.tracing import data_kept, gate_asked, plan_changed
from pilothouse.sdk.tool_playback import inner

Placement = Literal["tail", "after_system"]
"""``tail``: behind what the model said last, so that the provider's prompt cache of everything before it stays good.
``after_system``: right after the system prompt, before the history; the cache ends there whenever the plan changes."""

_PLAN_TOOLS = ("todo_write", "todo_update", "todo_read")
_DATA_TOOLS = ("jq", "grep_json", "slice", "schema")


def plan_key(ctx: RunContext[Any]) -> str:
    """What a run's plan is kept under: its conversation, so that it is there again in the next turn."""
    return ctx.conversation_id or ctx.run_id or "run"


def answer(key: str, task: str, text: str, *, plans: PlanKeeper | None = None) -> None:
    """A person's answer to a blocked task of a paused run.

    Raises:
        PlanError: the task waits for nobody.
    """
    PlanTools(keeper=plans or plans_at(runtime_folder()), key=key).answer(task, text)


def request_of(ctx: RunContext[Any]) -> str:
    """What the user asked in this run, its texts joined."""
    if isinstance(ctx.prompt, str):
        return ctx.prompt
    return " ".join(part for part in ctx.prompt or () if isinstance(part, str))


@dataclass
class Planning(AbstractCapability[Any]):
    """``todo_write``, ``todo_update`` and ``todo_read``; the request and the plan stand in every model call."""

    plans: PlanKeeper | None = None
    """Where plans are kept; None: ``plans.db`` in the runtime's folder."""
    placement: Placement = "tail"
    """Measured (``python -m benchmarks --only placement``): over 60 calls the tail adds 3 % to the price of the input, on
    OpenAI and on Anthropic; right after the system prompt makes it 2.9 and 3.5 times as much."""
    id: str | None = "pilothouse_planning"
    _tools: PlanTools | None = field(default=None, init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> Planning:
        """One plan a run."""
        mine = replace(self)
        keeper = self.plans or plans_at(runtime_folder())
        key = plan_key(ctx)
        # The plan stands in the next call anyway: said in full by each tool too, it would be in the history for good.
        mine._tools = PlanTools(keeper=keeper, key=key, request=request_of(ctx), changed=plan_changed(key), brief=True)
        return mine

    def get_toolset(self) -> AbstractToolset[Any]:
        """The three tools."""

        @inner
        def todo_write(tasks: list[str | dict[str, Any]] | str) -> str:
            """Write the plan before you begin, or write it anew. Every open task stays in it.

            Args:
                tasks: Each a text, or an object with text and, where wanted, id, state, note, parallel.
            """
            return self._run_tools().todo_write(cast("list[str | Mapping[str, Any]] | str", tasks))

        @inner
        def todo_update(id: str, state: str, note: str = "") -> str:
            """Change one task of the plan.

            Args:
                id: The task's id.
                state: pending, in_progress, completed, blocked or dropped.
                note: Of completed: the evidence. Of blocked: the question to a person. Of dropped: why.
            """
            return self._run_tools().todo_update(id, state, note)

        @inner
        def todo_read() -> str:
            """Read the user's request and the plan."""
            return self._run_tools().todo_read()

        return FunctionToolset[Any]([todo_write, todo_update, todo_read], sequential=True, id="pilothouse_plan")

    def _run_tools(self) -> PlanTools:
        assert self._tools is not None, "only within a run"
        return self._tools

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Put the plan where the model sees it, for this request only: the history stays as it was."""
        text = plan_text(self._run_tools().plan())
        # Not where the user has switched caching off.
        cached = (request_context.model_settings or {}).get("cache") is not False
        request_context.messages = placed(request_context.messages, text, self.placement, cached=cached)
        return request_context


def placed(
    messages: Sequence[ModelMessage], text: str, placement: Placement, *, cached: bool = True
) -> list[ModelMessage]:
    """The messages with the plan among them; the ones given are not changed.

    At the tail a cache breakpoint stands before the plan. Without one, a provider that caches up to the last block
    would write the plan into its cache with everything before it, and find none of it again at the next call.
    """
    found = list(messages)
    if placement == "after_system" and found and isinstance(found[0], ModelRequest):
        first = found[0]
        systems = [part for part in first.parts if isinstance(part, SystemPromptPart)]
        others = [part for part in first.parts if not isinstance(part, SystemPromptPart)]
        found[0] = replace(first, parts=[*systems, SystemPromptPart(content=text), *others])
        return found
    if found and isinstance(found[-1], ModelRequest):
        last = found[-1]
        # A breakpoint needs something before it in this message that is no system prompt.
        behind = cached and any(
            isinstance(part, (ToolReturnPart, UserPromptPart)) and part.content for part in last.parts
        )
        content = [CachePoint(), text] if behind else text
        found[-1] = replace(last, parts=[*last.parts, UserPromptPart(content=content)])
    return found


@dataclass
class FinishGate(AbstractCapability[Any]):
    """No final answer with open tasks: the agent is sent back to work, then a person is asked. Wants :class:`Planning`."""

    plans: PlanKeeper | None = None
    pushes_max: int = PUSHES_MAX
    plan_required: bool = False
    """True: an answer without any plan is refused once."""
    id: str | None = "pilothouse_finish_gate"
    _state: GateState = field(default_factory=GateState, init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> FinishGate:
        """A gate that has refused nothing yet."""
        return replace(self)

    async def after_output_process(self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any) -> Any:
        """Ask the gate.

        Raises:
            PersonNeeded: what is open waits for a person.
        """
        if ctx.partial_output:
            return output
        keeper = self.plans or plans_at(runtime_folder())
        tools = PlanTools(keeper=keeper, key=plan_key(ctx), request=request_of(ctx))
        # In a durable run the plan is the one of then: gone on with, the gate says again what it said.
        plan = from_dict(await observed("plan at the answer", lambda: as_dict(tools.plan())))
        verdict = may_finish(plan, self._state, pushes_max=self.pushes_max, plan_required=self.plan_required)
        self._state = verdict.state
        gate_asked(verdict)
        if verdict.action == "push":
            # A message in the queue keeps the run from ending; it costs none of the agent's retries.
            ctx.enqueue(verdict.message)
        elif verdict.action == "ask":
            raise PersonNeeded(verdict.questions, plan_key=tools.key, open_tasks=verdict.open_tasks)
        return output


@dataclass
class LargeData(AbstractCapability[Any]):
    """Tool results that are too large stay with the runtime; the model gets a preview, an id, and tools to look inside."""

    store: HandleStore | None = None
    """Where values are kept; None: ``values`` in the runtime's folder."""
    chars: int = 10_000
    """The most characters that any tool result puts into the context."""
    rows: RowReader | None = None
    """Who reads what Pilothouse recorded, for ids such as ``data://traces?filter=status:error``; None: nobody does."""
    id: str | None = "pilothouse_large_data"

    def _data(self) -> DataTools:
        store = self.store or HandleStore(runtime_folder() / VALUES)
        return DataTools(store=store, chars=self.chars)

    def get_toolset(self) -> AbstractToolset[Any]:
        """``jq``, ``grep_json``, ``slice`` and ``schema``."""
        data = SourceTools(data=self._data(), rows=self.rows)

        @inner
        def jq(id: str, program: str) -> str:
            """Run a jq program over a kept value. A result that is too long is kept and gets an id of its own.

            Args:
                id: The value's id, data_…
                program: e.g. .orders[] | select(.total > 100) | {id, total}
            """
            return _told(data.jq(id, program))

        @inner
        def grep_json(id: str, pattern: str, ignore_case: bool = False) -> str:
            """Find a regular expression (RE2) in the keys and values of a kept value; hits come with their paths.

            Args:
                id: The value's id.
                pattern: e.g. declined|refused
                ignore_case: Whether upper and lower case are one.
            """
            return _told(data.grep_json(id, pattern, ignore_case=ignore_case))

        @inner
        def slice(id: str, path: str = ".", start: int = 0, count: int = 20) -> str:
            """Read members of an array or object, or lines of a text, whole where they fit.

            Args:
                id: The value's id.
                path: Where in it, e.g. .orders[3].items
                start: The first member, from 0.
                count: How many.
            """
            return _told(data.slice(id, path, start, count))

        @inner
        def schema(id: str, path: str = ".") -> str:
            """Every path in a kept value with its types, how often it is there, and an example.

            Args:
                id: The value's id.
                path: Where in it to begin.
            """
            return _told(data.schema(id, path))

        return FunctionToolset[Any]([jq, grep_json, slice, schema], id="pilothouse_data")

    async def after_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: Mapping[str, Any],
        result: Any,
    ) -> Any:
        """Keep a result that is too large."""
        if call.tool_name in (*_DATA_TOOLS, *_PLAN_TOOLS) or _small(result, self.chars):
            return result
        answer = self._data().keep(result, label=call.tool_name)
        return result if answer.handle is None and not answer.is_error else _told(answer)


def _told(answer: Answer) -> str:
    if answer.handle is not None:
        data_kept(answer.handle, len(answer.text))
    return answer.text


def _small(value: Any, chars: int) -> bool:
    if value is None or isinstance(value, (bool, int, float)):
        return True
    return isinstance(value, str) and len(value) <= chars
