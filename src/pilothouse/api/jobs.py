"""Durable runs: what the server does in the background, and what became of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from pilothouse.jobs import STATES, SYSTEM, Run, Step
from pilothouse.traces.model import Page, Window

from .context import Caller, Context
from .envelope import Envelope, answer
from .params import CursorText

router = APIRouter(tags=["jobs"])

RunId = Annotated[str, Path(max_length=300, description="The id of a run, or its unique beginning.")]


class RunWithSteps(BaseModel):
    """A run, and its steps as far as they are recorded."""

    run: Run
    steps: list[Step] = Field(description="Oldest first.")


def visible_projects(caller: Context) -> tuple[str, ...]:
    """Whose runs the caller may see: the project's, and for administrators the server's own."""
    return (caller.project_id, SYSTEM) if caller.grant.allows("admin") else (caller.project_id,)


@router.get("/jobs", response_model=Envelope[list[Run]])
def list_jobs(
    caller: Caller,
    state: Annotated[str, Query(max_length=100, description=f"One or more of {', '.join(STATES)}.")] = "",
    workflow: Annotated[str, Query(max_length=200, description="Only runs of this workflow.")] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Rows a page.")] = 50,
    cursor: CursorText = "",
) -> Response:
    """Durable runs, newest first."""
    states = [word for word in state.replace(",", " ").split() if word]
    found = caller.provider.jobs.ls(
        visible_projects(caller),
        states=states,  # type: ignore[arg-type]  # checked by the verb
        workflows=[workflow] if workflow else [],
        limit=limit,
        cursor=cursor,
    )
    window = Window(since="", until="")
    page = Page(items=found.items, next=found.next, more=bool(found.next), total=found.total, window=window)
    return answer(found.items, page=page, next=[f"pilothouse jobs show {found.items[0].run_id}"] if found.items else [])


@router.get("/jobs/{id}", response_model=Envelope[RunWithSteps])
def show_job(
    caller: Caller,
    id: RunId,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Steps a page.")] = 200,
    after: Annotated[int, Query(ge=0, description="Leave out so many steps.")] = 0,
) -> Response:
    """One run: its state, what it was given, what it gave, its steps."""
    run = caller.provider.jobs.show(id, visible_projects(caller))
    steps = caller.provider.jobs.steps(run.run_id, limit=limit, after=after)
    following = [f"pilothouse jobs cancel {run.run_id}"] if run.state in ("queued", "running", "held") else []
    return answer({"run": run, "steps": steps}, next=following)


@router.post("/jobs/{id}/cancel", response_model=Envelope[Run])
def cancel_job(caller: Caller, id: RunId) -> Response:
    """Stop a run: it does no further step. One that has ended stays as it is. Needs write."""
    caller.need("write")
    return answer(caller.provider.jobs.cancel(id, visible_projects(caller)))
