"""Where a server keeps its analyses: plain files, one folder each, and what can be read of them.

::

    DATA/analysis/PROJECT/RUN/progress.json      how far it is, for whoever asks while it goes on
    DATA/analysis/PROJECT/RUN/export/            the export; the run lies in it, as it does anywhere else
    DATA/analysis/PROJECT/RUN/export/analysis/…
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from pilothouse.records import BadRequest, NotFound

from .disk import read_json, write_durably

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
FILES_MAX = 2_000
REPORT = "report.md"
FINDINGS = "cohorts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an analysis is."""

    phase: str = "waiting"
    """waiting, export, freeze, read, report, done."""
    traces: int = 0
    """In the export."""
    items: int = 0
    readings: int = 0
    """First and second readings wanted so far."""
    done: int = 0
    """Readings that are done."""
    blocked: int = 0
    """Readings that failed so often that somebody has to look."""
    tokens: int = 0
    usd: float = 0.0
    note: str = ""
    """Why nothing more is begun although something is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisFile:
    """A file of an analysis."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One analysis of a server."""

    analysis_id: str
    """Also the id of its run under ``jobs``."""
    state: str
    """queued, running, held, succeeded, failed, cancelled."""
    created: str
    ended: str
    error: str
    attempts: int
    """How often a worker took it; more than one: a worker died, and it went on."""
    ask: dict[str, Any]
    """What was asked for."""
    progress: Progress
    result: dict[str, Any] = field(default_factory=dict[str, Any])
    """What came out, once it has ended: items, readings, tokens, limits."""


class Shelf:
    """The analyses of a data folder."""

    def __init__(self, data: Path) -> None:
        self._root = data / "analysis"

    def folder(self, project_id: str, analysis_id: str) -> Path:
        """The folder of one; it need not exist.

        Raises:
            NotFound: what is no id cannot be one's.
        """
        for word in (project_id, analysis_id):
            if not _NAME.fullmatch(word):
                raise NotFound("there is no such analysis", got=word[:100], fix="pilothouse analyze ls")
        return self._root / project_id / analysis_id

    def progress(self, project_id: str, analysis_id: str) -> Progress:
        """How far it is."""
        found = read_json(self.folder(project_id, analysis_id) / "progress.json")
        if not isinstance(found, dict):
            return Progress()
        fields = cast("dict[str, Any]", found)
        return Progress(**{name: fields[name] for name in Progress.__slots__ if name in fields})

    def set_progress(self, project_id: str, analysis_id: str, progress: Progress) -> None:
        """Write how far it is."""
        folder = self.folder(project_id, analysis_id)
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "progress.json", json.dumps(asdict(progress)) + "\n")

    def run_folder(self, project_id: str, analysis_id: str) -> Path:
        """The folder of its run, in its export.

        Raises:
            NotFound: nothing has been frozen yet.
        """
        found = sorted((self.folder(project_id, analysis_id) / "export" / "analysis").glob("*/run.json"))
        if not found:
            raise NotFound("the analysis has not begun to read yet", got=analysis_id, fix="pilothouse analyze ls")
        return found[0].parent

    def report(self, project_id: str, analysis_id: str) -> str:
        """The report as markdown.

        Raises:
            NotFound: there is none yet.
        """
        try:
            return (self.run_folder(project_id, analysis_id) / REPORT).read_text()
        except FileNotFoundError as error:
            raise NotFound("the analysis has no report yet", got=analysis_id) from error

    def findings(self, project_id: str, analysis_id: str) -> dict[str, Any]:
        """The report as data; empty where there is none yet."""
        try:
            found = read_json(self.run_folder(project_id, analysis_id) / FINDINGS)
        except NotFound:
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def profile(self, project_id: str, analysis_id: str) -> dict[str, Any]:
        """What was counted before anybody read; empty where it has not been yet."""
        try:
            found = read_json(self.run_folder(project_id, analysis_id) / "profile.json")
        except NotFound:
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def files(self, project_id: str, analysis_id: str) -> list[AnalysisFile]:
        """The files of its run, by path: 2,000 at most. Those of the export are pulled with ``pilothouse pull``."""
        try:
            root = self.run_folder(project_id, analysis_id)
        except NotFound:
            return []
        found: list[AnalysisFile] = []
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root).as_posix()
            # Leases and drafts are the workers' own.
            if (
                path.is_symlink()
                or not path.is_file()
                or inside.split("/")[0] in ("leases", "work")
                or "/." in f"/{inside}"
            ):
                continue
            found.append(AnalysisFile(path=inside, bytes=path.stat().st_size))
            if len(found) >= FILES_MAX:
                break
        return found

    def file(self, project_id: str, analysis_id: str, path: str) -> Path:
        """One file of a run, from the list.

        Raises:
            BadRequest: the path leads elsewhere.
            NotFound: there is no such file.
        """
        root = self.run_folder(project_id, analysis_id).resolve()
        if "\0" in path or len(path) > 500:
            raise BadRequest("this is no path of a file", got=path[:100])
        found = root / path
        inside = found.resolve()
        if not inside.is_relative_to(root) or inside.relative_to(root).parts[:1] in (("leases",), ("work",), ()):
            raise BadRequest("the path leads out of the analysis", got=path[:200], fix="pilothouse analyze status ID")
        if found.is_symlink() or not inside.is_file():
            raise NotFound("the analysis has no such file", got=path[:200])
        return inside
