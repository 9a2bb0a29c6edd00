"""One analysis: what was asked, how far it is, what it found, with the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pilothouse.analysis.shelf import Analysis, AnalysisFile
from pilothouse.web.analysis_view import CohortView, cohort_views
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit

_FILES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRunPage(PageContext):
    """One analysis."""

    analysis: Analysis = field(metadata=told("what was asked, and how far it is"))
    cohorts: tuple[CohortView, ...] = field(
        metadata=told("the findings: failures that several items share, each with counts, evidence and query")
    )
    findings: Mapping[str, Any] = field(metadata=told("the report as data; empty while there is none"))
    profile: Mapping[str, Any] = field(metadata=told("what was counted before anybody read"))
    report: str = field(metadata=told("the report as markdown; empty while there is none"))
    files: tuple[AnalysisFile, ...] = field(metadata=told("files of the analysis, 200 at most, by path"))

    @property
    def open(self) -> bool:
        """True while it goes on."""
        return self.analysis.state in ("queued", "running", "held")

    @property
    def verdicts(self) -> Mapping[str, Any]:
        """How many items went how."""
        return cast("Mapping[str, Any]", self.findings.get("verdicts") or {})

    @property
    def agreement(self) -> str:
        """How far two readers of the same items agree, in a sentence; empty where nothing was read twice."""
        both = cast("Mapping[str, Any]", self.findings.get("agreement") or {})
        drawn = cast("Mapping[str, Any]", both.get("drawn") or {})
        verdict = cast("Mapping[str, Any]", drawn.get("verdict") or {})
        if not verdict.get("n"):
            return ""
        return f"{verdict.get('percent', 0):g} % on the verdict, of {verdict['n']} items drawn by lot and read twice"

    @property
    def groups(self) -> Sequence[Mapping[str, Any]]:
        """Problems by customer, session or what it was broken down by."""
        return cast("Sequence[Mapping[str, Any]]", self.findings.get("by_group") or ())[:20]

    @property
    def by(self) -> str:
        """What it was broken down by."""
        return str(self.findings.get("by") or "")

    @property
    def dropped(self) -> Sequence[Mapping[str, Any]]:
        """What no query confirmed, and is therefore not claimed."""
        return cast("Sequence[Mapping[str, Any]]", self.findings.get("dropped") or ())[:10]

    @property
    def limits(self) -> Sequence[str]:
        """What should not be concluded."""
        return cast("Sequence[str]", self.findings.get("limits") or ())

    @property
    def components(self) -> Sequence[Mapping[str, Any]]:
        """What fails most, counted before anybody read."""
        failing = cast("Mapping[str, Any]", self.profile.get("failing") or {})
        return cast("Sequence[Mapping[str, Any]]", failing.get("components") or ())


def gather(visit: Visit) -> AnalysisRunPage:
    """Read one analysis."""
    shown = visit.reader.analysis(visit.parts["run"])
    id = shown.analysis.analysis_id
    return AnalysisRunPage(
        title=f"{shown.analysis.ask.get('playbook', 'analysis')} {id}",
        command=f"pilothouse analyze status {id}",
        analysis=shown.analysis,
        cohorts=cohort_views(shown.findings),
        findings=shown.findings,
        profile=shown.profile,
        report=shown.report,
        files=shown.files[:_FILES],
    )


ANALYSIS_RUN = PageSpec(
    name="analysis_run", path="/analysis/{run}", context=AnalysisRunPage, gather=gather, nav="analysis"
)
