"""The system map."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from pilothouse import traces
from pilothouse.records import command
from pilothouse.traces.model import SystemMap
from pilothouse.traces.system_map import find, focused

from .context import Caller
from .envelope import Envelope, answer
from .params import FilterText, Since, Until, moment

router = APIRouter(tags=["map"])


@router.get("/map", response_model=Envelope[SystemMap])
def show_map(
    caller: Caller,
    since: Since = "24h",
    until: Until = "",
    filter: FilterText = "",
    focus: Annotated[
        str, Query(max_length=300, description="One component, by id or label: it and its neighbours.")
    ] = "",
) -> Response:
    """What the system is made of and who calls whom: agents, models, tools, prompts, external systems, people."""
    whole = traces.system_map(
        caller.store,
        caller.project_id,
        since_ns=moment(since, "since"),
        until_ns=moment(until, "until"),
        filters=filter,
    )
    if focus:
        return answer(
            focused(whole, focus), next=[command("map", "--agent", find(whole, focus).label, "--as", "mermaid")]
        )
    first = next((one.label for one in whole.components if one.kind == "agent"), "")
    return answer(whole, next=[command("map", "--agent", first)] if first else [])
