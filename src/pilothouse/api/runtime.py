"""The runtime's tools for agents in any language: plan, finish gate, large data. MCP at ``/runtime/mcp`` asks here too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from pilothouse.records import TooLarge, iso
from pilothouse.runtime.plan import as_dict, plan_text
from pilothouse.runtime.served import KeptPlan
from pilothouse.runtime.sources import RowPage
from pilothouse.runtime.toolbox import PLAN_NAME_MAX, TOOLS
from pilothouse.traces.filters import check_text
from pilothouse.traces.jsons import as_json
from pilothouse.traces.model import TraceQuery
from pilothouse.traces.search import search
from pilothouse.traces.selections import groups, span_page

from .context import Caller, Context
from .envelope import Envelope, answer
from .params import moment, trace_query, window

router = APIRouter(tags=["runtime"])

VALUE_BYTES_MAX = 64 << 20

PlanName = Annotated[str, Path(max_length=PLAN_NAME_MAX, description="The plan's name.")]
ToolName = Annotated[
    str, Path(max_length=100, description="The name of one of the tools, as GET /runtime/tools gives them.")
]


class RuntimeTool(BaseModel):
    """A tool, as a model is told of it."""

    name: str
    title: str
    help: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of its arguments.")


class ToolCall(BaseModel):
    """A call of a tool."""

    model_config = ConfigDict(extra="forbid")

    arguments: dict[str, Any] = Field({}, description="As its input_schema says.")
    plan: str = Field("", max_length=PLAN_NAME_MAX, description="The plan it is about, where the arguments name none.")


class ToolSaid(BaseModel):
    """What a tool answered: at most 10,000 characters for the model."""

    text: str
    failed: bool
    error: dict[str, Any] | None = Field(None, description="Of a refusal: kind, message, got, fix.")
    id: str = Field("", description="The value it is about, where one was kept.")


class KeptAgentPlan(BaseModel):
    """A plan of an agent."""

    name: str
    changed: str = Field(description="When it was changed last, ISO 8601 UTC.")
    state: str = Field(description="done, open, or waiting: all that is open waits for a person.")
    text: str = Field(description="The request and the plan as the model reads them.")
    plan: dict[str, Any] = Field(description="request, version, tasks.")


class PersonsAnswer(BaseModel):
    """What a person says to a blocked task."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(max_length=100, description="The task's id.")
    text: str = Field(min_length=1, max_length=2_000)


class StoreRows:
    """Reads selections from the store of this server; serves :class:`pilothouse.runtime.sources.RowReader`."""

    def __init__(self, caller: Context) -> None:
        self._caller = caller

    def page(self, kind: str, params: Mapping[str, str], *, limit: int, cursor: str) -> RowPage:
        """One page."""
        store, project = self._caller.store, self._caller.project_id
        text, since, until = (params.get(name, "") for name in ("filter", "since", "until"))
        if kind == "groups":
            by = [name.strip() for name in params["by"].split(",") if name.strip()]
            found = groups(store, project, text, by, window(since, until), limit=limit)
        elif kind == "traces":
            sort = params.get("sort", "newest")
            found = search(store, project, trace_query(text, since, until, sort, limit=limit, cursor=cursor))
        else:
            times = (None, None) if cursor else (moment(since, "since"), moment(until, "until"))
            query = TraceQuery(text=text, since_ns=times[0], until_ns=times[1], limit=limit, cursor=cursor)
            wanted = {name: params.get(name, "") for name in ("kind", "name")}
            content = params.get("content", "") in ("1", "true", "yes")
            spans = span_page(store, project, query, content=content, **wanted)
            found = spans.page
            notes = tuple(f"{id} has more spans" for id in spans.cut_traces[:5])
            return RowPage(rows=as_json(found.items), next=found.next, total=found.total, notes=notes)
        return RowPage(rows=as_json(found.items), next=found.next, total=found.total)


@router.get("/runtime/tools", response_model=Envelope[list[RuntimeTool]])
def list_tools(caller: Caller) -> Response:
    """The tools, to be handed to a model as they are."""
    return answer(
        [{"name": tool.name, "title": tool.title, "help": tool.help, "input_schema": tool.schema} for tool in TOOLS]
    )


@router.post("/runtime/tools/{tool}", response_model=Envelope[ToolSaid])
def call_tool(caller: Caller, tool: ToolName, call: ToolCall) -> Response:
    """Call a tool. What goes wrong within it is its answer, for the model. Needs annotate: plans and values are kept."""
    caller.need("annotate")
    check_text(call.plan, "a plan's name", PLAN_NAME_MAX)
    said = caller.provider.agent_tools.call(caller.project_id, call.plan, tool, call.arguments, StoreRows(caller))
    return answer({"text": said.text, "failed": said.failed, "error": said.error, "id": said.id})


@router.post(
    "/runtime/values",
    response_model=Envelope[ToolSaid],
    openapi_extra={
        "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def keep_value(
    caller: Caller,
    request: Request,
    label: Annotated[str, Query(max_length=200, description="Where it came from.")] = "",
) -> Response:
    """Keep the body as a value, whatever it is: its id and a preview. At most 64 MB. Needs annotate."""
    caller.need("annotate")
    pieces: list[bytes] = []
    held = 0
    async for piece in request.stream():
        held += len(piece)
        if held > VALUE_BYTES_MAX:
            raise TooLarge(
                f"a value has at most {VALUE_BYTES_MAX >> 20} MB",
                got=f"{held:,} bytes",
                fix="split it, or filter it first",
            )
        pieces.append(piece)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    tools = caller.provider.agent_tools
    said = await run_in_threadpool(
        tools.put,
        caller.project_id,
        b"".join(pieces),
        label=label,
        media_type=media_type if "csv" in media_type else "",
    )
    return answer(
        {"text": said.text, "failed": said.is_error, "error": None, "id": said.handle.id if said.handle else ""}
    )


@router.get("/runtime/plans", response_model=Envelope[list[KeptAgentPlan]])
def list_plans(
    caller: Caller, limit: Annotated[int, Query(ge=1, le=200, description="Plans in the answer.")] = 50
) -> Response:
    """Plans of agents that plan here, the one changed last first."""
    return answer([_shown(found) for found in caller.provider.agent_tools.newest(caller.project_id, limit)])


@router.get("/runtime/plans/{plan}", response_model=Envelope[KeptAgentPlan])
def show_plan(caller: Caller, plan: PlanName) -> Response:
    """One plan."""
    check_text(plan, "a plan's name", PLAN_NAME_MAX)
    return answer(_shown(caller.provider.agent_tools.plan(caller.project_id, plan)))


@router.post("/runtime/plans/{plan}/answers", response_model=Envelope[KeptAgentPlan])
def answer_task(caller: Caller, plan: PlanName, said: PersonsAnswer) -> Response:
    """Say what a blocked task waits for: the agent goes on with it. Needs annotate."""
    caller.need("annotate")
    check_text(plan, "a plan's name", PLAN_NAME_MAX)
    check_text(said.text, "an answer", 2_000)
    found = caller.provider.agent_tools.answer(caller.project_id, plan, said.task, said.text)
    return answer(_shown(found))


def _shown(found: KeptPlan) -> dict[str, Any]:
    plan = found.plan
    waiting = plan.open_tasks and len(plan.blocked_tasks) == len(plan.open_tasks)
    return {
        "name": found.name,
        "changed": iso(found.changed_ns),
        "state": "waiting" if waiting else "open" if plan.open_tasks else "done",
        "text": plan_text(plan),
        "plan": as_dict(plan),
    }
