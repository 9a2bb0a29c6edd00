"""Every capability with good defaults: ``Agent(model, capabilities=harness())``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_ai.capabilities import AbstractCapability

from .drift import DriftWatch
from .plan_examples import PlanExamples
from .pydantic_ai import FinishGate, LargeData, Placement, Planning
from .recording import Recorded
from .tool_names import ToolNaming

if TYPE_CHECKING:
    from pydantic_ai import Tool
    from pydantic_ai.models import Model
    from pydantic_ai.tools import RunContext
    from pydantic_ai.toolsets import AbstractToolset

    from pilothouse.runtime.drift import Judge, Signal
    from pilothouse.runtime.handles import HandleStore
    from pilothouse.runtime.memory import MemoryKeeper
    from pilothouse.runtime.plan_tools import PlanKeeper
    from pilothouse.runtime.sources import RowReader

    from .approvals import Approvals
    from .budget import Budget
    from .durable import Durable
    from .guards import Guards
    from .survival import Survival


def harness(
    *,
    plans: PlanKeeper | None = None,
    placement: Placement = "tail",
    plan_required: bool = False,
    values: HandleStore | None = None,
    result_chars: int = 10_000,
    rows: RowReader | None = None,
    drift: bool = True,
    judge: Judge | Model | str | None = None,
    on_operator: Callable[[Signal], Any] | None = None,
    examples: str | None = "auto",
    catalogue: Sequence[Tool[Any] | Callable[..., Any]] = (),
    catalogue_toolsets: Sequence[AbstractToolset[Any]] = (),
    always: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
    user: str | Callable[[RunContext[Any]], str] | None = None,
    memories: MemoryKeeper | None = None,
    durable: bool | Durable = False,
    guards: bool | Guards = False,
    survival: bool | Survival = False,
    budget: bool | Budget = False,
    approvals: bool | Approvals = False,
) -> list[AbstractCapability[Any]]:
    """The capabilities of an agent that finishes what was asked, in the order they belong in.

    Args:
        plans: Where plans are kept; None: in the runtime's folder.
        placement: Where the plan stands in each call.
        plan_required: An answer without any plan is refused once.
        values: Where results too large for the context are kept.
        result_chars: From how many characters on a tool's result is too large.
        rows: Who reads what Pilothouse recorded, for ids such as ``data://traces?filter=status:error``.
        drift: Whether loops, standing still and forgotten asks are told.
        judge: A model, or a judge of your own, that reads requests and answers for the drift detector.
        on_operator: Told of drift that the agent was told of in vain.
        examples: The class of the plan that is shown as an example, ``auto`` for the request's own, None for none.
        catalogue: Tools behind ``search_tools`` and ``load_tool``; the agent's own ``tools`` are offered as ever.
        catalogue_toolsets: The same for toolsets, e.g. MCP servers.
        always: Tools of the catalogue that are offered from the beginning.
        renamed: Names of tools of earlier versions, to those of today.
        user: Whose memory the agent has, or a function of the run that says so; None: no memory.
        memories: Where memories are kept; None: in the runtime's folder.
        durable: Whether the run's steps are recorded, so that it survives ``kill -9`` when it runs in ``DurableAgents``.
        guards: Whether the four gates of the policy file stand around the agent.
        survival: Whether failing models are tried again and stood in for, as the policy file says.
        approvals: Whether calls that the server's policy names wait for a person; an ``Approvals`` says more.
        budget: Whether each call is held back from the server's budgets; a ``Budget`` says for whom.
    """
    found: list[AbstractCapability[Any]] = []
    if guards:
        from .guards import Guards

        found.append(guards if isinstance(guards, Guards) else Guards())
    found.append(Recorded())
    if survival:
        from .survival import Survival, survivor_here

        found.append(survival if isinstance(survival, Survival) else Survival(survivor=survivor_here()))
    if budget:
        from .budget import Budget

        found.append(budget if isinstance(budget, Budget) else Budget())
    if catalogue or catalogue_toolsets:
        from .tool_disclosure import ToolDisclosure

        found.append(
            ToolDisclosure(tools=catalogue, toolsets=catalogue_toolsets, always=always, renamed=dict(renamed or {}))
        )
    # Behind the catalogue, so that its word on a name comes first.
    found += [ToolNaming(), Planning(plans=plans, placement=placement)]
    if examples is not None:
        found.append(PlanExamples(task=examples))
    if user is not None:
        from .memory import UserMemory

        found.append(UserMemory(user=user, memories=memories))
    found += [
        LargeData(store=values, chars=result_chars, rows=rows),
        FinishGate(plans=plans, plan_required=plan_required),
    ]
    if drift:
        found.append(DriftWatch(judge=judge, on_operator=on_operator, plans=plans))
    if approvals:
        from .approvals import Approvals

        found.append(approvals if isinstance(approvals, Approvals) else Approvals())
    if durable:
        from .durable import Durable

        found.append(durable if isinstance(durable, Durable) else Durable())
    return found
