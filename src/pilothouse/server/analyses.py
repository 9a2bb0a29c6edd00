"""Analyses as the server's surfaces see them: their runs are durable runs, their content lies on the shelf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pilothouse.analysis.ask import Ask, read_ask
from pilothouse.analysis.shelf import Analysis, AnalysisFile, Shelf
from pilothouse.jobs import Desk, Run, RunState
from pilothouse.records import NotFound

WORKFLOW = "analysis"


class Analyses:
    """Starts and shows analyses. Serves :class:`pilothouse.api.context.Analyses`."""

    def __init__(self, jobs: Desk, data: Path, models: Sequence[str]) -> None:
        self._jobs = jobs
        self._shelf = Shelf(data)
        self._models = tuple(models)

    @property
    def workers(self) -> tuple[str, ...]:
        """Who may read here."""
        return ("builtin", *(f"agent:{model}" for model in self._models))

    def check(self, given: Mapping[str, Any]) -> Ask:
        """What is asked for, checked."""
        return read_ask(given, self._models)

    def start(self, project_id: str, given: Mapping[str, Any]) -> Analysis:
        """Begin an analysis; it survives restarts from here on.

        Raises:
            BadRequest: this server does not do what is asked for.
        """
        run_id = self._jobs.enqueue(WORKFLOW, self.check(given).as_dict(), project_id=project_id)
        return self.show(project_id, run_id)

    def ls(
        self, project_id: str, *, state: str = "", limit: int = 50, cursor: str = ""
    ) -> tuple[tuple[Analysis, ...], int, str]:
        """A project's analyses, newest first; how many there are; the cursor of the next page."""
        states: tuple[RunState, ...] = (cast("RunState", state),) if state else ()
        page = self._jobs.ls([project_id], states=states, workflows=[WORKFLOW], limit=limit, cursor=cursor, whole=True)
        return tuple(self._described(run, project_id) for run in page.items), page.total, page.next

    def show(self, project_id: str, analysis_id: str) -> Analysis:
        """One analysis. Raises NotFound."""
        try:
            run = self._jobs.show(analysis_id, [project_id])
        except NotFound as error:
            raise NotFound("there is no such analysis", got=analysis_id[:100], fix="pilothouse analyze ls") from error
        if run.workflow != WORKFLOW:
            raise NotFound("this run is no analysis", got=run.run_id, fix=f"pilothouse jobs show {run.run_id}")
        return self._described(run, project_id)

    def report(self, project_id: str, analysis_id: str) -> str:
        """Its report as markdown. Raises NotFound."""
        return self._shelf.report(project_id, self.show(project_id, analysis_id).analysis_id)

    def findings(self, project_id: str, analysis_id: str) -> Mapping[str, Any]:
        """Its report as data; empty where there is none yet. Raises NotFound."""
        return self._shelf.findings(project_id, self.show(project_id, analysis_id).analysis_id)

    def profile(self, project_id: str, analysis_id: str) -> Mapping[str, Any]:
        """What was counted before anybody read; empty where it has not been yet. Raises NotFound."""
        return self._shelf.profile(project_id, self.show(project_id, analysis_id).analysis_id)

    def files(self, project_id: str, analysis_id: str) -> Sequence[AnalysisFile]:
        """The files of its run. Raises NotFound."""
        return self._shelf.files(project_id, self.show(project_id, analysis_id).analysis_id)

    def file(self, project_id: str, analysis_id: str, path: str) -> Path:
        """One file of its run. Raises NotFound, or BadRequest where the path leads elsewhere."""
        return self._shelf.file(project_id, self.show(project_id, analysis_id).analysis_id, path)

    def _described(self, run: Run, project_id: str) -> Analysis:
        return Analysis(
            analysis_id=run.run_id,
            state=run.state,
            created=run.created,
            ended=run.ended,
            error=run.error,
            attempts=run.attempts,
            ask=cast("dict[str, Any]", run.input or {}),
            progress=self._shelf.progress(project_id, run.run_id),
            result=cast("dict[str, Any]", run.result or {}),
        )
