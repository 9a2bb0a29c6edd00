"""What was spent, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from pilothouse import traces
from pilothouse.traces.model import Costs, CostWhy
from pilothouse.traces.spending import DIMENSIONS

from .context import Caller
from .envelope import Envelope, answer
from .params import FilterText, IdText, WindowQuery

router = APIRouter(tags=["cost"])


@router.get("/cost", response_model=Envelope[Costs])
def show_costs(
    caller: Caller,
    covered: WindowQuery,
    by: Annotated[
        str, Query(max_length=100, description=f"Up to four of {', '.join(DIMENSIONS)}, separated by commas.")
    ] = "agent,model",
    filter: FilterText = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Rows, dearest first.")] = 50,
) -> Response:
    """Money and tokens by some dimensions. Aggregates and calls seen twice are not in the sums."""
    return answer(
        traces.costs(
            caller.store,
            caller.project_id,
            [name.strip() for name in by.split(",") if name.strip()],
            since_ns=None if covered.assumed else covered.since_ns,
            until_ns=covered.until_ns,
            text=filter,
            limit=limit,
        ),
        next=["pilothouse cost why last"],
    )


@router.get("/cost/{id}", response_model=Envelope[CostWhy])
def explain_cost(caller: Caller, id: IdText) -> Response:
    """Why a trace or a span costs what it costs: every number, its rule, its price, and what was left out and why."""
    return answer(traces.cost_why(caller.store, caller.project_id, id))
