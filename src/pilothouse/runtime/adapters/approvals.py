"""Approvals as a capability: ``Agent(model, capabilities=[Approvals(environment="production")])``.

A call that the policy wants a person for becomes a record; it runs once that person has said yes, with exactly the
arguments that were approved, and what was rejected is told to the model in the reviewer's words. In ``DurableAgents`` the
run pauses meanwhile and holds no process; elsewhere the call waits. Nearest to the tools of all: what other capabilities
make of the arguments is what is approved.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from opentelemetry import trace
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.messages import ModelResponse, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_core import to_jsonable_python

from pilothouse.approvals import Action, Ask, Evidence, canonical
from pilothouse.runtime.approval_desk import ApprovalDesk, ServerApprovalDesk, Waiting
from pilothouse.runtime.approval_gate import Answerer, Gate, Refusal
from pilothouse.runtime.steps import Steps, current_steps, step_key

from .durable import Durable, Happened, HappenedHook, durable_of

LOG = logging.getLogger("pilothouse")
Named = str | Callable[[RunContext[Any]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a call reaches, and what its reviewers should know: what a tool's describer gives."""

    rows: int | None = None
    people: int | None = None
    money_usd: float | None = None
    counted: str = ""
    reason: str = ""
    expected: str = ""
    rollback: str = ""
    say: str = ""


Describer = Callable[[Mapping[str, Any]], Reach | Awaitable[Reach]]
"""Given a call's arguments. One that fails leaves everything unknown, which rules take for a reason to ask."""


@dataclass
class Approvals(AbstractCapability[Any]):
    """No call that the policy wants a person for without that person's yes."""

    desk: ApprovalDesk = field(default_factory=ServerApprovalDesk)
    """Where it is asked: the server's approvals, or :func:`~pilothouse.runtime.approval_desk.own_approval_desk`."""
    agent: Named = ""
    """As rules know it; empty: the agent's name."""
    agent_version: str = ""
    environment: str = ""
    user: Named = ""
    describe: Mapping[str, Describer] = field(default_factory=dict[str, Describer])
    """By tool: how far a call reaches, e.g. by :func:`~pilothouse.runtime.dry_run.count_rows`."""
    happened: Mapping[str, HappenedHook] = field(default_factory=dict[str, HappenedHook])
    """By tool: whether a call did happen that a crash may have interrupted; else what ``Durable`` knows, else a person."""
    answer: Answerer | None = None
    """Answers a reviewer's question; None: the agent's own model does."""
    wait_s: float = 300.0
    """Outside of ``DurableAgents``: so long a call waits; then it is called off."""
    lease_s: int = 300
    """The longest that a call may take."""
    id: str | None = "pilothouse_approvals"
    asks_whether_it_happened: bool = field(default=True, init=False, repr=False)
    """``Durable`` leaves that to it: the answer settles the approval too."""
    _steps: Steps | None = field(default=None, init=False, repr=False)

    def get_ordering(self) -> CapabilityOrdering:
        """Nearest to the tools: within the record of a durable run, which has no record of what was only asked."""
        return CapabilityOrdering(position="innermost", wrapped_by=[Durable])

    async def for_run(self, ctx: RunContext[Any]) -> Approvals:
        """Whether a run can pause is its own."""
        mine = replace(self)
        mine._steps = current_steps()
        return mine

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        """Calls are asked for."""
        return _GatedToolset(toolset, self)

    @property
    def repeated(self) -> bool:
        """Whether an attempt before this one may have begun what is called now."""
        return self._steps is not None and self._steps.repeated

    # -- for the wrapper -----------------------------------------------------------------------------------------

    def gate(self, ctx: RunContext[Any]) -> Gate:
        """The way of this run's calls."""

        async def by_model(waiting: Waiting) -> str | None:
            return await _answered_by_model(ctx, waiting)

        return Gate(
            desk=self.desk,
            wait_s=self.wait_s,
            pause=self._steps is not None,
            lease_s=self.lease_s,
            answer=self.answer or by_model,
        )

    async def asked(self, ctx: RunContext[Any], tool: str, arguments: Mapping[str, Any], key: str) -> Ask:
        """The question that a call is."""
        reach = await self._reach(tool, arguments)
        agent = _name(self.agent, ctx) or (ctx.agent.name if ctx.agent is not None else "") or ""
        action = Action(
            tool=tool,
            arguments=arguments,
            rows=reach.rows,
            people=reach.people,
            money_usd=reach.money_usd,
            environment=self.environment,
            agent=agent[:200],
            agent_version=self.agent_version,
            user=_name(self.user, ctx)[:200],
            cost_so_far_usd=_cost(ctx),
        )
        return Ask(
            action=action,
            reason=reach.reason,
            expected=reach.expected,
            counted=reach.counted,
            rollback=reach.rollback,
            say=reach.say,
            evidence=_evidence(),
            run=(ctx.conversation_id if self._steps is not None else ctx.run_id) or "",
            ask_key=key,
        )

    def hook(self, ctx: RunContext[Any], tool: str) -> HappenedHook | None:
        """Who knows whether a call of this tool did happen."""
        own = durable_of(ctx.agent) if ctx.agent is not None else None
        return self.happened.get(tool) or (own.happened.get(tool) if own is not None else None)

    async def _reach(self, tool: str, arguments: Mapping[str, Any]) -> Reach:
        describer = self.describe.get(tool)
        if describer is None:
            return Reach()
        try:
            found = describer(arguments)
            return await found if inspect.isawaitable(found) else found
        except Exception as error:
            LOG.warning("how far a call of %s reaches is not known: %s", tool, error)
            return Reach(counted=f"could not be counted: {type(error).__name__}")


@dataclass
class _GatedToolset(WrapperToolset[Any]):
    """Asks first."""

    approvals: Approvals

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        call = super().call_tool
        whole_key = step_key()
        key = _short(whole_key)

        async def execute(edited: Mapping[str, Any] | None) -> Any:
            # What was edited is read as the model's own words would be: a tool never sees what its schema refuses.
            given = tool_args if edited is None else tool.args_validator.validate_json(canonical(edited))
            return await call(name, given, ctx, tool)

        async def execute_other(other: str, arguments: Mapping[str, Any]) -> Any:
            offered = (await self.get_tools(ctx))[other]
            return await call(other, offered.args_validator.validate_json(canonical(arguments)), ctx, offered)

        try:
            plain = cast("dict[str, Any]", to_jsonable_python(tool_args, bytes_mode="base64"))
            ask = await self.approvals.asked(ctx, name, plain, key)
        except Exception as error:
            LOG.warning("%s did not run: it cannot be put to a person (%s)", name, error)
            return f"This call did not run: it cannot be put to a person ({type(error).__name__})."
        hook = self.approvals.hook(ctx, name)
        found = await self.approvals.gate(ctx).run(
            ask,
            execute,
            holder=key,
            happened=None if hook is None else lambda: hook(whole_key, plain),
            repeated=self.approvals.repeated,
            execute_other=execute_other,
        )
        if isinstance(found, Happened):
            return found.result
        return found.text if isinstance(found, Refusal) else found


async def _answered_by_model(ctx: RunContext[Any], waiting: Waiting) -> str | None:
    """The model that made the call says what it knows; it has no tools for this, and decides nothing."""
    from pydantic_ai.direct import model_request
    from pydantic_ai.messages import ModelRequest

    said = [
        str(part.content)
        for message in ctx.messages
        for part in getattr(message, "parts", ())
        if isinstance(part, UserPromptPart)
    ]
    prompt = (
        "You are about to call a tool, and a person must approve it first. They ask a question. Answer it in at most five "
        f"sentences, by what you know; say so where you do not know.\n\nThe task: {' '.join(said)[-4_000:]}\n"
        f"The call: {waiting.tool} {canonical(waiting.arguments)[:4_000]}\nTheir question: {waiting.question}"
    )
    model = cast("Model[Any]", ctx.model)
    answer = await model_request(model, [ModelRequest.user_text_prompt(prompt)])
    return "".join(part.content for part in answer.parts if part.part_kind == "text") or None


def _evidence() -> Evidence:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return Evidence()
    return Evidence(trace_id=f"{context.trace_id:032x}", span_id=f"{context.span_id:016x}")


def _cost(ctx: RunContext[Any]) -> float:
    total = 0.0
    for message in ctx.messages:
        if isinstance(message, ModelResponse):
            try:
                total += float(message.cost().total_price)
            except (LookupError, AssertionError, ValueError):
                continue  # a model without a known price
    return total


def _name(named: Named, ctx: RunContext[Any]) -> str:
    return named if isinstance(named, str) else named(ctx)


def _short(key: str) -> str:
    return key if len(key) <= 200 else f"{key[:130]}~{hashlib.sha256(key.encode()).hexdigest()}"
