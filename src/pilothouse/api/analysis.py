"""Analyses on the server: a playbook asked of many traces, as a durable run over files."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse

from pilothouse.analysis.shelf import Analysis, AnalysisFile
from pilothouse.jobs import STATES
from pilothouse.records import BadRequest
from pilothouse.traces.model import Page, Window

from .context import Caller
from .envelope import Envelope, answer
from .params import CursorText

router = APIRouter(tags=["analysis"])

AnalysisId = Annotated[str, Path(max_length=300, description="The id of an analysis, or its unique beginning.")]
_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}}
_ANY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


class Analyses(Protocol):
    """What the server lends the API for analyses."""

    def start(self, project_id: str, given: Mapping[str, Any]) -> Analysis:
        """Begin an analysis. Raises BadRequest where this server does not do what is asked for."""
        ...

    def ls(
        self, project_id: str, *, state: str = "", limit: int = 50, cursor: str = ""
    ) -> tuple[tuple[Analysis, ...], int, str]:
        """A project's analyses, newest first; how many there are; the cursor of the next page."""
        ...

    def show(self, project_id: str, analysis_id: str) -> Analysis:
        """One analysis. Raises NotFound."""
        ...

    def report(self, project_id: str, analysis_id: str) -> str:
        """Its report as markdown. Raises NotFound."""
        ...

    def findings(self, project_id: str, analysis_id: str) -> Mapping[str, Any]:
        """Its report as data; empty where there is none yet. Raises NotFound."""
        ...

    def files(self, project_id: str, analysis_id: str) -> Sequence[AnalysisFile]:
        """The files of its run. Raises NotFound."""
        ...

    def file(self, project_id: str, analysis_id: str, path: str) -> FilePath:
        """One file of its run. Raises NotFound, or BadRequest where the path leads elsewhere."""
        ...


class NewAnalysis(BaseModel):
    """What is to be analysed, how, by whom, within which bounds."""

    model_config = ConfigDict(extra="forbid")

    playbook: str = Field("triage", max_length=100, description="One that is shipped: triage, tool-errors, …")
    filter: str = Field("", max_length=2_000, description="Which traces, in the filter language; empty: all.")
    since: str = Field("7d", max_length=40, description="From: 15m, 24h, 7d (ago) or ISO 8601.")
    until: str = Field("", max_length=40, description="Before: the same forms.")
    session: str = Field("", max_length=500, description="Instead of a filter: one conversation.")
    worker: str = Field("", max_length=200, description="builtin, or agent:MODEL where the server allows that model.")
    sample: int = Field(0, ge=0, description="So many items, at random; 0: all.")
    seed: int = Field(7, ge=0, description="Of every draw.")
    by: str = Field("", max_length=40, description="Broken down by user_id, session_id, agent, …")
    concurrency: int = Field(0, ge=0, description="Readers side by side; 0: as the playbook says.")
    max_tokens: int = Field(0, ge=0, description="No item is begun beyond it; 0: as the playbook says.")
    max_usd: float = Field(0.0, ge=0, description="No item is begun beyond it; 0: as the playbook says.")


class AnalysisWithFiles(BaseModel):
    """An analysis, its files, and its report as data."""

    analysis: Analysis
    files: list[AnalysisFile] = Field(description="Of its run, by path.")
    findings: dict[str, Any] = Field(description="The report as data; empty while there is none.")


@router.post("/analysis", response_model=Envelope[Analysis], status_code=202)
def start_analysis(caller: Caller, given: NewAnalysis) -> Response:
    """Begin an analysis. Once this is answered it survives anything but the loss of the disk. Needs write."""
    caller.need("write")
    made = caller.provider.analyses.start(caller.project_id, given.model_dump())
    following = [f"pilothouse analyze status {made.analysis_id}", f"pilothouse analyze report {made.analysis_id}"]
    return answer(made, next=following, status=202)


@router.get("/analysis", response_model=Envelope[list[Analysis]])
def list_analyses(
    caller: Caller,
    state: Annotated[str, Query(max_length=20, description=f"One of {', '.join(STATES)}.")] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Rows a page.")] = 50,
    cursor: CursorText = "",
) -> Response:
    """Analyses, newest first, each with how far it is."""
    items, total, following = caller.provider.analyses.ls(caller.project_id, state=state, limit=limit, cursor=cursor)
    window = Window(since="", until="")
    page = Page(items=items, next=following, more=bool(following), total=total, window=window)
    return answer(items, page=page, next=[f"pilothouse analyze status {items[0].analysis_id}"] if items else [])


@router.get("/analysis/{id}", response_model=Envelope[AnalysisWithFiles])
def show_analysis(caller: Caller, id: AnalysisId) -> Response:
    """One analysis: how far it is, its files, what it found."""
    desk = caller.provider.analyses
    shown = desk.show(caller.project_id, id)
    findings = desk.findings(caller.project_id, shown.analysis_id)
    files = desk.files(caller.project_id, shown.analysis_id)
    following = [f"pilothouse analyze report {shown.analysis_id}"] if findings else []
    return answer({"analysis": shown, "files": files, "findings": findings}, next=following)


@router.get("/analysis/{id}/report", responses=_TEXT, response_class=Response)
def analysis_report(
    caller: Caller,
    id: AnalysisId,
    form: Annotated[str, Query(alias="as", max_length=20, description="markdown or json.")] = "markdown",
) -> Response:
    """The report: markdown of at most 10 kB, or as data."""
    if form not in ("markdown", "json"):
        raise BadRequest("no such form", got=form, allowed=["markdown", "json"], fix="as=markdown")
    text = caller.provider.analyses.report(caller.project_id, id)
    if form == "json":
        return answer(caller.provider.analyses.findings(caller.project_id, id))
    return Response(text, media_type="text/markdown; charset=utf-8", headers={"X-Content-Type-Options": "nosniff"})


@router.get("/analysis/{id}/files/{path:path}", responses=_ANY, response_class=FileResponse)
def analysis_file(
    caller: Caller,
    id: AnalysisId,
    path: Annotated[str, Path(max_length=500, description="From the list of files.")],
) -> FileResponse:
    """One file of an analysis, as it is."""
    found = caller.provider.analyses.file(caller.project_id, id, path)
    # Content of traces is in it: it is given to be saved, never to be run by a browser.
    kind = mimetypes.guess_type(found.name)[0] or "text/plain"
    kind = kind if kind in ("application/json",) else "text/plain; charset=utf-8"
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return FileResponse(found, media_type=kind, filename=found.name, headers=headers)
