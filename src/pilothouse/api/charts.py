"""The overview, the fleet, facets and the heatmap."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from pilothouse import traces
from pilothouse.traces.model import Facet, Fleet, Heatmap, Overview

from .context import Caller
from .envelope import Envelope, answer
from .params import FilterText, ListQuery, WindowQuery

router = APIRouter(tags=["charts"])


@router.get("/overview", response_model=Envelope[Overview])
def show_overview(caller: Caller, covered: WindowQuery, filter: FilterText = "") -> Response:
    """Trace latency and token cost per trace over time, totals, and tables by agent, model, version and more."""
    return answer(
        traces.overview(
            caller.store,
            caller.project_id,
            since_ns=None if covered.assumed else covered.since_ns,
            until_ns=covered.until_ns,
            text=filter,
        )
    )


@router.get("/fleet", response_model=Envelope[Fleet])
def show_fleet(caller: Caller, covered: WindowQuery) -> Response:
    """Every agent: running, stuck, failing, spending; those that need attention first."""
    return answer(
        traces.fleet(
            caller.store,
            caller.project_id,
            since_ns=None if covered.assumed else covered.since_ns,
            until_ns=covered.until_ns,
            rules=caller.rules,
        )
    )


@router.get("/facets", response_model=Envelope[list[Facet]])
def show_facets(
    caller: Caller,
    query: ListQuery,
    field: Annotated[
        list[str], Query(max_length=12, description=f"Fields to count; default: {', '.join(traces.FACET_FIELDS)}.")
    ] = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """The commonest values of some fields among the traces of a filter."""
    return answer(traces.facets(caller.store, caller.project_id, query, field or traces.FACET_FIELDS))


@router.get("/heatmap", response_model=Envelope[Heatmap])
def show_heatmap(caller: Caller, query: ListQuery) -> Response:
    """Traces by time and duration."""
    return answer(traces.heatmap(caller.store, caller.project_id, query))
